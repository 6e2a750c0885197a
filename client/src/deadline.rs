//! One deadline for everything that a call does, and one status for missing it.
//!
//! tonic's own client timer answers CANCELLED and knows nothing of repeated attempts or of the body
//! of a stream, so the deadline is kept here; the timer's answer is translated.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status, Streaming, TimeoutExpired};

use crate::connection::root_cause;

/// Longer timeouts are cut to this one: `grpc-timeout` has eight digits.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The point in time at which the answer of a call is worth nothing any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// `timeout` from now, or never.
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.map(|timeout| Instant::now() + timeout.min(LONGEST)))
    }

    /// What is left of it; `None` if there is none.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether a pause that long would still leave time.
    pub(crate) fn allows(&self, pause: Duration) -> bool {
        self.remaining().is_none_or(|remaining| pause < remaining)
    }

    /// The outcome of `call`, or DEADLINE_EXCEEDED; the call is dropped, which cancels it.
    pub(crate) async fn bound<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let outcome = match self.0 {
            Some(at) => tokio::time::timeout_at(at, call).await.unwrap_or_else(|_| Err(exceeded())),
            None => call.await,
        };
        outcome.map_err(translate)
    }
}

/// Names tonic's local failures as gRPC does: its timer is the deadline, and a connection that broke
/// is UNAVAILABLE. What the server itself said is left alone.
fn translate(status: Status) -> Status {
    if status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string() {
        exceeded()
    } else if status.code() == Code::Unknown && status.source().is_some() {
        Status::unavailable(format!("the connection broke: {}", root_cause(&status)))
    } else {
        status
    }
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline passed before the answer came; allow more time or ask for less")
}

/// The messages of a stream until it ends or its deadline passes, which cancels it.
pub struct DeadlineStream<T> {
    messages: Option<Streaming<T>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<T> DeadlineStream<T> {
    pub(crate) fn new(messages: Streaming<T>, deadline: Deadline) -> Self {
        let timer = deadline.0.map(|at| Box::pin(tokio::time::sleep_until(at)));
        Self { messages: Some(messages), timer }
    }
}

impl<T> Stream for DeadlineStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let expired = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        if expired {
            self.timer = None;
            self.messages = None;
            return Poll::Ready(Some(Err(exceeded())));
        }
        match &mut self.messages {
            Some(messages) => Pin::new(messages)
                .poll_next(context)
                .map(|next| next.map(|message| message.map_err(translate))),
            None => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;

    use super::*;

    #[test]
    fn the_longest_timeout_can_be_sent() {
        let remaining = Deadline::after(Some(Duration::MAX)).remaining().unwrap();
        assert!(remaining <= LONGEST);
        Request::new(()).set_timeout(remaining);
    }
}
