//! Refusals that are made before they are needed: under overload there are more of them than answers.

use std::time::Duration;

use http::{HeaderMap, Response};
use tonic::Status;
use tonic::body::Body;

use super::gate::Refusal;
use crate::edge::ApiError;

/// The times after which a refused caller is told to ask again: at once it would be refused again.
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2500),
];

/// The headers of every refusal that there is.
#[derive(Debug)]
pub(super) struct Refusals {
    late: HeaderMap,
    overloaded: [HeaderMap; RETRY_AFTER.len()],
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            late: headers(ApiError::DeadlinePassed),
            overloaded: RETRY_AFTER.map(|retry_after| headers(ApiError::Overloaded { retry_after })),
        }
    }

    /// The answer to a call that is not let in.
    pub(super) fn answer(&self, refusal: Refusal) -> Response<Body> {
        let headers = match refusal {
            Refusal::Late => &self.late,
            Refusal::Overloaded(expected) => &self.overloaded[step(expected)],
        };
        let mut answer = Response::new(Body::empty());
        answer.headers_mut().clone_from(headers);
        answer
    }
}

/// When a caller shall ask again that would have waited so long.
pub(super) fn retry_after(expected: Duration) -> Duration {
    RETRY_AFTER[step(expected)]
}

fn step(expected: Duration) -> usize {
    RETRY_AFTER.iter().take(RETRY_AFTER.len() - 1).take_while(|after| **after < expected).count()
}

fn headers(error: ApiError) -> HeaderMap {
    Status::from(error).into_http::<Body>().into_parts().0.headers
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    fn status(refusal: Refusal) -> Status {
        Status::from_header_map(Refusals::new().answer(refusal).headers()).unwrap()
    }

    #[test]
    fn an_overloaded_server_says_when_to_try_again() {
        let status = status(Refusal::Overloaded(Duration::from_millis(60)));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_error_info().unwrap().reason, "OVERLOADED");
        let retry = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(retry, Some(Duration::from_millis(100)));
    }

    #[test]
    fn the_longest_wait_is_bounded() {
        assert_eq!(retry_after(Duration::from_hours(1)), Duration::from_millis(2500));
        assert_eq!(retry_after(Duration::ZERO), Duration::from_millis(20));
    }

    #[test]
    fn what_came_too_late_is_past_its_deadline() {
        assert_eq!(status(Refusal::Late).code(), Code::DeadlineExceeded);
    }
}
