//! Requests that are neither gRPC nor gRPC-web: which method is meant, and by which protocol.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method as Verb, Request, Response};
use http_body::Body as _;
use marquee_proto::dynamic::Api;
use tonic::body::Body;
use tower::Service;

use super::console::{Console, ConsoleFacts};
use super::docs::Docs;
use super::error::{ErrorForm, HttpError};
use super::refusal::NoCall;
use super::served::{Served, Streaming};
use super::{connect, connect_stream, rest};
use crate::edge::layers::Bodies;

/// Answers them by the services of the layers within.
pub(super) struct Gateway {
    served: Served,
    docs: Docs,
    /// Absent where none is served.
    console: Option<Console>,
}

impl Gateway {
    /// For the services of these sets of descriptors; bodies are read by `bodies`. With facts for it, the console is
    /// served.
    pub(super) fn new(sets: &[&[u8]], bodies: Bodies, console: Option<ConsoleFacts>) -> Self {
        let sets: Vec<&[u8]> = sets.iter().copied().chain([tonic_types::pb::FILE_DESCRIPTOR_SET]).collect();
        let api = Api::new(&sets).expect("the builds of these crates wrote the descriptors");
        let served = Served::new(&api, bodies);
        let docs = Docs::new(&api, &served.routes).expect("memory takes bytes");
        let console = console.map(|facts| Console::new(facts).expect("memory takes bytes"));
        Self { served, docs, console }
    }

    /// The answer to a request for a file, whoever has it; `None` where nobody does.
    fn file<B>(&self, request: &Request<B>) -> Option<Result<Response<Body>, HttpError>> {
        let of_console = self.console.as_ref().and_then(|console| console.answer(request));
        of_console.or_else(|| self.docs.answer(request))
    }

    /// The answer to a request, by one call of `inner` at most, which is ready for it.
    pub(super) async fn answer<S>(&self, inner: S, request: Request<Body>) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let is_head = request.method() == Verb::HEAD;
        let response = if let Some(file) = self.file(&request) {
            match file {
                Ok(file) => file,
                Err(error) => self.refusal(inner, request, error).await?,
            }
        } else if let Some(method) = self.served.methods.get(request.uri().path()) {
            match method.streaming {
                Streaming::Replies => connect_stream::answer(&self.served, method, inner, request).await?,
                _ => connect::answer(&self.served, method, inner, request).await?,
            }
        } else {
            rest::answer(&self.served, inner, request).await?
        };
        Ok(if is_head { without_body(response) } else { response })
    }

    /// The reply to a request that is not looked at any further, told to `inner`.
    pub(super) async fn refusal<S>(
        &self,
        inner: S,
        request: Request<Body>,
        error: HttpError,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let form = ErrorForm::of(&request);
        // The body is given up here, and comes back as a remainder.
        let head = request.into_parts().0;
        let (path, headers, extensions) = (head.uri.path(), &head.headers, head.extensions);
        let no_call = NoCall { path, headers, extensions, protocol: form.protocol() };
        Ok(self.error(no_call.refuse(inner, error).await?, form))
    }

    /// The reply to a request that failed.
    pub(super) fn error(&self, error: HttpError, form: ErrorForm) -> Response<Body> {
        self.served.errors.response(error, form)
    }
}

/// The reply to HEAD, which says how long the reply to GET would be.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(|_| Body::new(http_body_util::Empty::<Bytes>::new()))
}
