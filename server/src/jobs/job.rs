//! A job as it is kept, and what may become of it: a state machine without clocks or I/O.
//!
//! Every change names the attempt that makes it by its token. Whoever lost a job to another node has an old token, so
//! nothing that it says changes the job any more, whatever it believes.

use std::collections::BTreeMap;

use marquee_core::domain::TimeMs;
use serde::{Deserialize, Serialize};

/// What a job is told: names and values.
pub type Arguments = BTreeMap<String, String>;

/// So many nodes may end while they run a job; it fails then, as it may be what ends them.
const MAX_LOST: u32 = 3;

/// Characters of a text that a job says of itself, such as why it failed; the rest is cut off.
const MAX_TEXT: usize = 1_000;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for a node.
    Queued,
    /// A node runs it.
    Running,
    /// It is done.
    Succeeded,
    /// It is not, and says why.
    Failed,
    /// Somebody asked it to end.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Whether nothing becomes of it any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is done, in units of the job's own.
    pub done: u64,
    /// All that is to be done; 0 while nobody knows.
    pub total: u64,
    /// What it is at, in words.
    pub message: String,
}

/// What a job gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// A sentence.
    pub summary: String,
    /// Numbers by name, none of them NaN or infinite.
    pub figures: BTreeMap<String, f64>,
}

impl Outcome {
    /// What is said so, without figures.
    pub fn said(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), figures: BTreeMap::new() }
    }

    /// This and a figure; one that is no number is left out.
    #[must_use]
    pub fn figure(mut self, name: impl Into<String>, value: f64) -> Self {
        if value.is_finite() {
            self.figures.insert(name.into(), value);
        }
        self
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name, the lower the newer.
    pub job_id: String,
    /// What it does.
    pub kind: String,
    /// Jobs of one key run one at a time.
    pub key: String,
    /// What it was told.
    pub arguments: Arguments,
    /// Who asked for it; `None` where nobody is asked who calls.
    pub creator: Option<String>,
    /// The schedule that asked for it, if one did.
    pub schedule: Option<String>,
    /// Where it is.
    pub state: State,
    /// When it was asked for.
    pub created_ms: TimeMs,
    /// When its first attempt began.
    pub started_ms: Option<TimeMs>,
    /// When it was over.
    pub ended_ms: Option<TimeMs>,
    /// How often it was begun.
    pub attempts: u32,
    /// How many nodes ended while they ran it.
    pub lost: u32,
    /// Which attempt is at it; only that one says what becomes of it.
    pub token: Option<String>,
    /// The node that runs it or ran it last.
    pub node: Option<String>,
    /// Whether somebody asked it to end.
    pub cancel_asked: bool,
    /// How far it is.
    pub progress: Progress,
    /// Where another attempt goes on, in words of the kind's own.
    pub checkpoint: Option<String>,
    /// What it gave.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What happens to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A node begins an attempt: of a job that waits, or of one whose node is gone.
    Begins {
        /// Of the attempt.
        token: String,
        /// Which node.
        node: String,
        /// Whether the checkpoint of the attempt before is of use.
        resumes: bool,
    },
    /// An attempt says how far it is.
    Reports {
        /// Of the attempt.
        token: String,
        /// How far.
        progress: Progress,
        /// Where another attempt would go on; `None` to leave what was said before.
        checkpoint: Option<String>,
    },
    /// An attempt ends.
    Ends {
        /// Of the attempt.
        token: String,
        /// How.
        ending: Ending,
    },
    /// The node of an attempt ends in good order: another one may go on at once.
    IsPutBack {
        /// Of the attempt.
        token: String,
    },
    /// Somebody wants it to end.
    IsCancelled,
}

/// How an attempt ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It gave this.
    Success(Outcome),
    /// It did not, because.
    Failure(String),
    /// It was asked to.
    Cancelled,
}

/// Why nothing becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The job is over.
    #[error("the job is over")]
    Over,
    /// Another attempt has the job.
    #[error("another attempt has the job")]
    Fenced,
    /// Nobody has the job.
    #[error("the job is not running")]
    NotRunning,
}

impl Job {
    /// A job that waits.
    pub fn new(kind: &str, key: String, arguments: Arguments, now_ms: TimeMs) -> Self {
        Self {
            job_id: job_id(now_ms, rand::random()),
            kind: kind.to_owned(),
            key,
            arguments,
            creator: None,
            schedule: None,
            state: State::Queued,
            created_ms: now_ms,
            started_ms: None,
            ended_ms: None,
            attempts: 0,
            lost: 0,
            token: None,
            node: None,
            cancel_asked: false,
            progress: Progress::default(),
            checkpoint: None,
            outcome: None,
            error: None,
        }
    }

