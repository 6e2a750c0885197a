//! The one map from what went wrong to a gRPC status, with what the caller can do in its details.
//!
//! A status travels in headers, of which clients take few KiB. So message and details together have at most
//! [`MAX_STATUS_BYTES`] as they are sent, whatever they quote.

use std::time::Duration;

use marquee_core::domain::{MovieId, UserId};
use marquee_core::text::{list, printable};
use marquee_engine::{EngineError, ModelSetError};
use marquee_proto::{DOMAIN, INVALID_FIELD, MAX_KEY_BYTES, UNDECODABLE, Violation, v1};
use marquee_store::StoreError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::shorten::shorten;
use crate::access::accounts::{AccountError, SessionError};
use crate::access::{KeyError, Refusal};
use crate::catalog::{CatalogError, GenreList};
use crate::experiments::ExperimentError;
use crate::jobs::{AddError, ChangeError, NoJob, ScheduleError, WhenError};
use crate::keys::{MovieKeysError, UserKeyError};
use crate::recommend::RecommendError;
use crate::registry::RegistryError;
use crate::shared::events::EventsError;
use crate::writes::{PutMoviesError, UserIdError};

/// Most bytes of a status in headers: the message percent-encoded, the details in base64.
pub const MAX_STATUS_BYTES: usize = 4096;

/// Most bytes of a message as it is sent.
pub(crate) const MESSAGE_BYTES: usize = 1200;

/// Most bytes of the details before they are base64, which makes four of three.
const DETAILS_BYTES: usize = (MAX_STATUS_BYTES - MESSAGE_BYTES) / 4 * 3;

/// What the details have beside the message and the violations: type names, reason, domain, time to wait.
const FRAME_BYTES: usize = 300;

/// What a violation has in the details beside its texts.
const VIOLATION_BYTES: usize = 12;

/// Most bytes of what is said about one field.
const DESCRIPTION_BYTES: usize = 400;

/// Most bytes of a list of fields within a message.
const LIST_BYTES: usize = 600;

/// The reason of a message that is larger than it may be, as it comes or unpacked.
pub(crate) const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";

/// The reason for a deadline that is missed, wherever that is seen.
const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";

/// The reason for a version that names no loaded model, in a request that pins it or one that is about it.
const MODEL_NOT_LOADED: &str = "MODEL_VERSION_NOT_LOADED";

/// How long a caller should wait before it asks again where nothing better is known.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// How long a caller should wait for an answer of its own, whose place comes free then.
const SHARE_RETRY: Duration = Duration::from_millis(100);

/// How long a caller should wait when others' requests are half sent.
const RECEIVE_RETRY: Duration = Duration::from_secs(1);
/// How long an import should wait for those before it.
const IMPORT_RETRY: Duration = Duration::from_secs(1);

/// How long an upload should wait for the one before it.
const UPLOAD_RETRY: Duration = Duration::from_secs(5);

/// How long a job should wait for those before it.
const JOB_RETRY: Duration = Duration::from_mins(1);

/// How long a bundle should wait for the one that is being loaded.
const LOAD_RETRY: Duration = Duration::from_secs(2);

