//! What the end-to-end measurement says: a table of ratios, a table of figures, `RESULTS.md`, JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figures::{Figures, Spread, short};
use crate::machine::Machine;

/// A line of a table: the figure's name, what it is, and what is aimed at. `{encoder}` is what the bare loop and the
/// server encode with.
type Line = (&'static str, &'static str, &'static str);

/// Ratios, each taken within one round.
const RATIOS: [Line; 14] = [
    ("served_over_bare_c64", "served over bare, 64 callers, {encoder}, throughput", "at least 0.95"),
    ("served_over_bare_c16", "served over bare, 16 callers, {encoder}, throughput", "at least 0.93"),
    ("served_over_bare_c1_p50", "served over bare, one caller, {encoder}, median latency", "at most 1.15"),
    (
        "served_over_bare_c1_awake_p50",
        "the same with `--wake-latency-us 0`, for which processors never sleep",
        "at most 1.15",
    ),
    ("served_over_bare_int8_c64", "served over bare, 64 callers, int8, throughput", ""),
    ("bare_over_naive_fp32", "bare {encoder} over naive, throughput", "at least 1.6"),
    ("bare_over_naive_int8", "bare int8 over naive, throughput", "at least 2.4 with VNNI, 1.8 on AVX2"),
    ("bare_over_ort", "bare {encoder} over bare by ONNX Runtime alone in fp32, throughput", ""),
    ("served_over_ort", "served over that, 64 callers, {encoder}, throughput", ""),
    ("served_over_naive_c64", "served over naive, 64 callers, {encoder}, throughput", ""),
    (
        "cached_over_bare_scan",
        "served from remembered vectors over the bare scan, 64 callers",
        "at least 0.5",
    ),
    ("overload_goodput_over_capacity", "goodput at 10 times the capacity over the capacity", ""),
    (
        "overload_goodput_over_rest",
        "goodput at 10 times the capacity over the capacity less the cost of rejections",
        "at least 0.9",
    ),
    (
        "swap_p99_over_calm",
        "p99 at half load while a new model is loaded and activated over p99 without",
        "below 1.5",
    ),
];

/// Figures in their own units.
const ABSOLUTE: [Line; 33] = [
    ("naive_fp32_per_s", "naive, fp32", "answers/s"),
    ("bare_fp32_per_s", "bare, {encoder}", "answers/s"),
    ("ort_per_s", "bare, ONNX Runtime alone, fp32", "answers/s"),
    ("bare_int8_per_s", "bare, int8", "answers/s"),
    ("served_c64_per_s", "served, 64 callers, {encoder}", "answers/s"),
    ("served_c16_per_s", "served, 16 callers, {encoder}", "answers/s"),
    ("served_int8_c64_per_s", "served, 64 callers, int8", "answers/s"),
    ("bare_c1_p50_ms", "bare, a single call, {encoder}, p50", "ms"),
    ("served_c1_p50_ms", "served, one caller, {encoder}, p50", "ms"),
    ("served_c1_p99_ms", "served, one caller, {encoder}, p99", "ms"),
    ("served_c16_p99_ms", "served, 16 callers, {encoder}, p99", "ms"),
    ("served_c64_p99_ms", "served, 64 callers, {encoder}, p99", "ms"),
    ("naive_cpu_us", "processor time of an answer: naive", "us"),
    ("bare_fp32_cpu_us", "processor time of an answer: bare, {encoder}", "us"),
    ("served_c64_server_cpu_us", "processor time of an answer: server, 64 callers", "us"),
    ("served_c64_client_cpu_us", "processor time of an answer: load generator, 64 callers", "us"),
    ("bare_scan_per_s", "bare scan of remembered vectors", "answers/s"),
    ("cached_c64_per_s", "served from remembered vectors, 64 callers", "answers/s"),
    ("cached_server_cpu_us", "processor time of an answer from a remembered vector: server", "us"),
    ("overload_sent_per_s", "overload: calls sent", "calls/s"),
    ("overload_goodput_per_s", "overload: answers within the deadline of 250 ms", "answers/s"),
    ("overload_rest_per_s", "overload: capacity less the cost of rejections", "answers/s"),
    ("overload_slowest_ms", "overload: the slowest answer", "ms"),
    ("overload_rejection_cpu_us", "processor time of a rejection, server and generator", "us"),
    ("overload_memory_growth_mib", "overload: growth of the server's memory", "MiB"),
    ("swap_calm_p99_ms", "half load, p99", "ms"),
    ("swap_p99_ms", "half load while a new model is loaded and activated, p99", "ms"),
    ("swap_took_s", "loading and activating a new model at half load", "s"),
    ("swap_errors", "calls that failed at half load, with and without a new model", "calls"),
    ("cancelled_calls", "calls cancelled within 20 ms", "calls"),
    ("cancelled_queue_empty_after_ms", "until the queue was empty after them", "ms"),
    ("cancelled_next_ms", "the next call's answer", "ms"),
    ("cancelled_memory_growth_mib", "growth of the server's memory by them", "MiB"),
];

/// How the measurement was made.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// The machine.
    pub machine: Machine,
    /// Load averages after the last round.
    pub load_after: String,
    /// The command, the bundle's folder aside.
    pub command: String,
    /// The bundle: name, version, shape.
    pub bundle: String,
    /// Rounds.
    pub rounds: usize,
    /// Threads of the loops, workers of the server.
    pub threads: usize,
    /// What the bare loop and the server encode with, where nothing else is said.
    pub encoder: String,
    /// Requests a pass over the table that were fastest for the bare loop.
    pub groups: String,
    /// What else was going on, in the words of who ran it.
    pub note: Option<String>,
}

