//! The rows of all parts as a table, as Markdown and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Part, Row};
use crate::machine::Machine;

/// What a part found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The part.
    pub part: Part,
    /// Its rows.
    pub rows: Vec<Row>,
    /// How long it took.
    pub took: Duration,
}

/// How the measurement was made.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// The machine.
    pub machine: Machine,
    /// Load averages after the last part.
    pub load_after: String,
    /// The command, folders aside.
    pub command: String,
    /// The seed of all that is random.
    pub seed: u64,
    /// What else was going on, in the words of who ran it.
    pub note: Option<String>,
}

/// Whether every row is as expected.
pub fn all_ok(found: &[Found]) -> bool {
    found.iter().flat_map(|found| &found.rows).all(|row| row.ok)
}

/// The table as Markdown.
pub fn table(found: &[Found]) -> String {
    let mut text = String::from("| part | fault | expected | seen | ok |\n|---|---|---|---|---|\n");
    for Found { part, rows, .. } in found {
        for Row { fault, expected, seen, ok, .. } in rows {
            let ok = if *ok { "yes" } else { "**no**" };
            let (expected, seen) = (cell(&expected.join("; ")), cell(&seen.join("; ")));
            let _ = writeln!(text, "| {} | {} | {expected} | {seen} | {ok} |", part.name(), cell(fault));
        }
    }
    text
}

/// Text that stays in its cell: a server's words may hold anything.
fn cell(text: &str) -> String {
    let shown = |letter: char| match letter {
        '|' => "\\|".to_owned(),
        letter if letter.is_control() => " ".to_owned(),
        letter => letter.to_string(),
    };
    text.chars().map(shown).collect()
}

/// `RESULTS-faults.md`.
pub fn results(found: &[Found], conditions: &Conditions) -> String {
    let Conditions { machine, load_after, command, seed, note } = conditions;
    let note = note.as_ref().map_or_else(String::new, |note| format!("- Also: {note}\n"));
    let took: Vec<String> = found
        .iter()
        .map(|found| format!("{} {:.0} s", found.part.name(), found.took.as_secs_f64()))
        .collect();
    format!(
        "# Faults\n\n\
         Written by `{command}`.\n\n\
         {machine}\
         - Seed: {seed}\n\
         - Time of the parts: {took}\n\
         - Load averages (1, 5, 15 minutes): {before} before, {load_after} after\n\
         {note}\n\
         Servers in processes of their own, the harness on the same cores. What was done stands first in a line; \
         what is expected and what was seen are in the same order.\n\n\
         {table}",
        machine = machine.lines(),
        took = took.join(", "),
        before = machine.load_before,
        table = table(found),
    )
}

/// The names of the red rows, then everything.
pub fn json(found: &[Found], conditions: &Conditions) -> Value {
    let red: Vec<&str> =
        found.iter().flat_map(|found| &found.rows).filter(|row| !row.ok).map(|row| &*row.fault).collect();
    let parts: serde_json::Map<String, Value> = found
        .iter()
        .map(|Found { part, rows, took }| {
            (part.name().to_owned(), json!({ "seconds": took.as_secs_f64(), "rows": rows }))
        })
        .collect();
    json!({
        "ok": all_ok(found),
        "red": red,
        "parts": parts,
        "seed": conditions.seed,
        "machine": conditions.machine,
        "load_after": conditions.load_after,
        "note": conditions.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Timings;

    fn found(ok: bool) -> Vec<Found> {
        let row = Row::new("kill -9", Timings::Count).sees("it starts", "a | b\nc", ok);
        vec![Found { part: Part::Kills, rows: vec![row], took: Duration::from_secs(1) }]
    }

    #[test]
    fn a_red_row_is_said() {
        assert!(table(&found(false)).contains("| kills | kill -9 | it starts | a \\| b c | **no** |"));
        assert!(!all_ok(&found(false)) && all_ok(&found(true)) && all_ok(&[]));
    }
}
