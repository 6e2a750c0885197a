//! A stream of requests from the lines of an input, and what to say when it does not reach its end.
//!
//! A server keeps what it has read of a stream, so what was sent cannot be called back. A line that
//! cannot be sent therefore ends the requests where they stand instead of cutting the call off: the server
//! answers for the lines before, and the failure says up to which one they were sent.

use std::io::BufRead;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt as _, future, stream};
use marquee_proto::dynamic::{Api, DynamicCodec};
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::exit::Failure;
use super::input::{self, Line};
use super::output::{self, Format};
use super::progress::{Answer, Progress};
use super::rpc::rpc;
use crate::Client;

/// Messages that are read ahead of what the server has taken.
const READ_AHEAD: usize = 64;

/// Sends each line of `input` as a message and writes what comes back.
pub(super) async fn send(
    client: &Client,
    method: &MethodDescriptor,
    input: Box<dyn BufRead + Send>,
    api: &'static Api,
    format: Format,
) -> Result<(), Failure> {
    let mut lines = read_ahead(input, method, api);
    // Read before the call is made: of an input that begins wrong nothing is sent.
    let first = lines.next().await.transpose()?;
    let sending = Arc::new(Mutex::new(Sending::default()));
    let noted = Arc::clone(&sending);
    let requests = stream::iter(first.map(Ok))
        .chain(lines)
        .scan((), move |(), line| future::ready(lock(&noted).note(line)));
    let (answer, outcome) = exchange(client, method, requests, format).await;
    let Sending { sent, last_line, failure } = std::mem::take(&mut *lock(&sending));
    match outcome.and(failure.map_or(Ok(()), Err)) {
        Err(cause) if sent > 0 => Err(Failure::Stream(Box::new(cause), Progress { sent, last_line, answer })),
        outcome => outcome,
    }
}

/// What the sending side of a call notes of itself.
#[derive(Default)]
struct Sending {
    sent: u64,
    last_line: usize,
    failure: Option<Failure>,
}

impl Sending {
    /// The message of a line that is sent now; none after a line that cannot be sent.
    fn note(&mut self, line: Result<Line, Failure>) -> Option<DynamicMessage> {
        match line {
            Ok(Line { number, message }) => {
                self.sent += 1;
                self.last_line = number;
                Some(message)
            }
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }
}

fn lock(sending: &Mutex<Sending>) -> MutexGuard<'_, Sending> {
    sending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines as messages, up to the first that is none.
fn read_ahead(
    input: Box<dyn BufRead + Send>,
    method: &MethodDescriptor,
    api: &'static Api,
) -> ReceiverStream<Result<Line, Failure>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let descriptor = method.input();
    // A thread of its own: reading a terminal blocks, and must not hold up the end of the program.
    std::thread::spawn(move || {
        for line in input::lines(input, descriptor, api) {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn exchange(
    client: &Client,
    method: &MethodDescriptor,
    requests: impl Stream<Item = DynamicMessage> + Send + 'static,
    format: Format,
) -> (Answer, Result<(), Failure>) {
    let codec = DynamicCodec::new(method.output());
    if method.is_server_streaming() {
        let mut written = 0;
        let outcome = match client.streaming(rpc(method), codec, requests).await {
            Ok(replies) => output::write_all(replies, format, &mut written).await,
            Err(status) => Err(status.into()),
        };
        return (Answer::Replies(written), outcome);
    }
    match client.client_streaming(rpc(method), codec, requests).await {
        Ok(reply) => (Answer::Whole, output::write(&reply, None, format)),
        Err(status) => (Answer::Nothing, Err(status.into())),
    }
}
