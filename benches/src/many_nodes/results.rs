//! The figures beside their aims, as Markdown and JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::aims::{AIMS, Aim, BESIDE, Needs};
use crate::figures::{Figures, Spread, short};
use crate::machine::Machine;

/// How the measurement was made.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// The machine.
    pub machine: Machine,
    /// Load averages after the last figure.
    pub load_after: String,
    /// The command, folders aside.
    pub command: String,
    /// The bundle: name, version, shape.
    pub bundle: String,
    /// The real servers and their versions.
    pub servers: String,
    /// Rows of the import.
    pub import_rows: u64,
    /// What else was going on, in the words of who ran it.
    pub note: Option<String>,
}

/// The tables as Markdown.
pub fn tables(figures: &Figures) -> String {
    let mut text =
        String::from("| figure | median | least to most | aim | reached |\n|---|---|---|---|---|\n");
    for aim in AIMS {
        let line = figures.spread(aim.name).map_or_else(|| missing(&aim), |spread| reached(&aim, spread));
        text.push_str(&line);
    }
    text.push_str("\n| beside | median | least to most | unit |\n|---|---|---|---|\n");
    for (name, what, unit) in BESIDE {
        if let Some(Spread { least, median, most }) = figures.spread(name) {
            let (least, median, most) = (short(least), short(median), short(most));
            let _ = writeln!(text, "| {what} | {median} | {least} to {most} | {unit} |");
        }
    }
    text
}

fn reached(aim: &Aim, Spread { least, median, most }: Spread) -> String {
    let Aim { what, unit, bound, .. } = aim;
    let reached = if bound.holds(median) { "yes" } else { "**no**" };
    let (least, median, most) = (short(least), short(median), short(most));
    format!("| {what} | {median} {unit} | {least} to {most} | {bound} {unit} | {reached} |\n")
}

fn missing(Aim { what, unit, bound, needs, .. }: &Aim) -> String {
    format!("| {what} | not measured: {} | | {bound} {unit} | |\n", why_not(*needs))
}

/// What was not there.
fn why_not(needs: Needs) -> &'static str {
    match needs {
        Needs::Nothing => "it was left out",
        Needs::Cql => "MARQUEE_TEST_CQL is not set",
        Needs::Redis => "MARQUEE_TEST_REDIS is not set",
        Needs::Both => "MARQUEE_TEST_CQL or MARQUEE_TEST_REDIS is not set",
    }
}

/// `RESULTS-many-nodes.md`.
pub fn results(figures: &Figures, conditions: &Conditions) -> String {
    let Conditions { machine, load_after, command, bundle, servers, import_rows, note } = conditions;
    let note = note.as_ref().map_or_else(String::new, |note| format!("- Also: {note}\n"));
    format!(
        "# One node and many\n\n\
         Written by `{command}`.\n\n\
         {machine}\
         - Real servers: {servers}\n\
         - Model: {bundle}\n\
         - Load averages (1, 5, 15 minutes): {before} before, {load_after} after\n\
         {note}\n\
         Everything ran on this one machine: the servers, Redis, the CQL server, and whoever called them. *Bare \
         driver*: the same prepared statements by the `scylla` driver in a loop, in turn with the store in the \
         same run. Writes to redb: 2,048 callers, each waiting for its acknowledgement, random users of 10,000 \
         who have 70 events at first; all that was acknowledged is counted again after the store was opened \
         anew. The import has {import_rows} rows of users with 160 each. Recommend: exact top 10, histories \
         n = 19 + LogNormal(3.93, 1.42) cut at 200. What is seen on another node: the best movie of a user on \
         node B is liked on node A; measured from the acknowledgement until the first Recommend is sent to B \
         whose answer leaves that movie out.\n\n\
         {tables}",
        machine = machine.lines(),
        before = machine.load_before,
        tables = tables(figures),
    )
}

/// The medians by name, then everything else.
pub fn json(figures: &Figures, conditions: &Conditions) -> Value {
    let aims = AIMS.iter().filter_map(|aim| Some((aim.name.to_owned(), json!(figures.median(aim.name)?))));
    let mut object: serde_json::Map<String, Value> = aims.collect();
    let not_measured: Vec<&str> =
        AIMS.iter().map(|aim| aim.name).filter(|name| figures.median(name).is_none()).collect();
    let missed: Vec<&str> = AIMS
        .iter()
        .filter(|aim| figures.median(aim.name).is_some_and(|value| !aim.bound.holds(value)))
        .map(|aim| aim.name)
        .collect();
    object.insert("missed".to_owned(), json!(missed));
    object.insert("not_measured".to_owned(), json!(not_measured));
    object.insert("figures".to_owned(), figures.to_json());
    object.insert("machine".to_owned(), json!(conditions.machine));
    object.insert("load_after".to_owned(), json!(conditions.load_after));
    object.insert("servers".to_owned(), json!(conditions.servers));
    object.insert("bundle".to_owned(), json!(conditions.bundle));
    object.insert("import_rows".to_owned(), json!(conditions.import_rows));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_and_one_that_was_not_measured_are_said() {
        let mut figures = Figures::default();
        figures.add("redb_profile_p50_us", 3.0);
        figures.add("redb_writes_per_s", 39_999.0);
        let text = tables(&figures);
        assert!(text.contains("p50 | 3.00 us | 3.00 to 3.00 | at most 15 us | yes |"), "{text}");
        assert!(text.contains("| 39999 1/s | 39999 to 39999 | at least 40000 1/s | **no** |"), "{text}");
        assert!(text.contains("not measured: MARQUEE_TEST_REDIS is not set"), "{text}");
    }
}
