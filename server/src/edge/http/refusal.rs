//! Requests that come to no call, told to the layers within as calls that were refused: they count for their caller, in
//! the metrics and in the log.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, Request, Response};
use http_body_util::Empty;
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use super::call::{Failure, GRPC_TIMEOUT, keep_metadata, metadata_of, request_of_grpc};
use super::error::HttpError;
use crate::edge::layers::{Protocol, Refused};

/// What is known of a request that comes to no call.
pub(super) struct NoCall<'a> {
    /// `/package.Service/Method` where the method is known, else the path that was asked for.
    pub(super) path: &'a str,
    /// Those of the request.
    pub(super) headers: &'a HeaderMap,
    /// Those of the request, where its connection stands.
    pub(super) extensions: Extensions,
    /// What the caller speaks.
    pub(super) protocol: Protocol,
}

impl NoCall<'_> {
    /// What to answer with: the error, or what a layer refuses the caller with whatever it asks for.
    ///
    /// # Errors
    /// `Err` of the layers within, which have none.
    pub(super) async fn refuse<S>(self, inner: S, error: HttpError) -> Result<HttpError, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let request = self.into_request(error.status().clone());
        let mut headers = inner.oneshot(request).await?.into_parts().0.headers;
        Ok(match Status::from_header_map(&headers) {
            Some(status) if status.code() != error.status().code() => {
                keep_metadata(&mut headers);
                Failure { status, headers }.into()
            }
            _ => error,
        })
    }

    fn into_request(self, status: Status) -> Request<Body> {
        let path = PathAndQuery::try_from(self.path);
        let path = path.unwrap_or_else(|_| PathAndQuery::from_static("/"));
        let mut metadata = metadata_of(self.headers);
        metadata.remove(GRPC_TIMEOUT);
        let mut request = request_of_grpc(path, metadata, Body::new(Empty::<Bytes>::new()));
        *request.extensions_mut() = self.extensions;
        request.extensions_mut().insert(self.protocol);
        request.extensions_mut().insert(Refused(status));
        request
    }
}
