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

use clap::ArgMatches;
use marquee_proto::dynamic::Api;

use super::call::connect;
use super::exit::Failure;
use super::output::Format;
use super::{input, layout, output};
use file::Definitions;

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
    let definitions = Definitions::read(text(matches, "file"), api)?;
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
