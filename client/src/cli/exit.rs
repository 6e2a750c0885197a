//! How a command fails: what is printed, and the exit code.

use std::fmt::Write as _;
use std::io;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::check::Violation;
use super::flags::Flag;
use crate::ConnectError;

/// The exit codes, as the help tells them.
pub(super) const HELP: &str = "\
Exit codes:
  0   the call succeeded
  1   a file or the terminal could not be read or written
  2   the command line or the request is wrong; nothing was sent
  10+ the server's gRPC status: 13 INVALID_ARGUMENT, 14 DEADLINE_EXCEEDED, 15 NOT_FOUND,
      17 PERMISSION_DENIED, 18 RESOURCE_EXHAUSTED, 19 FAILED_PRECONDITION, 22 UNIMPLEMENTED,
      23 INTERNAL, 24 UNAVAILABLE (also when no server answers), 26 UNAUTHENTICATED

Try:
  marquee recommend 1
  marquee recommend --history.movie-ids 2571,1196,260 --filter.genres-any Sci-Fi --k 5
  marquee search matrix
  marquee rate 1 2571 5
  marquee recommendation recommend-stream < requests.jsonl";

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line or its JSON is wrong.
    Usage(String),
    /// The request breaks rules; it was not sent.
    Violations(Vec<Violation>),
    /// A line of the input is wrong.
    Line(usize, Box<Failure>),
    /// A named file cannot be used.
    File(String, io::Error),
    /// Reading or writing failed.
    Io(&'static str, io::Error),
    /// No server answers, or the connection options are wrong.
    Connect(ConnectError),
    /// The server refused or failed.
    Call(Box<Status>),
    /// The server answered that a service is not serving.
    NotServing(String),
}

impl Failure {
    /// Says in which line of the input it happened.
    pub(super) fn at_line(self, line: usize) -> Self {
        Self::Line(line, Box::new(self))
    }

    /// 10 + the gRPC status, 2 for what the caller typed, 1 for files.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Line(_, inner) => inner.exit_code(),
            Self::File(..) | Self::Io(..) => 1,
            Self::Connect(ConnectError::Unreachable { .. }) | Self::NotServing(_) => {
                status_code(Code::Unavailable)
            }
            Self::Usage(_) | Self::Violations(_) | Self::Connect(_) => 2,
            Self::Call(status) => status_code(status.code()),
        }
    }

    /// Whether the reader of our output went away, as `head` does.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(_, error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The text for a person; `flags` are those of the command, to name what to change.
    pub(super) fn message(&self, flags: &[Flag]) -> String {
        match self {
            Self::Usage(text) => format!("error: {text}"),
            Self::Violations(violations) => {
                let list = violations
                    .iter()
                    .map(|violation| (violation.field.as_str(), violation.description.as_str()));
                format!("error: the request was not sent{}", fields(list, flags))
            }
            Self::Line(line, inner) => format!("{} (line {line} of the input)", inner.message(flags)),
            Self::File(path, error) => format!("error: {path}: {error}"),
            Self::Io(doing, error) => format!("error: {doing}: {error}"),
            Self::Connect(error @ ConnectError::Unreachable { .. }) => {
                format!("error: {error}\n  name another server with --server or MARQUEE_SERVER")
            }
            Self::Connect(error) => format!("error: {error}"),
            Self::NotServing(status) => format!("error: the server answers {status}"),
            Self::Call(status) => call_message(status, flags),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Call(Box::new(status))
    }
}

fn status_code(code: Code) -> u8 {
    10 + i32::from(code) as u8
}

fn call_message(status: &Status, flags: &[Flag]) -> String {
    let details = status.get_error_details();
    let mut text = format!("error: {}: {}", code_name(status.code()), status.message());
    if let Some(bad_request) = details.bad_request() {
        let list = bad_request.field_violations.iter();
        text.push_str(&fields(
            list.map(|violation| (violation.field.as_str(), violation.description.as_str())),
            flags,
        ));
    }
    if let Some(reason) = details.error_info().map(|info| &info.reason).filter(|reason| !reason.is_empty()) {
        let _ = write!(text, "\n  reason: {reason}");
    }
    match details.retry_info().and_then(|info| info.retry_delay) {
        Some(delay) => {
            let _ = write!(text, "\n  try again in {delay:?}");
        }
        None => text.push_str(remedy_of(status.code())),
    }
    if let Some(id) = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok()) {
        let _ = write!(text, "\n  request id: {id}");
    }
    text
}

/// One line for each field: what is wrong, and which flag sets it.
fn fields<'a>(violations: impl Iterator<Item = (&'a str, &'a str)>, flags: &[Flag]) -> String {
    let mut text = String::new();
    for (field, description) in violations {
        let _ = write!(text, "\n  {field}: {description}");
        let plain = field.split('[').next().unwrap_or(field);
        if let Some(flag) = flags.iter().find(|flag| flag.dotted() == plain) {
            let _ = write!(text, " (--{})", flag.long());
        }
    }
    text
}

fn remedy_of(code: Code) -> &'static str {
    match code {
        Code::DeadlineExceeded => "\n  allow more time with --timeout",
        Code::Unavailable => "\n  the server is starting, draining or gone: look with `marquee health`",
        Code::Unauthenticated => "\n  give a key with --api-key or MARQUEE_API_KEY",
        Code::Unimplemented => {
            "\n  the server does not know this call: it is older than this client, or another service"
        }
        Code::ResourceExhausted => "\n  the server has too much to do: try again later",
        _ => "",
    }
}

/// The name as gRPC writes it: `INVALID_ARGUMENT`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_status_names_its_fields_reason_and_remedy() {
        let mut details =
            ErrorDetails::with_bad_request_violation("filter.year_min", "is 3000; 1870 to 2200 is accepted");
        details.set_error_info("BAD_FIELD", "marquee", std::collections::HashMap::new());
        let mut status = Status::with_error_details(Code::InvalidArgument, "1 field is wrong", details);
        status.metadata_mut().insert("x-request-id", "r-7".parse().unwrap());
        let failure = Failure::from(status);
        assert_eq!(
            failure.message(&[]),
            "error: INVALID_ARGUMENT: 1 field is wrong\n  filter.year_min: is 3000; 1870 to 2200 is \
             accepted\n  reason: BAD_FIELD\n  request id: r-7"
        );
        assert_eq!(failure.exit_code(), 13);
    }

    #[test]
    fn every_status_has_an_exit_code_of_its_own_above_the_usual_ones() {
        let codes: Vec<u8> = (1..=16).map(|code| status_code(Code::from_i32(code))).collect();
        assert_eq!(codes, (11..=26).collect::<Vec<u8>>());
    }
}
