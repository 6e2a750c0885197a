//! The command line of `marquee-server`: what it takes, and a file for each command with its arguments and what it
//! does.

mod import;
mod migrate;
mod runtime;
mod serve;
mod signals;
mod welcome;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use marquee_core::text::printable;
use marquee_store::OnDamage;
use tokio::runtime::Runtime;

use self::import::ImportArgs;
use self::migrate::MigrateArgs;
use self::runtime::RuntimeCommand;
use self::serve::ServeArgs;
use crate::config::{Config, ConfigError, Settings, without_password};

/// What came of a command; the error says what to do.
type Outcome = Result<(), Box<dyn Error>>;

/// Does what the command line of this process says. What goes wrong is said on its standard error.
pub fn main() -> ExitCode {
    match Cli::of_process().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("marquee-server: {}", printable(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Recommendations over gRPC. Without a command it serves.
#[derive(Parser)]
#[command(name = "marquee-server", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Option<Command>,
    /// The options of `serve`.
    #[command(flatten)]
    serve: ServeArgs,
}

/// The error without the passwords of what it repeats.
fn showable(mut error: clap::Error) -> clap::Error {
    let shown = |value: &ContextValue| match value {
        ContextValue::String(text) => Some(ContextValue::String(without_password(text))),
        ContextValue::Strings(texts) => {
            Some(ContextValue::Strings(texts.iter().map(|text| without_password(text)).collect()))
        }
        _ => None,
    };
    let shown: Vec<(ContextKind, ContextValue)> =
        error.context().filter_map(|(kind, value)| Some((kind, shown(value)?))).collect();
    for (kind, value) in shown {
        error.insert(kind, value);
    }
    error
}

/// What the program can do.
#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default)
    Serve(ServeArgs),
    /// Bring a MovieLens release into the store: a folder or a zip file of any release
    Import(ImportArgs),
    /// Bring the schema of a ScyllaDB keyspace to this program's version, and print the statements
    Migrate(MigrateArgs),
    /// ONNX Runtime on this machine
    #[command(subcommand)]
    Runtime(RuntimeCommand),
}

/// What to do about a damaged store.
#[derive(Args)]
struct DamageArgs {
    /// Open an embedded store whose journal is damaged, and say what is lost
    #[arg(long)]
    recover: bool,
}

impl DamageArgs {
    fn decide(&self, config: Config) -> Config {
        let on_damage = if self.recover { OnDamage::GoOn } else { OnDamage::Refuse };
        Config { on_damage, ..config }
    }
}

/// The settings and the file under them.
#[derive(Args)]
struct Layers {
    /// TOML file with settings
    #[arg(long, env = "MARQUEE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Layers {
    fn resolve(self) -> Result<Config, ConfigError> {
        let file = match &self.config {
            Some(path) => Settings::from_file(path)?,
            None => Settings::default(),
        };
        Config::resolve(self.settings, file).checked()
    }
}

impl Cli {
    /// What this process was told to do. As [`Cli::parse`], with the defaults in the help; a wrong command
    /// line ends the process and says why, passwords taken out.
    fn of_process() -> Self {
        let read = command().try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        read.unwrap_or_else(|error| showable(error).exit())
    }

    fn run(self) -> Outcome {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(args) => serve::run(args),
            Command::Import(args) => Runtime::new()?.block_on(import::run(args)),
            Command::Migrate(args) => Runtime::new()?.block_on(migrate::run(args)),
            Command::Runtime(command) => runtime::run(command),
        }
    }
}

/// The command line with the defaults in its help. They are no defaults to clap, which would lay them over
/// the file.
fn command() -> clap::Command {
    let defaults = Config::defaults();
    with_defaults(Cli::command(), &defaults).mut_subcommands(|command| with_defaults(command, &defaults))
}

