//! Redis as it is: the shared cache, and a server whose Redis stops, freezes and comes back.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::redis::{RedisServer, free_port, shared_redis};
use common::{TestServer, config, sample_data};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::cache::{Cache, Key, RedisCache, Space};
use marquee_server::config::Config;
use marquee_server::limit::Limiter;
use marquee_server::redis::{Redis, RedisError};
use tonic::Request;

const HOUR: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Far longer than a recommendation takes, far shorter than a wait for Redis without limits.
const DEADLINE: Duration = Duration::from_secs(5);

fn key(id: u128) -> Key {
    Key { space: Space::Vector, id }
}

async fn cache(url: &str) -> RedisCache {
    RedisCache::new(Redis::connect(url).await.expect("the settings are right"))
}

/// A namespace that no other test and no other run uses.
fn in_own_namespace(url: &str) -> String {
    format!("{url}?namespace=test-{:x}", rand::random::<u64>())
}

/// Waits until the condition holds.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let polled = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test]
async fn a_value_is_there_for_another_node_until_it_is_removed() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let (here, there) = (cache(&url).await, cache(&url).await);
    let value = Bytes::from_static(&[1, 0, 255, 13, 10]);
    here.put(key(1), value.clone(), HOUR).await;
    until("the value arrives", async || there.get(key(1)).await.as_ref() == Some(&value)).await;
    assert_eq!(there.get(key(2)).await, None);
    there.remove(key(1)).await;
    assert_eq!(here.get(key(1)).await, None);
}

#[tokio::test]
async fn a_value_ends_with_its_time() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let cache = cache(&url).await;
    cache.put(key(1), Bytes::from_static(b"short"), Duration::from_millis(300)).await;
    until("the value arrives", async || cache.get(key(1)).await.is_some()).await;
    until("the value ends", async || cache.get(key(1)).await.is_none()).await;
}

#[tokio::test]
async fn namespaces_do_not_meet() {
    let Some(url) = shared_redis() else { return };
    let (blue, green) = (cache(&in_own_namespace(&url)).await, cache(&in_own_namespace(&url)).await);
    blue.put(key(1), Bytes::from_static(b"blue"), HOUR).await;
    until("the value arrives", async || blue.get(key(1)).await.is_some()).await;
    assert_eq!(green.get(key(1)).await, None);
}

#[tokio::test]
async fn wrong_credentials_are_said_at_start() {
    if shared_redis().is_none() {
        return;
    }
    let server = RedisServer::start_on(free_port(), &["--requirepass", "right"]);
    let wrong = format!("redis://:wrong@127.0.0.1:{}", server.port());
    assert!(matches!(Redis::connect(&wrong).await.err(), Some(RedisError::Credentials(_))));
    let right = cache(&format!("redis://:right@127.0.0.1:{}", server.port())).await;
    right.put(key(1), Bytes::from_static(b"vector"), HOUR).await;
    until("the value arrives", async || right.get(key(1)).await.is_some()).await;
}

#[tokio::test]
async fn a_redis_that_starts_later_is_found() {
    if shared_redis().is_none() {
        return;
    }
    let port = free_port();
    let cache = cache(&format!("redis://127.0.0.1:{port}")).await;
    assert_eq!(cache.get(key(1)).await, None);
    let _server = RedisServer::start_on(port, &[]);
    until("the cache works", async || {
        cache.put(key(1), Bytes::from_static(b"vector"), HOUR).await;
        cache.get(key(1)).await.is_some()
    })
    .await;
}

/// A Marquee server over this Redis, and a source of histories that were never asked before.
struct Node {
    server: TestServer,
    asked: u32,
}

impl Node {
    async fn start(redis: &RedisServer) -> Self {
        let data = sample_data().await;
        let cache = redis.url().parse().expect("a valid URL");
        let config = Config { cache, ..config(&data) };
        Self { server: TestServer::start_with(config, data).await, asked: 0 }
    }

