//! How a command fails: what is printed, and the exit code.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use marquee_core::text::printable;
use marquee_proto::{Violation, code_name};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::flags::Flag;
use super::layout::beside_names;
use super::progress::Progress;
use crate::ConnectError;
use crate::connection::root_cause;

/// The exit codes below those of gRPC, and what they mean.
const OWN_CODES: [(u8, &str); 7] = [
    (0, "the call succeeded; for health: the server is serving"),
    (1, "a file or the terminal could not be read or written"),
    (2, "the command line, the request or the first line of a stream is wrong; nothing was sent"),
    (
        STREAM_BROKEN_OFF,
        "a later line of a stream is wrong; those before it were sent: the error says up to which one, \
         the reply what became of them",
    ),
    (JOB_FAILED, "the job that was followed failed or was cancelled"),
    (MODEL_REFUSED, "for retrain: the new model is no match for the one in service, which stays"),
    (COMMAND_FAILED, "for retrain: a command of the training failed"),
];

/// What the statuses mean here that a script may meet.
const STATUSES: [(Code, &str); 11] = [
    (Code::InvalidArgument, "the server refuses a field; the error names it"),
    (Code::DeadlineExceeded, "the answer did not come within --timeout"),
    (Code::NotFound, "there is no such user, movie, model or service"),
    (Code::PermissionDenied, "the key does not open this call"),
    (Code::ResourceExhausted, "the server has too much to do, or was asked for too much; try again later"),
    (Code::FailedPrecondition, "the server is not in the state for this call"),
    (Code::OutOfRange, "the reader was too slow, or the place to go on from is no longer kept"),
    (Code::Unimplemented, "the server does not know the call"),
    (Code::Internal, "the server failed; its log says why"),
    (Code::Unavailable, "no server answers, or it is starting or draining; for health: it is not serving"),
    (Code::Unauthenticated, "the server wants another key"),
];

/// The exit code of a stream of which a part was sent.
const STREAM_BROKEN_OFF: u8 = 3;

/// The exit code of a job that was followed to an end that is no success.
const JOB_FAILED: u8 = 4;

/// The exit code of a model that is not activated since the gate refuses it.
const MODEL_REFUSED: u8 = 5;

/// The exit code of a command that a configuration names and that failed.
const COMMAND_FAILED: u8 = 6;

/// Every exit code and what it means.
fn codes() -> Vec<(String, String)> {
    let own = OWN_CODES.iter().map(|(code, meaning)| (code.to_string(), (*meaning).to_owned()));
    let statuses = STATUSES
        .iter()
        .map(|(code, meaning)| (status_code(*code).to_string(), format!("{}: {meaning}", code_name(*code))));
    let other = ("10 + n".to_owned(), "the gRPC status n".to_owned());
    own.chain(statuses).chain([other]).collect()
}

/// What stands below the help: the exit codes, and what to try.
pub(super) fn help() -> String {
    let codes: Vec<_> = codes().into_iter().map(|(code, meaning)| (format!("  {code}"), meaning)).collect();
    format!("Exit codes:\n{}\n\n{TRY}", beside_names(&codes, HELP_WIDTH))
}

/// The width that the help is written for; clap breaks no line that is shorter.
const HELP_WIDTH: usize = 80;

const TRY: &str = "\
Try:
  marquee recommend 1
  marquee recommend --history.movie-ids 2571,1196,260 --filter.genres-any Sci-Fi
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
    /// A stream ended early, after a part of it was sent.
    Stream(Box<Failure>, Progress),
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
    /// The job that was followed did not succeed.
    Job(String),
    /// A model is not good enough.
    Refused(String),
    /// A command failed that a configuration names.
    Command(String),
}

impl Failure {
    /// Says in which line of the input it happened.
    pub(super) fn at_line(self, line: usize) -> Self {
        Self::Line(line, Box::new(self))
    }

