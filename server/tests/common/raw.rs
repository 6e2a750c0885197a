//! A caller that speaks HTTP/2 itself, so that a test decides what a frame holds and what is read.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use prost::Message;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// A connection of its own.
pub struct RawClient {
    requests: SendRequest<Bytes>,
    _connection: AbortOnDropHandle<()>,
}

impl RawClient {
    /// A caller that takes so many bytes of each answer before it has read any.
    pub async fn connect(address: SocketAddr, window: u32) -> Self {
        let socket = TcpStream::connect(address).await.expect("the server accepts connections");
        let mut builder = h2::client::Builder::new();
        let handshake = builder.initial_window_size(window).handshake(socket);
        let (requests, connection) = handshake.await.expect("the server speaks HTTP/2");
        let connection = AbortOnDropHandle::new(tokio::spawn(async move { _ = connection.await }));
        Self { requests, _connection: connection }
    }

    /// Begins a call, such as `marquee.v1.CatalogService/GetMovie`, with these headers.
    pub async fn call(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = http::Request::post(format!("http://test/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = self.requests.clone().ready().await.expect("the connection is open");
        requests.send_request(request.body(()).expect("a request"), false).expect("the connection is open")
    }
}

/// A message as it stands on the wire.
pub fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], &message[..]].concat().into()
}

/// Sends every message in a frame of its own, as fast as the server takes them, and the end; stops early when the
/// server wants no more of the call.
pub async fn send_each(
    body: &mut SendStream<Bytes>,
    messages: impl Iterator<Item = Bytes>,
) -> Result<(), h2::Error> {
    for message in messages {
        body.reserve_capacity(message.len());
        while body.capacity() < message.len() {
            let more = std::future::poll_fn(|context| body.poll_capacity(context)).await.transpose()?;
            if more.is_none() {
                return Ok(());
            }
        }
        body.send_data(message, false)?;
    }
    body.send_data(Bytes::new(), true)
}

/// Reads an answer to its end: the bytes of its messages, and its status.
pub async fn read_all(answer: ResponseFuture) -> Result<(usize, Status), h2::Error> {
    let answer = answer.await?;
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return Ok((0, status));
    }
    read_rest(answer.into_body()).await
}

/// As [`read_all`], from its first message on.
pub async fn read_rest(mut body: RecvStream) -> Result<(usize, Status), h2::Error> {
    let mut bytes = 0;
    while let Some(part) = body.data().await.transpose()? {
        bytes += part.len();
        body.flow_control().release_capacity(part.len())?;
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok((bytes, Status::from_header_map(&trailers).unwrap_or_else(|| Status::unknown("no status"))))
}
