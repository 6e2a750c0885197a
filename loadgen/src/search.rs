//! The highest rate that keeps an objective: what counts as kept, what counts as stable, and where to look
//! next. All of it without a clock or a socket; the command line feeds it measurements.

use std::fmt;
use std::str::FromStr;

use marquee_core::duration;
use serde::{Deserialize, Serialize};

use crate::report::{Quantiles, Report};
use crate::schedule::MAX_LEVEL;

/// Windows that must agree before a figure counts.
pub const WINDOWS: usize = 3;

/// What is wrong with a search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The text is no objective.
    #[error(
        "'{0}' is no objective; write conditions such as p99<20ms,errors<0.1% (p50, p90, p95, p99, p99.9, mean, max, errors)"
    )]
    Objective(String),
    /// The bounds are no range.
    #[error("the search needs 0 < --min < --max, and {MAX_LEVEL} at most, got {min} and {max}")]
    Bounds {
        /// The lowest rate.
        min: f64,
        /// The highest rate.
        max: f64,
    },
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
    Errors,
}

impl Measure {
    const ALL: [(&'static str, Self); 8] = [
        ("mean", Self::Mean),
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p95", Self::P95),
        ("p99.9", Self::P999),
        ("p99", Self::P99),
        ("max", Self::Max),
        ("errors", Self::Errors),
    ];
}

/// A condition: the measure stays below the limit, in milliseconds or as a share.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Condition {
    measure: Measure,
    below: f64,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    conditions: Vec<Condition>,
    text: String,
}

impl FromStr for Objective {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let wrong = || SearchError::Objective(text.to_owned());
        let condition = |part: &str| {
            let (name, limit) = part.split_once('<')?;
            let (_, measure) = Measure::ALL.into_iter().find(|(known, _)| *known == name.trim())?;
            let limit = limit.trim();
            let below = match measure {
                Measure::Errors => limit.strip_suffix('%')?.trim().parse::<f64>().ok()? / 100.0,
                _ => duration::parse(limit).ok()?.as_secs_f64() * 1e3,
            };
            Some(Condition { measure, below })
        };
        let conditions = text.split(',').map(condition).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        Ok(Self { conditions, text: text.to_owned() })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Objective {
    /// The conditions that do not hold, in words.
    pub fn broken(&self, latency: &Quantiles, error_rate: f64) -> Vec<String> {
        let value = |measure| match measure {
            Measure::Mean => latency.mean,
            Measure::P50 => latency.p50,
            Measure::P90 => latency.p90,
            Measure::P95 => latency.p95,
            Measure::P99 => latency.p99,
            Measure::P999 => latency.p999,
            Measure::Max => latency.max,
            Measure::Errors => error_rate,
        };
        self.conditions
            .iter()
            .filter(|condition| value(condition.measure) >= condition.below)
            .map(|condition| {
                let name = Measure::ALL.iter().find(|(_, known)| *known == condition.measure);
                let name = name.map_or("", |(name, _)| name);
                let (value, limit) = (value(condition.measure), condition.below);
                if condition.measure == Measure::Errors {
                    format!("errors {:.3}%, must be below {:.3}%", value * 100.0, limit * 100.0)
                } else {
                    format!("{name} {value:.2} ms, must be below {limit:.2} ms")
                }
            })
            .collect()
    }

    /// The shortest latency limit, in milliseconds: what goodput means here.
    pub(crate) fn latency_limit_ms(&self) -> Option<f64> {
        let times = self.conditions.iter().filter(|condition| condition.measure != Measure::Errors);
        times.map(|condition| condition.below).reduce(f64::min)
    }
}

/// One window of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowFigures {
    /// Answers a second.
    pub throughput: f64,
    /// How far the throughput of such a window strays by itself: arrivals that are random come in random
    /// numbers. Answers a second.
    pub noise: f64,
    /// The share of failed calls.
    pub error_rate: f64,
    /// Of the calls that ended in it.
    pub latency_ms: Quantiles,
}