/// The tables as Markdown.
pub fn tables(figures: &Figures, encoder: &str) -> String {
    let mut text = String::from("| ratio | median | least to most | aim |\n|---|---|---|---|\n");
    for (name, what, aim) in RATIOS {
        if let Some(Spread { least, median, most }) = figures.spread(name) {
            let _ = writeln!(text, "| {what} | {median:.3} | {least:.3} to {most:.3} | {aim} |");
        }
    }
    text.push_str("\n| figure | median | least to most | unit |\n|---|---|---|---|\n");
    for (name, what, unit) in ABSOLUTE {
        if let Some(spread) = figures.spread(name) {
            let (least, median, most) = (short(spread.least), short(spread.median), short(spread.most));
            let _ = writeln!(text, "| {what} | {median} | {least} to {most} | {unit} |");
        }
    }
    text.replace("{encoder}", encoder)
}

/// `RESULTS.md`.
pub fn results(figures: &Figures, conditions: &Conditions) -> String {
    let Conditions { machine, load_after, command, bundle, rounds, threads, encoder, groups, note } =
        conditions;
    let note = note.as_ref().map_or_else(String::new, |note| format!("- Also: {note}\n"));
    format!(
        "# Naive, bare and served\n\n\
         Written by `{command}`.\n\n\
         {machine}\
         - Model: {bundle}\n\
         - {rounds} rounds, in each every contestant once; {threads} threads of the loops and workers of the server; {groups}\n\
         - Load averages (1, 5, 15 minutes): {before} before the first round, {load_after} after the last. This \
           program's own work makes about {threads}; what is above came from other programs, which then took a \
           part of the cores, and ratios of rounds are noisy.\n\
         {note}\n\
         *Naive*: contrib MultiHeadAttention graph, fp32 product and TopK in ONNX Runtime, one sequence at a time \
         on each thread. *Bare*: the project's graph and exact int8 scan in a loop, no server. *Served*: \
         `marquee-server` in a process of its own, stateless histories over loopback from the load generator, \
         which runs on the same cores; no vectors remembered unless said. All have the same allocator and answer \
         the same requests: exact top 10, histories n = 19 + LogNormal(3.93, 1.42) cut at the model's longest, \
         the history's own items excluded (naive excludes nothing). A ratio is taken within a round; medians are \
         over rounds. Processor time is what the threads really got, so it suffers less from other programs than \
         throughput does.\n\n\
         {tables}",
        machine = machine.lines(),
        before = machine.load_before,
        tables = tables(figures, encoder),
    )
}

/// The ratios' medians by name, then everything else.
pub fn json(figures: &Figures, conditions: &Conditions) -> Value {
    let ratios =
        RATIOS.iter().filter_map(|(name, _, _)| Some(((*name).to_owned(), json!(figures.median(name)?))));
    let mut object: serde_json::Map<String, Value> = ratios.collect();
    object.insert("figures".to_owned(), figures.to_json());
    object.insert("machine".to_owned(), json!(conditions.machine));
    object.insert("load_after".to_owned(), json!(conditions.load_after));
    object.insert("rounds".to_owned(), json!(conditions.rounds));
    object.insert("threads".to_owned(), json!(conditions.threads));
    object.insert("bundle".to_owned(), json!(conditions.bundle));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_is_in_the_tables() {
        let mut figures = Figures::default();
        figures.add("bare_over_naive_fp32", 1.75);
        let text = tables(&figures, "fp32");
        assert!(text.contains("| bare fp32 over naive, throughput | 1.750 |"), "{text}");
        assert!(!text.contains("64 callers"), "{text}");
    }
}
