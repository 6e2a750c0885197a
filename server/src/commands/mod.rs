//! The command line of `marquee-server`: what it takes, and a file for each command with its arguments and what it
//! does.

mod access;
mod backup;
mod compact;
mod doctor;
mod export;
mod health;
mod import;
mod judge;
mod migrate;
mod restore;
mod runtime;
mod serve;
mod signals;
mod similar;
mod tls;
mod welcome;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use marquee_core::text::printable;
use marquee_store::OnDamage;
use tokio::runtime::Runtime;

use self::access::AccessCommand;
use self::backup::BackupArgs;
use self::compact::CompactArgs;
use self::doctor::DoctorArgs;
use self::export::ExportArgs;
use self::health::HealthArgs;
use self::import::ImportArgs;
use self::judge::JudgeArgs;
use self::migrate::MigrateArgs;
use self::restore::RestoreArgs;
use self::runtime::RuntimeCommand;
use self::serve::ServeArgs;
use self::similar::SimilarArgs;
use self::tls::TlsCommand;
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
struct Cli {
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
    /// Bring data into the store: a MovieLens release, or anything tabular by a map of its columns
    Import(ImportArgs),
    /// Say what an objective costs and gains: of each user the newest event is held back and asked for
    Judge(JudgeArgs),
    /// Bring the schema of a ScyllaDB keyspace to this program's version, and print the statements
    Migrate(MigrateArgs),
    /// Write the files of the embedded store anew, while no server runs: short, and with nothing of what was deleted
    Compact(CompactArgs),
    /// Write a backup of the store into a folder, or check one: of a CQL store while servers run, of an embedded one
    /// while none does, since that one makes its backups itself
    Backup(BackupArgs),
    /// Write interactions and movies into a folder as files for other programs, such as the trainer
    Export(ExportArgs),
    /// Restore a backup into a store of either kind that holds nothing, while no server runs
    Restore(RestoreArgs),
    /// Sum up which movies the same users watch, for SimilarMovies: a server does it by itself beside its work
    Similar(SimilarArgs),
    /// Certificates
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Whether the server with these settings serves, by its port of metrics: exit code 0 if it does
    Health(HealthArgs),
    /// Look at all that a server with these settings needs, say what is amiss and what to do: exit code 0 if it can serve
    Doctor(DoctorArgs),
    /// API keys, while no server has the store open
    #[command(subcommand)]
    Access(AccessCommand),
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
        Config::resolve(self.config.as_deref(), &self.settings)
    }
}

impl Cli {
    /// What this process was told to do. As [`Cli::parse`]; a wrong command line ends the process and says why,
    /// passwords taken out.
    fn of_process() -> Self {
        Self::try_parse().unwrap_or_else(|error| showable(error).exit())
    }

    fn run(self) -> Outcome {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(args) => serve::run(args),
            Command::Import(args) => Runtime::new()?.block_on(import::run(args)),
            Command::Judge(args) => Runtime::new()?.block_on(judge::run(args)),
            Command::Migrate(args) => Runtime::new()?.block_on(migrate::run(args)),
            Command::Compact(args) => compact::run(args),
            Command::Backup(args) => Runtime::new()?.block_on(backup::run(args)),
            Command::Restore(args) => Runtime::new()?.block_on(restore::run(args)),
            Command::Similar(args) => Runtime::new()?.block_on(similar::run(args)),
            Command::Doctor(args) => Runtime::new()?.block_on(doctor::run(args)),
            Command::Export(args) => Runtime::new()?.block_on(export::run(args)),
            Command::Health(args) => Runtime::new()?.block_on(health::run(args)),
            Command::Tls(command) => tls::run(command),
            Command::Access(command) => Runtime::new()?.block_on(access::run(command)),
            Command::Runtime(command) => runtime::run(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_shows_the_defaults() {
        for command_line in
            [&["--help"][..], &["serve", "--help"], &["import", "--help"], &["migrate", "--help"]]
        {
            let words = ["marquee-server"].into_iter().chain(command_line.iter().copied());
            let help = Cli::command().try_get_matches_from(words).unwrap_err().to_string();
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
        std::fs::write(&path, "[engine]\nworkers = 7\n").unwrap();
        let line = ["marquee-server", "serve", "--config", path.to_str().unwrap()];
        let cli = Cli::parse_from(line);
        let Some(Command::Serve(serve)) = cli.command else { panic!("serve was asked for") };
        assert_eq!(serve.resolve().unwrap().engine.workers, 7);
    }

    #[test]
    fn a_wrong_command_line_shows_no_password() {
        for arguments in [
            &["--stor=scylla://u:SECRET@h/k"][..],
            &["scylla://u:SECRET@h/k"],
            &["serve", "scylla://u:SECRET@h/k"],
            &["import", "folder", "redis://u:SECRET@h", "--time-unit", "redis://u:SECRET@h"],
        ] {
            let Err(error) = Cli::try_parse_from([&["marquee-server"], arguments].concat()) else {
                panic!("{arguments:?} is no command line");
            };
            let shown = showable(error).to_string();
            assert!(!shown.contains("SECRET"), "{arguments:?}: {shown}");
        }
    }

    #[test]
    fn serving_is_what_is_done_without_a_command() {
        let cli = Cli::parse_from(["marquee-server", "--workers", "3"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.resolve().unwrap().engine.workers, 3);
        let cli = Cli::parse_from(["marquee-server", "serve", "--workers", "4"]);
        let Some(Command::Serve(serve)) = cli.command else { panic!("serve was asked for") };
        assert_eq!(serve.resolve().unwrap().engine.workers, 4);
    }

    #[test]
    fn a_damaged_store_is_refused_unless_recovery_is_asked_for() {
        assert_eq!(Cli::parse_from(["marquee-server"]).serve.resolve().unwrap().on_damage, OnDamage::Refuse);
        let cli = Cli::parse_from(["marquee-server", "--recover"]);
        assert_eq!(cli.serve.resolve().unwrap().on_damage, OnDamage::GoOn);
    }
}
