//! One line of the log for every call that failed, and for some of those that did not.
//!
//! A person who was told a request id finds the call here; a person who runs the server sees what fails
//! and for whom. What the caller can mend is information, what the server could not do is a warning.
//!
//! Calls that fail alike, of one method with one status, have a few lines a second. Whoever is refused at once comes
//! back at once, and to write a line for each would cost more than the refusals.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use marquee_proto::code_name;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::caller::Caller;
use crate::telemetry::Protocol;

/// Lines a second of calls that fail alike.
const LINES: u32 = 10;

/// How the methods begin whose requests hold emails and passwords, of which the log says nothing.
const OF_PEOPLE: &str = "marquee.v1.AccountService/";

/// The status codes of gRPC, 0 to 16.
const CODES: usize = 17;

/// Which of the calls that end well have a line too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLog {
    /// Those that take at least so long.
    pub(crate) slow: Duration,
    /// Of the others one in so many, at random; none for 0.
    pub(crate) one_in: u32,
}

/// A call that has ended.
pub(super) struct Ended<'a> {
    pub(super) protocol: Protocol,
    /// The method, or `unknown`.
    pub(super) method: &'static str,
    pub(super) request_id: Option<&'a HeaderValue>,
    pub(super) caller: &'a Caller,
    pub(super) duration: Duration,
    /// What it came to; `None` for one that its caller left.
    pub(super) status: Option<&'a Status>,
}

impl CallLog {
    /// Writes the line of a call, if it has one.
    pub(super) fn write(self, call: &Ended<'_>, failures: &Failures) {
        match call.status.map_or(Code::Cancelled, Status::code) {
            Code::Ok if !self.wants(call.duration) => {}
            Code::Ok => {
                let Ended { method, caller, .. } = *call;
                let (request_id, duration_us) = (call.request_id(), call.duration_us());
                let protocol = call.protocol.name();
                tracing::info!(
                    parent: None, request_id, protocol, method, code = "OK", duration_us, %caller, "call ended"
                );
            }
            code => match failures.line(call.method, code) {
                Line::Written { left_out } => write_failure(call, code, left_out),
                Line::LastOfTheSecond => write_silence(call.method, code),
                Line::LeftOut => {}
            },
        }
    }

    /// Whether a call that ended well has a line.
    fn wants(self, duration: Duration) -> bool {
        duration >= self.slow || (self.one_in > 0 && rand::random_ratio(1, self.one_in))
    }
}

impl Ended<'_> {
    pub(super) fn request_id(&self) -> Option<&str> {
        self.request_id.and_then(|id| id.to_str().ok())
    }

    fn duration_us(&self) -> u64 {
        self.duration.as_micros() as u64
    }
}

/// What becomes of the line of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// It is written, with how many were left out since the last one, if any were.
    Written { left_out: Option<u32> },
    /// It says that those after it are left out.
    LastOfTheSecond,
    /// There is none.
    LeftOut,
}

/// How many calls have failed in this second, of each method and status.
pub(super) struct Failures {
    began: Instant,
    tallies: HashMap<&'static str, [Tally; CODES]>,
}

impl Failures {
    /// Of these methods.
    pub(super) fn of(methods: impl IntoIterator<Item = &'static str>) -> Self {
        let tallies = methods.into_iter().map(|method| (method, Default::default()));
        Self { began: Instant::now(), tallies: tallies.collect() }
    }

    fn line(&self, method: &'static str, code: Code) -> Line {
        let tally = self.tallies.get(method).and_then(|codes| codes.get(code as usize));
        let now = self.began.elapsed().as_secs() as u32;
        tally.map_or(Line::Written { left_out: None }, |tally| tally.line(now))
    }
}

/// A second, in the upper half, and how many calls failed in it.
#[derive(Default)]
struct Tally(AtomicU64);

impl Tally {
    /// Counts a call that failed in the second `now`.
    fn line(&self, now: u32) -> Line {
        let counted = |tally: u64| match (tally >> 32) as u32 {
            second if second >= now => tally.saturating_add(1),
            _ => u64::from(now) << 32 | 1,
        };
        let before = self.0.update(Ordering::Relaxed, Ordering::Relaxed, counted);
        let (second, count) = ((before >> 32) as u32, before as u32);
        if second >= now {
            match count {
                0..LINES => Line::Written { left_out: None },
                LINES => Line::LastOfTheSecond,
                _ => Line::LeftOut,
            }
        } else {
            Line::Written { left_out: count.checked_sub(LINES).filter(|left_out| *left_out > 0) }
        }
    }
}

fn write_silence(method: &'static str, code: Code) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                parent: None, method, code = code_name(code),
                "more calls failed like this; they have no line until the next second"
            )
        };
    }
    if is_the_servers(code) {
        line!(warn);
    } else {
        line!(info);
    }
}

fn write_failure(call: &Ended<'_>, code: Code, left_out: Option<u32>) {
    let Ended { method, caller, status, .. } = *call;
    let (request_id, protocol, duration_us) = (call.request_id(), call.protocol.name(), call.duration_us());
    let reason = status.and_then(Status::get_details_error_info).map(|info| info.reason);
    // What is wrong with a request repeats some of it, such as the name of a field that there is not.
    let is_told = code != Code::InvalidArgument || !method.starts_with(OF_PEOPLE);
    let (reason, error) = (reason.as_deref(), status.map(Status::message).filter(|_| is_told));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                parent: None, request_id, protocol, method, code = code_name(code), reason, duration_us, %caller, error,
                left_out, "call failed"
            )
        };
    }
    if is_the_servers(code) {
        line!(warn);
    } else {
        line!(info);
    }
}

/// Whether it is for those who run the server to do something, and not for the caller.
fn is_the_servers(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHOD: &str = "marquee.v1.CatalogService/GetMovie";
    const WRITTEN: Line = Line::Written { left_out: None };

    #[tokio::test(start_paused = true)]
    async fn calls_that_fail_alike_have_a_few_lines_a_second_and_a_count_of_the_others() {
        let failures = Failures::of([METHOD]);
        let lines = || (0..1_000).map(|_| failures.line(METHOD, Code::ResourceExhausted));
        let written = |lines: Vec<Line>| lines.iter().filter(|line| **line == WRITTEN).count();
        let first: Vec<Line> = lines().collect();
        assert_eq!(first[LINES as usize], Line::LastOfTheSecond);
        assert_eq!(written(first), LINES as usize);
        assert_eq!(written(lines().collect()), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        let next = failures.line(METHOD, Code::ResourceExhausted);
        assert_eq!(next, Line::Written { left_out: Some(2_000 - LINES) });
        assert_eq!(written(lines().collect()), LINES as usize - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_failure_does_not_hide_another() {
        let failures = Failures::of([METHOD, "unknown"]);
        for _ in 0..1_000 {
            failures.line(METHOD, Code::ResourceExhausted);
        }
        assert_eq!(failures.line(METHOD, Code::Internal), WRITTEN);
        assert_eq!(failures.line("unknown", Code::ResourceExhausted), WRITTEN);
    }

    #[test]
    fn every_code_has_a_tally() {
        assert_eq!(Code::Unauthenticated as usize, CODES - 1);
    }
}
