//! The part of a result that can be added to others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MergeError;
use crate::measure::histogram::{Encoded, add, precise};
use crate::measure::{Recorder, StageWindow};

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureTally {
    /// How many.
    pub count: u64,
    /// The first one's message.
    pub first_message: String,
}

/// One kind of call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallTally {
    /// Its name.
    pub name: String,
    /// Calls that were due.
    pub due: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls failed.
    pub failed: u64,
    /// Calls cancelled on purpose.
    pub cancelled: u64,
    /// Times of answered calls, in microseconds.
    pub latency: Encoded,
}

/// One window of the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowTally {
    /// Requests due in it.
    pub due: u64,
    /// Answers that came in it.
    pub answers: u64,
    /// Errors in it.
    pub errors: u64,
    /// Times of the calls answered in it, in microseconds.
    pub latency: Encoded,
    /// The server's stages.
    pub stages: StageWindow,
}

/// Counts and histograms of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The measured time in seconds.
    pub measured_s: f64,
    /// The width of a window in seconds.
    pub window_s: f64,
    /// Answers that came in the measured time.
    pub answers: u64,
    /// Failed outcomes inside answered batches and streams.
    pub failed_outcomes: u64,
    /// The time that counts as good, in milliseconds.
    pub goodput_under_ms: Option<f64>,
    /// The share of the time that the busiest thread computed.
    pub busiest_worker: Option<f64>,
    /// By kind of call.
    pub calls: Vec<CallTally>,
    /// Errors by kind.
    pub failures: BTreeMap<String, FailureTally>,
    /// How late requests went out, in microseconds.
    pub lateness: Encoded,
    /// The whole time in the server, in microseconds.
    pub server_total: Encoded,
    /// The server's stages, in microseconds.
    pub server_stages: Vec<Encoded>,
    /// Over time.
    pub windows: Vec<WindowTally>,
}

impl Tally {
    /// Of a finished run.
    pub fn new(
        recorder: &Recorder,
        names: &[String],
        measured: Duration,
        window: Duration,
        busiest_worker: Option<f64>,
        goodput_under_ms: Option<f64>,
    ) -> Self {
        let reached = measured.as_secs_f64() / window.as_secs_f64();
        Self {
            measured_s: measured.as_secs_f64(),
            window_s: window.as_secs_f64(),
            answers: recorder.answers,
            failed_outcomes: recorder.failed_outcomes,
            goodput_under_ms,
            busiest_worker,
            calls: names
                .iter()
                .zip(&recorder.calls)
                .map(|(name, call)| CallTally {
                    name: name.clone(),
                    due: call.due,
                    answered: call.answered,
                    failed: call.failed,
                    cancelled: call.cancelled,
                    latency: Encoded(call.latency.clone()),
                })
                .collect(),
            failures: recorder
                .failures
                .iter()
                .map(|(failure, (count, message))| {
                    (failure.label(), FailureTally { count: *count, first_message: message.clone() })
                })
                .collect(),
            lateness: Encoded(recorder.lateness.clone()),
            server_total: Encoded(recorder.stages.total.clone()),
            server_stages: recorder.stages.stages.iter().cloned().map(Encoded).collect(),
            windows: recorder
                .windows
                .iter()
                .take(reached.ceil() as usize)
                .map(|window| WindowTally {
                    due: window.due,
                    answers: window.answers,
                    errors: window.errors,
                    latency: Encoded(window.latency.clone()),
                    stages: window.stages,
                })
                .collect(),
        }
    }

    /// Times of all answered calls, in microseconds.
    pub fn latency(&self) -> Encoded {
        let mut sum = precise();
        for call in &self.calls {
            add(&mut sum, &call.latency.0);
        }
        Encoded(sum)
    }

    /// The seconds of window `index` that were measured: the last one may be cut short.
    pub(crate) fn window_seconds(&self, index: usize) -> f64 {
        (self.measured_s - index as f64 * self.window_s).clamp(1e-9, self.window_s)
    }

