//! The one map from what went wrong to a gRPC status, with what the caller can do in its details.

use std::time::Duration;

use marquee_proto::{Violation, v1};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::catalog::{CatalogError, GenreList};
use crate::domain::{MovieId, UserId};
use crate::engine::EngineError;
use crate::events::EventsError;
use crate::recommend::RecommendError;
use crate::store::StoreError;

/// The domain of the reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "marquee";

/// The reason for a deadline that is missed, wherever that is seen.
const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";

/// How long a caller should wait before it asks again where nothing better is known.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// Everything that a handler answers instead of a reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// Fields break their rules.
    #[error("{}", describe(.0))]
    Invalid(Vec<Violation>),
    /// The movie that the call is about does not exist.
    #[error("movie {0} is not in the catalogue; SearchMovies finds ids by title")]
    UnknownMovie(MovieId),
    /// The user that the call is about does not exist.
    #[error("user {0} is unknown; RegisterUser or RecordInteraction creates users")]
    UnknownUser(UserId),
    /// The caller calls more often than it may.
    #[error("{method} is called too often; wait for the time in RetryInfo")]
    CalledTooOften {
        /// The method, as `package.Service/Method`.
        method: &'static str,
        /// When a call may be made again.
        retry_after: Duration,
    },
    /// No more callers may watch this node.
    #[error("too many callers watch this node; watch another one, or wait for the time in RetryInfo")]
    TooManyWatchers {
        /// When there may be room again.
        retry_after: Duration,
    },
    /// The caller's deadline passed while a handler was at work.
    #[error("the deadline passed before the answer")]
    DeadlinePassed,
    /// A message is larger than the settings allow.
    #[error(
        "a message has more than {limit} bytes; send less at once, or let the server take more by --max-message-kib"
    )]
    MessageTooLarge {
        /// The most bytes that a message may have.
        limit: usize,
    },
    /// The server ends while a stream is open.
    #[error("the server is shutting down; go on with another node, or with this one once it is back")]
    Draining,
    /// A bundle is refused.
    #[error("{0}")]
    Bundle(String),
    /// The pipeline refused or failed.
    #[error(transparent)]
    Recommend(#[from] RecommendError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event stream cannot be followed.
    #[error(transparent)]
    Events(#[from] EventsError),
}

impl ApiError {
    /// One bad field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// The fields at fault, if any are.
    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(violations) => violations.clone(),
            Self::Recommend(RecommendError::Filter(error @ CatalogError::UnknownGenre { list, .. })) => {
                vec![Violation { field: field_of(*list).to_owned(), description: error.to_string() }]
            }
            _ => Vec::new(),
        }
    }

    /// The same error as a part of a reply that carries several outcomes.
    pub fn into_call_error(self) -> v1::CallError {
        let field = self.violations().into_iter().next().map(|violation| violation.field);
        let status = Status::from(self);
        v1::CallError {
            code: status.code() as i32,
            message: status.message().to_owned(),
            field: field.unwrap_or_default(),
        }
    }
}

/// The field of a request that holds a filter's list of genres.
pub(super) fn field_of(list: GenreList) -> &'static str {
    match list {
        GenreList::Any => "filter.genres_any",
        GenreList::All => "filter.genres_all",
        GenreList::None => "filter.genres_none",
    }
}

fn describe(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(|violation| format!("{} {}", violation.field, violation.description))
        .collect::<Vec<_>>()
        .join("; ")
}

/// A status before it is put together.
struct Verdict {
    code: Code,
    reason: &'static str,
    retry: Option<Duration>,
}

const fn verdict(code: Code, reason: &'static str) -> Verdict {
    Verdict { code, reason, retry: None }
}

