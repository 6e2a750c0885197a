//! HTTP/1.1 with keep-alive: a connection carries one call at a time, so there are as many as calls in flight.
//!
//! The connection that was used last is taken first; a new one is opened when none is free, and its opening is
//! part of that call's time. One that the server closed is replaced.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::{CallFailure, HttpVersion, Target, Whole, WireError, socket};
use crate::measure::Failure;

/// Connections, used by the tasks of one thread.
pub(super) struct Http1 {
    target: Target,
    free: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

impl Http1 {
    /// Opens the first connection.
    pub(super) async fn open(target: &Target) -> Result<Self, WireError> {
        let first = connect(target).await?;
        Ok(Self { target: target.clone(), free: RefCell::new(vec![first]) })
    }

    /// Sends one request and waits for the whole reply.
    pub(super) async fn send(&self, request: Request<()>, body: Bytes) -> Result<Whole, CallFailure> {
        // Out of the list while in use: a call that is cancelled takes its connection with it.
        let mut sender = self.sender().await?;
        let reply =
            sender.send_request(request.map(|()| Full::new(body))).await.map_err(CallFailure::transport)?;
        let (head, body) = reply.into_parts();
        let body = body.collect().await.map_err(CallFailure::transport)?;
        let trailers = body.trailers().cloned();
        self.free.borrow_mut().push(sender);
        Ok(Whole { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, CallFailure> {
        loop {
            let Some(mut sender) = self.free.borrow_mut().pop() else {
                return connect(&self.target).await.map_err(CallFailure::transport);
            };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, WireError> {
    let socket = socket(target, HttpVersion::One).await?;
    let (sender, connection) =
        handshake(TokioIo::new(socket)).await.map_err(|error| WireError::connect(target, error))?;
    // An error of the connection shows in each of its calls.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

/// Fetches one page, outside any measurement.
///
/// # Errors
/// [`CallFailure`] when the server does not answer within `limit`, or not with a success.
pub async fn get(target: &Target, path: &str, limit: Duration) -> Result<Bytes, CallFailure> {
    let fetch = async {
        let socket = socket(target, HttpVersion::One).await.map_err(CallFailure::transport)?;
        let (mut sender, connection) =
            handshake(TokioIo::new(socket)).await.map_err(CallFailure::transport)?;
        tokio::spawn(async move { drop(connection.await) });
        let request = http::Request::get(path)
            .header(http::header::HOST, &target.authority)
            .body(Full::<Bytes>::default())
            .map_err(CallFailure::transport)?;
        let reply = sender.send_request(request).await.map_err(CallFailure::transport)?;
        let status = reply.status();
        let body = reply.into_body().collect().await.map_err(CallFailure::transport)?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(CallFailure { failure: Failure::Http(status.as_u16()), message: String::new() })
        }
    };
    tokio::time::timeout(limit, fetch).await.unwrap_or_else(|_| {
        Err(CallFailure { failure: Failure::Deadline, message: format!("no answer within {limit:?}") })
    })
}
