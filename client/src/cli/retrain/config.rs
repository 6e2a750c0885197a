//! The configuration of `marquee retrain`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// All of it. What is misspelt is refused.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// What the model is called in the registry.
    pub(super) name: String,
    /// Where each run has a folder of its own, on this machine.
    pub(super) work: PathBuf,
    pub(super) export: Export,
    pub(super) train: Train,
    /// The arguments of the job `judge-model`, by name.
    #[serde(default)]
    pub(super) judge: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) activate: Activate,
}

/// How the data comes out of the store.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Export {
    /// A name of the server's job-targets; of a server on loopback also a folder.
    pub(super) target: String,
    /// That folder as this machine sees it; `target` when absent.
    folder: Option<PathBuf>,
    /// Interactions of so many days; all when absent.
    pub(super) days: Option<u64>,
    /// Whether the data stays when it is trained on.
    #[serde(default)]
    pub(super) keep: bool,
}

impl Export {
    /// Where exports are on this machine.
    pub(super) fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or_else(|| Path::new(&self.target))
    }
}

/// How a bundle is made of it.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Train {
    /// Programs with their arguments, one after another; no shell reads them.
    commands: Vec<Vec<String>>,
}

/// What becomes of a version that is accepted, and of older ones.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Activate {
    /// Whether it is activated.
    pub(super) enabled: bool,
    /// Versions of the name that stay, the newest; all when 0.
    pub(super) keep: usize,
}

impl Default for Activate {
    fn default() -> Self {
        Self { enabled: true, keep: 0 }
    }
}

/// The places that commands name in braces.
pub(super) struct Places {
    pub(super) data: PathBuf,
    pub(super) run: PathBuf,
    pub(super) bundle: PathBuf,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if config.train.commands.iter().any(Vec::is_empty) {
            return Err("train.commands has one without a program".to_owned());
        }
        Ok(config)
    }

    /// The commands, with these places in them.
    pub(super) fn commands(&self, places: &Places) -> Vec<Vec<String>> {
        let places = [("{data}", &places.data), ("{run}", &places.run), ("{bundle}", &places.bundle)];
        let filled = |word: &String| {
            places
                .iter()
                .fold(word.clone(), |word, (name, place)| word.replace(name, &place.display().to_string()))
        };
        self.train.commands.iter().map(|command| command.iter().map(filled).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
name = "movies"
work = "/srv/retrain"
[export]
target = "/srv/export"
[train]
commands = [["train", "{data}", "--output={run}"], ["export", "{run}", "{bundle}"]]
"#;

    #[test]
    fn what_is_not_said_has_defaults() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!(config.export.folder(), Path::new("/srv/export"));
        assert_eq!((config.activate.enabled, config.activate.keep, config.export.keep), (true, 0, false));
        assert!(config.judge.is_empty());
    }

    #[test]
    fn commands_have_the_places_of_the_run_and_nothing_else_is_read_in_them() {
        let text = LEAST.replace("--output={run}", "--output={run}$HOME {other}");
        let places = Places { data: "/d".into(), run: "/r".into(), bundle: "/b".into() };
        let commands = Config::parse(&text).unwrap().commands(&places);
        assert_eq!(commands[0], ["train", "/d", "--output=/r$HOME {other}"]);
        assert_eq!(commands[1], ["export", "/r", "/b"]);
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for (right, wrong) in [("name =", "nmae ="), ("target =", "targets ="), ("[train]", "[training]")] {
            assert!(Config::parse(&LEAST.replace(right, wrong)).is_err(), "{wrong}");
        }
        assert!(Config::parse(&format!("{LEAST}[judge]\nmargin = -1")).is_err());
        assert!(Config::parse(&LEAST.replace("[\"export\", \"{run}\", \"{bundle}\"]", "[]")).is_err());
    }
}
