//! One call: its headers, its deadline, its attempts.
//!
//! Generic over the codec, so that the typed methods and the generated command line share every rule.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::Stream;
use http::uri::PathAndQuery;
use marquee_proto::methods::{self, IdempotencyLevel};
use tonic::client::Grpc;
use tonic::codec::Codec;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::connection::{self, ConnectError};
use crate::deadline::Deadline;
use crate::{ConnectOptions, DeadlineStream, RetryPolicy};

/// Whether a call may be sent again after it failed on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Sending it twice does what sending it once does.
    Allowed,
    /// Sending it twice could do it twice.
    Forbidden,
}

impl From<IdempotencyLevel> for Repeat {
    fn from(level: IdempotencyLevel) -> Self {
        match level {
            IdempotencyLevel::IdempotencyUnknown => Self::Forbidden,
            IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent => Self::Allowed,
        }
    }
}

/// A remote procedure call: its path, and whether it may be repeated.
#[derive(Clone, Debug)]
pub struct Rpc {
    path: PathAndQuery,
    repeat: Repeat,
}

impl Rpc {
    /// The RPC `/package.Service/Name`.
    ///
    /// # Errors
    /// When the path is not one.
    pub fn new(path: &str, repeat: Repeat) -> Result<Self, http::uri::InvalidUri> {
        Ok(Self { path: path.parse()?, repeat })
    }
}

impl From<methods::Method> for Rpc {
    /// A method of the API, to be repeated if its proto lets it be.
    fn from(method: methods::Method) -> Self {
        Self { path: PathAndQuery::from_static(method.path), repeat: method.idempotency.into() }
    }
}

/// A connected client; cheap to clone, and safe to share between tasks.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Option<Duration>,
    request_id: Option<MetadataValue<Ascii>>,
}

