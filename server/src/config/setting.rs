//! What a setting is, and how one is declared.

use clap::Arg;
use toml::de::DeValue;

use super::ConfigError;
use super::redact::without_password;

/// One setting of one section of a configuration `C`, by its text form.
pub(super) struct Setting<C> {
    pub(super) section: &'static str,
    /// As the field is called.
    pub(super) field: &'static str,
    pub(super) help: &'static str,
    /// What stands for its value in the help.
    pub(super) form: &'static str,
    /// Which values it takes.
    pub(super) accepted: fn() -> String,
    pub(super) get: fn(&C) -> String,
    /// `None` for a text that is not accepted.
    pub(super) set: fn(&mut C, &str) -> Option<()>,
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

        pub(super) static SETTINGS: &[$crate::config::setting::Setting<Config>] = &[
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

impl<C: Default> Setting<C> {
    /// The option, and the key of the file.
    pub(super) fn name(&self) -> String {
        self.field.replace('_', "-")
    }

    pub(super) fn environment(&self) -> String {
        format!("MARQUEE_{}", self.field.to_uppercase())
    }

    pub(super) fn default(&self) -> String {
        (self.get)(&C::default())
    }

    /// What is in force, as the file says it.
    pub(super) fn line(&self, config: &C) -> String {
        let text = (self.get)(config);
        let is_bare =
            text.parse::<bool>().is_ok() || text.parse::<i64>().is_ok_and(|it| it.to_string() == text);
        let value = if is_bare { text } else { toml::Value::String(text).to_string() };
        format!("{} = {value}\n", self.name())
    }

    /// Sets it, or says which values it takes.
    pub(super) fn set(&self, config: &mut C, text: &str) -> Result<(), ConfigError> {
        (self.set)(config, text).ok_or_else(|| ConfigError::NotAccepted {
            name: self.name(),
            found: if text.is_empty() { "empty".to_owned() } else { without_password(text) },
            accepted: (self.accepted)(),
        })
    }

    pub(super) fn set_from(&self, config: &mut C, value: &DeValue<'_>) -> Result<(), String> {
        let text =
            text_of(value).ok_or_else(|| format!("{} is a text, a number or a truth value", self.name()))?;
        self.set(config, &text).map_err(|error| error.to_string())
    }

    /// The default is none to clap, which would lay it over the file.
    pub(super) fn argument(&self) -> Arg {
        let help = format!("{} [default: {}]", self.help.trim(), self.default());
        let argument = Arg::new(self.name()).long(self.name()).env(self.environment()).value_name(self.form);
        let argument = argument
            .help(help)
            .help_heading(format!("Settings of [{}]", self.section))
            .allow_negative_numbers(true);
        match self.form {
            "BOOL" => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
            // It may hold a password.
            "URL" => argument.hide_env_values(true),
            _ => argument,
        }
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            Some(i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
