//! Long, slow and silent streams, through the socket.

mod common;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use marquee_proto::v1;
use marquee_proto::v1::catalog_service_server::CatalogServiceServer;
use marquee_proto::v1::interaction_service_server::InteractionServiceServer;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::catalog::Catalog;
use marquee_server::edge::layers::{DeadlineLayer, Stream, StreamLayer};
use marquee_server::edge::services::{CatalogApi, InteractionApi};
use marquee_server::profiles::Profiles;
use marquee_server::shared::events::LocalEvents;
use marquee_server::writes::WriteCoordinator;
use marquee_store::{RedbStore, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::{ServiceBuilder, ServiceExt as _};

use common::TestServer;
use common::nodes::PATIENCE;
use common::raw::{RawClient, framed, read_all, read_rest, send_each};

const RECORD: &str = "marquee.v1.InteractionService/RecordInteractions";
const IMPORT: &str = "marquee.v1.CatalogService/ImportMovies";
const RECOMMEND: &str = "marquee.v1.RecommendationService/RecommendStream";
const WATCH: &str = "marquee.v1.InteractionService/WatchInteractions";
const HEALTH: &str = "grpc.health.v1.Health/Watch";

/// HTTP/2's own.
const WINDOW: u32 = 65_535;

/// Views of one movie, each a moment after the other.
fn events(count: u32) -> impl Iterator<Item = Bytes> {
    (1..=i64::from(count)).map(|second| {
        let interaction = v1::Interaction {
            user: Some(3_000_000.into()),
            movie: Some(1.into()),
            kind: v1::InteractionKind::View.into(),
            rating: None,
            time: Some(prost_types::Timestamp { seconds: 1_000_000_000 + second, nanos: 0 }),
        };
        framed(&v1::RecordInteractionsRequest { interaction: Some(interaction) })
    })
}

/// A thousand movies again and again.
fn movies(count: u32) -> impl Iterator<Item = Bytes> {
    (0..count).map(|place| {
        let movie_id = 4_000_000 + place % 1000;
        let title = format!("Film {movie_id} (1999)");
        framed(&v1::ImportMoviesRequest { movie: Some(movie_id.into()), title, ..Default::default() })
    })
}

/// Some questions to think about, and then refused ones, which cost nothing.
fn questions(count: u32) -> impl Iterator<Item = Bytes> {
    (0..count).map(|place| {
        let k = if place < 64 { 10 } else { 501 };
        let subject = Some(Subject::UserId(1 + u64::from(place % 64)));
        let request = v1::RecommendRequest { subject, k: Some(k), ..Default::default() };
        framed(&v1::RecommendStreamRequest { request: Some(request) })
    })
}

/// Sends each message in a frame of its own, and expects an answer.
async fn assert_is_not_cut(server: &TestServer, method: &str, messages: impl Iterator<Item = Bytes>) {
    let mut client = RawClient::connect(server.running.address, WINDOW).await;
    let (answer, mut body) = client.call(method, &[]).await;
    let (sent, answered) = tokio::join!(send_each(&mut body, messages), read_all(answer));
    let (_, status) = answered.expect("the connection is not cut");
    assert_eq!(status.code(), Code::Ok, "{status}");
    sent.expect("the connection is not cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_of_events_with_a_frame_each_is_not_cut() {
    let server = TestServer::start().await;
    assert_is_not_cut(&server, RECORD, events(60_000)).await;
    let request = v1::GetUserStatsRequest { user: Some(3_000_000.into()) };
    let stats = server.users().get_user_stats(request).await.unwrap().into_inner();
    assert_eq!(stats.last_time.unwrap().seconds, 1_000_060_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_of_movies_with_a_frame_each_is_not_cut() {
    assert_is_not_cut(&TestServer::start().await, IMPORT, movies(60_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_of_questions_with_a_frame_each_is_not_cut() {
    assert_is_not_cut(&TestServer::start().await, RECOMMEND, questions(60_000)).await;
}

/// By hand: `cargo test --release -p marquee-server --test streams -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn twenty_streams_of_200_000_messages_a_method_are_not_cut() {
    let server = TestServer::start().await;
    for _ in 0..20 {
        assert_is_not_cut(&server, RECORD, events(200_000)).await;
        assert_is_not_cut(&server, IMPORT, movies(200_000)).await;
        assert_is_not_cut(&server, RECOMMEND, questions(200_000)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_every_kind_of_stream() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(server.running.address, WINDOW).await;
    let question = questions(1).next().unwrap();
    for (method, message) in [(WATCH, framed(&())), (HEALTH, framed(&())), (RECOMMEND, question)] {
        let (answer, mut body) = client.call(method, &[("grpc-timeout", "300m")]).await;
        body.send_data(message, method != RECOMMEND).unwrap();
        let (_, status) = read_all(answer).await.unwrap();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{method}: {status}");
    }
}

async fn server_with_watchers(max_watchers: usize) -> TestServer {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.max_watchers = max_watchers;
    config.server.send_timeout = Duration::from_secs(1);
    TestServer::start_with(config, data).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_watches_a_quarter_at_most() {
    let server = server_with_watchers(8).await;
    let watch =
        async || server.interactions().watch_interactions(v1::WatchInteractionsRequest::default()).await;
    let _watching = (watch().await.unwrap(), watch().await.unwrap());
    let refused = watch().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("your address"), "{refused}");
    assert!(refused.get_details_retry_info().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_reads_nothing_leaves_its_place_to_others() {
    let server = server_with_watchers(1).await;
    let mut client = RawClient::connect(server.running.address, 16).await;
    let (answer, mut body) = client.call(WATCH, &[]).await;
    body.send_data(framed(&()), true).unwrap();
    let deaf = answer.await.unwrap();
    let admitted = async {
        for time in 1.. {
            let time = Some(prost_types::Timestamp { seconds: time, nanos: 0 });
            let kind = v1::InteractionKind::View.into();
            let event = v1::RecordInteractionRequest {
                user: Some(3.into()),
                movie: Some(1.into()),
                kind,
                rating: None,
                time,
            };
            server.interactions().record_interaction(event).await.unwrap();
            let watch = v1::WatchInteractionsRequest::default();
            if server.interactions().watch_interactions(watch).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, admitted).await.expect("the place is left");
    assert_eq!(read_rest(deaf.into_body()).await.unwrap().1.code(), Code::Aborted);
}

/// Services that write, over a store of their own, behind the layers that end streams.
struct Writers {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Writers {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder is made");
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).expect("a new store opens"));
        let catalog = Arc::new(Catalog::new(Vec::new(), Vec::new()));
        Self { store, catalog, stop: CancellationToken::new(), _folder: folder }
    }

    /// Calls with these messages and no end; the status.
    async fn call(
        &self,
        method: &'static str,
        messages: impl Iterator<Item = Bytes>,
        timeout: Option<&str>,
    ) -> Status {
        let profiles =
            Arc::new(Profiles::new(Arc::clone(&self.store), 1 << 20, None).expect("no Redis is needed"));
        let events = Arc::new(LocalEvents::new(1));
        let (store, catalog) = (Arc::clone(&self.store), Arc::clone(&self.catalog));
        let coordinator = WriteCoordinator::new(
            store,
            Arc::clone(&catalog),
            profiles,
            Arc::clone(&events) as _,
            Duration::ZERO,
        );
        let interactions = InteractionApi::new(coordinator.clone(), events, 1);
        let services = Routes::new(InteractionServiceServer::new(interactions))
            .add_service(CatalogServiceServer::new(CatalogApi::new(catalog, coordinator)));
        let streams = StreamLayer::new([(method, Stream::Requests)], self.stop.clone(), PATIENCE);
        let service = ServiceBuilder::new().layer(DeadlineLayer).layer(streams).service(services);
        let request = http::Request::post(format!("/{method}")).header("content-type", "application/grpc");
        let request = timeout.into_iter().fold(request, |request, span| request.header("grpc-timeout", span));
        let request = request.body(Body::new(Silent(messages.collect()))).expect("the request is valid");
        let response = service.oneshot(request).await.expect("the service answers");
        Status::from_header_map(response.headers()).expect("the call is refused")
    }

    async fn until_all_is_stored(&self) {
        let began = std::time::Instant::now();
        loop {
            let stats = self.store.user_stats(3_000_000).await.expect("the store is read");
            if stats.is_some_and(|stats| stats.interactions == 1) && self.catalog.movies().len() == 10 {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "it is not stored");
            tokio::task::yield_now().await;
        }
    }
}

/// A body of these frames, silent after them.
struct Silent(VecDeque<Bytes>);

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.0.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_until_the_deadline_is_stored() {
    let writers = Writers::new();
    for status in [
        writers.call(RECORD, events(10), Some("10S")).await,
        writers.call(IMPORT, movies(10), Some("10S")).await,
    ] {
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }
    writers.until_all_is_stored().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_until_the_servers_end_is_stored() {
    let writers = Writers::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        writers.stop.cancel();
    };
    let (recorded, imported, ()) =
        tokio::join!(writers.call(RECORD, events(10), None), writers.call(IMPORT, movies(10), None), stop);
    assert_eq!((recorded.code(), imported.code()), (Code::Unavailable, Code::Unavailable));
    writers.until_all_is_stored().await;
}
