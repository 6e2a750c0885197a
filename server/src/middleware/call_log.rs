//! One line of the log for every call that failed, and for some of those that did not.
//!
//! A person who was told a request id finds the call here; a person who runs the server sees what fails
//! and for whom. What the caller can mend is information, what the server could not do is a warning.

use std::time::Duration;

use http::HeaderValue;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::caller::Caller;
use super::observe::name_of;

/// Which of the calls that end well have a line too.
#[derive(Clone, Copy, Debug)]
pub struct CallLog {
    /// Those that take at least so long.
    pub slow: Duration,
    /// Of the others one in so many, at random; none for 0.
    pub one_in: u32,
}

/// A call that has ended.
pub(super) struct Ended<'a> {
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
    pub(super) fn write(self, call: &Ended<'_>) {
        match call.status.map_or(Code::Cancelled, Status::code) {
            Code::Ok if !self.wants(call.duration) => {}
            Code::Ok => {
                let Ended { method, caller, .. } = *call;
                let (request_id, duration_us) = (call.request_id(), call.duration_us());
                tracing::info!(parent: None, request_id, method, code = "OK", duration_us, %caller, "call ended");
            }
            code => write_failure(call, code),
        }
    }

    /// Whether a call that ended well has a line.
    fn wants(self, duration: Duration) -> bool {
        duration >= self.slow || (self.one_in > 0 && rand::random_ratio(1, self.one_in))
    }
}

impl Ended<'_> {
    fn request_id(&self) -> Option<&str> {
        self.request_id.and_then(|id| id.to_str().ok())
    }

    fn duration_us(&self) -> u64 {
        self.duration.as_micros() as u64
    }
}

fn write_failure(call: &Ended<'_>, code: Code) {
    let Ended { method, caller, status, .. } = *call;
    let (request_id, duration_us) = (call.request_id(), call.duration_us());
    let reason = status.and_then(Status::get_details_error_info).map(|info| info.reason);
    let (reason, error) = (reason.as_deref(), status.map(Status::message));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                parent: None, request_id, method, code = name_of(code), reason, duration_us, %caller, error,
                "call failed"
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
