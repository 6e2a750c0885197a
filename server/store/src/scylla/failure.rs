//! Why a statement was not answered.

use scylla::errors::{ExecutionError, RequestAttemptError};

use crate::StoreError;

/// Statements under way at once.
pub(super) const IN_FLIGHT: usize = 256;

/// Why a statement was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The link is down.
    #[error("no node of the cluster can be reached")]
    Down,
    /// Others took all turns for as long as a statement may take.
    #[error("{IN_FLIGHT} statements are under way and none ends")]
    Full,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The cluster answered with an error.
    #[error("{0}")]
    Refused(String),
    /// The statement, or its answer, was lost with a connection.
    #[error("{0}")]
    Connection(String),
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::RequestTimeout(_) => Self::Timeout,
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(..)) => {
                Self::Refused(error.to_string())
            }
            other => Self::Connection(other.to_string()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Self::Timeout,
            other => Self::Unavailable(other.to_string()),
        }
    }
}
