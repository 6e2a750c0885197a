//! What a setting is, and its three ways in: the command line with its environment variables, and the TOML file.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use toml::de::{DeTable, DeValue};

use super::redact::{without_password, without_passwords};
use super::sections::SETTINGS;
use super::{Config, ConfigError};

/// One setting of one section, by its text form.
pub(super) struct Setting {
    pub(super) section: &'static str,
    /// As the field is called.
    pub(super) field: &'static str,
    pub(super) help: &'static str,
    /// What stands for its value in the help.
    pub(super) form: &'static str,
    /// Which values it takes.
    pub(super) accepted: fn() -> String,
    pub(super) get: fn(&Config) -> String,
    /// `None` for a text that is not accepted.
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
}

/// Makes of each section a struct with its defaults, of all of them [`Config`], and of all settings a list.
macro_rules! sections {
    ($($(#[doc = $about:literal])+ $section:ident: $type:ident {
        $($(#[doc = $help:literal])+ $field:ident <$form:literal>: $value:ty = $default:expr $(, $bounds:expr)?;)+
    })+) => {
        $(
            $(#[doc = $about])+
            #[allow(rustdoc::broken_intra_doc_links, reason = "the docs are the help of the options")]
            #[derive(Clone, Debug)]
            pub struct $type {
                $($(#[doc = $help])+ pub $field: $value,)+
            }

            impl Default for $type {
                fn default() -> Self {
                    Self { $($field: $default),+ }
                }
            }
        )+

        /// The settings that are in force, by section.
        #[derive(Clone, Debug, Default)]
        pub struct Config {
            $($(#[doc = $about])+ pub $section: $type,)+
            /// Said for one start, on the command line alone: nobody shall lose anything because of an old file.
            pub on_damage: marquee_store::OnDamage,
        }

        pub(super) static SETTINGS: &[$crate::config::setting::Setting] = &[
            $($($crate::config::setting::Setting {
                section: stringify!($section),
                field: stringify!($field),
                help: concat!($($help),+),
                form: $form,
                accepted: || $crate::config::setting::accepted!($value $(, $bounds)?),
                get: |config| $crate::config::values::Value::written(&config.$section.$field),
                set: |config, text| {
                    config.$section.$field = $crate::config::setting::read!(text $(, $bounds)?)?;
                    Some(())
                },
            },)+)+
        ];
    };
}
pub(super) use sections;

/// Which values a setting takes, with bounds or without.
macro_rules! accepted {
    ($value:ty) => {
        <$value as $crate::config::values::Value>::accepted()
    };
    ($value:ty, $bounds:expr) => {
        $crate::config::values::accepted_within::<$value>(&($bounds))
    };
}
pub(super) use accepted;

/// The value of a text, if it is one, with bounds or without.
macro_rules! read {
    ($text:expr) => {
        $crate::config::values::Value::read($text)
    };
    ($text:expr, $bounds:expr) => {
        $crate::config::values::read_within($text, &($bounds))
    };
}
pub(super) use read;

impl Setting {
    /// The option, and the key of the file.
    pub(super) fn name(&self) -> String {
        self.field.replace('_', "-")
    }

    pub(super) fn environment(&self) -> String {
        format!("MARQUEE_{}", self.field.to_uppercase())
    }

    pub(super) fn default(&self) -> String {
        (self.get)(&Config::default())
    }

    /// What is in force, as the file says it.
    pub(super) fn line(&self, config: &Config) -> String {
        let text = (self.get)(config);
        let is_bare =
            text.parse::<bool>().is_ok() || text.parse::<i64>().is_ok_and(|it| it.to_string() == text);
        let value = if is_bare { text } else { toml::Value::String(text).to_string() };
        format!("{} = {value}\n", self.name())
    }

    /// Sets it, or says which values it takes.
    fn set(&self, config: &mut Config, text: &str) -> Result<(), ConfigError> {
        (self.set)(config, text).ok_or_else(|| ConfigError::NotAccepted {
            name: self.name(),
            found: without_password(text),
            accepted: (self.accepted)(),
        })
    }

    fn set_from(&self, config: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        let text =
            text_of(value).ok_or_else(|| format!("{} is a text, a number or a truth value", self.name()))?;
        self.set(config, &text).map_err(|error| error.to_string())
    }

    /// The default is none to clap, which would lay it over the file.
    fn argument(&self) -> Arg {
        let help = format!("{} [default: {}]", self.help.trim(), self.default());
        let argument = Arg::new(self.name()).long(self.name()).env(self.environment()).value_name(self.form);
        let argument = argument.help(help).help_heading(format!("Settings of [{}]", self.section));
        match self.form {
            "BOOL" => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
            // It may hold a password.
            "URL" => argument.hide_env_values(true),
            _ => argument,
        }
    }
}

/// What the command line and its environment variables say.
#[derive(Clone, Default)]
pub struct Settings(Vec<(&'static Setting, String)>);

impl clap::Args for Settings {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(Setting::argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let said = |setting: &'static Setting| matches.get_one::<String>(&setting.name()).cloned();
        Ok(Self(SETTINGS.iter().filter_map(|setting| Some((setting, said(setting)?))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Settings {
    /// Lays them over `config`.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        self.0.iter().try_for_each(|(setting, text)| setting.set(config, text))
    }
}

/// Lays a TOML file over `config`: a table for each section, keys as the options are spelled.
pub(super) fn apply_file(config: &mut Config, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    apply_toml(config, &text).map_err(|(at, why)| {
        let line = 1 + text[..at].matches('\n').count();
        ConfigError::Parse { path: path.to_owned(), line, why }
    })
}

/// What is wrong, and the byte where it is.
type Fault = (usize, String);

fn apply_toml(config: &mut Config, text: &str) -> Result<(), Fault> {
    let document = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), without_passwords(error.message())))?;
    for (section, table) in document.get_ref() {
        let name: &str = section.get_ref();
        let table = table_of(name, table.get_ref()).map_err(|why| (section.span().start, why))?;
        for (key, value) in table {
            let setting =
                SETTINGS.iter().find(|it| it.section == name && it.name() == key.get_ref().as_ref());
            let setting = setting.ok_or_else(|| (key.span().start, misplaced(key.get_ref())))?;
            setting.set_from(config, value.get_ref()).map_err(|why| (value.span().start, why))?;
        }
    }
    Ok(())
}

fn table_of<'a, 'i>(section: &str, value: &'a DeValue<'i>) -> Result<&'a DeTable<'i>, String> {
    let table = value.as_table().ok_or_else(|| misplaced(section))?;
    let is_known = SETTINGS.iter().any(|setting| setting.section == section);
    is_known.then_some(table).ok_or_else(|| format!("there is no section {}", without_password(section)))
}

/// What to say of a key that is not where it stands.
fn misplaced(name: &str) -> String {
    match SETTINGS.iter().find(|setting| setting.name() == name) {
        Some(setting) => format!("{name} stands in [{}]", setting.section),
        None => format!("there is no setting {}", without_password(name)),
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            Some(i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
