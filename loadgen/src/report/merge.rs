//! Results of several machines as one: what adds up, and what is refused because it does not.
//!
//! Added histograms are exact, so a merged result looks right whatever went into it. It is right only when all
//! machines made parts of one load on one server at the same time.

use super::{Report, Setup};
use crate::measure::Verdict;

/// The share of the measured time that all machines must have had together.
const TOGETHER: f64 = 0.9;

/// Why results cannot be added up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// There are none.
    #[error("no results to merge; name at least one file")]
    Nothing,
    /// They are of different loads.
    #[error(
        "one result has the {what} '{one}', another '{other}'; only results of the same load add up, so run \
         all machines with the same options, --part aside"
    )]
    Load {
        /// What differs.
        what: &'static str,
        /// In the first result.
        one: String,
        /// In the one that differs.
        other: String,
    },
    /// Two made the same requests.
    #[error(
        "two results are of part {0} of the same requests; give each machine a part of its own: --part 1/2, \
         --part 2/2"
    )]
    Part(String),
    /// Their calls differ.
    #[error("one result is of {0}, another of {1}; only results of the same mix add up")]
    Calls(String, String),
    /// Their windows differ.
    #[error("the results have windows of {0} and of {1}; run with the same --duration")]
    Windows(String, String),
}

impl Report {
    /// Adds up results of several machines that made parts of the same load at the same time.
    ///
    /// The server's metrics are those of the first result that has any: all machines saw the same server.
    /// Results that were not made at the same time are added, and the sum is not valid: clocks may differ.
    ///
    /// # Errors
    /// [`MergeError`] when there is none, or they are of different loads, calls or windows.
    pub fn merge(reports: Vec<Self>) -> Result<Self, MergeError> {
        let apart = apart(&reports);
        let mut reports = reports.into_iter();
        let first = reports.next().ok_or(MergeError::Nothing)?;
        let mut setup = first.setup;
        let mut reasons = first.invalid_because;
        let mut valid = first.valid && apart.is_none();
        let (mut tally, mut metrics, mut began) = (first.tally, first.metrics, first.began_unix_ms);
        for report in reports {
            setup.join(report.setup)?;
            tally.merge(&report.tally)?;
            valid &= report.valid;
            reasons.extend(report.invalid_because);
            metrics = metrics.or(report.metrics);
            began = began.min(report.began_unix_ms);
        }
        reasons.extend(apart);
        Ok(Self::new(setup, began, Verdict { valid, reasons }, tally, metrics))
    }
}

impl Setup {
    /// Adds a machine that made another part of the same load.
    fn join(&mut self, other: Self) -> Result<(), MergeError> {
        for ((what, one), (_, other)) in self.load_in_words().into_iter().zip(other.load_in_words()) {
            if one != other {
                return Err(MergeError::Load { what, one, other });
            }
        }
        if let Some(part) = other.parts.iter().find(|part| self.parts.contains(part)) {
            return Err(MergeError::Part(part.clone()));
        }
        self.machines += other.machines;
        self.connections += other.connections;
        self.threads += other.threads;
        self.parts.extend(other.parts);
        Ok(())
    }

    /// What must be alike. Connections and threads may differ, as machines do.
    fn load_in_words(&self) -> [(&'static str, String); 7] {
        let deadline =
            self.deadline_ms.map_or_else(|| "none".to_owned(), |deadline| format!("{deadline} ms"));
        [
            ("target", self.target.clone()),
            ("calls", self.rpc.clone()),
            ("requests", self.requests.clone()),
            ("protocol", self.protocol.clone()),
            ("load", self.load.clone()),
            ("seed", self.seed.to_string()),
            ("deadline", deadline),
        ]
    }
}

/// Why rates of these results do not add up, if they were not made at the same time.
fn apart(reports: &[Report]) -> Option<String> {
    let begin = |report: &Report| report.began_unix_ms as f64 / 1e3;
    let longest = reports.iter().map(|report| report.measured_s).fold(0.0, f64::max);
    let last_begin = reports.iter().map(begin).fold(f64::NEG_INFINITY, f64::max);
    let first_end =
        reports.iter().map(|report| begin(report) + report.measured_s).fold(f64::INFINITY, f64::min);
    let together = (first_end - last_begin).max(0.0);
    (together < TOGETHER * longest).then(|| {
        format!(
            "the machines ran together for {together:.1} s of {longest:.1} s, by their clocks, and rates of \
             different times do not add up; start all of them at once, with the same --duration and --warmup"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tally::tests::{report, tally};
    use super::*;

    /// A valid result of one machine's part.
    fn of_part(part: &str) -> Report {
        let mut report = report(tally("Recommend", &[1, 2, 3]), true);
        report.setup.rpc = "Recommend".to_owned();
        report.setup.load = "closed loop, 16 callers".to_owned();
        report.setup.parts = vec![part.to_owned()];
        report
    }

    fn refusal(change: impl FnOnce(&mut Report)) -> String {
        let mut other = of_part("2/2");
        change(&mut other);
        Report::merge(vec![of_part("1/2"), other]).unwrap_err().to_string()
    }

    #[test]
    fn parts_of_one_load_add_up() {
        let merged = Report::merge(vec![of_part("1/2"), of_part("2/2")]).unwrap();
        assert!(merged.valid, "{:?}", merged.invalid_because);
        assert_eq!(merged.setup.parts, ["1/2", "2/2"]);
        assert_eq!(merged.setup.machines, 2);
    }

    #[test]
    fn an_open_and_a_closed_loop_do_not_add_up() {
        let refused = refusal(|other| other.setup.load = "open loop, Poisson, 100/s".to_owned());
        assert!(refused.contains("the load 'closed loop, 16 callers', another 'open loop, Poisson, 100/s'"));
    }

    #[test]
    fn another_server_mix_or_workload_does_not_add_up() {
        assert!(refusal(|other| other.setup.target = "http://10.0.0.9:1".to_owned()).contains("the target"));
        assert!(refusal(|other| other.setup.rpc = "Recommend=2,GetUser".to_owned()).contains("the calls"));
        assert!(refusal(|other| other.setup.requests = "users 1-9".to_owned()).contains("the requests"));
        assert!(
            refusal(|other| other.setup.protocol = "REST over HTTP/2".to_owned()).contains("the protocol")
        );
        assert!(refusal(|other| other.setup.seed = 9).contains("the seed"));
        assert!(refusal(|other| other.setup.deadline_ms = Some(50)).contains("'none', another '50 ms'"));
    }

    #[test]
    fn the_same_part_twice_does_not_add_up() {
        let twice = Report::merge(vec![of_part("1/2"), of_part("1/2")]);
        assert_eq!(twice.unwrap_err(), MergeError::Part("1/2".to_owned()));
    }

    #[test]
    fn rates_of_different_times_are_not_valid() {
        let mut later = of_part("2/2");
        later.began_unix_ms = 500;
        let merged = Report::merge(vec![of_part("1/2"), later]).unwrap();
        assert!(!merged.valid);
        assert!(
            merged.invalid_because[0].contains("together for 1.5 s of 2.0 s"),
            "{:?}",
            merged.invalid_because
        );
    }
}
