//! Redis as it is: the shared cache, and a server whose Redis stops, freezes and comes back.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::nodes::{PATIENCE, in_own_namespace, until};
use common::recommender::Recommender;
use common::redis::{RedisServer, free_port, shared_redis};
use marquee_server::shared::cache::{Cache, Key, RedisCache, Space};
use marquee_server::shared::limit::Limiter;
use marquee_server::shared::redis::{Redis, RedisError};

const HOUR: Duration = Duration::from_hours(1);

fn key(id: u128) -> Key {
    Key { space: Space::Vector, model: 0, id }
}

async fn cache(url: &str) -> RedisCache {
    RedisCache::new(Redis::connect(url).await.expect("the settings are right"))
}

#[tokio::test]
async fn a_value_is_there_for_another_node_until_it_is_removed() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let (here, there) = (cache(&url).await, cache(&url).await);
    let value = Bytes::from_static(&[1, 0, 255, 13, 10]);
    here.put(key(1), value.clone(), HOUR).await;
    until("the value arrives", PATIENCE, async || there.get(key(1)).await.as_ref() == Some(&value)).await;
    assert_eq!(there.get(key(2)).await, None);
    there.remove(key(1)).await;
    assert_eq!(here.get(key(1)).await, None);
}

#[tokio::test]
async fn a_value_ends_with_its_time() {
    let Some(url) = shared_redis().as_deref().map(in_own_namespace) else { return };
    let cache = cache(&url).await;
    cache.put(key(1), Bytes::from_static(b"short"), Duration::from_millis(300)).await;
    until("the value arrives", PATIENCE, async || cache.get(key(1)).await.is_some()).await;
    until("the value ends", PATIENCE, async || cache.get(key(1)).await.is_none()).await;
}

#[tokio::test]
async fn namespaces_do_not_meet() {
    let Some(url) = shared_redis() else { return };
    let (blue, green) = (cache(&in_own_namespace(&url)).await, cache(&in_own_namespace(&url)).await);
    blue.put(key(1), Bytes::from_static(b"blue"), HOUR).await;
    until("the value arrives", PATIENCE, async || blue.get(key(1)).await.is_some()).await;
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
    until("the value arrives", PATIENCE, async || right.get(key(1)).await.is_some()).await;
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
    until("the cache works", PATIENCE, async || {
        cache.put(key(1), Bytes::from_static(b"vector"), HOUR).await;
        cache.get(key(1)).await.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations_go_on_while_redis_is_frozen_and_use_it_again_afterwards() {
    if shared_redis().is_none() {
        return;
    }
    let redis = RedisServer::start();
    let mut node = Recommender::start(&redis.url()).await;
    node.recommend_until_remembered(|| redis.keys()).await;
    redis.freeze();
    for _ in 0..50 {
        node.recommend().await;
    }
    redis.thaw();
    node.recommend_until_remembered(|| redis.keys()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations_go_on_while_redis_is_gone_and_use_it_again_afterwards() {
    if shared_redis().is_none() {
        return;
    }
    let redis = RedisServer::start();
    let port = redis.port();
    let mut node = Recommender::start(&redis.url()).await;
    node.recommend_until_remembered(|| redis.keys()).await;
    drop(redis);
    for _ in 0..50 {
        node.recommend().await;
    }
    let redis = RedisServer::start_on(port, &[]);
    node.recommend_until_remembered(|| redis.keys()).await;
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
    until("the cache works", PATIENCE, async || {
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
