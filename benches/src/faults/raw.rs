//! A caller straight on HTTP/2, which may do what a library would not: send a frame for every message, stop
//! in the middle of one, read nothing, and look at how long the headers of an answer are.

use std::future::poll_fn;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Version};
use prost::Message;
use tokio::net::{TcpSocket, TcpStream};

/// The windows of a caller that takes whatever comes.
pub(super) const WIDE: u32 = 16 << 20;
/// Headers longer than any library takes, so that their length is seen and not only that it is too much.
const LONGEST_HEADERS: u32 = 1 << 30;
/// What HTTP/2 counts for a header beside its name and value.
const HEADER_OVERHEAD: usize = 32;
/// The bytes before a gRPC message.
const PREFIX: usize = 5;

/// A connection; its end ends all calls on it.
pub(super) struct Raw {
    sender: SendRequest<Bytes>,
    authority: String,
}

/// A call whose request is not ended.
pub(super) struct Call {
    pub(super) response: ResponseFuture,
    pub(super) body: SendStream<Bytes>,
}

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// The code of its status; `None` when it has none.
    pub(super) code: Option<u32>,
    /// The words of its status, as they came.
    pub(super) message: String,
    /// How long the headers with its status are, as HTTP/2 counts.
    pub(super) header_bytes: usize,
    /// The whole body: length-prefixed messages.
    pub(super) body: Vec<u8>,
}

/// A TCP connection from one of this machine's own addresses.
pub(super) async fn socket(authority: &str, from: Ipv4Addr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let to: SocketAddr = authority.parse().context("a server listens on an address")?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Raw {
    /// Connects from an address; answers may be as long as `window` before they are read.
    pub(super) async fn connect(authority: &str, from: Ipv4Addr, window: u32) -> anyhow::Result<Self> {
        let (sender, connection) = Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(WIDE)
            .max_header_list_size(LONGEST_HEADERS)
            .enable_push(false)
            .handshake(socket(authority, from).await?)
            .await?;
        // Its error shows in each of its calls.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, authority: authority.to_owned() })
    }

    /// Begins a call.
    pub(super) async fn open(&self, path: &str, headers: &[(&'static str, &str)]) -> anyhow::Result<Call> {
        let mut request = Request::post(format!("http://{}{path}", self.authority))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await?;
        let (response, body) = sender.send_request(request.body(())?, false)?;
        Ok(Call { response, body })
    }

    /// Sends one message and reads the whole answer.
    pub(super) async fn call(&self, path: &str, body: &Body) -> anyhow::Result<Ended> {
        let Call { response, body: mut stream } = self.open(path, body.headers()).await?;
        let (sent, ended) = tokio::join!(send(&mut stream, body.bytes.clone(), true), ended(response));
        // A server that refuses early does not read the rest.
        ended.map_err(|error| sent.err().unwrap_or(error))
    }
}

/// The body of a request: one length-prefixed message.
#[derive(Clone, Debug)]
pub(super) struct Body {
    bytes: Bytes,
    gzip: bool,
}

impl Body {
    /// A message as it is.
    pub(super) fn plain(message: &impl Message) -> Self {
        Self { bytes: framed(&message.encode_to_vec(), false), gzip: false }
    }

    /// A message, given as its encoded bytes, compressed.
    pub(super) fn gzip(message: &[u8]) -> anyhow::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(message)?;
        Ok(Self { bytes: framed(&encoder.finish()?, true), gzip: true })
    }

    /// How many bytes are sent.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        if self.gzip { &[("grpc-encoding", "gzip")] } else { &[] }
    }
}

/// A message with its prefix.
pub(super) fn framed(message: &[u8], compressed: bool) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(compressed.into());
    bytes.put_u32(message.len() as u32);
    bytes.put_slice(message);
    bytes.freeze()
}

/// Sends bytes as the windows allow: those that fit at once are one DATA frame.
pub(super) async fn send(body: &mut SendStream<Bytes>, mut bytes: Bytes, end: bool) -> anyhow::Result<()> {
    loop {
        body.reserve_capacity(bytes.len());
        while body.capacity() == 0 && !bytes.is_empty() {
            poll_fn(|context| body.poll_capacity(context)).await.context("the stream is closed")??;
        }
        let part = bytes.split_to(bytes.len().min(body.capacity()));
        body.send_data(part, end && bytes.is_empty())?;
        if bytes.is_empty() {
            return Ok(());
        }
    }
}

/// Sends every message in a DATA frame of its own, and then the end.
pub(super) async fn send_each(
    body: &mut SendStream<Bytes>,
    messages: impl Iterator<Item = Bytes>,
) -> anyhow::Result<()> {
    for message in messages {
        body.reserve_capacity(message.len());
        while body.capacity() < message.len() {
            poll_fn(|context| body.poll_capacity(context)).await.context("the stream is closed")??;
        }
        body.send_data(message, false)?;
    }
    body.send_data(Bytes::new(), true)?;
    Ok(())
}

/// Reads an answer to its end.
pub(super) async fn ended(response: ResponseFuture) -> anyhow::Result<Ended> {
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?;
    Ok(of_headers(trailers.as_ref().unwrap_or(&head.headers), bytes))
}

/// Waits until an answer's end, of which nothing is read, at most so long; whether it came.
pub(super) async fn closes_within(response: ResponseFuture, time: Duration) -> bool {
    let closed = async {
        let Ok(answer) = response.await else { return };
        let mut body: RecvStream = answer.into_body();
        // Nothing is released, so the window stays as it is.
        while let Some(Ok(_)) = body.data().await {}
    };
    tokio::time::timeout(time, closed).await.is_ok()
}

fn of_headers(headers: &HeaderMap, body: Vec<u8>) -> Ended {
    let text =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ended {
        code: text("grpc-status").and_then(|code| code.parse().ok()),
        message: text("grpc-message").unwrap_or_default(),
        header_bytes: headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD)
            .sum(),
        body,
    }
}

/// The messages of a body; what stands behind the last whole one is left out.
pub(super) fn messages(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (prefix, rest) = body.split_at_checked(PREFIX)?;
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let (message, rest) = rest.split_at_checked(length)?;
        body = rest;
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_taken_apart_into_the_messages_that_it_was_made_of() {
        let body = [framed(b"one", false), framed(b"", false), framed(b"three", false)].concat();
        assert_eq!(messages(&body).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(messages(&body[..body.len() - 1]).count(), 2);
    }

    #[test]
    fn the_length_of_headers_is_that_of_http2() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "3".parse().unwrap());
        headers.insert("grpc-message", "bad".parse().unwrap());
        let ended = of_headers(&headers, Vec::new());
        assert_eq!((ended.code, ended.message.as_str()), (Some(3), "bad"));
        assert_eq!(ended.header_bytes, 11 + 1 + 32 + 12 + 3 + 32);
    }

    #[test]
    fn zeros_become_few() {
        let body = Body::gzip(&vec![0; 4_000_000]).unwrap();
        assert!(body.len() < 5_000 && body.bytes[0] == 1);
    }
}