    /// What becomes of the job by an event.
    ///
    /// # Errors
    /// [`Refused`] when nothing does; the job is as it was then.
    pub fn step(&mut self, now_ms: TimeMs, event: Event) -> Result<(), Refused> {
        if self.state.is_over() {
            return Err(Refused::Over);
        }
        match event {
            Event::Begins { token, node, resumes } => self.begin(now_ms, token, node, resumes),
            Event::Reports { token, progress, checkpoint } => {
                self.require(&token)?;
                self.progress = Progress { message: cut(progress.message), ..progress };
                self.checkpoint = checkpoint.or(self.checkpoint.take());
            }
            Event::Ends { token, ending } => {
                self.require(&token)?;
                self.end(now_ms, ending);
            }
            Event::IsPutBack { token } => {
                self.require(&token)?;
                (self.state, self.token) = (State::Queued, None);
            }
            Event::IsCancelled => match self.state {
                State::Queued => self.end(now_ms, Ending::Cancelled),
                _ => self.cancel_asked = true,
            },
        }
        Ok(())
    }

    fn begin(&mut self, now_ms: TimeMs, token: String, node: String, resumes: bool) {
        if self.state == State::Running {
            self.lost += 1;
        }
        if self.lost > MAX_LOST {
            let why = format!("{MAX_LOST} nodes ended while they ran it, so it is not tried again");
            return self.end(now_ms, Ending::Failure(why));
        }
        if !resumes {
            (self.checkpoint, self.progress) = (None, Progress::default());
        }
        self.state = State::Running;
        self.attempts += 1;
        self.started_ms.get_or_insert(now_ms);
        (self.token, self.node) = (Some(token), Some(node));
    }

    fn require(&self, token: &str) -> Result<(), Refused> {
        match &self.token {
            Some(own) if own == token => Ok(()),
            Some(_) => Err(Refused::Fenced),
            None => Err(Refused::NotRunning),
        }
    }

    fn end(&mut self, now_ms: TimeMs, ending: Ending) {
        match ending {
            Ending::Success(outcome) => {
                self.state = State::Succeeded;
                self.outcome = Some(Outcome { summary: cut(outcome.summary), ..outcome });
            }
            Ending::Failure(why) => (self.state, self.error) = (State::Failed, Some(cut(why))),
            Ending::Cancelled => self.state = State::Cancelled,
        }
        self.ended_ms = Some(now_ms);
        (self.token, self.checkpoint) = (None, None);
    }
}

/// A name that comes the earlier, the later the time.
fn job_id(now_ms: TimeMs, random: u32) -> String {
    format!("{:012x}-{random:08x}", (1_i64 << 47) - now_ms.clamp(0, (1 << 47) - 1))
}

