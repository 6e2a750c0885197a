//! gRPC over one HTTP/2 connection, straight on `h2`.
//!
//! A stream of requests is its messages one after another in one body, so unary, batch and stream calls go
//! the same way. A connection that the server closes (age, restart) is opened again; the calls that it
//! took with it count as errors.

use std::cell::RefCell;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::client::{Builder, SendRequest};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use http::{Request, Version};
use marquee_core::text::printable;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{CallFailure, Prepared, Reply, Route, Target, WireError};
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

/// One HTTP/2 connection, used by the tasks of one thread.
pub struct GrpcConnection {
    target: Target,
    requests: Vec<Request<()>>,
    current: RefCell<SendRequest<Bytes>>,
    reconnecting: Mutex<()>,
}

impl GrpcConnection {
    /// Connects. Every request carries `deadline` as its `grpc-timeout`.
    ///
    /// # Errors
    /// [`WireError::Connect`] when nobody answers, [`WireError::Request`] when a route is no path.
    pub async fn open(
        target: &Target,
        routes: &[Route],
        deadline: Option<Duration>,
    ) -> Result<Self, WireError> {
        let requests = routes
            .iter()
            .map(|route| request(target, route, deadline))
            .collect::<Result<Vec<_>, http::Error>>()?;
        let sender = connect(target).await?;
        Ok(Self {
            target: target.clone(),
            requests,
            current: RefCell::new(sender),
            reconnecting: Mutex::new(()),
        })
    }

    /// Sends one request and waits for the whole reply.
    ///
    /// # Errors
    /// [`CallFailure`] when the connection fails or the status is not OK.
    pub async fn call(&self, prepared: &Prepared) -> Result<Reply, CallFailure> {
        let mut sender = self.sender().await?;
        let request = self.requests[prepared.call].clone();
        let (response, mut body) = sender.send_request(request, false).map_err(failed)?;
        body.send_data(prepared.body.clone(), true).map_err(failed)?;

        let (head, mut reply) = response.await.map_err(failed)?.into_parts();
        if head.status != http::StatusCode::OK {
            let message = format!("HTTP status {} instead of a gRPC reply", head.status);
            return Err(CallFailure { failure: Failure::Http(head.status.as_u16()), message });
        }
        if head.headers.contains_key("grpc-status") {
            check_status(&head.headers)?;
        }
        let bytes = read_all(&mut reply).await.map_err(failed)?;
        if let Some(trailers) = reply.trailers().await.map_err(failed)? {
            check_status(&trailers)?;
        } else if !head.headers.contains_key("grpc-status") {
            let message = "the reply has no grpc-status; is this a gRPC server?".to_owned();
            return Err(CallFailure { failure: Failure::Malformed, message });
        }
        Ok(Reply { body: bytes })
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
    let failed = |message: String| WireError::Connect { authority: target.authority.clone(), message };
    let socket = TcpStream::connect(&target.authority).await.map_err(|error| failed(error.to_string()))?;
    socket.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
    let (sender, connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false)
        .handshake(socket)
        .await
        .map_err(|error| failed(error.to_string()))?;
    // An error of the connection shows in each of its calls.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

fn request(target: &Target, route: &Route, deadline: Option<Duration>) -> Result<Request<()>, http::Error> {
    let uri = http::Uri::builder()
        .scheme("http")
        .authority(target.authority.as_str())
        .path_and_query(route.path.as_str())
        .build()?;
    let mut request =
        Request::builder().method(http::Method::POST).uri(uri).version(Version::HTTP_2).body(())?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(
        "user-agent",
        HeaderValue::from_static(concat!("marquee-loadgen/", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(deadline) = deadline {
        headers.insert("grpc-timeout", timeout_value(deadline)?);
    }
    headers.extend(route.headers.clone());
    Ok(request)
}

/// The header's form: at most eight digits and a unit.
fn timeout_value(deadline: Duration) -> Result<HeaderValue, http::Error> {
    let micros = deadline.as_micros();
    let text = if micros < 100_000_000 { format!("{micros}u") } else { format!("{}m", deadline.as_millis()) };
    Ok(HeaderValue::from_str(&text)?)
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

fn check_status(headers: &HeaderMap) -> Result<(), CallFailure> {
    let code =
        headers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    match code {
        Some(0) => Ok(()),
        Some(code) => {
            let message = headers.get("grpc-message").map_or_else(String::new, |value| {
                printable(&String::from_utf8_lossy(&percent_decode(value.as_bytes()))).into_owned()
            });
            Err(CallFailure { failure: Failure::Status(code), message })
        }
        None => Err(CallFailure {
            failure: Failure::Malformed,
            message: "the reply's grpc-status is no number".to_owned(),
        }),
    }
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escaped = (text[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(text[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_message_is_percent_decoded() {
        assert_eq!(percent_decode(b"k is 501%3B 1 to 500%20only"), b"k is 501; 1 to 500 only");
        assert_eq!(percent_decode(b"100%"), b"100%");
    }

    #[test]
    fn a_grpc_message_cannot_command_the_terminal() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from_static("3"));
        headers.insert("grpc-message", HeaderValue::from_static("%1B[2J%0A%C2%9B31m"));
        let refused = check_status(&headers).unwrap_err();
        assert_eq!(refused.message, r"\u{1b}[2J\n\u{9b}31m");
    }

    /// The status of a call whose stream the server resets.
    async fn status_after(reason: Reason) -> Failure {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { authority: listener.local_addr().unwrap().to_string() };
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(reason);
            }
        });
        let call = async {
            let connection = GrpcConnection::open(&target, &[Route::grpc("/a/B")], None).await.unwrap();
            let prepared = Prepared { call: 0, body: Bytes::from_static(&[0; 5]), cancel_after: None };
            connection.call(&prepared).await.unwrap_err().failure
        };
        tokio::task::LocalSet::new().run_until(call).await
    }

    #[tokio::test]
    async fn a_reset_stream_has_the_status_of_its_reason() {
        assert_eq!(status_after(Reason::CANCEL).await, Failure::Status(CANCELLED));
        assert_eq!(status_after(Reason::REFUSED_STREAM).await, Failure::Status(UNAVAILABLE));
        assert_eq!(status_after(Reason::ENHANCE_YOUR_CALM).await, Failure::Status(RESOURCE_EXHAUSTED));
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        assert_eq!(timeout_value(Duration::from_millis(50)).unwrap(), "50000u");
        assert_eq!(timeout_value(Duration::from_mins(10)).unwrap(), "600000m");
    }
}
