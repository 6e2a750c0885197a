//! `judge`: what an objective costs and gains on the store's own newest events.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use clap::Args;
use marquee_ranking::Objective;
use serde_json::json;

use super::{DamageArgs, Layers, Outcome};
use crate::app;
use crate::edge::Presets;
use crate::judge::{Difference, Figure, Judge, Report, Row};
use crate::telemetry::Telemetry;

/// The options of `judge`.
#[derive(Args)]
pub(super) struct JudgeArgs {
    /// What lists are chosen for, as in a preset: diversity=0.5,calibration=0.3
    #[arg(value_name = "KNOB=VALUE,...", value_parser = objective)]
    objective: Objective,
    /// Users whose newest event is held back; those that are not there are passed over
    #[arg(long, value_name = "FIRST-LAST", default_value = "1-1000")]
    users: Users,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    damage: DamageArgs,
}

/// Users that one run looks for.
const MAX_USERS: u64 = 1_000_000;

/// A range of user ids.
#[derive(Clone, Copy)]
struct Users {
    first: u64,
    last: u64,
}

impl FromStr for Users {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text
            .split_once('-')
            .and_then(|(first, last)| Some(Self { first: first.parse().ok()?, last: last.parse().ok()? }));
        let is_one =
            |users: &Self| (1..=users.last).contains(&users.first) && users.last - users.first < MAX_USERS;
        range.filter(is_one).ok_or_else(|| format!("is not FIRST-LAST with at most {MAX_USERS} users"))
    }
}

/// The objective of a text that says more than nothing.
fn objective(text: &str) -> Result<Objective, String> {
    let objective = Presets::knobs(text).and_then(|knobs| knobs.objective());
    objective.ok_or_else(|| "names no knob that changes a list, or not its value".to_owned())
}

/// Judges and prints the figures.
pub(super) async fn run(args: JudgeArgs) -> Outcome {
    let JudgeArgs { objective, users, json, layers, damage } = args;
    let mut config = damage.decide(layers.resolve()?);
    // Nobody shall be served, and no other server be in the way.
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.telemetry.metrics_listen = None;
    let telemetry = Telemetry::start(config.telemetry.log_format, config.telemetry.log_level)?;
    let mut running = app::start(config, &telemetry).await?;
    running.ready().await?;
    let judge =
        Judge { recommender: running.recommender(), store: running.store(), catalog: running.catalog() };
    let report = judge.judge(users.first..=users.last, &objective).await?;
    if json {
        println!("{}", as_json(&report));
    } else {
        print!("{}", table(&report));
    }
    Ok(running.stop().await?)
}

fn table(report: &Report) -> String {
    let head = format!(
        "{} users\n{:<22} {:>20} {:>20} {:>9}  95%\n",
        report.users, "", "the model's own", "chosen", "change"
    );
    report.rows.iter().map(line).fold(head, |table, line| table + &line)
}

fn line(row: &Row) -> String {
    let value = |figure: &Figure| format!("{:.4} +- {:.4}", figure.value, figure.error());
    let Difference { value: change, low, high } = row.difference;
    format!(
        "{:<22} {:>20} {:>20} {change:>+9.4}  {low:+.4} to {high:+.4}\n",
        row.name,
        value(&row.plain),
        value(&row.chosen),
    )
}

fn as_json(report: &Report) -> serde_json::Value {
    let figure = |figure: &Figure| json!({"value": figure.value, "standard_error": figure.error(), "users": figure.users()});
    let rows = report.rows.iter().map(|Row { name, plain, chosen, difference }| {
        let interval = [difference.low, difference.high];
        let row = json!({
            "plain": figure(plain),
            "chosen": figure(chosen),
            "difference": {"value": difference.value, "interval_95": interval},
        });
        ((*name).to_owned(), row)
    });
    json!({"users": report.users, "figures": rows.collect::<serde_json::Map<_, _>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_users_has_its_first_before_its_last() {
        let users: Users = "3-9".parse().unwrap();
        assert_eq!((users.first, users.last), (3, 9));
        for wrong in ["", "3", "9-3", "0-4", "a-b", "1-1000001"] {
            assert!(wrong.parse::<Users>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_objective_has_to_change_lists() {
        assert_eq!(objective("diversity=0.5").map(|said| said.diversity), Ok(0.5));
        for wrong in ["", "diversity=0", "diversity=7", "freshness_half_life=3"] {
            assert!(objective(wrong).is_err(), "{wrong:?}");
        }
    }
}