struct Shared {
    channels: Vec<Channel>,
    next: AtomicUsize,
    retry: RetryPolicy,
    default_timeout: Option<Duration>,
    max_reply_bytes: usize,
    api_key: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to the endpoints of `options`.
    ///
    /// # Errors
    /// When the options are wrong, or when no endpoint answers within the connect timeout.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let channels = connection::open(&options).await?;
        Self::over(channels, &options)
    }

    /// A client over channels that the caller opened, at least one.
    ///
    /// # Errors
    /// [`ConnectError::NoEndpoint`] without a channel, [`ConnectError::BadHeader`] for an API key
    /// that cannot travel.
    pub fn over(channels: Vec<Channel>, options: &ConnectOptions) -> Result<Self, ConnectError> {
        if channels.is_empty() {
            return Err(ConnectError::NoEndpoint);
        }
        let shared = Shared {
            channels,
            next: AtomicUsize::new(0),
            retry: options.retry.clone(),
            default_timeout: options.timeout,
            max_reply_bytes: options.max_reply_bytes,
            api_key: options.api_key.as_ref().map(connection::api_key_header).transpose()?,
        };
        Ok(Self { shared: Arc::new(shared), timeout: None, request_id: None })
    }

    /// The same connection; calls through it, streams included, must be over within `timeout`.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self.clone() }
    }

    /// The same connection; calls through it carry this `x-request-id` and not one of their own.
    ///
    /// # Errors
    /// [`ConnectError::BadHeader`] when the id cannot travel in a header.
    pub fn with_request_id(&self, id: &str) -> Result<Self, ConnectError> {
        let id = MetadataValue::try_from(id).map_err(|_| ConnectError::BadHeader { what: "request id" })?;
        Ok(Self { request_id: Some(id), ..self.clone() })
    }

    /// Sends one message and waits for one, repeating as the RPC and the policy allow.
    ///
    /// # Errors
    /// The status of the last attempt; DEADLINE_EXCEEDED when the deadline passed first.
    pub async fn unary<C>(&self, rpc: Rpc, codec: C, message: C::Encode) -> Result<C::Decode, Status>
    where
        C: Codec + Clone,
        C::Encode: Clone + Sync,
        C::Decode: Sync,
    {
        let deadline = Deadline::after(self.timeout.or(self.shared.default_timeout));
        let request_id = self.request_id();
        let mut attempt = 1;
        loop {
            let request = self.request(message.clone(), &request_id, &deadline);
            let failed = match deadline.bound(self.attempt(request, &rpc, codec.clone())).await {
                Ok(reply) => return Ok(reply),
                Err(status) => status,
            };
            let pause = match rpc.repeat {
                Repeat::Allowed => self.shared.retry.pause_after(attempt, &failed, rand::random()),
                Repeat::Forbidden => None,
            };
            match pause {
                Some(pause) if deadline.allows(pause) => tokio::time::sleep(pause).await,
                _ => return Err(failed),
            }
            attempt += 1;
        }
    }

    /// Sends a stream of messages and waits for one.
    ///
    /// # Errors
    /// The server's status; a stream is never repeated.
    pub async fn client_streaming<C, S>(&self, rpc: Rpc, codec: C, messages: S) -> Result<C::Decode, Status>
    where
        C: Codec,
        C::Encode: Sync,
        C::Decode: Sync,
        S: Stream<Item = C::Encode> + Send + 'static,
    {
        let deadline = Deadline::after(self.timeout);
        let request = self.request(messages, &self.request_id(), &deadline);
        deadline
            .bound(async {
                let mut grpc = self.ready().await?;
                Ok(grpc.client_streaming(request, rpc.path, codec).await?.into_inner())
            })
            .await
    }

    /// Sends a stream of messages (or one, as a stream of one) and returns the stream of replies.
    ///
    /// # Errors
    /// The server's status, if it answers with one before the first message; later ones come as
    /// elements of the stream. A stream is never repeated.
    pub async fn streaming<C, S>(
        &self,
        rpc: Rpc,
        codec: C,
        messages: S,
    ) -> Result<DeadlineStream<C::Decode>, Status>
    where
        C: Codec,
        C::Encode: Sync,
        C::Decode: Sync,
        S: Stream<Item = C::Encode> + Send + 'static,
    {
        let deadline = Deadline::after(self.timeout);
        let request = self.request(messages, &self.request_id(), &deadline);
        let replies = deadline
            .bound(async {
                let mut grpc = self.ready().await?;
                Ok(grpc.streaming(request, rpc.path, codec).await?.into_inner())
            })
            .await?;
        Ok(DeadlineStream::new(replies, deadline))
    }

    async fn attempt<C>(&self, request: Request<C::Encode>, rpc: &Rpc, codec: C) -> Result<C::Decode, Status>
    where
        C: Codec,
        C::Encode: Sync,
        C::Decode: Sync,
    {
        let mut grpc = self.ready().await?;
        Ok(grpc.unary(request, rpc.path.clone(), codec).await?.into_inner())
    }

    /// The next channel in turn, once it takes a request.
    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let turn = self.shared.next.fetch_add(1, Ordering::Relaxed) % self.shared.channels.len();
        let mut grpc = Grpc::new(self.shared.channels[turn].clone())
            .max_decoding_message_size(self.shared.max_reply_bytes);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(grpc)
    }

    fn request<T>(&self, message: T, request_id: &MetadataValue<Ascii>, deadline: &Deadline) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(remaining) = deadline.remaining() {
            request.set_timeout(remaining);
        }
        let metadata = request.metadata_mut();
        metadata.insert("x-request-id", request_id.clone());
        if let Some(key) = &self.shared.api_key {
            metadata.insert("x-api-key", key.clone());
        }
        request
    }

    fn request_id(&self) -> MetadataValue<Ascii> {
        self.request_id.clone().unwrap_or_else(|| {
            let id = format!("{:032x}", rand::random::<u128>());
            MetadataValue::try_from(id).expect("hexadecimal digits are ASCII")
        })
    }
}
