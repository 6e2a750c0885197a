//! Whether a result may be believed: a generator that was itself the bottleneck measured itself.
//!
//! Three signs, each with a limit that stands here and in the README: requests that went out late, requests
//! that did not go out at all, and worker threads that had no time left.

/// Lateness below this is never held against a result: timers and schedulers are no better.
const LATENESS_FLOOR_MS: f64 = 0.25;
/// The same for the 99th percentile, which one preemption spoils.
const LATENESS_P99_FLOOR_MS: f64 = 2.0;
/// The share of the latency's median that the median lateness may reach.
const LATENESS_SHARE: f64 = 0.1;
/// The share of the latency's 99th percentile that the 99th percentile of lateness may reach.
const LATENESS_P99_SHARE: f64 = 0.5;
/// A worker thread that computes for more than this share of the time queues replies.
const BUSY_LIMIT: f64 = 0.9;
/// The share of due requests that may stay unsent.
const NOT_SENT_LIMIT: f64 = 0.001;

/// How load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loop {
    /// Callers that wait for their answer before they ask again.
    Closed,
    /// A schedule that waits for nobody.
    Open,
}

/// What the generator knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// How load was made.
    pub kind: Loop,
    /// Requests that were due.
    pub due: u64,
    /// Of them, those that never went out.
    pub not_sent: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Median lateness.
    pub lateness_p50_ms: f64,
    /// 99th percentile of lateness.
    pub lateness_p99_ms: f64,
    /// Median latency.
    pub latency_p50_ms: f64,
    /// 99th percentile of latency.
    pub latency_p99_ms: f64,
    /// The share of the run for which the busiest worker thread computed, 0 to 1; `None` where the system
    /// does not tell.
    pub busiest_worker: Option<f64>,
}

/// Whether the result may be believed, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Whether the generator kept out of the measurement's way.
    pub valid: bool,
    /// What speaks against it, and what to do.
    pub reasons: Vec<String>,
}

/// Judges a run.
pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let mut reasons = Vec::new();
    if evidence.due == 0 {
        reasons.push("no request was due in the measured time; run longer or at a higher rate".to_owned());
    }
    if evidence.kind == Loop::Open {
        reasons.extend(lateness_reason(evidence));
        let allowed = NOT_SENT_LIMIT * evidence.due as f64;
        if evidence.not_sent as f64 > allowed {
            reasons.push(format!(
                "{} of {} requests were not sent because too many were in flight; the rate is beyond the \
                 server, or raise --max-in-flight",
                evidence.not_sent, evidence.due
            ));
        }
    }
    if let Some(busy) = evidence.busiest_worker
        && busy > BUSY_LIMIT
    {
        reasons.push(format!(
            "a worker thread of the generator was busy {:.0}% of the time, so replies waited for it; raise \
             --threads or use more machines and merge",
            busy * 100.0
        ));
    }
    Verdict { valid: reasons.is_empty(), reasons }
}

fn lateness_reason(evidence: &Evidence) -> Option<String> {
    let p50_limit = (LATENESS_SHARE * evidence.latency_p50_ms).max(LATENESS_FLOOR_MS);
    let p99_limit = (LATENESS_P99_SHARE * evidence.latency_p99_ms).max(LATENESS_P99_FLOOR_MS);
    let at = |name: &str, late: f64, limit: f64| {
        format!(
            "requests went out late: {name} of lateness {late:.3} ms, at most {limit:.3} ms is accepted; the \
             generator lacks CPU, so give it cores of its own or lower the rate"
        )
    };
    if evidence.lateness_p50_ms > p50_limit {
        Some(at("p50", evidence.lateness_p50_ms, p50_limit))
    } else if evidence.lateness_p99_ms > p99_limit {
        Some(at("p99", evidence.lateness_p99_ms, p99_limit))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Evidence = Evidence {
        kind: Loop::Open,
        due: 10_000,
        not_sent: 0,
        answered: 10_000,
        lateness_p50_ms: 0.06,
        lateness_p99_ms: 0.9,
        latency_p50_ms: 3.0,
        latency_p99_ms: 9.0,
        busiest_worker: Some(0.2),
    };

    #[test]
    fn a_punctual_generator_is_believed() {
        assert_eq!(judge(&GOOD), Verdict { valid: true, reasons: vec![] });
    }

    #[test]
    fn a_generator_whose_lateness_is_much_of_the_latency_is_not() {
        let verdict = judge(&Evidence { lateness_p50_ms: 0.4, ..GOOD });
        assert!(!verdict.valid);
        assert!(verdict.reasons[0].contains("p50 of lateness 0.400 ms"), "{:?}", verdict.reasons);
    }

    #[test]
    fn late_outliers_count_when_they_make_the_tail() {
        assert!(!judge(&Evidence { lateness_p99_ms: 5.0, ..GOOD }).valid);
        assert!(judge(&Evidence { lateness_p99_ms: 5.0, latency_p99_ms: 40.0, ..GOOD }).valid);
    }

    #[test]
    fn lateness_means_nothing_in_a_closed_loop() {
        assert!(judge(&Evidence { kind: Loop::Closed, lateness_p50_ms: 50.0, ..GOOD }).valid);
    }

    #[test]
    fn a_worker_without_time_left_is_caught_in_both_loops() {
        assert!(!judge(&Evidence { busiest_worker: Some(0.97), ..GOOD }).valid);
        assert!(!judge(&Evidence { kind: Loop::Closed, busiest_worker: Some(0.97), ..GOOD }).valid);
        assert!(judge(&Evidence { busiest_worker: None, ..GOOD }).valid);
    }

    #[test]
    fn requests_that_never_went_out_are_held_against_the_result() {
        assert!(!judge(&Evidence { not_sent: 200, ..GOOD }).valid);
    }

    #[test]
    fn a_run_without_requests_proves_nothing() {
        assert!(!judge(&Evidence { due: 0, answered: 0, ..GOOD }).valid);
    }
}
