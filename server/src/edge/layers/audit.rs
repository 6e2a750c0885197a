//! Records every change of what is not its caller's alone, and every refusal: the layer around [`identity`](super::identity),
//! which refuses most.
//!
//! Which methods are changes is declared in the protos. A change is recorded whatever becomes of it, when its status is
//! known: before its caller is told, or when the call is given up.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use marquee_core::clock::now_ms;
use marquee_proto::code_name;
use marquee_proto::methods::{self, Method};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::identity::Known;
use super::{Methods, Noted, Origin, RequestId};
use crate::access::Identity;
use crate::access::audit::{Audit, Caller, Entry};

/// Records what is done through it.
#[derive(Clone)]
pub(crate) struct AuditLayer {
    audit: Arc<Audit>,
    methods: Methods,
    changes: Arc<HashSet<&'static str>>,
}

impl AuditLayer {
    /// For a server with these methods.
    pub(crate) fn new(audit: Arc<Audit>, methods: Methods) -> Self {
        let changes = methods::ALL.into_iter().filter(|method| method.is_change()).map(Method::full_name);
        Self { audit, methods, changes: Arc::new(changes.collect()) }
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuditService { inner, layer: self.clone() }
    }
}

/// See [`AuditLayer`].
#[derive(Clone)]
pub(crate) struct AuditService<S> {
    inner: S,
    layer: AuditLayer,
}

impl<S> Service<Request<Body>> for AuditService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(method) = self.layer.methods.of_path(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        let is_change = self.layer.changes.contains(method);
        let noted = Noted::of(is_change);
        let mut call = Call {
            audit: Arc::clone(&self.layer.audit),
            method,
            origin: Origin::of(request.extensions()),
            request_id: request.extensions().get::<RequestId>().map(|id| id.header_value().clone()),
            noted: noted.clone(),
            is_over: false,
        };
        request.extensions_mut().insert(noted);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            if let Some(Known(identity)) = response.extensions().get() {
                call.noted.set_caller(identity);
            }
            if let Some(status) = Status::from_header_map(response.headers()) {
                call.ends(status.code());
            }
            if is_change && !call.is_over {
                return Ok(response.map(|inner| Body::new(AuditedBody { inner, call })));
            }
            Ok(response)
        })
    }
}

/// A call; a change that is given up ends as CANCELLED.
struct Call {
    audit: Arc<Audit>,
    method: &'static str,
    origin: Origin,
    request_id: Option<HeaderValue>,
    noted: Noted,
    is_over: bool,
}

impl Call {
    /// Records the call if it is to be.
    fn ends(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let is_refusal = matches!(code, Code::Unauthenticated | Code::PermissionDenied);
        if !is_refusal && !self.noted.is_change() {
            return;
        }
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        let entry = Entry {
            time_ms: now_ms(),
            caller: self.noted.caller().map(named),
            origin: self.origin.to_string(),
            method: self.method,
            user_id: self.noted.user(),
            request_id: request_id.map(str::to_owned),
            outcome: code_name(code),
        };
        if is_refusal { self.audit.refusal(entry) } else { self.audit.change(entry) }
    }
}

fn named(identity: &Identity) -> Caller {
    match identity.user_id {
        Some(user_id) if identity.has_account => Caller::Person(user_id),
        _ => Caller::Named(identity.name.clone()),
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ends(Code::Cancelled);
    }
}

/// The reply to a change.
struct AuditedBody {
    inner: Body,
    call: Call,
}

impl http_body::Body for AuditedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let status = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(Status::from_header_map),
            Some(Err(error)) => Some(error.clone()),
            None => None,
        };
        if let Some(status) = status {
            self.call.ends(status.code());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
