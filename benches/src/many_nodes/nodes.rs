//! Real servers in processes of their own: writes over gRPC, warm caches, and what one node sees of
//! another's writes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use marquee_engine::Bundle;
use marquee_loadgen::workload::{
    Cancellation, Catalogue, FilterSpec, Marquee, MarqueeSettings, Population, Priority, Rpc, Subject,
    UserRange, Weighted, Workload, request_random,
};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject as Of;
use marquee_server::shared::cache::{Cache as _, Key, RedisCache, Space};
use marquee_server::shared::redis::Redis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::caller::{Caller, K};
use super::{Extent, micros, millis, quantile};
use crate::figures::Figures;
use crate::served::{Arrivals, Server, Shape};

/// Callers that write at once.
const CALLERS: u32 = 64;
/// Users that write over gRPC.
const WRITERS: u64 = 10_000;
/// Stored users that are asked for again and again.
const USERS: u64 = 300;
/// Calls of each kind in a round.
const CALLS: usize = 600;
/// The longest history that is sent.
const LONGEST: usize = 200;
/// How long a value may take to be in Redis.
const PATIENCE: Duration = Duration::from_secs(10);
/// Reads of a vector from Redis.
const GETS: usize = 2_000;

/// What servers are started with.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The server's binary.
    pub binary: &'a Path,
    /// The bundle's folder.
    pub folder: &'a Path,
    /// What the folder holds.
    pub bundle: &'a Bundle,
    /// How much is measured.
    pub extent: Extent,
}

impl Field<'_> {
    async fn start(&self, options: &[&str]) -> anyhow::Result<Server> {
        Server::start(self.binary, self.folder, options).await
    }

    /// The movies of the model, all equally likely, and the lengths of ML-32M.
    fn population(&self, users: u64) -> anyhow::Result<Population> {
        let movies = self.bundle.vocabulary.iter().map(|movie_id| (*movie_id, 1.0, String::new())).collect();
        let users = UserRange { first: 1, last: users };
        Ok(Population::new(users, 0.0, Some(Catalogue::new(movies)?))?)
    }

    /// Single writes of many callers, each durable before its acknowledgement.
    ///
    /// # Errors
    /// When a write fails.
    pub async fn writes(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let settings = MarqueeSettings {
            seed: 1,
            mix: Weighted::single(Rpc::RecordInteraction),
            subject: Subject::Users,
            population: self.population(WRITERS)?,
            k: Weighted::single(K),
            filters: Weighted::single(FilterSpec::default()),
            priorities: Weighted::single(Priority::default()),
            method: v1::Method::Unspecified,
            batch: 1,
            cancellation: Cancellation::default(),
        };
        let workload = Arc::new(Workload::Marquee(Box::new(Marquee::new(settings)?)));
        let server = self.start(&[]).await?;
        let warmup = Duration::from_millis(700);
        let arrivals = Arrivals::Callers(CALLERS);
        let shape = Shape { arrivals, warmup, time: self.extent.time, count: None };
        for round in 1..=self.extent.rounds {
            eprintln!("writes over gRPC: round {round} of {}", self.extent.rounds);
            let served = server.drive(&workload, shape).await?;
            figures.add("grpc_writes_per_s", served.per_second);
            figures.add("grpc_write_p50_ms", served.p50_ms);
            figures.add("grpc_write_p99_ms", served.p99_ms);
            figures.add("grpc_write_client_cpu_us", served.client_cpu_us());
            if let Some(cpu_us) = served.server_cpu_us() {
                figures.add("grpc_write_server_cpu_us", cpu_us);
            }
        }
        Ok(())
    }

    /// Stored users with warm caches beside stateless calls, one caller.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn stored_users(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let population = self.population(USERS)?;
        let caller = Caller::new(self.start(&[]).await?).await?;
        caller.fill(&population, USERS, LONGEST).await?;
        caller.warm(USERS).await?;
        for round in 1..=self.extent.rounds {
            eprintln!("stored users: round {round} of {}", self.extent.rounds);
            let (mut stored, mut stateless) = (Vec::new(), Vec::new());
            for call in 0..CALLS {
                let user_id = 1 + call as u64 % USERS;
                stored.push(caller.timed(Of::UserId(user_id)).await?);
                // As long as a stored user's, but never sent before: it is encoded.
                let mut random = request_random(1 + round as u64, call as u64);
                let unseen = population.history(&mut random, LONGEST);
                stateless.push(caller.timed(Of::History(unseen)).await?);
            }
            let (stored, stateless) = (median(stored), median(stateless));
            figures.add("stored_p50_ms", millis(stored));
            figures.add("stateless_p50_ms", millis(stateless));
            figures.add("stored_over_stateless", stored.as_secs_f64() / stateless.as_secs_f64());
        }
        Ok(())
    }

    /// The same users on two servers, one that remembers vectors itself and one that has them in Redis only.
    ///
    /// # Errors
    /// When a call fails, or Redis did not have a vector.
    pub async fn redis_hits(&self, figures: &mut Figures, redis: &str) -> anyhow::Result<()> {
        let redis = in_own_namespace(redis);
        let population = self.population(USERS)?;
        let local = Caller::new(self.start(&[]).await?).await?;
        let only_redis = ["--cache", &redis, "--vector-cache-mib", "0"];
        let shared = Caller::new(self.start(&only_redis).await?).await?;
        for caller in [&local, &shared] {
            caller.fill(&population, USERS, LONGEST).await?;
            caller.warm(USERS).await?;
        }
        for round in 1..=self.extent.rounds {
            eprintln!("hits in Redis: round {round} of {}", self.extent.rounds);
            let (mut here, mut there) = (Vec::new(), Vec::new());
            for call in 0..CALLS {
                let user_id = 1 + call as u64 % USERS;
                here.push(local.timed(Of::UserId(user_id)).await?);
                there.push(shared.timed(Of::UserId(user_id)).await?);
            }
            let (here, there) = (median(here), median(there));
            figures.add("local_hit_p50_us", micros(here));
            figures.add("redis_hit_p50_us", micros(there));
            figures.add("redis_hit_adds_us", micros(there) - micros(here));
            figures.add("redis_get_p50_us", micros(redis_get(&redis, self.bundle.dimension()).await?));
        }
        Ok(())
    }

    /// Writes on one node, looked for on another.
    ///
    /// # Errors
    /// When a call fails, or a write is not seen at all.
    pub async fn invalidation(&self, figures: &mut Figures, store: &str, redis: &str) -> anyhow::Result<()> {
        let redis = in_own_namespace(redis);
        let options = ["--store", store, "--cache", &redis];
        let here = Caller::new(self.start(&options).await?).await?;
        let there = Caller::new(self.start(&options).await?).await?;
        here.fill(&self.population(USERS)?, USERS, LONGEST / 4).await?;
        here.warm(USERS).await?;
        there.warm(USERS).await?;
        eprintln!("writes on one node, looked for on another");
        let mut delays = Vec::with_capacity(self.extent.writes_to_see);
        for write in 0..self.extent.writes_to_see as u64 {
            let user_id = 1 + write % USERS;
            let best = there.best(user_id).await?;
            here.like(user_id, best).await?;
            delays.push(there.gone_after(user_id, best).await?);
        }
        delays.sort_unstable();
        figures.add("invalidation_p50_ms", millis(quantile(&delays, 0.5)));
        figures.add("invalidation_p99_ms", millis(quantile(&delays, 0.99)));
        Ok(())
    }
}

