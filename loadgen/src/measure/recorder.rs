//! One worker's counts. Nothing here is shared, so counting takes no lock; workers are added up at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use marquee_proto::{CODE_NAMES, v1};

use super::histogram::{add, coarse, precise, record};

/// The stages of a Marquee reply's timings.
pub const STAGES: [&str; v1::Timings::STAGES.len()] = v1::Timings::STAGES;

/// Where the server spent the time of one call, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// The whole, as the server saw it.
    pub total_us: u32,
    /// One time for each of [`STAGES`].
    pub stage_us: [u32; STAGES.len()],
}

/// Why a call counts as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The server answered with this gRPC status.
    Status(u16),
    /// The server answered with this HTTP status.
    Http(u16),
    /// The call's deadline passed at the client without an answer; DEADLINE_EXCEEDED of a server is a status.
    Deadline,
    /// The connection failed.
    Transport,
    /// The reply was no gRPC message.
    Malformed,
    /// The answer had not come when the drain time after the run was over.
    Unanswered,
    /// The bound on calls in flight was reached, so the request never went out.
    NotSent,
}

impl Failure {
    /// A stable name for reports.
    pub fn label(self) -> String {
        match self {
            Self::Status(code) => CODE_NAMES
                .get(usize::from(code))
                .map_or_else(|| format!("STATUS_{code}"), |name| (*name).to_owned()),
            Self::Http(code) => format!("HTTP_{code}"),
            Self::Deadline => "DEADLINE_EXCEEDED at the client".to_owned(),
            Self::Transport => "connection".to_owned(),
            Self::Malformed => "malformed reply".to_owned(),
            Self::Unanswered => "unanswered".to_owned(),
            Self::NotSent => "not sent".to_owned(),
        }
    }
}

/// What became of a call.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// Answers in the reply: 1, or the number in a batch or a stream.
        answers: u32,
        /// Of a batch or a stream: outcomes that were errors.
        failed: u32,
        /// The server's own account of the time, if the reply has one.
        stages: Option<StageTimes>,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// The message, for the first one of a kind.
        message: String,
    },
    /// The generator cancelled it on purpose.
    Cancelled,
}

/// How the counts are laid out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of the calls in the mix.
    pub calls: Vec<String>,
    /// How long the warm-up is; what began in it is not counted.
    pub warmup: Duration,
    /// The end of the measured time, from the beginning of the warm-up.
    pub end: Duration,
    /// The width of a window.
    pub window: Duration,
}

/// The counts of one kind of call.
#[derive(Clone, Debug)]
pub struct CallStats {
    /// Calls that were due in the measured time.
    pub due: u64,
    /// Calls answered without an error.
    pub answered: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls cancelled on purpose.
    pub cancelled: u64,
    /// Times of answered calls, from the intended start, in microseconds.
    pub latency: Histogram<u64>,
}

impl CallStats {
    fn new() -> Self {
        Self { due: 0, answered: 0, failed: 0, cancelled: 0, latency: precise() }
    }
}

/// The server's account of its time, over the run.
#[derive(Clone, Debug)]
pub struct StageStats {
    /// The whole time in the server, in microseconds.
    pub total: Histogram<u64>,
    /// One histogram for each of [`STAGES`].
    pub stages: Vec<Histogram<u64>>,
}

/// The sums of the server's stages within a window, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StageWindow {
    /// Replies with timings.
    pub count: u64,
    /// The sums, one for each of [`STAGES`].
    pub sum_us: [u64; STAGES.len()],
}

/// A stretch of the measured time.
#[derive(Clone, Debug)]
pub struct Window {
    /// Requests that were due in it.
    pub due: u64,
    /// Answers that came in it.
    pub answers: u64,
    /// Errors in it.
    pub errors: u64,
    /// Times of calls answered in it.
    pub latency: Histogram<u64>,
    /// What the server said of its stages.
    pub stages: StageWindow,
}

