//! Keys of Marquee's in a real Redis under which somebody else put something else.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use marquee_core::domain::Interaction;
use marquee_server::profiles::ConsistencyToken;
use marquee_server::shared::cache::{self, Cache as _, RedisCache, Space};
use marquee_server::shared::events::{EventLog as _, Placed, Position};
use marquee_server::shared::limit::Limiter;
use marquee_server::shared::redis::Redis;
use marquee_store::{RedbStore, Store};

use common::nodes::{Node, PATIENCE, Pair, USER, event, until};
use common::redis::{RedisServer, shared_redis};

const HOUR: Duration = Duration::from_hours(1);
const METHOD: &str = "marquee.v1.CatalogService/GetMovie";
const STREAM: &str = "marquee:events:all";
const KEPT: &str = "{marquee:events:all}:kept";

/// More than failures in a row after which Redis is left alone.
const MANY: u128 = 10;

fn own_redis() -> Option<RedisServer> {
    shared_redis().map(|_| RedisServer::start())
}

async fn pair(redis: &RedisServer) -> Pair {
    Pair::start(&redis.url(), &redis.url()).await
}

fn vector(id: u128) -> cache::Key {
    cache::Key { space: Space::Vector, model: 0, id }
}

async fn limiter(redis: &RedisServer) -> Limiter {
    let redis = Redis::connect(&redis.url()).await.expect("the settings are right");
    Limiter::new("1/h".parse().expect("a rate"), Some(redis))
}

/// The movies of the stream from its beginning.
async fn movies(node: &Node) -> Vec<u32> {
    let page = node.next(Position::START).await.expect("a stream has a beginning");
    page.iter().map(|Placed { event, .. }| event.movie_id).collect()
}

#[tokio::test]
async fn a_vector_is_remembered_where_something_else_was_and_redis_is_not_left_alone() {
    let Some(redis) = own_redis() else { return };
    let link = Redis::connect(&redis.url()).await.expect("the settings are right");
    let cache = RedisCache::new(link);
    for id in 0..MANY {
        redis.tell(&format!("RPUSH marquee:vector:{id:032x} something"));
        assert_eq!(cache.get(vector(id)).await, None);
    }
    assert_eq!(redis.keys(), 0, "they are gone");
    let value = Bytes::from_static(b"vector");
    cache.put(vector(1), value.clone(), HOUR).await;
    until("the value arrives", PATIENCE, async || cache.get(vector(1)).await.as_ref() == Some(&value)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_shared_where_something_else_was_and_redis_is_not_left_alone() {
    let Some(redis) = own_redis() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).expect("the store opens"));
    let users = 1..=MANY as u64;
    for user_id in users.clone() {
        store.record(&[Interaction { user_id, ..event(2) }], 1).await.expect("the store writes");
        redis.tell(&format!("RPUSH marquee:profile:{user_id} something"));
    }
    let node = Node::start(&store, &redis.url()).await;
    for user_id in users.clone() {
        assert!(node.sees_of(user_id, 2, &ConsistencyToken::default()).await);
    }
    for user_id in users {
        let name = format!("marquee:profile:{user_id}");
        until("the profile is shared", PATIENCE, async || redis.type_of(&name) == "string").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_seen_where_something_else_was_in_the_place_of_its_profile() {
    let Some(redis) = own_redis() else { return };
    let Pair { here, there, .. } = pair(&redis).await;
    // At once: between two commands a node may share the profile again.
    let replaced = "redis.call('DEL', KEYS[1]) return redis.call('SADD', KEYS[1], 'something')";
    redis.tell(&format!("EVAL \"{replaced}\" 1 marquee:profile:{USER}"));
    here.write(2).await;
    there.until_it_sees(2).await;
    assert!(here.profiles.are_remembered() && there.profiles.are_remembered());
}

#[tokio::test]
async fn nodes_share_a_rate_where_something_else_was() {
    let Some(redis) = own_redis() else { return };
    let (here, there) = (limiter(&redis).await, limiter(&redis).await);
    for (caller, wrong) in [
        ("text", "SET marquee:limit:METHOD:text something"),
        ("words", "HSET marquee:limit:METHOD:words tokens some at thing"),
        ("half", "HSET marquee:limit:METHOD:half tokens 7"),
        ("number", "HSET marquee:limit:METHOD:number tokens nan at 0"),
    ] {
        redis.tell(&wrong.replace("METHOD", METHOD));
        assert!(here.take(caller, METHOD).await.is_ok(), "{caller}: the bucket is full");
        assert!(there.take(caller, METHOD).await.is_err(), "{caller}: the bucket is empty for all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_in_the_stream_where_something_else_was_and_that_is_set_aside() {
    let Some(redis) = own_redis() else { return };
    let Pair { here, there, .. } = pair(&redis).await;
    redis.tell(&format!("SET {STREAM} something"));
    here.write(2).await;
    assert_eq!(movies(&there).await, [2]);
    assert_eq!(redis.type_of("{marquee:events:all}:set-aside"), "string");
    redis.tell(&format!("SET {STREAM} something"));
    let newest = there.events.newest().await.expect("the stream is empty, and there");
    assert_eq!(newest, Position::START);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_deleted_where_something_else_was_in_the_place_of_the_stream() {
    let Some(redis) = own_redis() else { return };
    let Pair { here, there, .. } = pair(&redis).await;
    redis.tell(&format!("SET {STREAM} something"));
    here.delete(USER).await;
    here.write(2).await;
    assert_eq!(movies(&there).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_deleted_where_something_else_was_in_the_place_of_what_is_kept() {
    let Some(redis) = own_redis() else { return };
    let Pair { here, there, .. } = pair(&redis).await;
    let first = there.events.newest().await.expect("Redis answers");
    redis.tell(&format!("SET {KEPT} something"));
    here.delete(USER).await;
    here.write(2).await;
    redis.tell(&format!("SET {KEPT} something"));
    assert!(there.next(first).await.is_err(), "what is not known is not promised");
    assert_eq!(movies(&there).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_somebody_else_is_passed_over() {
    let Some(redis) = own_redis() else { return };
    let Pair { here, there, .. } = pair(&redis).await;
    redis.tell(&format!("XADD {STREAM} * note something user_id somebody"));
    here.write(2).await;
    assert_eq!(movies(&there).await, [1, 2]);
    here.delete(USER).await;
    assert!(there.events.newest().await.expect("Redis answers") > Position::START, "the entry stays");
    here.write(3).await;
    assert_eq!(movies(&there).await, [3]);
}
