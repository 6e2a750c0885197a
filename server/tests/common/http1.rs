//! A caller of HTTP/1.1 that writes its bytes itself, so that a test decides what is sent and what is read.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// After which a server that does not act counts as one that never will.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection.
pub struct Http1 {
    pub stream: TcpStream,
    read: Vec<u8>,
}

/// A reply whose body is whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Http1 {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("the port is open"), read: Vec::new() }
    }

    /// A reply to one request on a connection of its own.
    pub async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
        let mut client = Self::connect(address).await;
        client.send(request).await;
        client.reply().await
    }

    /// Writes bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the connection is open");
    }

    /// The next reply, its body read by its length or in chunks.
    pub async fn reply(&mut self) -> Reply {
        let (status, headers) = self.head().await;
        let mut body = Vec::new();
        if let Some(length) = headers.get("content-length") {
            let length = length.to_str().expect("a text").parse().expect("a length");
            body = self.exactly(length).await;
        } else if headers.contains_key("transfer-encoding") {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        }
        Reply { status, headers, body }
    }

    /// The status line and the headers of the next reply, one of the class 100 too.
    pub async fn head(&mut self) -> (u16, HeaderMap) {
        let line = self.line().await;
        let status = line.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status = status[..3].parse().expect("a status");
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { return (status, headers) };
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
        }
    }

    /// The next chunk of a body; `None` at its end.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await, 16).expect("the length of a chunk");
        let chunk = self.exactly(length).await;
        assert_eq!(self.line().await, "");
        (length > 0).then_some(chunk)
    }

    /// What comes until the server closes.
    pub async fn rest(mut self) -> Vec<u8> {
        while self.more().await {}
        self.read
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.read.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).expect("a text");
            }
            assert!(self.more().await, "the connection ended within a line: {:?}", self.read);
        }
    }

    async fn exactly(&mut self, bytes: usize) -> Vec<u8> {
        while self.read.len() < bytes {
            assert!(self.more().await, "the connection ended within a body: {:?}", self.read);
        }
        self.read.drain(..bytes).collect()
    }

    /// Whether more came, and not the end.
    async fn more(&mut self) -> bool {
        let reading = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read));
        reading.await.expect("the server acts by itself").is_ok_and(|bytes| bytes > 0)
    }
}