    /// Asks for a history that no cache knows. It must be answered by the model within the deadline.
    async fn recommend(&mut self) {
        const MOVIES: [u32; 10] = [1, 2, 3, 5, 6, 7, 9, 10, 11, 13];
        self.asked += 1;
        let movie_ids = (0..10).filter(|bit| self.asked >> bit & 1 == 1).map(|bit| MOVIES[bit]).collect();
        let subject = Some(Subject::History(v1::History { movie_ids }));
        let mut request = Request::new(v1::RecommendRequest { subject, ..Default::default() });
        request.set_timeout(DEADLINE);
        let answer = self.server.recommendation().recommend(request).await.expect("an answer in time");
        assert_eq!(answer.into_inner().source(), v1::Source::Model);
    }

    /// Recommends until a vector of it is found in Redis.
    async fn recommend_until_remembered(&mut self, redis: &RedisServer) {
        let before = redis.keys();
        let patience = tokio::time::Instant::now() + PATIENCE;
        while redis.keys() <= before {
            assert!(tokio::time::Instant::now() < patience, "Redis is not used again");
            self.recommend().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations_go_on_while_redis_is_frozen_and_use_it_again_afterwards() {
    if shared_redis().is_none() {
        return;
    }
    let redis = RedisServer::start();
    let mut node = Node::start(&redis).await;
    node.recommend_until_remembered(&redis).await;
    redis.freeze();
    for _ in 0..50 {
        node.recommend().await;
    }
    redis.thaw();
    node.recommend_until_remembered(&redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations_go_on_while_redis_is_gone_and_use_it_again_afterwards() {
    if shared_redis().is_none() {
        return;
    }
    let redis = RedisServer::start();
    let port = redis.port();
    let mut node = Node::start(&redis).await;
    node.recommend_until_remembered(&redis).await;
    drop(redis);
    for _ in 0..50 {
        node.recommend().await;
    }
    let redis = RedisServer::start_on(port, &[]);
    node.recommend_until_remembered(&redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reads_of_a_frozen_redis_are_all_answered_with_nothing() {
    let Some(_shared) = shared_redis() else { return };
    let redis = RedisServer::start();
    let cache = Arc::new(cache(&redis.url()).await);
    redis.freeze();
    let reads = (0..5_000).map(|id| {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move { cache.get(key(id)).await })
    });
    let answers = tokio::time::timeout(PATIENCE, futures::future::join_all(reads)).await;
    assert!(answers.expect("no read waits").into_iter().all(|answer| answer.expect("no panic").is_none()));
    redis.thaw();
    until("the cache works", async || {
        cache.put(key(1), Bytes::from_static(b"vector"), HOUR).await;
        cache.get(key(1)).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn nodes_share_the_rate_of_a_caller() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let (here, there) = (limiter(&url).await, limiter(&url).await);
    for limiter in [&here, &there, &here] {
        assert!(limiter.take("caller", METHOD).await.is_ok());
    }
    let wait = there.take("caller", METHOD).await.unwrap_err();
    assert!(wait > Duration::ZERO && wait <= Duration::from_mins(20), "{wait:?}");
    assert!(there.take("another caller", METHOD).await.is_ok());
}

#[tokio::test]
async fn a_node_counts_for_itself_while_redis_is_frozen() {
    if shared_redis().is_none() {
        return;
    }
    let redis = RedisServer::start();
    let limiter = limiter(&redis.url()).await;
    redis.freeze();
    for _ in 0..3 {
        assert!(limiter.take("caller", METHOD).await.is_ok());
    }
    assert!(limiter.take("caller", METHOD).await.is_err());
    redis.thaw();
}

const METHOD: &str = "marquee.v1.CatalogService/GetMovie";

/// Three calls an hour.
async fn limiter(url: &str) -> Limiter {
    let redis = Redis::connect(url).await.expect("the settings are right");
    Limiter::new("3/h".parse().expect("a rate"), Some(redis))
}