fn with_defaults(command: clap::Command, defaults: &[(String, String)]) -> clap::Command {
    command.mut_args(|arg| {
        let default = arg.get_long().and_then(|long| defaults.iter().find(|(name, _)| name == long));
        match (default, arg.get_help()) {
            (Some((_, default)), Some(help)) => {
                let help = format!("{help} [default: {default}]");
                arg.help(help)
            }
            _ => arg,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_help_shows_the_defaults() {
        for command_line in
            [&["--help"][..], &["serve", "--help"], &["import", "--help"], &["migrate", "--help"]]
        {
            let words = ["marquee-server"].into_iter().chain(command_line.iter().copied());
            let help = command().try_get_matches_from(words).unwrap_err().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            for default in
                ["[default: 127.0.0.1:50051]", "[default: 600s]", "[default: fp32]", "[default: 1024]"]
            {
                assert!(help.contains(default), "{default} is not in the help of {command_line:?}: {help}");
            }
        }
    }

    #[test]
    fn a_default_of_the_help_does_not_hide_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marquee.toml");
        std::fs::write(&path, "workers = 7\n").unwrap();
        let line = ["marquee-server", "serve", "--config", path.to_str().unwrap()];
        let cli = Cli::from_arg_matches(&command().get_matches_from(line)).unwrap();
        let Some(Command::Serve(serve)) = cli.command else { panic!("serve was asked for") };
        assert_eq!(serve.resolve().unwrap().workers, 7);
    }

    #[test]
    fn a_number_beyond_all_bounds_is_refused_by_every_setting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marquee.toml");
        for (name, default) in Config::defaults() {
            let is_span = default.ends_with(|unit: char| unit.is_ascii_lowercase())
                && default.starts_with(|digit: char| digit.is_ascii_digit());
            if !is_span && default.parse::<u64>().is_err() {
                continue;
            }
            let most = if is_span { format!("{}h", u64::MAX) } else { u64::MAX.to_string() };
            let line = ["marquee-server".to_owned(), format!("--{name}"), most.clone()];
            let accepted = Cli::try_parse_from(line).is_ok_and(|cli| cli.serve.resolve().is_ok());
            assert!(!accepted, "--{name} {most}");
            let value = if is_span { format!("\"{most}\"") } else { most };
            std::fs::write(&path, format!("{name} = {value}\n")).unwrap();
            let line = ["marquee-server", "--config", path.to_str().unwrap()];
            assert!(Cli::parse_from(line).serve.resolve().is_err(), "{name} = {value}");
        }
    }

    #[test]
    fn a_wrong_command_line_shows_no_password() {
        for arguments in [
            &["--store", "scyla://u:SECRET@h/k"][..],
            &["--store=scyla://u:SECRET@h/k"],
            &["serve", "--cache", "scylla://u:SECRET@h/k"],
            &["--workers", "redis://u:SECRET@h"],
            &["--stor=scylla://u:SECRET@h/k"],
            &["scylla://u:SECRET@h/k"],
            &["serve", "scylla://u:SECRET@h/k"],
            &["import", "folder", "redis://u:SECRET@h", "--time-unit", "redis://u:SECRET@h"],
        ] {
            let error =
                command().try_get_matches_from([&["marquee-server"], arguments].concat()).unwrap_err();
            let shown = showable(error).to_string();
            assert!(!shown.contains("SECRET"), "{arguments:?}: {shown}");
        }
    }

    #[test]
    fn serving_is_what_is_done_without_a_command() {
        let cli = Cli::parse_from(["marquee-server", "--workers", "3"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.resolve().unwrap().workers, 3);
        let cli = Cli::parse_from(["marquee-server", "serve", "--workers", "4"]);
        let Some(Command::Serve(serve)) = cli.command else { panic!("serve was asked for") };
        assert_eq!(serve.resolve().unwrap().workers, 4);
    }

    #[test]
    fn a_damaged_store_is_refused_unless_recovery_is_asked_for() {
        assert_eq!(Cli::parse_from(["marquee-server"]).serve.resolve().unwrap().on_damage, OnDamage::Refuse);
        let cli = Cli::parse_from(["marquee-server", "--recover"]);
        assert_eq!(cli.serve.resolve().unwrap().on_damage, OnDamage::GoOn);
    }
}
