//! One HTTP/2 connection with prior knowledge, straight on `h2`: many calls at once.
//!
//! A connection that the server closes (age, restart) is opened again; the calls that it took with it count as
//! errors.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::sync::Mutex;

use super::{CallFailure, HttpVersion, Target, Whole, WireError, socket};
use crate::measure::Failure;

/// Room for a stream's replies before the server must wait.
const STREAM_WINDOW: u32 = 4 << 20;
/// Room for all replies of a connection.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// The codes of the statuses that a reset stream stands for.
const CANCELLED: u16 = 1;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;

/// One connection, used by the tasks of one thread.
pub(super) struct Http2 {
    target: Target,
    current: RefCell<SendRequest<Bytes>>,
    reconnecting: Mutex<()>,
}

impl Http2 {
    /// Connects.
    pub(super) async fn open(target: &Target) -> Result<Self, WireError> {
        let sender = connect(target).await?;
        Ok(Self { target: target.clone(), current: RefCell::new(sender), reconnecting: Mutex::new(()) })
    }

    /// Sends one request and waits for the whole reply.
    pub(super) async fn send(&self, request: Request<()>, body: Bytes) -> Result<Whole, CallFailure> {
        let mut sender = self.sender().await?;
        let (response, mut sending) = sender.send_request(request, false).map_err(failed)?;
        sending.send_data(body, true).map_err(failed)?;

        let (head, mut reply) = response.await.map_err(failed)?.into_parts();
        let body = read_all(&mut reply).await.map_err(failed)?;
        let trailers = reply.trailers().await.map_err(failed)?;
        Ok(Whole { status: head.status, headers: head.headers, body, trailers })
    }

    async fn sender(&self) -> Result<SendRequest<Bytes>, CallFailure> {
        let sender = self.current.borrow().clone();
        if let Ok(ready) = sender.ready().await {
            return Ok(ready);
        }
        let _alone = self.reconnecting.lock().await;
        let sender = self.current.borrow().clone();
        if let Ok(ready) = sender.ready().await {
            return Ok(ready);
        }
        let fresh = connect(&self.target).await.map_err(CallFailure::transport)?;
        *self.current.borrow_mut() = fresh.clone();
        fresh.ready().await.map_err(CallFailure::transport)
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Bytes>, WireError> {
    let socket = socket(target, HttpVersion::Two).await?;
    let (sender, connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false)
        .handshake(socket)
        .await
        .map_err(|error| WireError::connect(target, error))?;
    // An error of the connection shows in each of its calls.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

/// A stream that the server resets ends with a status, as the gRPC protocol maps the reasons; everything
/// else is the connection's fault.
fn failed(error: h2::Error) -> CallFailure {
    let code = match error.reason().filter(|_| error.is_reset()) {
        None => return CallFailure::transport(error),
        Some(Reason::REFUSED_STREAM) => UNAVAILABLE,
        Some(Reason::CANCEL) => CANCELLED,
        Some(Reason::ENHANCE_YOUR_CALM) => RESOURCE_EXHAUSTED,
        Some(Reason::INADEQUATE_SECURITY) => PERMISSION_DENIED,
        Some(_) => INTERNAL,
    };
    CallFailure { failure: Failure::Status(code), message: error.to_string() }
}

async fn read_all(reply: &mut h2::RecvStream) -> Result<Bytes, h2::Error> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(chunk) = reply.data().await {
        let chunk = chunk?;
        reply.flow_control().release_capacity(chunk.len())?;
        if first.is_empty() {
            first = chunk;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&chunk);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a call whose stream the server resets.
    async fn status_after(reason: Reason) -> Failure {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::plain(listener.local_addr().unwrap().to_string());
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(reason);
            }
        });
        let call = async {
            let connection = Http2::open(&target).await.unwrap();
            let uri = format!("http://{}/a/B", target.authority);
            let request = Request::post(uri).body(()).unwrap();
            connection.send(request, Bytes::from_static(&[0; 5])).await.unwrap_err().failure
        };
        tokio::task::LocalSet::new().run_until(call).await
    }

    #[tokio::test]
    async fn a_reset_stream_has_the_status_of_its_reason() {
        assert_eq!(status_after(Reason::CANCEL).await, Failure::Status(CANCELLED));
        assert_eq!(status_after(Reason::REFUSED_STREAM).await, Failure::Status(UNAVAILABLE));
        assert_eq!(status_after(Reason::ENHANCE_YOUR_CALM).await, Failure::Status(RESOURCE_EXHAUSTED));
    }
}