/// Differences between medians that are below this say nothing: timers and schedulers are no better.
const LATENCY_NOISE_MS: f64 = 0.25;

/// Whether all windows lie within `tolerance` of their mean, in throughput and in median latency. Differences
/// that chance makes anyway are no objection.
///
/// Fewer than [`WINDOWS`] windows are never stable.
pub(crate) fn is_stable(windows: &[WindowFigures], tolerance: f64) -> bool {
    let level = |figure: fn(&WindowFigures) -> f64, noise: fn(&WindowFigures) -> f64| {
        let mean = windows.iter().map(figure).sum::<f64>() / windows.len() as f64;
        windows.iter().all(|window| (figure(window) - mean).abs() <= (tolerance * mean).max(noise(window)))
    };
    windows.len() >= WINDOWS
        && level(|window| window.throughput, |window| window.noise)
        && level(|window| window.latency_ms.p50, |_| LATENCY_NOISE_MS)
}

/// What a probe says of its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The objective was kept, and the windows agree.
    Kept,
    /// The objective was broken, and not by one window alone.
    Broken,
    /// Neither is certain: the windows disagree, or a single one of them broke the objective.
    Unsteady,
}

impl Standing {
    /// In a word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Unsteady => "unsteady",
        }
    }
}

/// What a probe at one rate found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// The rate that was offered, requests a second.
    pub rate: f64,
    /// What it says. The generator's own lateness is part of the latency, so an objective that is kept in
    /// spite of it is kept all the more.
    pub standing: Standing,
    /// What speaks against it.
    pub because: Vec<String>,
    /// Whether the generator kept out of the way; if not, a broken objective may be its own fault.
    pub valid: bool,
    /// Answers a second.
    pub throughput: f64,
    /// Calls a second that were answered within the objective's time.
    pub goodput: f64,
    /// The share of failed calls.
    pub error_rate: f64,
    /// From the intended start.
    pub latency_ms: Quantiles,
}

impl Probe {
    /// Judges the result of a run at `rate`, cut into [`WINDOWS`] windows.
    pub(crate) fn judge(rate: f64, report: &Report, objective: &Objective, tolerance: f64) -> Self {
        let windows: Vec<WindowFigures> = thirds(report);
        let mut because = objective.broken(&report.latency_ms, report.error_rate);
        let breaking = windows
            .iter()
            .filter(|window| !objective.broken(&window.latency_ms, window.error_rate).is_empty())
            .count();
        let stable = is_stable(&windows, tolerance);
        let standing = match (because.is_empty(), stable) {
            (true, true) => Standing::Kept,
            (false, _) if breaking != 1 => Standing::Broken,
            _ => Standing::Unsteady,
        };
        if standing == Standing::Unsteady {
            because.push(format!("the three windows disagree: {}", in_words(&windows)));
        }
        if standing != Standing::Kept {
            because.extend(report.invalid_because.iter().cloned());
        }
        Self {
            rate,
            standing,
            because,
            valid: report.valid,
            throughput: report.throughput,
            goodput: report.goodput.map_or(report.throughput, |goodput| goodput.per_second),
            error_rate: report.error_rate,
            latency_ms: report.latency_ms,
        }
    }

    /// Whether the rate counts as one that the server bears.
    pub fn kept(&self) -> bool {
        self.standing == Standing::Kept
    }
}

