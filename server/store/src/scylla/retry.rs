//! Which failed attempts are repeated.
//!
//! The driver's default repeats what another node can surely do. A node that dies while it coordinates
//! or holds a replica shows up as a timeout of the server as well; our statements are idempotent, so
//! one such timeout is repeated on another node instead of being the caller's problem.

use scylla::errors::{DbError, RequestAttemptError};
use scylla::policies::retry::{DefaultRetryPolicy, RequestInfo, RetryDecision, RetryPolicy, RetrySession};

/// The driver's default, and one more attempt elsewhere after a server's timeout.
#[derive(Debug)]
pub(super) struct RepeatTimeouts;

impl RetryPolicy for RepeatTimeouts {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Attempts { default: DefaultRetryPolicy::new().new_session(), repeated: false })
    }
}

struct Attempts {
    default: Box<dyn RetrySession>,
    repeated: bool,
}

impl RetrySession for Attempts {
    fn decide_should_retry(&mut self, attempt: RequestInfo) -> RetryDecision {
        let timed_out = matches!(
            attempt.error,
            RequestAttemptError::DbError(DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. }, _)
        );
        if attempt.is_idempotent && timed_out && !self.repeated {
            self.repeated = true;
            return RetryDecision::RetryNextTarget(None);
        }
        self.default.decide_should_retry(attempt)
    }

    fn reset(&mut self) {
        self.default.reset();
        self.repeated = false;
    }
}
