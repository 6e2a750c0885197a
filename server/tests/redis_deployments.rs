//! The ways Redis is deployed, each with real servers: as a cluster, under a Sentinel, behind TLS.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use marquee_core::domain::{Interaction, Kind, MovieId, UserId};
use marquee_proto::v1;
use marquee_server::profiles::ConsistencyToken;
use marquee_server::shared::cache::{Cache as _, Key, RedisCache, Space};
use marquee_server::shared::events::{EventLog as _, Position};
use marquee_server::shared::limit::Limiter;
use marquee_server::shared::redis::{Redis, RedisError};

use common::nodes::{Node, PATIENCE, Pair, until};
use common::recommender::Recommender;
use common::redis::{EncryptedRedis, RedisCluster, RedisSentinel, Replicas, shared_redis};

const HOUR: Duration = Duration::from_hours(1);

/// So many that every master of a cluster has some of them.
const USERS: std::ops::Range<UserId> = 100..120;

async fn redis(url: &str) -> Arc<Redis> {
    Redis::connect(url).await.expect("the settings are right")
}

fn vector(id: u128) -> Key {
    Key { space: Space::Vector, model: 0, id }
}

/// Puts values on one node until another has them all.
async fn values_are_shared(here: &RedisCache, there: &RedisCache) {
    for id in 0..32 {
        until("the value arrives", PATIENCE, async || {
            here.put(vector(id), Bytes::from_static(b"vector"), HOUR).await;
            there.get(vector(id)).await.is_some()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_share_values_and_rates_in_a_cluster() {
    let Some(_shared) = shared_redis() else { return };
    let cluster = RedisCluster::start(Replicas::None);
    let (here, there) = (redis(&cluster.url()).await, redis(&cluster.url()).await);
    values_are_shared(&RedisCache::new(Arc::clone(&here)), &RedisCache::new(Arc::clone(&there))).await;
    let limiter = |redis| Limiter::new("3/h".parse().expect("a rate"), Some(redis));
    let (here, there) = (limiter(here), limiter(there));
    for caller in ["a", "b", "c", "d", "e", "f"] {
        for limiter in [&here, &there, &here] {
            assert!(limiter.take(caller, "Method").await.is_ok(), "{caller}");
        }
        assert!(there.take(caller, "Method").await.is_err(), "{caller}");
    }
}

fn view(user_id: UserId, movie_id: MovieId) -> Interaction {
    Interaction { user_id, movie_id, time_ms: movie_id.into(), kind: Kind::View, rating: None }
}

/// Both nodes have read all users, and one writes for all of them at once: the other sees it, at once with
/// the consistency token of the write, else soon.
async fn a_write_of_many_users_is_seen(here: &Node, there: &Node, movie_id: MovieId) {
    for (movie_id, is_marked) in [(movie_id, false), (movie_id + 1, true)] {
        let views: Vec<Interaction> = USERS.map(|user_id| view(user_id, movie_id)).collect();
        here.coordinator.record(views).await.expect("the store writes");
        for user_id in USERS {
            let mut consistency_token = ConsistencyToken::default();
            if is_marked {
                consistency_token.add(&[view(user_id, movie_id)]);
                assert!(there.sees_of(user_id, movie_id, &consistency_token).await, "{user_id}");
            }
            let sees = async || there.sees_of(user_id, movie_id, &consistency_token).await;
            until("the write is seen", PATIENCE, sees).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_seen_by_the_other_node_in_a_cluster() {
    let Some(_shared) = shared_redis() else { return };
    let cluster = RedisCluster::start(Replicas::None);
    let Pair { here, there, _folder } = Pair::start(&cluster.url(), &cluster.url()).await;
    for movie_id in [2, 4, 6] {
        a_write_of_many_users_is_seen(&here, &there, movie_id).await;
        a_write_of_many_users_is_seen(&there, &here, movie_id + 100).await;
    }
    assert!(here.profiles.are_remembered() && there.profiles.are_remembered());
    let written = 1 + 12 * USERS.count();
    let events = there.events.next(Position::START, 1000).await.expect("the cluster answers");
    assert_eq!(events.len(), written);
    let is_deleted = async || here.coordinator.delete_user(USERS.start).await.is_ok();
    until("the deletion ends", PATIENCE, is_deleted).await;
    let events = there.events.next(Position::START, 1000).await.expect("the cluster answers");
    assert_eq!(events.len(), written - 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_records_is_watched_on_another_in_a_cluster() {
    let Some(_shared) = shared_redis() else { return };
    let cluster = RedisCluster::start(Replicas::None);
    let start = async || Recommender::start(&cluster.url()).await.server;
    let (here, there) = (start().await, start().await);
    let request = v1::WatchInteractionsRequest { after: "0-0".to_owned(), user: None };
    let watched = there.interactions().watch_interactions(request).await.expect("the cluster answers");
    let mut watched = watched.into_inner();
    for movie_id in [1, 2, 3] {
        let kind = v1::InteractionKind::View.into();
        let request = v1::RecordInteractionRequest {
            user: Some(7.into()),
            movie: Some(movie_id.into()),
            kind,
            ..Default::default()
        };
        here.interactions().record_interaction(request).await.expect("a write");
        let event = watched.message().await.expect("the stream goes on").and_then(|event| event.interaction);
        assert_eq!(event.map(|event| event.movie_id()), Some(movie_id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations_go_on_while_a_master_is_gone_and_use_the_cluster_again_afterwards() {
    let Some(_shared) = shared_redis() else { return };
    let mut cluster = RedisCluster::start(Replicas::None);
    let mut recommender = Recommender::start(&cluster.url()).await;
    recommender.recommend_until_remembered(|| cluster.keys()).await;
    cluster.node(0).kill();
    for _ in 0..50 {
        recommender.recommend().await;
    }
    cluster.node(0).start_again();
    recommender.recommend_until_remembered(|| cluster.keys()).await;
}

/// What is put after a failover is there again, and what is written is seen.
async fn all_is_well_after_a_failover(url: &str, here: &Node, there: &Node, movie_id: MovieId) {
    let cache = RedisCache::new(redis(url).await);
    values_are_shared(&cache, &cache).await;
    for node in [here, there] {
        node.until_remembering(PATIENCE).await;
    }
    a_write_of_many_users_is_seen(here, there, movie_id).await;
    assert!(here.profiles.are_remembered() && there.profiles.are_remembered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_used_again_when_a_replica_has_taken_its_masters_place() {
    let Some(_shared) = shared_redis() else { return };
    let mut cluster = RedisCluster::start(Replicas::OfTheFirst);
    let url = cluster.url();
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    a_write_of_many_users_is_seen(&here, &there, 2).await;
    cluster.node(0).kill();
    a_write_of_many_users_is_seen(&here, &there, 4).await;
    all_is_well_after_a_failover(&url, &here, &there, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_used_again_when_a_sentinel_has_put_the_replica_in_its_masters_place() {
    let Some(_shared) = shared_redis() else { return };
    let mut sentinel = RedisSentinel::start();
    let url = sentinel.url();
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    let (cache, other) = (RedisCache::new(redis(&url).await), RedisCache::new(redis(&url).await));
    values_are_shared(&cache, &other).await;
    a_write_of_many_users_is_seen(&here, &there, 2).await;
    sentinel.master.kill();
    a_write_of_many_users_is_seen(&here, &there, 4).await;
    all_is_well_after_a_failover(&url, &here, &there, 6).await;
    values_are_shared(&cache, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_used_again_when_a_replica_has_taken_a_frozen_masters_place() {
    let Some(_shared) = shared_redis() else { return };
    let mut cluster = RedisCluster::start(Replicas::OfTheFirst);
    let url = cluster.url();
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    cluster.node(0).freeze();
    a_write_of_many_users_is_seen(&here, &there, 2).await;
    all_is_well_after_a_failover(&url, &here, &there, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_used_again_when_a_sentinel_has_put_the_replica_in_a_frozen_masters_place() {
    let Some(_shared) = shared_redis() else { return };
    let sentinel = RedisSentinel::start();
    let url = sentinel.url();
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    sentinel.master.freeze();
    a_write_of_many_users_is_seen(&here, &there, 2).await;
    all_is_well_after_a_failover(&url, &here, &there, 4).await;
}

#[tokio::test]
async fn a_password_that_a_sentinels_master_refuses_is_said_at_start() {
    let Some(_shared) = shared_redis() else { return };
    let sentinel = RedisSentinel::start();
    sentinel.master.tell("CONFIG SET requirepass right");
    let without = sentinel.url();
    for url in [without.replace("//", "//:wrong@"), without] {
        assert!(matches!(Redis::connect(&url).await.err(), Some(RedisError::Credentials(_))), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_redis_is_used_by_who_trusts_its_authority() {
    let Some(_shared) = shared_redis() else { return };
    let server = EncryptedRedis::start();
    let url = server.url(&server.authority());
    let Pair { here, there, _folder } = Pair::start(&url, &url).await;
    a_write_of_many_users_is_seen(&here, &there, 2).await;
    let cache = RedisCache::new(redis(&url).await);
    values_are_shared(&cache, &cache).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_encryption_is_said_at_start() {
    let Some(_shared) = shared_redis() else { return };
    let (server, other) = (EncryptedRedis::start(), EncryptedRedis::start());
    let said = async |url: String| Redis::connect(&url).await.err().expect("no connection").to_string();
    let unknown = said(server.url(&other.authority())).await;
    assert!(unknown.contains("signed by nobody who is trusted"), "{unknown}");
    let unknown = said(format!("rediss://127.0.0.1:{}", server.port())).await;
    assert!(unknown.contains("signed by nobody who is trusted"), "{unknown}");
    let misnamed = said(server.url(&server.authority()).replace("127.0.0.1", "localhost")).await;
    assert!(misnamed.contains("is not accepted"), "{misnamed}");
    let plain = said(format!("rediss://127.0.0.1:{}", server.plain_port())).await;
    assert!(plain.contains("speaks no TLS on this port"), "{plain}");
}
