//! Experiments by files, and their results as a picture.
//!
//! Three commands of the group `experiment` are written by hand beside the generated ones, since they make more than one
//! call or draw what they get: `apply` brings the server's definitions to what a file says, `plan` says how many users
//! and days they would take, and `results` begins with the decision.

mod apply;
mod chart;
mod diff;
mod file;
mod results;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use marquee_proto::dynamic::Api;

use super::call::connect;
use super::exit::Failure;
use super::output::Format;
use super::{input, layout, output};
use file::Definitions;

/// The group that the commands are in.
pub(super) const GROUP: &str = "experiment";

/// The commands.
pub(super) fn commands() -> [Command; 3] {
    let apply = Command::new("apply")
        .about("Creates or updates experiments until they are what a file says, and shows what that changes before it does it")
        .after_help(file::HELP)
        .arg(file_arg())
        .arg(switch("dry-run", "Only show what would change"))
        .arg(switch("start", "Start those that do not run"));
    let plan = Command::new("plan")
        .about("Says how many users and days the experiments of a file would take, from the past of the server's users")
        .after_help(file::HELP)
        .arg(file_arg())
        .arg(
            number("effect")
                .required(true)
                .help("The smallest effect that is worth finding, as a share: 0.05 for 5%"),
        )
        .arg(number("power").help("The chance of finding it, if it is that great [default: 0.8]"))
        .arg(
            Arg::new("history-days")
                .long("history-days")
                .value_name("DAYS")
                .value_parser(value_parser!(u32))
                .help("How many days of the past are looked at [default: 28]"),
        );
    let results = Command::new("results")
        .about("Shows what follows from an experiment, and from what: effects and intervals, drawn")
        .arg(Arg::new("name").required(true).value_name("NAME").help("The experiment"))
        .arg(switch("watch", "Go on whenever there are others, until it is stopped"))
        .arg(
            Arg::new("every")
                .long("every")
                .value_name("SECONDS")
                .value_parser(value_parser!(u32).range(1..=3600))
                .requires("watch")
                .help("How often it is looked whether there are [default: 10]"),
        );
    [apply, plan, results]
}

fn file_arg() -> Arg {
    Arg::new("file").required(true).value_name("FILE").help("Experiments in TOML or JSON; - is JSON from standard input")
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn number(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("SHARE").value_parser(value_parser!(f64))
}

/// Runs the command of this name; `None` if it is none of these.
pub(super) async fn run(name: &str, matches: &ArgMatches, api: &'static Api) -> Option<Result<(), Failure>> {
    Some(match name {
        "apply" => apply(matches, api).await,
        "plan" => plan(matches, api).await,
        "results" => results(matches, api).await,
        _ => return None,
    })
}

async fn apply(matches: &ArgMatches, api: &'static Api) -> Result<(), Failure> {
    let definitions = Definitions::read(text(matches, "file"), api)?;
    let format = Format::choose(input::one(matches, "output"), false);
    let client = connect(matches).await?;
    let changes = apply::changes(&client, definitions, api, matches.get_flag("start")).await?;
    for change in &changes {
        output::write_line(&change.shown(format))?;
    }
    if matches.get_flag("dry-run") {
        return Ok(());
    }
    for change in changes {
        if let Some(done) = change.make(&client).await?.filter(|_| format == Format::Table) {
            output::write_line(&done)?;
        }
    }
    Ok(())
}

async fn plan(matches: &ArgMatches, api: &'static Api) -> Result<(), Failure> {
    let mut definitions = Definitions::read(text(matches, "file"), api)?;
    let format = Format::choose(input::one(matches, "output"), false);
    let requests = definitions.plans(
        matches.get_one("effect").copied(),
        matches.get_one("power").copied(),
        matches.get_one("history-days").copied(),
    )?;
    let client = connect(matches).await?;
    for (index, request) in requests.into_iter().enumerate() {
        let reply = client.plan_experiment(request).await?;
        if index > 0 {
            output::part(format)?;
        }
        output::write_leading("sentence", &file::dynamic("PlanExperimentResponse", &reply, api), format)?;
    }
    Ok(())
}

async fn results(matches: &ArgMatches, api: &'static Api) -> Result<(), Failure> {
    let name = text(matches, "name").to_owned();
    let client = connect(matches).await?;
    if matches.get_flag("watch") {
        let format = Format::choose(input::one(matches, "output"), false);
        return results::watch(&client, name, matches.get_one("every").copied(), format, api).await;
    }
    let format = Format::choose(input::one(matches, "output"), false);
    let reply = client.get_results(marquee_proto::v1::GetResultsRequest { name }).await?;
    if format == Format::Table {
        return output::write_line(&results::shown(&reply, layout::line_width()));
    }
    output::write(&file::dynamic("GetResultsResponse", &reply, api), None, format)
}

fn text<'m>(matches: &'m ArgMatches, name: &str) -> &'m str {
    input::one(matches, name).unwrap_or_default()
}
