//! Nodes that share one store and one real Redis: what one writes, the others read, whatever happens to
//! Redis meanwhile.
//!
//! Most of the nodes here are a server without its socket, so that they can share an
//! embedded store; the whole servers need a CQL store.

mod common;

use std::sync::Arc;
use std::time::Duration;

use marquee_core::domain::Interaction;
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::profiles::ConsistencyToken;
use marquee_server::shared::events::{EventLog as _, EventsError, Position};
use marquee_store::{RedbStore, Store};
use tonic::{Code, Request};

use common::cql::{new_keyspace, shared_cql};
use common::nodes::{Node, PATIENCE, Pair, RECOVERY, USER, event, in_own_namespace, until};
use common::proxy::Proxy;
use common::redis::{RedisServer, shared_redis};
use common::{TestServer, config, sample_data};

const STREAM: &str = "marquee:events:all";

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_at_once_in_another_nodes_read_that_carries_its_mark() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    for movie_id in 2..200 {
        let (writer, reader) = if movie_id % 2 == 0 { (&here, &there) } else { (&there, &here) };
        let consistency_token = writer.write(movie_id).await;
        assert!(reader.sees(movie_id, &consistency_token).await, "{movie_id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_soon_is_in_another_nodes_reads_without_its_mark() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    for movie_id in 2..100 {
        here.write(movie_id).await;
        assert!(here.sees(movie_id, &ConsistencyToken::default()).await);
        there.until_it_sees(movie_id).await;
    }
    assert!(there.profiles.are_remembered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_leaves_the_caches_of_all_nodes() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    here.coordinator.delete_user(USER).await.expect("the store deletes");
    until("the user is gone", PATIENCE, async || !there.sees(1, &ConsistencyToken::default()).await).await;
    assert!(!here.sees(1, &ConsistencyToken::default()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_while_a_node_was_cut_off_is_seen_when_it_is_back() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    let through_proxy = format!("redis://127.0.0.1:{}", proxy.port());
    let Pair { here, there, _folder } = Pair::start(&redis.url(), &through_proxy).await;
    for movie_id in 2..6 {
        proxy.cut();
        let consistency_token = here.write(movie_id).await;
        assert!(there.sees(movie_id, &consistency_token).await);
        there.until_remembering(RECOVERY).await;
        assert!(there.sees(movie_id, &ConsistencyToken::default()).await);
    }
}

async fn writes_are_seen_without_redis(here: &Node, there: &Node) {
    let consistency_token = here.write(2).await;
    assert!(here.sees(2, &ConsistencyToken::default()).await);
    assert!(there.sees(2, &consistency_token).await);
    there.until_it_sees(2).await;
}

async fn redis_is_used_again(here: &Node, there: &Node) {
    for node in [here, there] {
        node.until_remembering(RECOVERY).await;
        assert!(node.sees(2, &ConsistencyToken::default()).await);
    }
    here.write(3).await;
    there.until_it_sees(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_while_redis_is_frozen_are_seen_and_it_is_used_again_afterwards() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let Pair { here, there, _folder } = Pair::start(&redis.url(), &redis.url()).await;
    redis.freeze();
    writes_are_seen_without_redis(&here, &there).await;
    redis.thaw();
    redis_is_used_again(&here, &there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_while_redis_is_gone_are_seen_and_it_is_used_again_afterwards() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let (url, port) = (redis.url(), redis.port());
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    drop(redis);
    writes_are_seen_without_redis(&here, &there).await;
    let _redis = RedisServer::start_on(port, &[]);
    redis_is_used_again(&here, &there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_seen_although_redis_takes_no_more_values() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).expect("the store opens"));
    store.record(&[event(1)], 1).await.expect("the store writes");
    let (here, there) = (Node::start(&store, &redis.url()).await, Node::start(&store, &redis.url()).await);
    until("Redis has the profile", PATIENCE, async || {
        assert!(there.sees(1, &ConsistencyToken::default()).await);
        redis.keys() > 0
    })
    .await;
    redis.tell("CONFIG SET maxmemory 1");
    here.write(2).await;
    there.until_it_sees(2).await;
    redis.tell("CONFIG SET maxmemory 0");
    redis_is_used_again(&here, &there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_redis_is_slow_reads_the_store() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    let through_proxy = format!("redis://127.0.0.1:{}", proxy.port());
    let Pair { here, there, _folder } = Pair::start(&redis.url(), &through_proxy).await;
    proxy.delay(Duration::from_millis(300));
    here.write(2).await;
    there.until_it_sees(2).await;
    let consistency_token = there.write(3).await;
    assert!(there.sees(3, &ConsistencyToken::default()).await);
    assert!(here.sees(3, &consistency_token).await);
    here.until_it_sees(3).await;
    proxy.delay(Duration::ZERO);
    there.until_remembering(PATIENCE).await;
    assert!(there.sees(3, &ConsistencyToken::default()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_died_is_not_waited_for_without_end() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    drop(there);
    until("the silence is noticed", PATIENCE, async || !here.profiles.are_remembered()).await;
    here.until_remembering(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_records_is_in_the_stream_of_all_until_its_user_is_deleted() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    let first = there.events.next(Position::START, 10).await.expect("Redis answers");
    assert_eq!(first.iter().map(|placed| placed.event.movie_id).collect::<Vec<_>>(), [1]);
    assert_eq!(there.events.newest().await.expect("Redis answers"), first[0].position);
    here.write(2).await;
    let second = there.events.next(first[0].position, 10).await.expect("Redis answers");
    assert_eq!(second.iter().map(|placed| placed.event.movie_id).collect::<Vec<_>>(), [2]);
    here.write(2).await;
    here.delete(USER).await;
    assert_eq!(there.events.newest().await.expect("Redis answers"), Position::START);
    here.write(3).await;
    for placed in [first[0], second[0]] {
        let third = there.next(placed.position).await.expect("nothing else is gone");
        assert_eq!(third.iter().map(|placed| placed.event.movie_id).collect::<Vec<_>>(), [3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_stream_loses_nothing_when_users_are_deleted_and_is_told_when_it_is_cut() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let Pair { here, there, _folder } = Pair::start(&redis.url(), &redis.url()).await;
    let of = |user_id, movie_id| Interaction { user_id, ..event(movie_id) };
    let events = [of(2, 2), of(3, 3), of(2, 4), of(4, 5), of(5, 6)];
    here.coordinator.record(events.to_vec()).await.expect("the store writes");
    until("all are in the stream", PATIENCE, async || redis.length(STREAM) == 6).await;
    let all = there.next(Position::START).await.expect("a stream has a beginning");
    let users_after = async |position| -> Result<Vec<u64>, EventsError> {
        Ok(there.next(position).await?.iter().map(|placed| placed.event.user_id).collect())
    };
    // From the beginning, from the middle, and the beginning again.
    for user_id in [USER, 3, 2] {
        here.delete(user_id).await;
        for placed in &all[..4] {
            let left = users_after(placed.position).await.expect("nothing else is gone");
            assert!(left.ends_with(&[4, 5]) && !left.contains(&user_id), "{left:?}");
        }
    }
    redis.tell(&format!("XTRIM {STREAM} MAXLEN 1"));
    for placed in &all[..5] {
        assert!(matches!(users_after(placed.position).await, Err(EventsError::Lost(_))));
    }
    here.delete(5).await;
    here.write(7).await;
    assert_eq!(users_after(all[5].position).await.expect("nothing else is gone"), [USER]);
    assert!(matches!(users_after(all[0].position).await, Err(EventsError::Lost(_))));
    redis.tell("FLUSHALL");
    here.write(8).await;
    assert!(matches!(users_after(all[5].position).await, Err(EventsError::Lost(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_redis_is_gone_says_so_and_writes_go_on() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let (url, port) = (redis.url(), redis.port());
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    drop(redis);
    here.write(2).await;
    let unavailable = there.events.next(Position::START, 10).await;
    assert!(matches!(unavailable, Err(EventsError::Unavailable(_))));
    assert!(here.coordinator.delete_user(USER).await.is_err());
    let _redis = RedisServer::start_on(port, &[]);
    until("the deletion ends", PATIENCE, async || here.coordinator.delete_user(USER).await.is_ok()).await;
}

/// Callers that ask for stored users at once.
const CALLERS: u64 = 8;

/// Longer than a recommendation takes, shorter than a wait for Redis without limits.
const DEADLINE: Duration = Duration::from_secs(5);

/// Recommends for stored users from several callers at once; all must be answered in time.
async fn recommend_under_load(server: &TestServer) {
    let calls = (0..CALLERS).map(|caller| {
        let mut client = server.recommendation();
        tokio::spawn(async move {
            for call in 0..20 {
                let subject = Some(Subject::UserId(1 + caller * 20 + call));
                let mut request = Request::new(v1::RecommendRequest { subject, ..Default::default() });
                request.set_timeout(DEADLINE);
                let answer = client.recommend(request).await.expect("an answer in time").into_inner();
                assert_eq!(answer.recommendations.len(), 10);
            }
        })
    });
    for call in futures::future::join_all(calls).await {
        call.expect("no caller failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations_under_load_go_on_while_redis_is_slow_frozen_and_gone() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    let data = sample_data().await;
    let mut config = config(&data);
    config.cache.cache = format!("redis://127.0.0.1:{}", proxy.port()).parse().expect("a valid URL");
    let server = TestServer::start_with(config, data).await;
    recommend_under_load(&server).await;
    proxy.delay(Duration::from_millis(200));
    recommend_under_load(&server).await;
    proxy.delay(Duration::ZERO);
    redis.freeze();
    recommend_under_load(&server).await;
    redis.thaw();
    recommend_under_load(&server).await;
    drop(redis);
    recommend_under_load(&server).await;
}

/// Two servers with one CQL store and one Redis, if tests have them.
async fn two_servers() -> Option<(TestServer, TestServer)> {
    let redis = shared_redis().as_deref().map(in_own_namespace)?;
    let store = new_keyspace(&shared_cql()?, "").await;
    let start = async || {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(&data);
        config.store.store = store.parse().expect("a good URL");
        config.store.sample_data = "none".into();
        config.cache.cache = redis.parse().expect("a good URL");
        TestServer::start_with(config, data).await
    };
    Some((start().await, start().await))
}

/// Records a view; its token.
async fn record(server: &TestServer, user_id: u64, movie_id: u32) -> String {
    let kind = v1::InteractionKind::View.into();
    let request = v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(movie_id.into()),
        kind,
        ..Default::default()
    };
    let answer = server.interactions().record_interaction(request).await.expect("a write");
    answer.into_inner().consistency_token
}

/// Deletes a user, again while Redis does not answer in time; the token.
async fn delete(server: &TestServer, user_id: u64) -> String {
    let deleted = async {
        loop {
            match server.users().delete_user(v1::DeleteUserRequest { user: Some(user_id.into()) }).await {
                Ok(answer) => return answer.into_inner().consistency_token,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, deleted).await.expect("the user is deleted in time")
}

async fn recommend(server: &TestServer, user_id: u64, consistency_token: &str) -> v1::RecommendResponse {
    let request = v1::RecommendRequest {
        subject: Some(Subject::UserId(user_id)),
        k: Some(500),
        consistency_token: consistency_token.to_owned(),
        ..Default::default()
    };
    server.recommendation().recommend(request).await.expect("an answer").into_inner()
}

async fn recommends(server: &TestServer, movie_id: u32, consistency_token: &str) -> bool {
    let answer = recommend(server, USER, consistency_token).await;
    answer.recommendations.iter().any(|recommendation| recommendation.movie_id == movie_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_with_one_store_and_one_redis_agree() {
    let Some((here, there)) = two_servers().await else { return };
    // Movie ids of the fixture's model. The first makes the user known to the model.
    record(&here, USER, 1).await;
    for (movie_id, writer, reader) in [(2, &here, &there), (3, &there, &here), (5, &here, &there)] {
        let token = record(writer, USER, movie_id).await;
        assert!(!recommends(reader, movie_id, &token).await, "{movie_id}");
        assert!(!recommends(writer, movie_id, "").await, "{movie_id}");
    }
    for (movie_id, writer, reader) in [(6, &here, &there), (7, &there, &here)] {
        assert!(recommends(reader, movie_id, "").await, "{movie_id}");
        record(writer, USER, movie_id).await;
        until("the write is seen", PATIENCE, async || !recommends(reader, movie_id, "").await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_at_once_in_another_nodes_read_that_carries_its_token() {
    let Some((here, there)) = two_servers().await else { return };
    for user_id in 1..=100 {
        let token = record(&here, user_id, 1).await;
        for server in [&here, &there] {
            assert_eq!(recommend(server, user_id, &token).await.source(), v1::Source::Model, "{user_id}");
        }
        let token = delete(&here, user_id).await;
        for server in [&there, &here] {
            assert_ne!(recommend(server, user_id, &token).await.source(), v1::Source::Model, "{user_id}");
        }
    }
}

/// Imports a movie of these genres.
async fn import(server: &TestServer, movie_id: u32, title: &str) {
    let movie = v1::ImportMoviesRequest {
        movie: Some(movie_id.into()),
        title: title.to_owned(),
        genres: vec!["Crime".to_owned()],
        ..Default::default()
    };
    server.catalog().import_movies(futures::stream::iter([movie])).await.expect("a write");
}

/// Whether a list with a place for a new movie has it.
async fn explores(server: &TestServer, movie_id: u32) -> bool {
    let request = v1::RecommendRequest {
        subject: Some(Subject::History(v1::History::from(vec![1]))),
        new_movie_slots: Some(5),
        ..Default::default()
    };
    let answer = server.recommendation().recommend(request).await.expect("an answer").into_inner();
    answer
        .recommendations
        .iter()
        .any(|movie| movie.movie_id == movie_id && movie.source() == v1::Source::Exploration)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_that_one_server_imports_is_recommended_by_the_other_soon() {
    let Some((here, there)) = two_servers().await else { return };
    // Movie ids of the fixture's model, and one that it does not know.
    for movie_id in [1, 2, 3, 5, 6, 7] {
        import(&here, movie_id, "Known (1995)").await;
    }
    import(&here, 900_001, "Newcomer (2016)").await;
    for server in [&here, &there] {
        until("it is recommended", PATIENCE, async || explores(server, 900_001).await).await;
    }
    // Both know everything now: what comes next is there as soon as it is heard of.
    let began = tokio::time::Instant::now();
    import(&here, 900_002, "Another (2016)").await;
    until("the next one is recommended", PATIENCE, async || explores(&there, 900_002).await).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_that_one_server_deletes_is_soon_gone_from_the_other_and_what_it_imports_stays() {
    let Some((here, there)) = two_servers().await else { return };
    for movie_id in [1, 2, 3, 5, 6, 7] {
        import(&here, movie_id, "Known (1995)").await;
    }
    let has = async |server: &TestServer, movie_id: u32| {
        let request = v1::GetMovieRequest { movie: Some(movie_id.into()) };
        server.catalog().get_movie(request).await.is_ok()
    };
    until("it is there", PATIENCE, async || has(&there, 7).await).await;
    assert!(recommends(&there, 7, "").await);
    let began = tokio::time::Instant::now();
    let request = v1::DeleteMoviesRequest { movie_ids: vec![7], ..Default::default() };
    let deleted = here.catalog().delete_movies(request).await.expect("a write").into_inner().deleted;
    assert_eq!((deleted, has(&here, 7).await, recommends(&here, 7, "").await), (1, false, false));
    until("it is gone", PATIENCE, async || !has(&there, 7).await).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(!recommends(&there, 7, "").await);
    for movie_id in 900_001..900_020 {
        import(&there, movie_id, "Own (2016)").await;
        import(&here, movie_id + 100, "Other (2016)").await;
        assert!(
            has(&there, movie_id).await,
            "what others change takes nothing of what was acknowledged here"
        );
    }
}