/// Everything that a handler answers instead of a reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// Fields break their rules.
    #[error("{}", describe(.0))]
    Invalid(Vec<Violation>),
    /// The movie that the call is about does not exist.
    #[error("movie {0} is not in the catalogue; SearchMovies finds ids by title")]
    UnknownMovie(MovieId),
    /// Nobody knows the movie that the call is about by its key.
    #[error("no movie of the catalogue has the key {0:?}; ImportMovies brings movies in by their keys")]
    UnknownMovieKey(String),
    /// The user that the call is about does not exist.
    #[error("user {0} is unknown; RegisterUser or RecordInteraction creates users")]
    UnknownUser(UserId),
    /// Nobody knows the user that the call is about by their key.
    #[error("no user has the key {0:?}; RegisterUser or RecordInteraction creates users")]
    UnknownUserKey(String),
    /// The rule that the call is about does not exist.
    #[error("there is no rule {0:?}; ListRules says which there are")]
    UnknownRule(String),
    /// Nobody may look for users.
    #[error("similar users are not looked for; start the server with --similar-users on")]
    SimilarUsersOff,
    /// Nobody knows who calls.
    #[error(transparent)]
    Unidentified(#[from] Refusal),
    /// A service calls what is for people who have signed in.
    #[error("this is for people who have signed in; an API key has no session and no password")]
    NotAPerson,
    /// Something is not done with an account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The caller's role does not have the method.
    #[error("you may not call {method}; ask who runs the server for a role that may")]
    MethodNotPermitted {
        /// The method, as `package.Service/Method`.
        method: &'static str,
    },
    /// The caller's role does not have such requests.
    #[error(
        "you may not ask for this: your role has bounds, such as a user of your own, how many, or which models; ask \
         who runs the server"
    )]
    RequestNotPermitted,
    /// A key is not made or changed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The caller calls more often than it may.
    #[error("{method} is called too often; wait for the time in RetryInfo")]
    RateLimited {
        /// The method, as `package.Service/Method`.
        method: &'static str,
        /// When a call may be made again.
        retry_after: Duration,
    },
    /// The caller has its share of the calls in flight.
    #[error(
        "you have as many calls in flight as one caller may; wait for one of them, and the time in RetryInfo"
    )]
    ShareTaken,
    /// More calls are in flight than can be answered before the caller's deadline.
    #[error(
        "the server is overloaded and would not answer before the deadline; wait for the time in RetryInfo, or \
         ask another node"
    )]
    Overloaded {
        /// When a call may be let in again.
        retry_after: Duration,
    },
    /// No more callers may watch this node.
    #[error("too many callers watch this node; watch another one, or wait for the time in RetryInfo")]
    TooManyWatchers {
        /// When there may be room again.
        retry_after: Duration,
    },
    /// No more callers at this address may watch this node.
    #[error(
        "too many callers at your address watch this node; watch another one, or wait for the time in RetryInfo"
    )]
    TooManyWatchersOfAddress {
        /// When there may be room again.
        retry_after: Duration,
    },
    /// The caller does not read what it is sent.
    #[error("the replies were not read in time; read them as they come, and go on after the last one")]
    StalledReader,
    /// The caller's deadline passed while a handler was at work.
    #[error("the deadline passed before the answer")]
    DeadlinePassed,
    /// The bytes of a message are none.
    #[error("the message cannot be decoded: {0}")]
    Undecodable(String),
    /// The call does not say that it is gRPC with Protobuf.
    #[error("the content type is {found:?}; application/grpc and application/grpc+proto are accepted")]
    ContentType {
        /// What it says.
        found: String,
    },
    /// A request of HTTP does not say once, and as it should, which host it is for.
    #[error("the request must say once for which host it is, as HOST or HOST:PORT")]
    HostHeader,
    /// A request of HTTP is for another host.
    #[error(
        "the host {host:?} is not served; call the server by its address or as localhost, or let it be called by that name by --allowed-hosts"
    )]
    HostNotAllowed {
        /// Which host it is for.
        host: String,
    },
    /// A request of HTTP comes from a page of somebody else.
    #[error("pages of {origin:?} may not call this server; let them by --cors-origins")]
    OriginNotAllowed {
        /// Whose page it is.
        origin: String,
    },
    /// The time that the caller gives cannot be read.
    #[error("grpc-timeout must be 1 to 8 digits and a unit of H, M, S, m, u or n")]
    Timeout,
    /// The time that a caller of HTTP gives cannot be read.
    #[error("connect-timeout-ms must be 1 to 10 digits")]
    ConnectTimeout,
    /// A request of HTTP cannot be read as one of Connect.
    #[error("{0}")]
    Connect(String),
    /// What the body of a request is said to be is not served.
    #[error("the content type is {found:?}; {accepted} is accepted")]
    MediaType {
        /// What it is said to be.
        found: String,
        /// What it may be.
        accepted: &'static str,
    },
    /// A body is compressed by something else than what is served.
    #[error("unknown compression {found:?}: supported encodings are gzip, identity")]
    Compression {
        /// By what.
        found: String,
    },
    /// A stream is called as if it were none.
    #[error("{method} is a stream; call it by gRPC or gRPC-web")]
    StreamOverHttp {
        /// The method, as `package.Service/Method`.
        method: String,
    },
    /// There is nothing at a path.
    #[error("there is nothing at {path:?}; /openapi.json lists what there is")]
    UnknownPath {
        /// The path, or its beginning.
        path: String,
    },
    /// A path is asked by another verb than those that it has.
    #[error("{path:?} takes {allowed}; /openapi.json lists what there is")]
    Verb {
        /// The path, or its beginning.
        path: String,
        /// As `Allow` has them.
        allowed: String,
    },
    /// The server has no such method.
    #[error(
        "there is no method {path:?}; grpc.reflection.v1.ServerReflection lists those that this server has"
    )]
    UnknownMethod {
        /// The path of the call, or its beginning.
        path: String,
    },
    /// A message is larger than the settings allow.
    #[error(
        "a message has more than {limit} bytes; send less at once, or let the server take more by --max-message-kib"
    )]
    MessageTooLarge {
        /// The most bytes that a message may have.
        limit: usize,
    },
    /// The requests that have not arrived whole hold all the memory that they may.
    #[error("too many requests are half sent; send the rest of yours, or wait for the time in RetryInfo")]
    ReceiveBufferFull,
    /// A request did not arrive whole in its time.
    #[error(
        "the request did not arrive whole within {0:?}; send less at once, or let the server wait longer by --receive-timeout"
    )]
    ReceiveTimeout(Duration),
    /// A compressed message is longer than it may be before it is unpacked.
    #[error("a compressed message has more than {limit} bytes; send less at once, or send it uncompressed")]
    CompressedTooLarge {
        /// The most bytes that a compressed message may have.
        limit: usize,
    },
    /// The server ends while a stream is open.
    #[error("the server is shutting down; go on with another node, or with this one once it is back")]
    Draining,
    /// The folder of a bundle is not one that callers may name, or not there.
    #[error(
        "there is no bundle in that folder that callers may load; put it below the server's --bundles-dir, with no links \
         out of that"
    )]
    BundleNotPermitted,
    /// A bundle is refused.
    #[error("{0}")]
    Bundle(String),
    /// There is no room for a further model.
    #[error("{0}")]
    NoRoomForModel(String),
    /// A loaded model stays as it is.
    #[error(transparent)]
    Models(#[from] ModelSetError),
    /// A bundle has to wait until another one is loaded.
    #[error("{0}; wait for the time in RetryInfo")]
    LoadingAnother(String),
    /// The registry does not do something.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Nothing came of an upload for too long.
    #[error("nothing more came of the upload for a minute; send it again")]
    UploadStalled,
    /// Movies were not written.
    #[error(transparent)]
    PutMovies(#[from] PutMoviesError),
    /// The pipeline refused or failed.
    #[error(transparent)]
    Recommend(#[from] RecommendError),
    /// There are as many rules as there may be.
    #[error("{0}")]
    TooManyRules(String),
    /// Something is not done with an experiment.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// The caller may not choose an arm.
    #[error("you may not ask for an arm; ask who runs the server for a role that may change experiments")]
    ArmNotPermitted,
    /// A job is not there, or not changed.
    #[error(transparent)]
    Job(#[from] ChangeError),
    /// A job is not taken.
    #[error(transparent)]
    AddJob(#[from] AddError),
    /// There is no such schedule.
    #[error("{0}")]
    UnknownSchedule(String),
    /// A schedule is not changed over the API, or there are as many as may be.
    #[error("{0}")]
    ScheduleKept(String),
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

    /// A field that is no key of a caller's.
    pub(super) fn no_key(field: impl Into<String>) -> Self {
        Self::invalid(field, format!("must have 1 to {MAX_KEY_BYTES} bytes"))
    }

    /// The fields at fault, if any are.
    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(violations) => violations.clone(),
            Self::Experiment(ExperimentError::Fault(fault)) => {
                vec![Violation { field: fault.field.clone(), description: fault.description.clone() }]
            }
            Self::Recommend(RecommendError::Filter(error @ CatalogError::UnknownGenre { list, .. })) => {
                vec![Violation { field: field_of(*list).to_owned(), description: error.to_string() }]
            }
            _ => Vec::new(),
        }
    }

    /// The message, as long as may be sent, without commands for a terminal.
    fn message(&self) -> String {
        shorten(&printable(&self.to_string()), MESSAGE_BYTES).into_owned()
    }

    /// The code of its status.
    pub(crate) fn code(&self) -> Code {
        self.status_parts().code
    }

    /// The same error as a part of a reply that carries several outcomes.
    pub(crate) fn into_call_error(self) -> v1::CallError {
        let field = self.violations().into_iter().next().map(|violation| violation.field);
        v1::CallError {
            code: self.status_parts().code as i32,
            message: self.message(),
            field: field.unwrap_or_default(),
        }
    }

    fn status_parts(&self) -> StatusParts {
        match self {
            Self::Invalid(_) => status_parts(Code::InvalidArgument, INVALID_FIELD),
            Self::Undecodable(_) => status_parts(Code::InvalidArgument, UNDECODABLE),
            Self::ContentType { .. } | Self::MediaType { .. } => {
                status_parts(Code::InvalidArgument, "CONTENT_TYPE_NOT_SUPPORTED")
            }
            Self::HostHeader => status_parts(Code::InvalidArgument, "INVALID_HOST"),
            Self::HostNotAllowed { .. } => status_parts(Code::PermissionDenied, "HOST_NOT_ALLOWED"),
            Self::OriginNotAllowed { .. } => status_parts(Code::PermissionDenied, "ORIGIN_NOT_ALLOWED"),
            Self::Unidentified(refusal) => status_parts(
                Code::Unauthenticated,
                match refusal {
                    Refusal::Nothing => "NO_CREDENTIALS",
                    Refusal::Unreadable | Refusal::Unknown => "CREDENTIALS_REFUSED",
                    Refusal::Expired => "CREDENTIALS_EXPIRED",
                    Refusal::SessionOver => "SESSION_OVER",
                },
            ),
            Self::NotAPerson => status_parts(Code::FailedPrecondition, "NOT_A_PERSON"),
            Self::Account(error) => of_accounts(error),
            Self::MethodNotPermitted { .. } => status_parts(Code::PermissionDenied, "METHOD_NOT_PERMITTED"),
            Self::RequestNotPermitted => status_parts(Code::PermissionDenied, "REQUEST_NOT_PERMITTED"),
            Self::Key(error) => of_keys(error),
            Self::Timeout | Self::ConnectTimeout => status_parts(Code::InvalidArgument, "INVALID_TIMEOUT"),
            Self::Connect(_) => status_parts(Code::InvalidArgument, "INVALID_CONNECT_REQUEST"),
            Self::Compression { .. } => status_parts(Code::Unimplemented, "COMPRESSION_NOT_SUPPORTED"),
            Self::StreamOverHttp { .. } => status_parts(Code::Unimplemented, "STREAM_NOT_SUPPORTED"),
            Self::UnknownPath { .. } => status_parts(Code::NotFound, "UNKNOWN_PATH"),
            Self::Verb { .. } => status_parts(Code::Unimplemented, "VERB_NOT_SUPPORTED"),
            Self::UnknownMethod { .. } => status_parts(Code::Unimplemented, "UNKNOWN_METHOD"),
            Self::RateLimited { retry_after, .. } => {
                retryable(Code::ResourceExhausted, "RATE_LIMITED", *retry_after)
            }
            Self::ShareTaken => retryable(Code::ResourceExhausted, "CALLER_SHARE_TAKEN", SHARE_RETRY),
            Self::Overloaded { retry_after } => {
                retryable(Code::ResourceExhausted, "OVERLOADED", *retry_after)
            }
            Self::TooManyWatchers { retry_after } | Self::TooManyWatchersOfAddress { retry_after } => {
                retryable(Code::ResourceExhausted, "TOO_MANY_WATCHERS", *retry_after)
            }
            Self::ReceiveBufferFull => {
                retryable(Code::ResourceExhausted, "RECEIVE_BUFFER_FULL", RECEIVE_RETRY)
            }
            Self::ReceiveTimeout(_) => status_parts(Code::DeadlineExceeded, "RECEIVE_TIMEOUT"),
            Self::StalledReader => status_parts(Code::Aborted, "STALLED_READER"),
            Self::Draining => retryable(Code::Unavailable, "SHUTTING_DOWN", STORE_RETRY),
            Self::Events(EventsError::Lost(_)) => status_parts(Code::OutOfRange, "EVENTS_LOST"),
            Self::Events(EventsError::Unavailable(_)) => {
                retryable(Code::Unavailable, "EVENTS_UNAVAILABLE", STORE_RETRY)
            }
            Self::DeadlinePassed => status_parts(Code::DeadlineExceeded, DEADLINE_EXCEEDED),
            Self::MessageTooLarge { .. } | Self::CompressedTooLarge { .. } => {
                status_parts(Code::ResourceExhausted, MESSAGE_TOO_LARGE)
            }
            Self::UnknownMovie(_) | Self::UnknownMovieKey(_) => status_parts(Code::NotFound, "UNKNOWN_MOVIE"),
            Self::UnknownUser(_) | Self::UnknownUserKey(_) => status_parts(Code::NotFound, "UNKNOWN_USER"),
            Self::UnknownRule(_) => status_parts(Code::NotFound, "UNKNOWN_RULE"),
            Self::TooManyRules(_) => status_parts(Code::FailedPrecondition, "TOO_MANY_RULES"),
            Self::Experiment(error) => of_experiments(error),
            Self::ArmNotPermitted => status_parts(Code::PermissionDenied, "ARM_NOT_PERMITTED"),
            Self::SimilarUsersOff => status_parts(Code::FailedPrecondition, "SIMILAR_USERS_OFF"),
            Self::BundleNotPermitted => status_parts(Code::PermissionDenied, "BUNDLE_NOT_PERMITTED"),
            Self::Bundle(_) => status_parts(Code::FailedPrecondition, "BUNDLE_REFUSED"),
            Self::NoRoomForModel(_) => status_parts(Code::FailedPrecondition, "NO_ROOM_FOR_MODEL"),
            Self::Models(error) => match error {
                ModelSetError::NotLoaded(_) => status_parts(Code::NotFound, MODEL_NOT_LOADED),
                ModelSetError::Active(_) => status_parts(Code::FailedPrecondition, "MODEL_ACTIVE"),
                ModelSetError::Failed { .. } => status_parts(Code::FailedPrecondition, "MODEL_FAILED"),
                ModelSetError::NothingBefore => status_parts(Code::FailedPrecondition, "NO_MODEL_BEFORE"),
            },
            Self::Registry(error) => of_registry(error),
            Self::UploadStalled => status_parts(Code::Aborted, "UPLOAD_STALLED"),
            Self::Job(ChangeError::Unknown(_)) => status_parts(Code::NotFound, "UNKNOWN_JOB"),
            Self::Job(ChangeError::Refused(_)) => status_parts(Code::FailedPrecondition, "JOB_NOT_CHANGED"),
            Self::UnknownSchedule(_) => status_parts(Code::NotFound, "UNKNOWN_SCHEDULE"),
            Self::ScheduleKept(_) => status_parts(Code::FailedPrecondition, "SCHEDULE_KEPT"),
            Self::AddJob(AddError::TooMany) => retryable(Code::ResourceExhausted, "TOO_MANY_JOBS", JOB_RETRY),
            Self::Store(error)
            | Self::PutMovies(
                PutMoviesError::Store(error) | PutMoviesError::Keys(MovieKeysError::Store(error)),
            )
            | Self::Job(ChangeError::Store(error))
            | Self::AddJob(AddError::Store(error)) => of_store(error),
            Self::LoadingAnother(_) => {
                retryable(Code::ResourceExhausted, "LOADING_ANOTHER_MODEL", LOAD_RETRY)
            }
            Self::PutMovies(PutMoviesError::Keys(MovieKeysError::None)) => {
                status_parts(Code::FailedPrecondition, "NO_MOVIE_NUMBERS")
            }
            Self::PutMovies(PutMoviesError::Crowded(_)) => {
                retryable(Code::ResourceExhausted, "TOO_MANY_IMPORTS", IMPORT_RETRY)
            }
            Self::Recommend(error) => match error {
                RecommendError::Engine(error) => of_engine(error),
                RecommendError::Store(error) => of_store(error),
                RecommendError::Filter(CatalogError::UnknownGenre { .. }) => {
                    status_parts(Code::InvalidArgument, "UNKNOWN_GENRE")
                }
                RecommendError::UnknownMovie(_) => status_parts(Code::NotFound, "UNKNOWN_MOVIE"),
                RecommendError::Index(_) => status_parts(Code::Internal, "INDEX_FAILED"),
                RecommendError::NothingToEncode(_) => status_parts(Code::NotFound, "NOTHING_TO_ENCODE"),
            },
        }
    }
}

impl From<ScheduleError> for ApiError {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Id => Self::invalid("schedule_id", error.to_string()),
            ScheduleError::When(WhenError::Zone) => Self::invalid("time_zone", error.to_string()),
            ScheduleError::When(_) => Self::invalid("cron", error.to_string()),
            ScheduleError::NoJob(error) => error.into(),
            ScheduleError::Unknown(_) => Self::UnknownSchedule(error.to_string()),
            ScheduleError::Configured(_) | ScheduleError::TooMany => Self::ScheduleKept(error.to_string()),
            ScheduleError::Store(error) => error.into(),
        }
    }
}

