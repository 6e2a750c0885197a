//! Holds each caller to its share of the calls in flight, so that one who is greedy does not keep others from an answer.
//!
//! A caller is who the rate limit takes it for. A call with one reply is in flight until that is there, a stream of
//! requests until it ends. Streams of replies alone, health, and the methods by which a server is looked after are not
//! counted.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Methods;
use super::limit::bucket;
use super::remainder::answered;
use crate::edge::ApiError;
use crate::shared::limit::{Place, Shares};

/// Counts the calls of every caller.
#[derive(Clone)]
pub(crate) struct ShareLayer {
    shares: Arc<Shares>,
    counted: Methods,
    streams: Arc<HashSet<&'static str>>,
}

impl ShareLayer {
    /// For calls of these methods, of which `streams` are in flight until their reply ends.
    pub(crate) fn new(
        shares: Arc<Shares>,
        counted: impl IntoIterator<Item = &'static str>,
        streams: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let (counted, streams) = (counted.into_iter().collect(), streams.into_iter().collect());
        Self { shares, counted, streams: Arc::new(streams) }
    }
}

impl<S> Layer<S> for ShareLayer {
    type Service = ShareService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ShareService { inner, layer: self.clone() }
    }
}

/// See [`ShareLayer`].
#[derive(Clone)]
pub(crate) struct ShareService<S> {
    inner: S,
    layer: ShareLayer,
}

impl<S> Service<Request<Body>> for ShareService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(method) = self.layer.counted.of_path(request.uri().path()) else {
            return self.inner.call(request).boxed();
        };
        let Some(place) = self.layer.shares.take(bucket(request.extensions()), method) else {
            return answered(request.into_body(), Status::from(ApiError::ShareTaken).into_http());
        };
        let lasts = self.layer.streams.contains(method);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(if lasts { response.map(|inner| Body::new(Held { inner, _place: place })) } else { response })
        })
    }
}

/// The reply to a stream, which is in flight as long as that.
struct Held {
    inner: Body,
    _place: Place,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::IpAddr;
    use std::time::Duration;

    use futures::future::join_all;
    use http_body_util::Full;
    use tokio::sync::Semaphore;
    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::super::forwarded::ForwardedFor;
    use super::*;

    const METHOD: &str = "marquee.v1.RecommendationService/Recommend";
    const STREAM: &str = "marquee.v1.RecommendationService/RecommendStream";
    const STATS: &str = "marquee.v1.OperationsService/GetStats";
    const GREEDY: [u8; 4] = [192, 0, 2, 1];
    const POLITE: [u8; 4] = [192, 0, 2, 2];

    /// A server that answers so many calls at once, each with its turn, as long as `ends` has room for it.
    struct Server {
        layer: ShareLayer,
        places: Arc<Semaphore>,
        ends: Arc<Semaphore>,
    }

    impl Server {
        fn new(share: usize, places: usize) -> Self {
            let layer = ShareLayer::new(Arc::new(Shares::new(share)), [METHOD, STREAM], [STREAM]);
            let (places, ends) = (Arc::new(Semaphore::new(places)), Arc::new(Semaphore::new(0)));
            Self { layer, places, ends }
        }

        fn call(&self, path: &str, from: [u8; 4]) -> BoxFuture<'static, Response<Body>> {
            let (places, ends) = (Arc::clone(&self.places), Arc::clone(&self.ends));
            let service = self.layer.layer(service_fn(move |_: Request<Body>| {
                let (places, ends) = (Arc::clone(&places), Arc::clone(&ends));
                async move {
                    let _place = places.acquire().await.unwrap();
                    ends.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(Response::new(Body::new(Full::from("a reply"))))
                }
            }));
            let request = Request::builder().uri(format!("/{path}"));
            let request = request.extension(ForwardedFor(IpAddr::from(from))).body(Body::empty()).unwrap();
            let mut answer = service.oneshot(request).map(|answer| answer.unwrap()).boxed();
            // It is in flight, or answered, from now on.
            let first = (&mut answer).now_or_never();
            Box::pin(async move {
                match first {
                    Some(response) => response,
                    None => answer.await,
                }
            })
        }
    }

    fn status_of(response: &Response<Body>) -> Option<Status> {
        Status::from_header_map(response.headers())
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_over_its_share_is_refused_and_says_when_to_try_again() {
        let server = Server::new(1, 8);
        let first = server.call(METHOD, GREEDY);
        let refused = status_of(&server.call(METHOD, GREEDY).await).unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "CALLER_SHARE_TAKEN");
        let retry = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(retry, Duration::from_millis(100));
        server.ends.add_permits(2);
        assert!(status_of(&first.await).is_none());
        assert!(status_of(&server.call(METHOD, GREEDY).await).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_at_twenty_times_its_share_leaves_the_places_of_a_polite_one_free() {
        let server = Server::new(2, 3);
        let greedy: Vec<_> = (0..40).map(|_| server.call(METHOD, GREEDY)).collect();
        assert_eq!(server.places.available_permits(), 1, "its share is two of three places");
        let polite = server.call(METHOD, POLITE);
        assert_eq!(server.places.available_permits(), 0, "the third one is the polite one's at once");
        server.ends.add_permits(3);
        assert!(status_of(&polite.await).is_none());
        let answers = join_all(greedy).await;
        assert_eq!(answers.iter().filter(|answer| status_of(answer).is_none()).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_in_flight_until_it_ends_and_looking_after_the_server_is_never_refused() {
        let server = Server::new(1, 8);
        server.ends.add_permits(10);
        let stream = server.call(STREAM, GREEDY).await;
        assert!(status_of(&server.call(METHOD, GREEDY).await).is_some());
        assert!(status_of(&server.call(STATS, GREEDY).await).is_none());
        drop(stream);
        assert!(status_of(&server.call(METHOD, GREEDY).await).is_none());
    }
}