/// As long as a text may be.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job() -> Job {
        Job::new("sync", "sync".to_owned(), Arguments::new(), 1)
    }

    fn begins(token: &str) -> Event {
        Event::Begins { token: token.to_owned(), node: "a".to_owned(), resumes: true }
    }

    fn reports(token: &str, done: u64, checkpoint: Option<&str>) -> Event {
        let progress = Progress { done, total: 10, message: String::new() };
        Event::Reports { token: token.to_owned(), progress, checkpoint: checkpoint.map(str::to_owned) }
    }

    fn ends(token: &str, ending: Ending) -> Event {
        Event::Ends { token: token.to_owned(), ending }
    }

    #[test]
    fn a_job_is_begun_goes_on_and_ends() {
        let mut job = job();
        job.step(2, begins("one")).unwrap();
        job.step(3, reports("one", 4, Some("half"))).unwrap();
        job.step(3, reports("one", 5, None)).unwrap();
        assert_eq!(
            (job.state, job.progress.done, job.checkpoint.as_deref()),
            (State::Running, 5, Some("half"))
        );
        let outcome = Outcome::said("all is well").figure("users", 3.0).figure("none", f64::NAN);
        job.step(4, ends("one", Ending::Success(outcome))).unwrap();
        assert_eq!((job.state, job.started_ms, job.ended_ms), (State::Succeeded, Some(2), Some(4)));
        let figures = job.outcome.as_ref().map(|outcome| outcome.figures.len());
        assert_eq!((figures, &job.checkpoint, &job.token), (Some(1), &None, &None));
    }

    #[test]
    fn whoever_lost_a_job_changes_nothing_of_it() {
        let mut job = job();
        job.step(2, begins("one")).unwrap();
        job.step(3, reports("one", 4, Some("half"))).unwrap();
        job.step(9, begins("two")).unwrap();
        let taken = job.clone();
        assert_eq!((taken.attempts, taken.lost, taken.checkpoint.as_deref()), (2, 1, Some("half")));
        for late in [reports("one", 9, None), ends("one", Ending::Cancelled)] {
            assert_eq!(job.step(10, late), Err(Refused::Fenced));
            assert_eq!(job, taken);
        }
    }

    #[test]
    fn a_job_that_cannot_resume_begins_anew() {
        let mut job = job();
        job.step(2, begins("one")).unwrap();
        job.step(3, reports("one", 4, Some("half"))).unwrap();
        job.step(9, Event::Begins { token: "two".to_owned(), node: "b".to_owned(), resumes: false }).unwrap();
        assert_eq!((job.checkpoint, job.progress), (None, Progress::default()));
    }

    #[test]
    fn a_job_that_ends_its_nodes_fails() {
        let mut job = job();
        for attempt in 0..=MAX_LOST {
            job.step(2, begins(&attempt.to_string())).unwrap();
            assert_eq!(job.state, State::Running);
        }
        job.step(3, begins("last")).unwrap();
        assert_eq!(job.state, State::Failed);
        assert!(job.error.unwrap().contains("3 nodes ended"));
    }

    #[test]
    fn a_node_that_ends_in_good_order_is_none_that_was_lost() {
        let mut job = job();
        for _ in 0..2 * MAX_LOST {
            job.step(2, begins("one")).unwrap();
            job.step(3, Event::IsPutBack { token: "one".to_owned() }).unwrap();
            assert_eq!((job.state, job.lost), (State::Queued, 0));
        }
    }

    #[test]
    fn a_job_that_waits_is_cancelled_at_once_and_one_that_runs_is_asked() {
        let mut waits = job();
        waits.step(2, Event::IsCancelled).unwrap();
        assert_eq!((waits.state, waits.ended_ms), (State::Cancelled, Some(2)));
        let mut runs = job();
        runs.step(2, begins("one")).unwrap();
        runs.step(3, Event::IsCancelled).unwrap();
        assert_eq!((runs.state, runs.cancel_asked), (State::Running, true));
        runs.step(4, ends("one", Ending::Cancelled)).unwrap();
        assert_eq!(runs.state, State::Cancelled);
        assert_eq!(runs.step(5, begins("two")), Err(Refused::Over));
    }

    #[test]
    fn the_newer_job_comes_first_and_what_it_says_is_cut() {
        assert!(job_id(1_000, 0) > job_id(1_001, u32::MAX));
        let mut job = job();
        job.step(2, begins("one")).unwrap();
        job.step(3, ends("one", Ending::Failure("ä".repeat(5_000)))).unwrap();
        assert_eq!(job.error.unwrap().chars().count(), MAX_TEXT);
    }

    fn event() -> impl Strategy<Value = Event> {
        let token = || (0..4_u8).prop_map(|token| token.to_string());
        prop_oneof![
            (token(), any::<bool>()).prop_map(|(token, resumes)| Event::Begins {
                token,
                node: "a".to_owned(),
                resumes
            }),
            (token(), any::<u64>(), proptest::option::of("[a-z]{3}")).prop_map(
                |(token, done, checkpoint)| Event::Reports {
                    token,
                    progress: Progress { done, ..Progress::default() },
                    checkpoint
                }
            ),
            token().prop_map(|token| Event::Ends { token, ending: Ending::Cancelled }),
            token().prop_map(|token| Event::Ends { token, ending: Ending::Success(Outcome::default()) }),
            token().prop_map(|token| Event::IsPutBack { token }),
            Just(Event::IsCancelled),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_a_job_keeps_its_promises(events in proptest::collection::vec(event(), 0..60)) {
            let mut job = job();
            for (now_ms, event) in (2..).zip(events) {
                let before = job.clone();
                let taken = job.step(now_ms, event.clone());
                if taken.is_err() {
                    prop_assert_eq!(&job, &before, "a refused event changes nothing");
                }
                if before.state.is_over() {
                    prop_assert_eq!(taken, Err(Refused::Over));
                }
                prop_assert!(job.attempts >= before.attempts && job.lost >= before.lost);
                prop_assert!(job.cancel_asked >= before.cancel_asked, "it is not taken back");
                prop_assert_eq!(job.token.is_some(), job.state == State::Running);
                prop_assert_eq!(job.ended_ms.is_some(), job.state.is_over());
                prop_assert!(job.lost <= job.attempts);
                if let Event::Reports { token, .. } | Event::Ends { token, .. } = event {
                    prop_assert_eq!(taken.is_ok(), before.token == Some(token), "only its own attempt changes it");
                }
                let kept: Job = serde_json::from_slice(&serde_json::to_vec(&job).unwrap()).unwrap();
                prop_assert_eq!(&kept, &job);
            }
        }
    }
}
