//! The API for callers without gRPC, on the same port: browsers, curl, scripts.
//!
//! One layer stands around all others. What is gRPC passes it as it is: the layer looks at version and content type
//! and calls the next one, without a task, a lock or memory of its own. Every other request is first asked for which
//! host it is and whose page it comes from ([`guard`]). Then gRPC-web becomes gRPC ([`grpc_web`]), and everything else
//! is the [`gateway`]'s. Both call the same layers within the process: limits, deadlines, metrics and validation are
//! those of gRPC, and nothing below knows who asked.
//!
//! A browser can send what calls itself gRPC, but without TLS over HTTP/1.1 only, where there is no gRPC. With TLS a
//! foreign name has no certificate, and a page of somebody else must ask before it may send this content type, which
//! is refused. So version and content type together tell that no page is asking that may not.

mod body;
mod call;
mod connect;
mod connect_stream;
mod console;
mod docs;
mod error;
mod file;
mod gateway;
mod grpc_web;
mod guard;
mod host;
mod openapi;
mod origin;
mod refusal;
mod remainder;
mod rest;
mod served;
mod stream;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use http::{Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;
use tonic::body::Body;
use tower::util::ServiceFn;
use tower::{Layer, Service, ServiceExt as _, service_fn};
use tower_http::cors::CorsLayer;

pub(crate) use self::console::ConsoleFacts;
use self::error::ErrorForm;
use self::gateway::Gateway;
use self::guard::Guard;
pub use self::host::AllowedHosts;
pub use self::origin::CorsOrigins;
use self::origin::{Called, Origin};
use super::ApiError;
use super::cookie::SessionCookie;
use super::layers::{Bodies, ConnectionInfo, Reply, is_grpc, is_grpc_web, request_id, timeout_of};

/// What the settings say of callers without gRPC.
#[derive(Clone, Debug)]
pub(crate) struct HttpOptions {
    /// By which names they may call.
    pub(crate) hosts: AllowedHosts,
    /// Which pages may.
    pub(crate) origins: CorsOrigins,
    /// What the console is told; `None` where none is served.
    pub(crate) console: Option<ConsoleFacts>,
}

/// Answers those who do not speak gRPC, by the services of the layers within.
#[derive(Clone)]
pub(crate) struct HttpLayer(Arc<Http>);

struct Http {
    guard: Guard,
    /// Tells pages of other origins what they may do; `None` where there are none.
    cors: Option<CorsLayer>,
    gateway: Gateway,
}

impl HttpLayer {
    /// For the services of these sets of descriptors; bodies are read by `bodies`.
    pub(crate) fn new(options: HttpOptions, sets: &[&[u8]], bodies: Bodies) -> Self {
        let HttpOptions { hosts, origins, console } = options;
        let cors = origins.layer();
        Self(Arc::new(Http {
            guard: Guard::new(hosts, origins),
            cors,
            gateway: Gateway::new(sets, bodies, console),
        }))
    }
}

impl<S> Layer<S> for HttpLayer {
    type Service = HttpService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpService { inner, http: Arc::clone(&self.0) }
    }
}

/// See [`HttpLayer`].
#[derive(Clone)]
pub(crate) struct HttpService<S> {
    inner: S,
    http: Arc<Http>,
}

impl<S> Service<Request<Body>> for HttpService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_native(&request) {
            return Either::Left(self.inner.call(request));
        }
        // This service and not its clone: it is ready, and knows when the call arrived.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let http = Arc::clone(&self.http);
        let deadline = timeout_of(request.headers()).ok().flatten().map(|time| Instant::now() + time);
        // At once: what comes before a call has begun is taken for the head of its request, and the body follows.
        let open = Open::on(request.extensions().get());
        Either::Right(Box::pin(async move {
            let reply = http.answer(inner, request, deadline).await?;
            Ok(open.until_read(reply))
        }))
    }
}