fn in_words(windows: &[WindowFigures]) -> String {
    let one = |window: &WindowFigures| {
        let Quantiles { p50, p99, .. } = window.latency_ms;
        format!("{:.0}/s at p50 {p50:.2} ms, p99 {p99:.2} ms", window.throughput)
    };
    windows.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The measured time in three parts.
fn thirds(report: &Report) -> Vec<WindowFigures> {
    use crate::measure::histogram::{Encoded, add, coarse};
    let tally = &report.tally;
    let per = tally.windows.len().div_ceil(WINDOWS).max(1);
    tally
        .windows
        .chunks(per)
        .enumerate()
        .map(|(part, windows)| {
            let mut latency = coarse();
            for window in windows {
                add(&mut latency, &window.latency.0);
            }
            let answers: u64 = windows.iter().map(|window| window.answers).sum();
            let errors: u64 = windows.iter().map(|window| window.errors).sum();
            let ended = (latency.len() + errors).max(1);
            let seconds: f64 = (0..windows.len()).map(|index| tally.window_seconds(part * per + index)).sum();
            WindowFigures {
                throughput: answers as f64 / seconds,
                // Three standard deviations of a count.
                noise: 3.0 * (answers as f64).sqrt() / seconds,
                error_rate: errors as f64 / ended as f64,
                latency_ms: Quantiles::of(&Encoded(latency)),
            }
        })
        .collect()
}

/// What a search found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What had to hold.
    pub objective: String,
    /// Requests a second; absent when the objective was not surely kept at the lowest rate.
    pub highest_rate: Option<f64>,
    /// The rates that were tried, in that order.
    pub probes: Vec<Probe>,
}

impl Finding {
    /// The answer.
    pub fn answer(&self) -> String {
        match (self.highest_rate, self.probes.first()) {
            (Some(rate), _) => format!("highest rate with {}: {rate:.1} requests/s", self.objective),
            (None, Some(lowest)) => {
                let rate = lowest.rate;
                match lowest.standing {
                    Standing::Unsteady => format!(
                        "undecided for {}: the windows disagree at the lowest rate already, {rate:.1} requests/s; \
                         measure longer ones",
                        self.objective
                    ),
                    _ => format!(
                        "{} is broken at the lowest rate already, {rate:.1} requests/s",
                        self.objective
                    ),
                }
            }
            (None, None) => format!("no rate was tried for {}", self.objective),
        }
    }

    /// Why the server may do better than the answer says.
    pub(crate) fn caveat(&self) -> Option<&'static str> {
        if !self.probes.is_empty() && self.probes.iter().all(Probe::kept) {
            return Some(
                "No rate that was tried broke the objective: with a higher --max the server may do better.",
            );
        }
        self.probes.iter().any(|probe| !probe.kept() && !probe.valid).then_some(
            "Where a broken rate names late requests or a busy worker, the generator lacked CPU and the server \
             may do better.",
        )
    }
}

/// Where to look next: doubles until the objective breaks, then halves the gap.
#[derive(Clone, Debug)]
pub struct Bisection {
    kept: Option<f64>,
    broken: Option<f64>,
    min: f64,
    max: f64,
    precision: f64,
}

impl Bisection {
    /// Between `min` and `max`, until the gap is `precision` of the rate.
    ///
    /// # Errors
    /// [`SearchError::Bounds`] when the two are no range.
    pub fn new(min: f64, max: f64, precision: f64) -> Result<Self, SearchError> {
        if min > 0.0 && min < max && max <= MAX_LEVEL {
            Ok(Self { kept: None, broken: None, min, max, precision: precision.max(1e-3) })
        } else {
            Err(SearchError::Bounds { min, max })
        }
    }

    /// The next rate to probe; `None` when the search is over.
    pub(crate) fn next_rate(&self) -> Option<f64> {
        match (self.kept, self.broken) {
            (None, None) => Some(self.min),
            // Below the lowest rate there is nothing to find.
            (None, Some(_)) => None,
            (Some(kept), None) if kept >= self.max => None,
            (Some(kept), None) => Some((kept * 2.0).min(self.max)),
            (Some(kept), Some(broken)) => {
                (broken - kept > self.precision * broken).then_some(f64::midpoint(kept, broken))
            }
        }
    }

    /// What the probe at `rate` found.
    pub fn learn(&mut self, rate: f64, kept: bool) {
        if kept {
            self.kept = Some(self.kept.map_or(rate, |known| known.max(rate)));
        } else {
            self.broken = Some(self.broken.map_or(rate, |known| known.min(rate)));
        }
    }

