//! The binary: reads the command line, runs it, and ends with a status.

use std::process::ExitCode;

use clap::Parser as _;
use marquee_loadgen::cli::Cli;

/// The exit status of a strict run that is not valid, or of an objective that no rate keeps.
const NOT_REACHED: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NOT_REACHED),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
