//! The layers over the defaults: the command line with its environment variables, and the TOML file.

use std::path::Path;

use clap::{ArgMatches, Command};
use toml::de::{DeTable, DeValue};

use super::redact::{without_password, without_passwords};
use super::sections::SETTINGS;
use super::setting::Setting;
use super::{Config, ConfigError};

/// What the command line and its environment variables say.
#[derive(Clone, Default)]
pub struct Settings(Vec<(&'static Setting<Config>, String)>);

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
        let said = |setting: &'static Setting<Config>| matches.get_one::<String>(&setting.name()).cloned();
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