/// Time of reading a vector by the server's own link to Redis, one after another, p50.
async fn redis_get(url: &str, dimension: usize) -> anyhow::Result<Duration> {
    let cache = RedisCache::new(Redis::connect(url).await?);
    let key = Key { space: Space::Vector, model: 0, id: 1 };
    cache.put(key, Bytes::from(vec![1; 1 + 4 * dimension]), PATIENCE).await;
    let began = Instant::now();
    while cache.get(key).await.is_none() {
        anyhow::ensure!(began.elapsed() < PATIENCE, "Redis does not keep a value");
    }
    let mut times = Vec::with_capacity(GETS);
    for _ in 0..GETS {
        let began = Instant::now();
        let found = cache.get(key).await;
        times.push(began.elapsed());
        anyhow::ensure!(found.is_some(), "Redis lost a value");
    }
    Ok(median(times))
}

/// The name and version of the server behind a plain `redis://` URL.
///
/// # Errors
/// When nobody answers there.
pub async fn redis_version(url: &str) -> anyhow::Result<String> {
    let rest = url.strip_prefix("redis://").context("the URL of Redis begins with redis://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let mut stream = TcpStream::connect(authority.rsplit('@').next().unwrap_or(authority)).await?;
    stream.write_all(b"INFO server\r\nQUIT\r\n").await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    let version = said.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(format!("Redis {}", version.unwrap_or("of unknown version").trim()))
}

/// Keys that no other run meets.
fn in_own_namespace(redis: &str) -> String {
    format!("{redis}?namespace=bench-{:x}", rand::random::<u64>())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    quantile(&times, 0.5)
}