    /// 10 + the gRPC status, 2 for what the caller typed, unless a part of it was sent, 1 for files.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Line(_, inner) => inner.exit_code(),
            Self::Stream(cause, _) => match cause.exit_code() {
                2 => STREAM_BROKEN_OFF,
                code => code,
            },
            Self::File(..) | Self::Io(..) => 1,
            Self::Job(_) => JOB_FAILED,
            Self::Refused(_) => MODEL_REFUSED,
            Self::Command(_) => COMMAND_FAILED,
            Self::Connect(ConnectError::Unreachable { .. }) | Self::NotServing(_) => {
                status_code(Code::Unavailable)
            }
            Self::Usage(_) | Self::Violations(_) | Self::Connect(_) => 2,
            Self::Call(status) => status_code(status.code()),
        }
    }

    /// Whether the reader of our output went away, as `head` does.
    pub(super) fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Io(_, error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Stream(cause, _) => cause.is_broken_pipe(),
            _ => false,
        }
    }

    /// The text for a person; `flags` are those of the command, to name what to change.
    pub(super) fn message(&self, flags: &[Flag]) -> String {
        match self {
            Self::Usage(text) => format!("error: {text}"),
            Self::Violations(violations) => {
                format!("error: the request was not sent{}", violated(violations, flags))
            }
            // The fields of a stream have no flags.
            Self::Line(line, inner) => match &**inner {
                Self::Violations(violations) => {
                    format!("error: line {line} of the input was not sent{}", violated(violations, &[]))
                }
                other => format!("{} (line {line} of the input)", other.message(&[])),
            },
            Self::Stream(cause, progress) => format!("{}\n  {progress}", cause.message(&[])),
            Self::File(path, error) => format!("error: {path}: {error}"),
            Self::Io(doing, error) => format!("error: {doing}: {error}"),
            Self::Connect(error @ ConnectError::Unreachable { .. }) => {
                format!("error: {error}\n  name another server with --server or MARQUEE_SERVER")
            }
            Self::Connect(error) => format!("error: {error}"),
            Self::NotServing(status) => format!("error: the server answers {status}"),
            Self::Job(why) | Self::Command(why) => format!("error: {why}"),
            Self::Refused(why) => format!("the new model is not activated: {why}"),
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
    let mut text = format!("error: {}: {}", code_name(status.code()), printable(status.message()));
    if let Some(bad_request) = details.bad_request() {
        let list = bad_request.field_violations.iter();
        text.push_str(&fields(
            list.map(|violation| (violation.field.as_str(), violation.description.as_str())),
            flags,
        ));
    }
    if let Some(cause) = status.source() {
        let _ = write!(text, "\n  cause: {}", printable(&root_cause(cause)));
    }
    if let Some(reason) = details.error_info().map(|info| &info.reason).filter(|reason| !reason.is_empty()) {
        let _ = write!(text, "\n  reason: {}", printable(reason));
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

fn violated(violations: &[Violation], flags: &[Flag]) -> String {
    fields(
        violations.iter().map(|violation| (violation.field.as_str(), violation.description.as_str())),
        flags,
    )
}

/// One line for each field: what is wrong, and which flag sets it.
fn fields<'a>(violations: impl Iterator<Item = (&'a str, &'a str)>, flags: &[Flag]) -> String {
    let mut text = String::new();
    for (field, description) in violations {
        let _ = write!(text, "\n  {}: {}", printable(field), printable(description));
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

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::super::progress::Answer;
    use super::*;

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
    fn what_happened_to_the_connection_of_a_call_is_told() {
        let status = Status::from_error(Box::new(io::Error::other("this port speaks TLS")));
        let message = Failure::from(status).message(&[]);
        assert!(message.contains("cause: this port speaks TLS"), "{message}");
    }

    #[test]
    fn what_a_server_says_cannot_command_the_terminal() {
        let hostile = "\u{1b}]0;x\u{7}\n\u{9b}31m\u{202e}";
        let mut details = ErrorDetails::with_bad_request_violation(hostile, hostile);
        details.set_error_info(hostile, "marquee", std::collections::HashMap::new());
        let failure = Failure::from(Status::with_error_details(Code::NotFound, hostile, details));
        let text = failure.message(&[]);
        assert!(!text.replace('\n', "").contains(marquee_core::text::is_command), "{text:?}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(text.matches(r"\u{1b}]0;x\u{7}\n\u{9b}31m\u{202e}").count(), 4, "{text}");
    }

    #[test]
    fn the_readme_has_the_table_of_the_exit_codes() {
        let mut table = String::from("| exit code | meaning |\n|---|---|\n");
        for (code, meaning) in codes() {
            writeln!(table, "| {code} | {meaning} |").unwrap();
        }
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&table), "put this table into client/README.md:\n{table}");
    }

    #[test]
    fn a_stream_says_how_far_it_came_and_exits_as_one_of_which_a_part_was_sent() {
        let progress = Progress { sent: 3606, last_line: 3610, answer: Answer::Whole };
        let cause = Failure::Usage("the line is wrong".to_owned()).at_line(3612);
        let failure = Failure::Stream(Box::new(cause), progress.clone());
        assert_eq!(
            failure.message(&[]),
            "error: the line is wrong (line 3612 of the input)\n  3606 messages were sent, up to line 3610; the \
             reply says what became of them"
        );
        assert_eq!(failure.exit_code(), 3);
        let lost = Failure::Stream(Box::new(Status::unavailable("gone").into()), progress);
        assert_eq!(lost.exit_code(), 24);
    }

    #[test]
    fn every_status_has_an_exit_code_of_its_own_above_the_usual_ones() {
        let codes: Vec<u8> = (1..=16).map(|code| status_code(Code::from_i32(code))).collect();
        assert_eq!(codes, (11..=26).collect::<Vec<u8>>());
    }
}
