//! The `marquee` command line; everything is in [`marquee_client::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    marquee_client::cli::main()
}