    /// The highest rate that kept the objective.
    pub fn highest(&self) -> Option<f64> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::measure::{Outcome, Recorder, Settings, Verdict};
    use crate::report::{Setup, Tally};

    /// Searches a server that keeps the objective up to `threshold`; the result and the probes it took.
    fn search(threshold: f64, precision: f64) -> (Option<f64>, usize) {
        let mut bisection = Bisection::new(10.0, 100_000.0, precision).unwrap();
        let mut probes = 0;
        while let Some(rate) = bisection.next_rate() {
            bisection.learn(rate, rate <= threshold);
            probes += 1;
        }
        (bisection.highest(), probes)
    }

    #[test]
    fn an_objective_is_read_from_its_text() {
        let objective: Objective = "p99<20ms, errors<0.1%".parse().unwrap();
        let good = Quantiles { p99: 19.9, ..Quantiles::default() };
        let slow = Quantiles { p99: 20.0, ..Quantiles::default() };
        assert!(objective.broken(&good, 0.0009).is_empty());
        assert_eq!(objective.broken(&slow, 0.0), ["p99 20.00 ms, must be below 20.00 ms"]);
        assert_eq!(objective.broken(&good, 0.001), ["errors 0.100%, must be below 0.100%"]);
        assert_eq!(objective.latency_limit_ms(), Some(20.0));
    }

    #[test]
    fn a_text_that_is_no_objective_is_refused() {
        for text in ["", "p99", "p98<1ms", "errors<1ms", "p99<fast"] {
            assert!(text.parse::<Objective>().is_err(), "{text}");
        }
    }

    /// A report of three seconds at `rate`, with the latency of each second and these reasons against it.
    fn report(rate: u64, latency_ms: [u64; 3], reasons: &[&str]) -> Report {
        let second = Duration::from_secs(1);
        let calls = vec!["Recommend".to_owned()];
        let settings =
            Settings { calls: calls.clone(), warmup: Duration::ZERO, end: 3 * second, window: second };
        let mut recorder = Recorder::new(settings);
        for n in 0..3 * rate {
            let due = second.mul_f64(n as f64 / rate as f64);
            recorder.sent(0, due, due);
            let outcome = Outcome::Answered { answers: 1, failed: 0, stages: None };
            let latency = Duration::from_millis(latency_ms[(n / rate) as usize]);
            recorder.done(0, due, due + latency, outcome);
        }
        let tally = Tally::new(&recorder, &calls, 3 * second, second, None, None);
        let reasons: Vec<String> = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        let verdict = Verdict { valid: reasons.is_empty(), reasons };
        Report::new(Setup::default(), 0, verdict, tally, None)
    }

    fn finding(objective: &str, highest_rate: Option<f64>, latencies_ms: &[u64]) -> Finding {
        let parsed: Objective = objective.parse().unwrap();
        let judge = |latency: &u64| Probe::judge(100.0, &report(100, [*latency; 3], &[]), &parsed, 0.1);
        let probes = latencies_ms.iter().map(judge).collect();
        Finding { objective: objective.to_owned(), highest_rate, probes }
    }

    #[test]
    fn the_answer_of_a_search_names_the_rate_and_the_objective() {
        let found = finding("p99<20ms", Some(12_000.0), &[5, 30]);
        assert_eq!(found.answer(), "highest rate with p99<20ms: 12000.0 requests/s");
        assert_eq!(found.caveat(), None);
    }

    #[test]
    fn a_search_that_found_no_rate_says_at_which_one_it_gave_up() {
        let found = finding("p99<20ms", None, &[30]);
        assert_eq!(found.answer(), "p99<20ms is broken at the lowest rate already, 100.0 requests/s");
    }

    #[test]
    fn a_search_whose_windows_disagree_at_the_lowest_rate_is_undecided() {
        let mut found = finding("p99<20ms", None, &[5]);
        found.probes[0].standing = Standing::Unsteady;
        assert!(found.answer().starts_with("undecided for p99<20ms"), "{}", found.answer());
    }