impl From<NoJob> for ApiError {
    fn from(error: NoJob) -> Self {
        match error {
            NoJob::Kind { .. } => Self::invalid("kind", format!("is none: {error}")),
            NoJob::Arguments(why) => Self::invalid("arguments", why),
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
    let sentences = violations.iter().map(|violation| {
        format!("{} {}", violation.field, shorten(&violation.description, DESCRIPTION_BYTES))
    });
    list(sentences, "; ", LIST_BYTES)
}

/// The first violations that fit into so many bytes, their descriptions cut and fit for a terminal.
fn fitting(violations: Vec<Violation>, mut room: usize) -> impl Iterator<Item = Violation> {
    let cut = violations.into_iter().map(|violation| Violation {
        description: shorten(&printable(&violation.description), DESCRIPTION_BYTES).into_owned(),
        field: violation.field,
    });
    cut.take_while(move |violation| {
        let left = room.checked_sub(violation.field.len() + violation.description.len() + VIOLATION_BYTES);
        room = left.unwrap_or(0);
        left.is_some()
    })
}

/// A status before it is put together.
struct StatusParts {
    code: Code,
    reason: &'static str,
    retry: Option<Duration>,
}

const fn status_parts(code: Code, reason: &'static str) -> StatusParts {
    StatusParts { code, reason, retry: None }
}

const fn retryable(code: Code, reason: &'static str, after: Duration) -> StatusParts {
    StatusParts { code, reason, retry: Some(after) }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let message = error.message();
        let mut details = ErrorDetails::new();
        let room = DETAILS_BYTES - FRAME_BYTES - message.len();
        for violation in fitting(error.violations(), room) {
            details.add_bad_request_violation(violation.field, violation.description);
        }
        let status_parts = error.status_parts();
        details.set_error_info(status_parts.reason, DOMAIN, []);
        if let Some(after) = status_parts.retry {
            details.set_retry_info(Some(after));
        }
        Self::with_error_details(status_parts.code, message, details)
    }
}

fn of_engine(error: &EngineError) -> StatusParts {
    match error {
        EngineError::Overloaded { retry_after, .. } => {
            retryable(Code::ResourceExhausted, "QUEUE_FULL", *retry_after)
        }
        EngineError::DeadlineExceeded { .. } => status_parts(Code::DeadlineExceeded, DEADLINE_EXCEEDED),
        EngineError::UnknownVersion(_) => status_parts(Code::FailedPrecondition, MODEL_NOT_LOADED),
        EngineError::BadJob(_) => status_parts(Code::Internal, "BAD_JOB"),
        EngineError::Backend(_) => retryable(Code::Unavailable, "MODEL_FAILED", STORE_RETRY),
        EngineError::OutOfService(_) => retryable(Code::Unavailable, "MODEL_OUT_OF_SERVICE", STORE_RETRY),
        EngineError::ShuttingDown => retryable(Code::Unavailable, "SHUTTING_DOWN", STORE_RETRY),
    }
}

fn of_keys(error: &KeyError) -> StatusParts {
    match error {
        KeyError::UnknownRole(_) => status_parts(Code::InvalidArgument, INVALID_FIELD),
        KeyError::NameTaken(_) => status_parts(Code::AlreadyExists, "KEY_NAME_TAKEN"),
        KeyError::TwoLive(_) => status_parts(Code::FailedPrecondition, "TWO_KEYS_ALREADY"),
        KeyError::UnknownKey(_) => status_parts(Code::NotFound, "UNKNOWN_KEY"),
        KeyError::TooMany => status_parts(Code::FailedPrecondition, "TOO_MANY_KEYS"),
        KeyError::Changed => retryable(Code::Aborted, "KEY_CHANGED", STORE_RETRY),
        KeyError::Store(error) => of_store(error),
    }
}

fn of_registry(error: &RegistryError) -> StatusParts {
    match error {
        RegistryError::Fault(_) => status_parts(Code::InvalidArgument, INVALID_FIELD),
        RegistryError::Unknown { .. } => status_parts(Code::NotFound, "UNKNOWN_MODEL_VERSION"),
        RegistryError::Taken { .. } => status_parts(Code::AlreadyExists, "MODEL_VERSION_TAKEN"),
        RegistryError::NoRoom { .. } => status_parts(Code::FailedPrecondition, "NO_ROOM_FOR_VERSION"),
        RegistryError::TooManyTags => status_parts(Code::FailedPrecondition, "TOO_MANY_TAGS"),
        RegistryError::Active { .. } => status_parts(Code::FailedPrecondition, "MODEL_ACTIVE"),
        RegistryError::Before { .. } => status_parts(Code::FailedPrecondition, "MODEL_GONE_BACK_TO"),
        RegistryError::Busy => retryable(Code::ResourceExhausted, "UPLOADING_ANOTHER_MODEL", UPLOAD_RETRY),
        RegistryError::Disk { .. } => retryable(Code::Unavailable, "MODELS_DIR_UNAVAILABLE", STORE_RETRY),
    }
}

fn of_experiments(error: &ExperimentError) -> StatusParts {
    match error {
        ExperimentError::Fault(_) => status_parts(Code::InvalidArgument, INVALID_FIELD),
        ExperimentError::Unknown(_) => status_parts(Code::NotFound, "UNKNOWN_EXPERIMENT"),
        ExperimentError::Taken(_) => status_parts(Code::AlreadyExists, "EXPERIMENT_NAME_TAKEN"),
        ExperimentError::TooMany => status_parts(Code::FailedPrecondition, "TOO_MANY_EXPERIMENTS"),
        ExperimentError::NotNow(_) => status_parts(Code::FailedPrecondition, "EXPERIMENT_NOT_IN_STATE"),
        ExperimentError::Changed => retryable(Code::Aborted, "EXPERIMENT_CHANGED", STORE_RETRY),
        ExperimentError::Store(error) => of_store(error),
    }
}

fn of_accounts(error: &AccountError) -> StatusParts {
    match error {
        AccountError::SignUpOff => status_parts(Code::FailedPrecondition, "SIGN_UP_OFF"),
        AccountError::NoEmail => status_parts(Code::InvalidArgument, INVALID_FIELD),
        AccountError::EmailTaken => status_parts(Code::AlreadyExists, "EMAIL_TAKEN"),
        AccountError::SignInRefused => status_parts(Code::Unauthenticated, "SIGN_IN_REFUSED"),
        AccountError::WrongPassword => status_parts(Code::PermissionDenied, "WRONG_PASSWORD"),
        AccountError::UnknownAccount => status_parts(Code::NotFound, "UNKNOWN_ACCOUNT"),
        AccountError::UnknownUser(_) => status_parts(Code::NotFound, "UNKNOWN_USER"),
        AccountError::UserTaken(_) => status_parts(Code::AlreadyExists, "USER_TAKEN"),
        AccountError::TooOften { retry_after } => {
            retryable(Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", *retry_after)
        }
        AccountError::Busy { retry_after } => {
            retryable(Code::ResourceExhausted, "TOO_MANY_PASSWORDS", *retry_after)
        }
        AccountError::Changed => retryable(Code::Aborted, "ACCOUNT_CHANGED", STORE_RETRY),
        AccountError::Store(error) => of_store(error),
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Refused(refusal) => refusal.into(),
            SessionError::Store(error) => error.into(),
        }
    }
}

impl From<UserKeyError> for ApiError {
    fn from(error: UserKeyError) -> Self {
        match error {
            UserKeyError::Other(other) => Self::invalid("user_key", other.to_string()),
            UserKeyError::Store(error) => error.into(),
        }
    }
}

impl From<UserIdError> for ApiError {
    fn from(error: UserIdError) -> Self {
        match error {
            reserved @ UserIdError::Reserved(_) => Self::invalid("user_id", reserved.to_string()),
            UserIdError::Store(error) => error.into(),
        }
    }
}

fn of_store(error: &StoreError) -> StatusParts {
    match error {
        StoreError::Unavailable(_) => retryable(Code::Unavailable, "STORE_UNAVAILABLE", STORE_RETRY),
        StoreError::Timeout => retryable(Code::Unavailable, "STORE_TIMEOUT", STORE_RETRY),
        StoreError::Corrupt(_) | StoreError::Damaged(_) => status_parts(Code::DataLoss, "STORE_CORRUPT"),
        StoreError::Schema { .. } | StoreError::Open(_) => {
            status_parts(Code::FailedPrecondition, "STORE_NOT_USABLE")
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
    fn what_a_caller_wrote_comes_back_without_commands_for_its_terminal() {
        let hostile = "\u{1b}[2J\n\u{9b}31m\u{202e}";
        for error in [
            ApiError::invalid("title", format!("is {hostile}")),
            ApiError::Recommend(EngineError::UnknownVersion(hostile.to_owned()).into()),
            ApiError::Bundle(hostile.to_owned()),
        ] {
            let status = Status::from(error);
            assert!(!status.message().contains(marquee_core::text::is_command), "{:?}", status.message());
            for violation in
                status.get_error_details().bad_request().iter().flat_map(|bad| &bad.field_violations)
            {
                assert!(!violation.description.contains(marquee_core::text::is_command), "{violation:?}");
            }
        }
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

    /// The bytes of a status in headers.
    fn sent(status: &Status) -> usize {
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        ["grpc-message", "grpc-status-details-bin"]
            .iter()
            .filter_map(|name| headers.get(*name))
            .map(http::HeaderValue::len)
            .sum()
    }

    #[test]
    fn a_hundred_bad_fields_fit_into_a_status() {
        let violation = |index| Violation {
            field: format!("filter.deny_movie_ids[{index}]"),
            description: "is 0; 1 or more is accepted".to_owned(),
        };
        let status = Status::from(ApiError::Invalid((0..100).map(violation).collect()));
        assert!(status.message().contains(" more"), "{status}");
        assert!(sent(&status) <= MAX_STATUS_BYTES, "{}", sent(&status));
        assert!(status.get_details_bad_request().unwrap().field_violations.len() >= 10);
        assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_FIELD");
    }

    #[test]
    fn a_genre_that_is_not_among_400_is_answered_within_the_bound() {
        let known = (0..400).map(|number| format!("{number:0100}"));
        let error = CatalogError::UnknownGenre {
            list: GenreList::All,
            name: "x".repeat(100),
            known: known.collect::<Vec<_>>().join(", "),
        };
        let status = Status::from(ApiError::Recommend(error.into()));
        assert!(sent(&status) <= MAX_STATUS_BYTES, "{}", sent(&status));
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, "filter.genres_all");
    }

    #[test]
    fn a_folder_of_4096_letters_leaves_room_for_what_to_do() {
        let error = format!("{} can't be read; a bundle is a folder", "ü".repeat(4096));
        let status = Status::from(ApiError::Bundle(error.clone()));
        assert!(sent(&status) <= MAX_STATUS_BYTES, "{}", sent(&status));
        assert!(status.message().ends_with("a bundle is a folder"), "{status}");
        assert!(ApiError::Bundle(error).into_call_error().message.len() <= MESSAGE_BYTES);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(100))]
        #[test]
        fn no_status_has_more_bytes_than_it_may(texts in proptest::collection::vec("\\PC{0,1500}", 1..8)) {
            let violation =
                |text: &String| Violation { field: "filter.genres_any[3]".into(), description: text.clone() };
            let text = texts[0].clone();
            for error in [
                ApiError::Invalid(texts.iter().map(violation).collect()),
                ApiError::Undecodable(text.clone()),
                ApiError::ContentType { found: text.clone() },
                ApiError::Bundle(text.clone()),
                ApiError::Store(StoreError::Unavailable(text.clone())),
                ApiError::Recommend(EngineError::UnknownVersion(text).into()),
            ] {
                let size = sent(&Status::from(error));
                proptest::prop_assert!(size <= MAX_STATUS_BYTES, "{}", size);
            }
        }
    }
}