/// Whether it is gRPC as gRPC's specification has it.
fn is_native<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_2 && is_grpc(request.headers())
}

impl Http {
    /// The answer to a request, which has its id whoever gives it.
    async fn answer<S>(
        &self,
        inner: S,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Future: Send,
        S::Error: Send,
    {
        let identified = once(inner, |inner, request| self.answer_by(deadline, inner, request));
        request_id().layer(identified).oneshot(request).await
    }

    /// The answer until a deadline, or that it has passed. tonic says it too, in gRPC to everybody; it asks this answer
    /// first, and its time began later.
    async fn answer_by<S>(
        &self,
        deadline: Option<Instant>,
        inner: S,
        request: Request<Body>,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Future: Send,
        S::Error: Send,
    {
        let form = ErrorForm::of(&request);
        let answer = self.answer_identified(inner, request);
        let Some(deadline) = deadline else { return answer.await };
        match timeout_at(deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Ok(self.gateway.error(ApiError::DeadlinePassed.into(), form)),
        }
    }

    async fn answer_identified<S>(&self, inner: S, request: Request<Body>) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Future: Send,
        S::Error: Send,
    {
        let (mut request, remainder) = remainder::watched(request);
        let mut reply = match self.guard.check(&request) {
            Ok(called) => {
                keep_session(&mut request, &called);
                self.answer_checked(inner, request).await?
            }
            Err(error) => self.gateway.refusal(inner, request, error).await?,
        };
        remainder.read_before(&mut reply).await;
        Ok(reply)
    }

    async fn answer_checked<S>(&self, inner: S, request: Request<Body>) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Future: Send,
        S::Error: Send,
    {
        match &self.cors {
            None => self.dispatch(inner, request).await,
            Some(cors) => {
                let dispatched = once(inner, |inner, request| self.dispatch(inner, request));
                cors.layer(dispatched).oneshot(request).await
            }
        }
    }

    async fn dispatch<S>(&self, inner: S, request: Request<Body>) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Future: Send,
        S::Error: Send,
    {
        if is_grpc_web(request.headers()) {
            grpc_web::answer(inner, request).await
        } else {
            self.gateway.answer(inner, request).await
        }
    }
}

/// Tells the layers within of the session in a cookie that counts.
fn keep_session(request: &mut Request<Body>, called: &Called) {
    let is_own = |origin: &str| Origin::is_own(origin, called);
    if let Some(cookie) = SessionCookie::of(request.method(), request.headers(), is_own) {
        request.extensions_mut().insert(cookie);
    }
}

/// A service that is called once, and calls `inner` once at most.
fn once<S, F>(
    inner: S,
    mut call: impl FnMut(S, Request<Body>) -> F,
) -> ServiceFn<impl FnMut(Request<Body>) -> F> {
    let mut inner = Some(inner);
    service_fn(move |request| call(inner.take().expect("oneshot calls once"), request))
}

/// A request that keeps its connection open, whoever answers it.
struct Open {
    connection: Option<ConnectionInfo>,
    call: Option<TaskTrackerToken>,
}

impl Open {
    fn on(connection: Option<&ConnectionInfo>) -> Self {
        Self { connection: connection.cloned(), call: connection.map(ConnectionInfo::call) }
    }

    /// The reply, which keeps the connection until it is read. One whose length is known waits for its reader; a stream
    /// is given up by those who carry it.
    fn until_read(self, reply: Response<Body>) -> Response<Body> {
        let waits = !reply.body().is_end_stream() && reply.body().size_hint().exact().is_some();
        let connection = self.connection.filter(|_| waits);
        let unread = connection.map(|connection| Reply::on(connection.unread()));
        reply.map(|body| Body::new(OpenBody { body, _call: self.call, _unread: unread }))
    }
}

struct OpenBody {
    body: Body,
    _call: Option<TaskTrackerToken>,
    _unread: Option<Reply>,
}

impl http_body::Body for OpenBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
