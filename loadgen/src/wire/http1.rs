//! HTTP/1.1, for comparison with servers that speak no gRPC. One call at a time on a connection: a call
//! waits for its turn, and the wait counts.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use marquee_core::text::printable;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{CallFailure, Prepared, Reply, Route, Target, WireError};
use crate::measure::Failure;

/// One HTTP/1.1 connection with keep-alive, used by the tasks of one thread.
pub struct HttpConnection {
    target: Target,
    routes: Vec<Route>,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl HttpConnection {
    /// Connects.
    ///
    /// # Errors
    /// [`WireError::Connect`] when nobody answers.
    pub async fn open(target: &Target, routes: &[Route]) -> Result<Self, WireError> {
        let sender = connect(target).await?;
        Ok(Self { target: target.clone(), routes: routes.to_vec(), sender: Mutex::new(Some(sender)) })
    }

    /// Sends one request and waits for the whole reply.
    ///
    /// # Errors
    /// [`CallFailure`] when the connection fails or the status is not of the 200s.
    pub async fn call(&self, prepared: &Prepared) -> Result<Reply, CallFailure> {
        let mut place = self.sender.lock().await;
        // Taken out while in use: a cancelled call leaves none behind, and the next one connects afresh.
        let mut sender = match place.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => connect(&self.target).await.map_err(CallFailure::transport)?,
        };
        sender.ready().await.map_err(CallFailure::transport)?;
        let request = self.request(prepared).map_err(CallFailure::transport)?;
        let reply = sender.send_request(request).await.map_err(CallFailure::transport)?;
        let status = reply.status();
        let body = reply.into_body().collect().await.map_err(CallFailure::transport)?.to_bytes();
        *place = Some(sender);
        if status.is_success() {
            Ok(Reply { body })
        } else {
            let message = printable(&String::from_utf8_lossy(&body[..body.len().min(200)])).into_owned();
            Err(CallFailure { failure: Failure::Http(status.as_u16()), message })
        }
    }

    fn request(&self, prepared: &Prepared) -> Result<http::Request<Full<Bytes>>, http::Error> {
        let route = &self.routes[prepared.call];
        let mut request = http::Request::builder()
            .method(route.method.clone())
            .uri(&route.path)
            .header(http::header::HOST, &self.target.authority)
            .body(Full::new(prepared.body.clone()))?;
        request.headers_mut().extend(route.headers.clone());
        Ok(request)
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, WireError> {
    let failed = |message: String| WireError::Connect { authority: target.authority.clone(), message };
    let socket = TcpStream::connect(&target.authority).await.map_err(|error| failed(error.to_string()))?;
    socket.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
    let (sender, connection) =
        handshake(TokioIo::new(socket)).await.map_err(|error| failed(error.to_string()))?;
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
        let socket = TcpStream::connect(&target.authority).await.map_err(CallFailure::transport)?;
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