    #[test]
    fn a_search_that_broke_nothing_says_that_there_may_be_more() {
        let caveat = finding("p99<20ms", Some(100.0), &[5, 5]).caveat().unwrap();
        assert!(caveat.contains("--max"), "{caveat}");
    }

    #[test]
    fn an_objective_kept_in_spite_of_a_late_generator_is_kept() {
        let objective: Objective = "p99<20ms".parse().unwrap();
        let probe = Probe::judge(100.0, &report(100, [5; 3], &["late"]), &objective, 0.1);
        assert!(probe.kept() && !probe.valid, "{:?}", probe.because);
    }

    #[test]
    fn an_objective_broken_with_a_late_generator_says_both() {
        let objective: Objective = "p99<20ms".parse().unwrap();
        let probe = Probe::judge(100.0, &report(100, [30; 3], &["late"]), &objective, 0.1);
        assert_eq!(probe.standing, Standing::Broken);
        assert_eq!(probe.because.len(), 2, "{:?}", probe.because);
    }

    #[test]
    fn one_window_alone_does_not_break_an_objective() {
        let objective: Objective = "p99<20ms".parse().unwrap();
        let judge = |latencies| Probe::judge(100.0, &report(100, latencies, &[]), &objective, 0.1).standing;
        assert_eq!(judge([5, 5, 300]), Standing::Unsteady);
        assert_eq!(judge([5, 300, 300]), Standing::Broken);
        assert_eq!(judge([5, 5, 15]), Standing::Unsteady, "kept, but not stable");
    }

    #[test]
    fn three_like_windows_are_stable() {
        let window = |throughput, p50| WindowFigures {
            throughput,
            noise: 0.0,
            error_rate: 0.0,
            latency_ms: Quantiles { p50, ..Quantiles::default() },
        };
        assert!(is_stable(&[window(100.0, 2.0), window(104.0, 2.1), window(97.0, 1.95)], 0.1));
        assert!(!is_stable(&[window(100.0, 2.0), window(100.0, 2.6), window(100.0, 3.4)], 0.1));
        assert!(!is_stable(&[window(100.0, 2.0), window(70.0, 2.0), window(40.0, 2.0)], 0.1));
        assert!(!is_stable(&[window(100.0, 2.0), window(100.0, 2.0)], 0.1));
        assert!(is_stable(&[window(100.0, 0.2), window(100.0, 0.3), window(100.0, 0.4)], 0.1));
    }

    #[test]
    fn windows_with_few_answers_may_differ_as_chance_makes_them() {
        let window = |throughput| WindowFigures {
            throughput,
            noise: 22.0,
            error_rate: 0.0,
            latency_ms: Quantiles::default(),
        };
        assert!(is_stable(&[window(50.0), window(64.0), window(40.0)], 0.1));
        assert!(!is_stable(&[window(50.0), window(80.0), window(20.0)], 0.1));
    }

    #[test]
    fn a_server_that_fails_at_the_lowest_rate_has_no_highest_rate() {
        assert_eq!(search(5.0, 0.05), (None, 1));
    }

    #[test]
    fn a_server_without_a_limit_is_probed_up_to_the_bound() {
        assert_eq!(search(f64::INFINITY, 0.05).0, Some(100_000.0));
    }

    #[test]
    fn bounds_that_are_no_range_are_refused() {
        assert!(Bisection::new(10.0, 10.0, 0.05).is_err());
        assert!(Bisection::new(0.0, 10.0, 0.05).is_err());
    }

    proptest! {
        #[test]
        fn the_search_converges_on_the_threshold_of_the_server(
            threshold in 10.0..100_000.0_f64,
            precision in 0.01..0.2_f64,
        ) {
            let (found, probes) = search(threshold, precision);
            let found = found.unwrap();
            prop_assert!(found <= threshold);
            prop_assert!(found >= threshold * (1.0 - precision) - 1e-9, "{found} for {threshold}");
            prop_assert!(probes <= 40, "{probes} probes");
        }
    }
}
