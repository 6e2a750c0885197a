//! `marquee-loadgen simulate`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::simulate::{Outcome, People, Simulation};

#[derive(Debug, Args)]
pub(super) struct SimulateArguments {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:50051", value_name = "URL")]
    target: String,
    /// A folder of a MovieLens release, whose users the people are like.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// How many people ask.
    #[arg(long, default_value_t = 1_000)]
    people: u64,
    /// The id of the first one; the others have those after it.
    #[arg(long, default_value_t = 9_000_000, value_name = "ID")]
    first_user: u64,
    /// How many movies each asks for [default: as many as the server answers by itself].
    #[arg(long)]
    k: Option<u32>,
    /// How many ask at the same time.
    #[arg(long, default_value_t = 8)]
    callers: usize,
    /// Of what the people are made.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl SimulateArguments {
    pub(super) async fn run(self) -> Result<bool, CliError> {
        let Self { target, data, people, first_user, k, callers, seed } = self;
        let known = People::read(&data, seed)?;
        let outcomes = Simulation { target, first_user, people, k, callers }.run(&known).await?;
        print!("{}", table(&outcomes));
        Ok(true)
    }
}

/// What came of all, a line for each arm.
fn table(outcomes: &BTreeMap<String, Outcome>) -> String {
    let names = outcomes.keys().map(String::len).max().unwrap_or(0).max("answered by".len());
    let mut text = format!("{:names$}  people  watched something   share  movies\n", "answered by");
    for (name, Outcome { people, watchers, watched }) in outcomes {
        let share = *watchers as f64 / (*people).max(1) as f64;
        let _ = writeln!(text, "{name:names$}  {people:>6}  {watchers:>17}  {share:.4}  {watched:>6}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_arm_has_a_line() {
        let outcome = Outcome { people: 200, watchers: 50, watched: 60 };
        let text = table(&BTreeMap::from([("lists/A".to_owned(), outcome)]));
        assert_eq!(
            text,
            "answered by  people  watched something   share  movies\nlists/A         200                 50  0.2500      60\n"
        );
    }
}