const fn retryable(code: Code, reason: &'static str, after: Duration) -> Verdict {
    Verdict { code, reason, retry: Some(after) }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut details = ErrorDetails::new();
        for violation in error.violations() {
            details.add_bad_request_violation(violation.field, violation.description);
        }
        let verdict = match &error {
            ApiError::Invalid(_) => verdict(Code::InvalidArgument, "INVALID_FIELD"),
            ApiError::CalledTooOften { retry_after, .. } => {
                retryable(Code::ResourceExhausted, "CALLED_TOO_OFTEN", *retry_after)
            }
            ApiError::TooManyWatchers { retry_after } => {
                retryable(Code::ResourceExhausted, "TOO_MANY_WATCHERS", *retry_after)
            }
            ApiError::Draining => retryable(Code::Unavailable, "SHUTTING_DOWN", STORE_RETRY),
            ApiError::Events(EventsError::Lost(_)) => verdict(Code::OutOfRange, "EVENTS_LOST"),
            ApiError::Events(EventsError::Unavailable(_)) => {
                retryable(Code::Unavailable, "EVENTS_UNAVAILABLE", STORE_RETRY)
            }
            ApiError::DeadlinePassed => verdict(Code::DeadlineExceeded, DEADLINE_EXCEEDED),
            ApiError::MessageTooLarge { .. } => verdict(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
            ApiError::UnknownMovie(_) => verdict(Code::NotFound, "UNKNOWN_MOVIE"),
            ApiError::UnknownUser(_) => verdict(Code::NotFound, "UNKNOWN_USER"),
            ApiError::Bundle(_) => verdict(Code::FailedPrecondition, "BUNDLE_REFUSED"),
            ApiError::Store(error) => of_store(error),
            ApiError::Recommend(error) => match error {
                RecommendError::Engine(error) => of_engine(error),
                RecommendError::Store(error) => of_store(error),
                RecommendError::Filter(CatalogError::UnknownGenre { .. }) => {
                    verdict(Code::InvalidArgument, "UNKNOWN_GENRE")
                }
                RecommendError::UnknownMovie(_) => verdict(Code::NotFound, "UNKNOWN_MOVIE"),
                RecommendError::NothingToEncode(_) => verdict(Code::NotFound, "NOTHING_TO_ENCODE"),
            },
        };
        details.set_error_info(verdict.reason, DOMAIN, []);
        if let Some(after) = verdict.retry {
            details.set_retry_info(Some(after));
        }
        Self::with_error_details(verdict.code, error.to_string(), details)
    }
}

fn of_engine(error: &EngineError) -> Verdict {
    match error {
        EngineError::Overloaded { retry_after, .. } => {
            retryable(Code::ResourceExhausted, "QUEUE_FULL", *retry_after)
        }
        EngineError::DeadlineExceeded { .. } => verdict(Code::DeadlineExceeded, DEADLINE_EXCEEDED),
        EngineError::UnknownVersion(_) => verdict(Code::FailedPrecondition, "MODEL_VERSION_NOT_LOADED"),
        EngineError::BadJob(_) => verdict(Code::Internal, "BAD_JOB"),
        EngineError::Backend(_) => retryable(Code::Unavailable, "MODEL_FAILED", STORE_RETRY),
        EngineError::OutOfService(_) => retryable(Code::Unavailable, "MODEL_OUT_OF_SERVICE", STORE_RETRY),
        EngineError::ShuttingDown => retryable(Code::Unavailable, "SHUTTING_DOWN", STORE_RETRY),
    }
}

fn of_store(error: &StoreError) -> Verdict {
    match error {
        StoreError::Unavailable(_) => retryable(Code::Unavailable, "STORE_UNAVAILABLE", STORE_RETRY),
        StoreError::Timeout => retryable(Code::Unavailable, "STORE_TIMEOUT", STORE_RETRY),
        StoreError::Corrupt(_) | StoreError::Damaged(_) => verdict(Code::DataLoss, "STORE_CORRUPT"),
        StoreError::Schema { .. } | StoreError::Open(_) => {
            verdict(Code::FailedPrecondition, "STORE_NOT_USABLE")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_field_is_named_in_the_details() {
        let status = Status::from(ApiError::invalid("k", "is 501; 1 to 500 is accepted"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "k is 501; 1 to 500 is accepted");
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "k");
        assert_eq!(details.error_info().unwrap().reason, "INVALID_FIELD");
    }

    #[test]
    fn an_overloaded_engine_says_when_to_try_again() {
        let error = EngineError::Overloaded { depth: 9, retry_after: Duration::from_millis(40) };
        let status = Status::from(ApiError::Recommend(error.into()));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let retry = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(retry, Some(Duration::from_millis(40)));
    }

    #[test]
    fn an_error_inside_a_reply_keeps_code_and_field() {
        let error = ApiError::invalid("requests[3].k", "is 0").into_call_error();
        assert_eq!((error.code, error.field.as_str()), (3, "requests[3].k"));
    }
}
