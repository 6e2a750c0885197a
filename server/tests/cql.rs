//! Real CQL nodes that die, freeze and come back, and what a store over them still keeps.

mod common;

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use marquee_core::domain::{Interaction, Kind};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::import::{ImportOptions, Silent, import};
use marquee_store::{MigrateMode, ScyllaSettings, ScyllaStore, Store};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use common::cql::{Access, CqlCluster, new_keyspace, shared_cql};
use common::{TestServer, config};

const PATIENCE: Duration = Duration::from_mins(1);
const WRITERS: u64 = 8;

/// Waits until the condition holds.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let polled = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn open(url: &str) -> ScyllaStore {
    let settings = ScyllaSettings::parse(url).expect("a good URL");
    ScyllaStore::open(settings).await.expect("the store opens")
}

fn view(user_id: u64, time_ms: i64) -> Interaction {
    Interaction { user_id, movie_id: 1, time_ms, kind: Kind::View, rating: None }
}

/// What writers were promised, and what they were refused.
#[derive(Default)]
struct WriteCoordinator {
    acknowledged: Mutex<HashSet<(u64, i64)>>,
    refused: AtomicUsize,
    stop: AtomicBool,
}

impl WriteCoordinator {
    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().expect("no writer panicked").len()
    }

    /// Waits until `more` further writes are acknowledged.
    async fn until_acknowledged(&self, more: usize) {
        let before = self.acknowledged();
        until("further writes are acknowledged", async || self.acknowledged() >= before + more).await;
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends the tasks; a task that failed fails the test.
    async fn end(&self, tasks: Vec<JoinHandle<()>>) {
        self.stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.expect("no task failed");
        }
    }

    /// Compares with what the store holds.
    async fn assert_nothing_is_lost(&self, store: &dyn Store) {
        let mut stored = HashSet::new();
        for user_id in 1..=WRITERS {
            let history = store.history(user_id, None, 1_000_000).await.expect("a read").unwrap_or_default();
            stored.extend(history.iter().map(|event| (event.user_id, event.time_ms)));
        }
        let acknowledged = self.acknowledged.lock().expect("no writer panicked");
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "{} of {} acknowledged are lost", lost.len(), acknowledged.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_nodes_killed_under_writes_at_quorum_fails_nothing_and_loses_nothing() {
    if shared_cql().is_none() {
        return;
    }
    let mut cluster = CqlCluster::start(3, Access::Open);
    let url = new_keyspace(&cluster.url(), "consistency=quorum&replication_factor=3&timeout_ms=20000").await;
    let store = Arc::new(open(&url).await);
    let coordinator = Arc::new(WriteCoordinator::default());
    let writers = (1..=WRITERS).map(|user_id| {
        let (store, coordinator) = (Arc::clone(&store), Arc::clone(&coordinator));
        tokio::spawn(async move {
            for time_ms in 0.. {
                store.record(&[view(user_id, time_ms)], 1).await.expect("no write fails");
                coordinator.acknowledged.lock().expect("no writer panicked").insert((user_id, time_ms));
                if coordinator.is_stopped() {
                    break;
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    coordinator.until_acknowledged(300).await;
    cluster.node(1).kill();
    coordinator.until_acknowledged(600).await;
    coordinator.end(writers).await;
    coordinator.assert_nothing_is_lost(store.as_ref()).await;
}

/// A refusal that tells its caller when to come back; anything else fails the test.
fn assert_is_refusal(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.get_details_retry_info().is_some(), "it says when to try again: {status}");
}

/// Writes of one user, one after another.
async fn write(server: Arc<TestServer>, coordinator: Arc<WriteCoordinator>, user_id: u64) {
    let mut client = server.interactions();
    for seconds in 0.. {
        if coordinator.is_stopped() {
            break;
        }
        let event = v1::RecordInteractionRequest {
            user: Some(user_id.into()),
            movie: Some(1.into()),
            kind: v1::InteractionKind::View.into(),
            rating: None,
            time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        };
        match client.record_interaction(event).await {
            Ok(_) => {
                coordinator
                    .acknowledged
                    .lock()
                    .expect("no writer panicked")
                    .insert((user_id, seconds * 1_000));
            }
            Err(status) => {
                assert_is_refusal(&status);
                coordinator.refused.fetch_add(1, Ordering::Relaxed);
                // As a caller does that heeds `RetryInfo`.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Recommendations for one user, which are answered or refused.
async fn read(server: Arc<TestServer>, coordinator: Arc<WriteCoordinator>, user_id: u64) {
    let mut client = server.recommendation();
    while !coordinator.is_stopped() {
        let request = v1::RecommendRequest {
            subject: Some(Subject::UserId(user_id)),
            ..v1::RecommendRequest::default()
        };
        if let Err(status) = client.recommend(request).await {
            assert_is_refusal(&status);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until the store is refused, and after `cure` until it is written to again.
async fn outage(coordinator: &WriteCoordinator, what: &str, cure: impl FnOnce()) {
    let before = coordinator.refused.load(Ordering::Relaxed);
    until("writes are refused", async || coordinator.refused.load(Ordering::Relaxed) > before + 20).await;
    tokio::task::block_in_place(cure);
    let back = Instant::now();
    coordinator.until_acknowledged(1).await;
    let said = writeln!(std::io::stderr(), "{what}: written to again {:?} after its return", back.elapsed());
    said.expect("standard error is open");
    coordinator.until_acknowledged(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_cql_server_frozen_killed_and_restarted_under_load_loses_nothing() {
    if shared_cql().is_none() {
        return;
    }
    let mut cluster = CqlCluster::start(1, Access::Open);
    let url = new_keyspace(&cluster.url(), "timeout_ms=1000").await;
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&data);
    config.store.store = url.parse().expect("a good URL");
    config.store.sample_data = "none".into();
    let server = Arc::new(TestServer::start_with(config, data).await);

    let coordinator = Arc::new(WriteCoordinator::default());
    let mut tasks = Vec::new();
    for user_id in 1..=WRITERS {
        tasks.push(tokio::spawn(write(Arc::clone(&server), Arc::clone(&coordinator), user_id)));
    }
    for user_id in 1..=2 {
        tasks.push(tokio::spawn(read(Arc::clone(&server), Arc::clone(&coordinator), user_id)));
    }
    coordinator.until_acknowledged(300).await;

    cluster.node(0).freeze();
    let mut hurried = Request::new(v1::GetUserRequest { user: Some(1.into()) });
    hurried.set_timeout(Duration::from_millis(200));
    let status = server.users().get_user(hurried).await.expect_err("the store answers nothing");
    assert!(
        [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()),
        "its deadline ends it: {status}"
    );
    outage(&coordinator, "frozen", || cluster.node(0).thaw()).await;

    cluster.node(0).kill();
    outage(&coordinator, "killed", || cluster.node(0).start_again()).await;

    coordinator.end(tasks).await;
    coordinator.assert_nothing_is_lost(&open(&url).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secured_server_wants_the_right_password_and_shows_its_certificate() {
    if shared_cql().is_none() {
        return;
    }
    let cluster = CqlCluster::start(1, Access::Secured);
    let (hosts, ca) = (cluster.hosts(), cluster.certificate());
    let url = |user: &str, trust: &str| {
        let url = format!("scylla://{user}{hosts}/marquee?{trust}");
        ScyllaSettings::parse(&url).expect("a good URL")
    };
    let ca = format!("ca={}", ca.display());
    let right = url("cassandra:cassandra@", &ca);
    // The server makes its first user a moment after it listens.
    until("the first user is there", async || ScyllaStore::migrate(&right, MigrateMode::Apply).await.is_ok())
        .await;
    let store = ScyllaStore::open(right).await.expect("the right password opens it");
    store.put_note("secured", b"yes").await.expect("a write");

    let refusal =
        async |settings| ScyllaStore::open(settings).await.err().expect("it is refused").to_string();
    let wrong = refusal(url("cassandra:secret-guess@", &ca)).await;
    assert!(wrong.contains("refuses the credentials of cassandra; correct user and password"), "{wrong}");
    assert!(!wrong.contains("secret-guess"), "a password is never printed: {wrong}");
    let nobody = refusal(url("", &ca)).await;
    assert!(nobody.contains("wants credentials"), "{nobody}");
    let unknown = refusal(url("cassandra:cassandra@", "tls=true")).await;
    assert!(unknown.contains("no session with"), "a certificate that nobody vouches for: {unknown}");
}

/// A release of views: users 1 to `users` with 20 ratings each.
fn release(users: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut movies = vec!["movieId,title,genres".to_owned()];
    movies.extend((1..=20).map(|movie| format!("{movie},Movie {movie} (2000),Drama")));
    let mut ratings = vec!["userId,movieId,rating,timestamp".to_owned()];
    for user in 1..=users {
        ratings.extend((1..=20).map(|movie| format!("{user},{movie},4.0,{}", 1_000_000 + movie)));
    }
    std::fs::write(folder.path().join("movies.csv"), movies.join("\n")).expect("the folder can be written");
    std::fs::write(folder.path().join("ratings.csv"), ratings.join("\n")).expect("the folder can be written");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_written_import_is_resumed_and_ends_whole() {
    const USERS: u64 = 1_000;
    let Some(cluster) = shared_cql() else { return };
    let store = Arc::new(open(&new_keyspace(&cluster, "").await).await);
    let folder = release(USERS);
    let options = ImportOptions { batch_rows: 200, ..ImportOptions::new(1) };
    let (path, into) = (folder.path().to_owned(), Arc::clone(&store));
    let half = tokio::spawn(async move { import(&path, into.as_ref(), options, &Silent).await });
    until("half of it is written", async || store.user(USERS / 2).await.expect("a read").is_some()).await;
    half.abort();
    assert!(half.await.expect_err("it was aborted").is_cancelled());
    assert!(store.user(USERS).await.expect("a read").is_none(), "it is half-written");

    let report = import(folder.path(), store.as_ref(), options, &Silent).await.expect("it is sound");
    assert!(report.resumed_at_line.is_some() && report.ratings < USERS * 20, "it goes on: {report}");
    for user_id in 1..=USERS {
        let profile = store.profile(user_id, 20).await.expect("a read").expect("an imported user");
        assert_eq!((profile.newest.len(), profile.seen.len()), (20, 20), "user {user_id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_store_agree_on_movies_and_statistics() {
    let Some(cluster) = shared_cql() else { return };
    let url = new_keyspace(&cluster, "").await;
    let node = async || {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(&data);
        config.store.store = url.parse().expect("a good URL");
        config.store.sample_data = "none".into();
        config.store.statistics_interval = Duration::from_millis(500);
        TestServer::start_with(config, data).await
    };
    let (one, other) = (node().await, node().await);
    let heat = v1::ImportMoviesRequest {
        movie: Some(6.into()),
        title: "Heat (1995)".to_owned(),
        ..v1::ImportMoviesRequest::default()
    };
    one.catalog().import_movies(futures::stream::iter([heat])).await.expect("a write");
    let seen_by = async |node: &TestServer| {
        let movie = node.catalog().get_movie(v1::GetMovieRequest { movie: Some(6.into()) }).await;
        movie
            .ok()
            .and_then(|reply| reply.into_inner().movie)
            .map(|movie| (movie.ratings, movie.average_rating))
    };
    until("the other node knows the movie", async || seen_by(&other).await == Some((0, None))).await;

    for (node, user_id, rating) in [(&one, 1, 4.0), (&other, 2, 2.0), (&one, 3, 3.0)] {
        let event = v1::RecordInteractionRequest {
            user: Some(user_id.into()),
            movie: Some(6.into()),
            kind: v1::InteractionKind::Rating.into(),
            rating: Some(rating),
            time: Some(prost_types::Timestamp { seconds: 1_000, nanos: 0 }),
        };
        node.interactions().record_interaction(event).await.expect("a write");
    }
    for node in [&one, &other] {
        until("the node counts all ratings", async || seen_by(node).await == Some((3, Some(3.0)))).await;
    }
    let stats = other.operations().get_stats(v1::GetStatsRequest {}).await.expect("a read").into_inner();
    assert_eq!((stats.movies, stats.users, stats.interactions), (1, 3, 3));
}
