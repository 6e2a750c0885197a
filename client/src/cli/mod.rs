//! The `marquee` command line, generated from the API's descriptors when it starts.
//!
//! Nothing here knows a single RPC: commands, flags, help, ranges, tables and JSON all come from the
//! descriptor set, so a field or a method that is added to a proto is there without a line of code.
//! The exceptions are the names of the short forms, the bar of a job that is followed, the upload of a folder, the training
//! anew, and the commands of `experiment` that make more than one call.

mod by_hand;
mod call;
mod columns;
mod command_tree;
mod example;
mod exit;
mod experiment;
mod flags;
mod input;
mod job;
mod layout;
mod lines;
mod output;
mod progress;
mod retrain;
mod rpc;
mod shortcuts;
mod table;
#[cfg(test)]
mod tests;
mod upload;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{ArgMatches, Command};
use clap_complete::Shell;
use marquee_proto::dynamic::Api;

use command_tree::CommandTree;
use exit::Failure;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    static API: OnceLock<Api> = OnceLock::new();
    let api = API.get_or_init(served);
    let tree = CommandTree::new(api);
    let typed: Vec<_> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let matches = match tree.command_for(&typed).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let (outcome, flags) = match (matches.subcommand(), tree.find(&matches)) {
        (Some(("completions", matches)), _) => (write_completions(tree.command(), matches), &[][..]),
        (Some(("man", matches)), _) => (write_man(tree.command(), matches), &[][..]),
        (Some((by_hand::GROUP, matches)), None) => (of_experiments(matches, api), &[][..]),
        (Some(("retrain", matches)), _) => (block_on(retrain::run(matches)), &[][..]),
        (_, Some((entry, matches))) => (block_on(call::run(entry, matches, api)), entry.flags.as_slice()),
        (_, None) => (Err(Failure::Usage("no such command; see `marquee --help`".to_owned())), &[][..]),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.message(flags));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Runs a command of experiments that is no call.
fn of_experiments(matches: &ArgMatches, api: &'static Api) -> Result<(), Failure> {
    let unknown = || Failure::Usage("no such command; see `marquee experiment --help`".to_owned());
    let (name, matches) = matches.subcommand().ok_or_else(unknown)?;
    block_on(async { experiment::run(name, matches, api).await.unwrap_or_else(|| Err(unknown())) })
}

/// What a server serves that people call: `marquee.v1` and the standard health service.
fn served() -> Api {
    Api::new(&[marquee_proto::DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET])
        .expect("the builds of both crates wrote them, and a test decodes them")
}

fn block_on(call: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Io("starting", error))?;
    runtime.block_on(call)
}

fn write_completions(mut command: Command, matches: &ArgMatches) -> Result<(), Failure> {
    let shell = *matches.get_one::<Shell>("shell").expect("clap requires it");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "marquee", &mut script);
    std::io::stdout().write_all(&script).map_err(|error| Failure::Io("writing the completions", error))
}

fn write_man(command: Command, matches: &ArgMatches) -> Result<(), Failure> {
    let written = match matches.get_one::<PathBuf>("dir") {
        Some(folder) => {
            std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder))
        }
        None => clap_mangen::Man::new(command).render(&mut std::io::stdout()),
    };
    written.map_err(|error| Failure::Io("writing the manual", error))
}