    /// Adds the counts of another machine.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        let names =
            |tally: &Self| tally.calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>().join(", ");
        if names(self) != names(other) {
            return Err(MergeError::Calls(names(self), names(other)));
        }
        let width = |tally: &Self| format!("{} s", tally.window_s);
        if width(self) != width(other) {
            return Err(MergeError::Windows(width(self), width(other)));
        }
        self.measured_s = self.measured_s.max(other.measured_s);
        self.answers += other.answers;
        self.failed_outcomes += other.failed_outcomes;
        self.goodput_under_ms = self.goodput_under_ms.or(other.goodput_under_ms);
        self.busiest_worker = match (self.busiest_worker, other.busiest_worker) {
            (Some(one), Some(two)) => Some(one.max(two)),
            (one, two) => one.or(two),
        };
        for (call, other) in self.calls.iter_mut().zip(&other.calls) {
            call.due += other.due;
            call.answered += other.answered;
            call.failed += other.failed;
            call.cancelled += other.cancelled;
            add(&mut call.latency.0, &other.latency.0);
        }
        for (kind, failure) in &other.failures {
            let none = FailureTally { count: 0, first_message: failure.first_message.clone() };
            self.failures.entry(kind.clone()).or_insert(none).count += failure.count;
        }
        add(&mut self.lateness.0, &other.lateness.0);
        add(&mut self.server_total.0, &other.server_total.0);
        for (stage, other) in self.server_stages.iter_mut().zip(&other.server_stages) {
            add(&mut stage.0, &other.0);
        }
        for (index, other) in other.windows.iter().enumerate() {
            match self.windows.get_mut(index) {
                Some(window) => window.merge(other),
                None => self.windows.push(other.clone()),
            }
        }
        Ok(())
    }
}

impl WindowTally {
    fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.answers += other.answers;
        self.errors += other.errors;
        add(&mut self.latency.0, &other.latency.0);
        self.stages.count += other.stages.count;
        for (sum, other) in self.stages.sum_us.iter_mut().zip(other.stages.sum_us) {
            *sum += other;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{Report, Setup};
    use super::*;
    use crate::measure::{Outcome, Settings, Verdict};

    pub(crate) fn tally(name: &str, latencies_ms: &[u64]) -> Tally {
        let mut recorder = Recorder::new(Settings {
            calls: vec![name.to_owned()],
            warmup: Duration::ZERO,
            end: Duration::from_secs(2),
            window: Duration::from_secs(1),
        });
        for latency in latencies_ms {
            let begun = Duration::from_millis(100);
            let outcome = Outcome::Answered { answers: 1, failed: 0, stages: None };
            recorder.sent(0, begun, begun);
            recorder.done(0, begun, begun + Duration::from_millis(*latency), outcome);
        }
        let (measured, window) = (Duration::from_secs(2), Duration::from_secs(1));
        Tally::new(&recorder, &[name.to_owned()], measured, window, Some(0.1), Some(25.0))
    }

    pub(crate) fn report(tally: Tally, valid: bool) -> Report {
        let setup = Setup { machines: 1, ..Setup::default() };
        Report::new(setup, 0, Verdict { valid, reasons: vec![] }, tally, None)
    }

    #[test]
    fn merged_percentiles_are_those_of_all_calls_together() {
        let (one, two) = ([1, 2, 3, 40, 50], [10, 20, 30, 40, 900]);
        let together: Vec<u64> = one.iter().chain(&two).copied().collect();
        let merged =
            Report::merge(vec![report(tally("A", &one), true), report(tally("A", &two), true)]).unwrap();
        let direct = report(tally("A", &together), true);
        assert_eq!(merged.latency_ms, direct.latency_ms);
        assert_eq!(merged.throughput, direct.throughput);
        assert_eq!(merged.tally.windows, direct.tally.windows);
        assert_eq!(merged.setup.machines, 2);
    }

    #[test]
    fn a_merge_is_only_as_valid_as_its_parts() {
        let parts = vec![report(tally("A", &[1]), true), report(tally("A", &[1]), false)];
        assert!(!Report::merge(parts).unwrap().valid);
    }

    #[test]
    fn different_calls_do_not_add_up() {
        let parts = vec![report(tally("A", &[1]), true), report(tally("B", &[1]), true)];
        assert_eq!(Report::merge(parts).err(), Some(MergeError::Calls("A".to_owned(), "B".to_owned())));
        assert_eq!(Report::merge(vec![]).err(), Some(MergeError::Nothing));
    }

    #[test]
    fn a_document_survives_its_written_form() {
        let report = report(tally("A", &[1, 5, 9]), true);
        let text = serde_json::to_string(&report).unwrap();
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(back.tally, report.tally);
    }

    #[test]
    fn goodput_counts_the_answers_in_time() {
        let report = report(tally("A", &[10, 20, 30, 40]), true);
        assert_eq!(report.goodput.map(|goodput| goodput.per_second), Some(1.0));
    }

    #[test]
    fn the_document_has_the_names_that_others_rely_on() {
        let document = serde_json::to_value(report(tally("A", &[10]), true)).unwrap();
        assert!(document["throughput"].is_number());
        assert!(document["errors"].is_number());
        for name in ["p50", "p95", "p99", "max"] {
            assert!(document["latency_ms"][name].is_number(), "{name}");
        }
    }
}