impl Window {
    /// A window without counts.
    pub fn new() -> Self {
        Self { due: 0, answers: 0, errors: 0, latency: coarse(), stages: StageWindow::default() }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.answers += other.answers;
        self.errors += other.errors;
        add(&mut self.latency, &other.latency);
        self.stages.count += other.stages.count;
        for (sum, other) in self.stages.sum_us.iter_mut().zip(other.stages.sum_us) {
            *sum += other;
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

/// The counts of one worker.
#[derive(Clone, Debug)]
pub struct Recorder {
    settings: Settings,
    /// One entry for each call of the mix.
    pub calls: Vec<CallStats>,
    /// The windows of the measured time.
    pub windows: Vec<Window>,
    /// How late requests went out, in microseconds.
    pub lateness: Histogram<u64>,
    /// The server's stages.
    pub stages: StageStats,
    /// Errors by kind, with the first message of each.
    pub failures: BTreeMap<Failure, (u64, String)>,
    /// Failed outcomes inside answered batches and streams.
    pub failed_outcomes: u64,
    /// Answers that came within the measured time.
    pub answers: u64,
}

impl Recorder {
    /// No counts yet.
    pub fn new(settings: Settings) -> Self {
        let measured = settings.end.saturating_sub(settings.warmup);
        let windows = measured.as_nanos().div_ceil(settings.window.as_nanos().max(1)) as usize;
        Self {
            calls: settings.calls.iter().map(|_| CallStats::new()).collect(),
            windows: vec![Window::new(); windows],
            lateness: precise(),
            stages: StageStats { total: precise(), stages: vec![precise(); STAGES.len()] },
            failures: BTreeMap::new(),
            failed_outcomes: 0,
            answers: 0,
            settings,
        }
    }

    /// A request of kind `call`, due at `intended`, goes out at `sent`. Times count from the beginning of
    /// the warm-up.
    pub fn sent(&mut self, call: usize, intended: Duration, sent: Duration) {
        if !self.is_measured(intended) {
            return;
        }
        self.calls[call].due += 1;
        record(&mut self.lateness, sent.saturating_sub(intended));
        if let Some(window) = self.window(intended) {
            window.due += 1;
        }
    }

    /// A call of kind `call`, due at `intended`, ended at `done`.
    pub fn done(&mut self, call: usize, intended: Duration, done: Duration, outcome: Outcome) {
        let counts = self.is_measured(intended);
        match outcome {
            Outcome::Answered { answers, failed, stages } => {
                if let Some(window) = self.window(done) {
                    window.answers += u64::from(answers);
                    self.answers += u64::from(answers);
                }
                if counts {
                    let latency = done.saturating_sub(intended);
                    self.answered(call, latency, done, stages);
                    self.failed_outcomes += u64::from(failed);
                }
            }
            Outcome::Failed { failure, message } if counts => {
                self.calls[call].failed += 1;
                self.failures.entry(failure).or_insert((0, message)).0 += 1;
                if let Some(window) = self.window(done) {
                    window.errors += 1;
                }
            }
            Outcome::Cancelled if counts => self.calls[call].cancelled += 1,
            Outcome::Failed { .. } | Outcome::Cancelled => {}
        }
    }

    /// Adds the counts of another worker of the same run.
    pub fn merge(&mut self, other: &Self) {
        for (call, other) in self.calls.iter_mut().zip(&other.calls) {
            call.due += other.due;
            call.answered += other.answered;
            call.failed += other.failed;
            call.cancelled += other.cancelled;
            add(&mut call.latency, &other.latency);
        }
        for (window, other) in self.windows.iter_mut().zip(&other.windows) {
            window.merge(other);
        }
        add(&mut self.lateness, &other.lateness);
        add(&mut self.stages.total, &other.stages.total);
        for (stage, other) in self.stages.stages.iter_mut().zip(&other.stages.stages) {
            add(stage, other);
        }
        for (failure, (count, message)) in &other.failures {
            self.failures.entry(*failure).or_insert((0, message.clone())).0 += count;
        }
        self.failed_outcomes += other.failed_outcomes;
        self.answers += other.answers;
    }

    /// The window that holds `time`, if it is a measured one.
    pub(crate) fn window_index(&self, time: Duration) -> Option<usize> {
        let index = time.checked_sub(self.settings.warmup)?.as_nanos() / self.settings.window.as_nanos();
        (time < self.settings.end).then_some(index as usize)
    }

    fn is_measured(&self, time: Duration) -> bool {
        time >= self.settings.warmup && time < self.settings.end
    }

    fn window(&mut self, time: Duration) -> Option<&mut Window> {
        let index = self.window_index(time)?;
        self.windows.get_mut(index)
    }

    fn answered(&mut self, call: usize, latency: Duration, done: Duration, stages: Option<StageTimes>) {
        self.calls[call].answered += 1;
        record(&mut self.calls[call].latency, latency);
        if let Some(window) = self.window(done) {
            record(&mut window.latency, latency);
            if let Some(times) = stages {
                window.stages.count += 1;
                for (sum, time) in window.stages.sum_us.iter_mut().zip(times.stage_us) {
                    *sum += u64::from(time);
                }
            }
        }
        if let Some(times) = stages {
            self.stages.total.saturating_record(u64::from(times.total_us));
            for (stage, time) in self.stages.stages.iter_mut().zip(times.stage_us) {
                stage.saturating_record(u64::from(time));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> Recorder {
        Recorder::new(Settings {
            calls: vec!["Recommend".to_owned()],
            warmup: Duration::from_secs(1),
            end: Duration::from_secs(4),
            window: Duration::from_secs(1),
        })
    }

    fn answered() -> Outcome {
        Outcome::Answered { answers: 1, failed: 0, stages: None }
    }

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn latency_counts_from_the_intended_start() {
        let mut recorder = recorder();
        recorder.sent(0, ms(2000), ms(2030));
        recorder.done(0, ms(2000), ms(2050), answered());
        assert_eq!(recorder.calls[0].latency.max() / 1000, 50);
        assert_eq!(recorder.lateness.max() / 1000, 30);
    }

    #[test]
    fn what_began_in_the_warm_up_is_not_a_latency() {
        let mut recorder = recorder();
        recorder.sent(0, ms(900), ms(900));
        recorder.done(0, ms(900), ms(950), answered());
        assert_eq!(recorder.calls[0].due, 0);
        assert!(recorder.calls[0].latency.is_empty());
        assert_eq!(recorder.answers, 0);
    }

    #[test]
    fn throughput_counts_the_answers_that_come_in_the_measured_time() {
        let mut recorder = recorder();
        recorder.done(0, ms(990), ms(1010), answered());
        recorder.done(0, ms(3990), ms(4010), answered());
        assert_eq!(recorder.answers, 1, "the first, which began in the warm-up");
        assert_eq!(recorder.calls[0].answered, 1, "the second, which ended after the end");
    }

    #[test]
    fn windows_lie_behind_the_warm_up() {
        let recorder = recorder();
        assert_eq!(recorder.windows.len(), 3);
        assert_eq!(recorder.window_index(ms(500)), None);
        assert_eq!(recorder.window_index(ms(1000)), Some(0));
        assert_eq!(recorder.window_index(ms(3999)), Some(2));
        assert_eq!(recorder.window_index(ms(4000)), None);
    }

    #[test]
    fn merged_workers_count_as_one() {
        let (mut one, mut two) = (recorder(), recorder());
        one.done(0, ms(1500), ms(1510), answered());
        two.done(0, ms(1500), ms(1590), answered());
        let refused = Outcome::Failed { failure: Failure::Status(8), message: "full".to_owned() };
        two.done(0, ms(1500), ms(1501), refused);
        one.merge(&two);
        assert_eq!(one.calls[0].latency.len(), 2);
        assert_eq!(one.windows[0].answers, 2);
        assert_eq!(one.failures[&Failure::Status(8)], (1, "full".to_owned()));
    }

    #[test]
    fn failures_have_the_names_of_the_grpc_codes() {
        assert_eq!(Failure::Status(8).label(), "RESOURCE_EXHAUSTED");
        assert_eq!(Failure::Status(99).label(), "STATUS_99");
        assert_eq!(Failure::Http(503).label(), "HTTP_503");
    }
}
