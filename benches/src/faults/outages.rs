//! What a server needs is gone, slow or out of reach for a while, under load: Redis, the store, one of two nodes, and what
//! one of two nodes hears of the other.
//!
//! Real servers speak to real ones through a `Way` of ours. What needs a server that the environment does not name is
//! left out, which is said aloud.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::callers::{Answers, Callers, WRITERS, until};
use super::ordinary::Ordinary;
use super::way::{Passage, Way};
use super::writers::{Event, compared, connected, import_movies, stored};
use super::{Field, Row};
use crate::many_nodes::aims::Bound;
use crate::many_nodes::remote::Keyspace;
use crate::served::Server;

/// What is to work again does so within this.
const RECOVERS_WITHIN_S: f64 = 5.0;
/// A node that was killed serves again within this.
const STARTS_WITHIN_S: f64 = 10.0;
/// The time before each outage, in which all is well.
const CALM: Duration = Duration::from_secs(1);
/// What becomes of the way to a service, one after the other.
const PASSAGES: [Passage; 3] = [Passage::Gone, Passage::Late(Duration::from_millis(200)), Passage::Lost];
/// The users of witnesses come after this one.
const WITNESS: u64 = 1_000;
/// Commands that Redis has to answer before it counts as back.
const COMMANDS: u64 = 10;
/// How long the list of the witness is.
const K: u32 = 100;

/// Takes away what servers need, one thing at a time.
///
/// # Errors
/// When a server that was not harmed does not start, or a service that the environment names does not answer.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let named = |variable: &str| {
        let value = std::env::var(variable).ok();
        if value.is_none() {
            eprintln!("skipped: {variable} is not set, what needs it is left out; see deploy/services");
        }
        value
    };
    let mut rows = Vec::new();
    let (redis, cql) = (named("MARQUEE_TEST_REDIS"), named("MARQUEE_TEST_CQL"));
    if let Some(redis) = &redis {
        rows.append(&mut without_redis(field, redis).await?);
    }
    if let Some(cql) = &cql {
        rows.append(&mut without_store(field, cql).await?);
        rows.push(without_a_node(field, cql).await?);
    }
    if let (Some(cql), Some(redis)) = (&cql, &redis) {
        rows.append(&mut half_of_the_view(field, cql, redis).await?);
    }
    Ok(rows)
}

/// What was done, in words.
fn said(what: &str, passage: Passage, field: &Field) -> String {
    let done = match passage {
        Passage::Open => "is there".to_owned(),
        Passage::Late(delay) => format!("answers {delay:?} late, each way"),
        Passage::Gone => "is gone".to_owned(),
        Passage::Lost => "is behind a parted network".to_owned(),
    };
    format!("{what} {done} for {:?}, under load", field.extent.outage)
}

/// The first user of the writers of each passage.
fn first_users() -> impl Iterator<Item = u64> {
    (1..).step_by(WRITERS as usize)
}

async fn without_redis(field: &Field, redis: &str) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let way = Way::to(port_of(redis)?).await?;
    let cache = cache_at(way.port(), rand::random());
    let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let options = ["--cache", &cache, "--metrics-listen", &metrics];
    let server = field.launch(&folder.path().join("store"), &options).start().await?;
    import_movies(&server).await?;
    let mut rows = Vec::new();
    for (passage, first_user) in PASSAGES.into_iter().zip(first_users()) {
        let load = Load::start(&server, first_user).await?;
        tokio::time::sleep(CALM).await;
        way.becomes(passage);
        tokio::time::sleep(field.extent.outage).await;
        way.becomes(Passage::Open);
        let recovered = until_redis_answers(&metrics).await?;
        let seen = load.end(&server).await?;
        let row = seen.nothing_refused(field.row(said("Redis", passage, field)));
        rows.push(seen.told(row, recovered));
    }
    Ok(rows)
}

async fn without_store(field: &Field, cql: &str) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let keyspace = Keyspace::make(cql).await?;
    let way = Way::to(port_of(cql)?).await?;
    let (_, name) = keyspace.url.rsplit_once('/').context("the URL of a keyspace names it")?;
    let store = format!("scylla://127.0.0.1:{}/{name}", way.port());
    let server = field.launch(&folder.path().join("node"), &["--store", &store]).start().await?;
    import_movies(&server).await?;
    let mut rows = Vec::new();
    for (passage, first_user) in PASSAGES.into_iter().zip(first_users()) {
        let load = Load::start(&server, first_user).await?;
        tokio::time::sleep(CALM).await;
        way.becomes(passage);
        tokio::time::sleep(field.extent.outage).await;
        way.becomes(Passage::Open);
        let began = Instant::now();
        load.callers.expect_acceptance();
        let recovered = until(async || load.callers.are_accepted()).await.then(|| began.elapsed());
        let seen = load.end(&server).await?;
        let row = seen.refused_in_words(field.row(said("the CQL store", passage, field)));
        rows.push(seen.told(row, recovered));
    }
    drop(server);
    keyspace.drop().await?;
    Ok(rows)
}

/// Two nodes on one store, of which one is killed.
async fn without_a_node(field: &Field, cql: &str) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let keyspace = Keyspace::make(cql).await?;
    let launch = |name: &str| field.launch(&folder.path().join(name), &["--store", &keyspace.url]);
    let (one, other) = (launch("one").start().await?, launch("other").start().await?);
    import_movies(&one).await?;
    let of_one = Callers::start(&one, 1).await?;
    let load = Load::start(&other, WRITERS + 1).await?;
    tokio::time::sleep(CALM).await;
    one.kill()?;
    let killed = of_one.end().await?;
    tokio::time::sleep(field.extent.outage).await;
    let began = Instant::now();
    let one = launch("one").start().await?;
    let took = began.elapsed();
    let wrong = compared(&killed.sent, &stored(&one, &killed.sent.users()).await?);
    let seen = load.end(&one).await?;
    let row =
        field.row(format!("one of two nodes is killed for {:?}, under load on both", field.extent.outage));
    let row = seen
        .nothing_refused(row)
        .none("event lost that the killed one acknowledged", "lost_of_killed", wrong.lost)
        .timed(
            "the killed one serves again within",
            "start_s",
            Bound::AtMost(STARTS_WITHIN_S),
            "s",
            Some(took.as_secs_f64()),
        );
    let row = seen.told(row, Some(Duration::ZERO));
    drop((one, other));
    keyspace.drop().await?;
    Ok(row)
}

/// Two nodes on one store, of which one has lost Redis: by that neither hears what the other writes.
///
/// What is written at one is asked of the other, both ways.
async fn half_of_the_view(field: &Field, cql: &str, redis: &str) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let keyspace = Keyspace::make(cql).await?;
    let way = Way::to(port_of(redis)?).await?;
    let namespace = rand::random();
    let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let launch = |name: &str, cache: &str, more: &[&str]| {
        let options = [&["--store", keyspace.url.as_str(), "--cache", cache], more].concat();
        field.launch(&folder.path().join(name), &options)
    };
    let whole = launch("whole", &cache_at(port_of(redis)?, namespace), &[]).start().await?;
    let metrics_of_half = ["--metrics-listen", metrics.as_str()];
    let half = launch("half", &cache_at(way.port(), namespace), &metrics_of_half).start().await?;
    import_movies(&whole).await?;
    let to_half = Load::between(&whole, &half, 1).await?;
    let from_half = Load::between(&half, &whole, 1 + WRITERS).await?;
    tokio::time::sleep(CALM).await;
    way.becomes(Passage::Lost);
    tokio::time::sleep(field.extent.outage).await;
    way.becomes(Passage::Open);
    let recovered = until_redis_answers(&metrics).await?;
    let mut rows = Vec::new();
    for (load, asked, what) in [
        (to_half, &half, "writes at the other node, answers by the one without"),
        (from_half, &whole, "writes at the one without, answers by the other node"),
    ] {
        let seen = load.end(asked).await?;
        let row = field.row(said("Redis of one of two nodes", Passage::Lost, field) + ": " + what);
        rows.push(seen.told(seen.nothing_refused(row), recovered));
    }
    drop((whole, half));
    keyspace.drop().await?;
    Ok(rows)
}

/// The URL of a Redis at this port.
fn cache_at(port: u16, namespace: u32) -> String {
    format!("redis://127.0.0.1:{port}?namespace=faults-{namespace:08x}")
}

/// Everybody who calls.
struct Load {
    callers: Callers,
    ordinary: Ordinary,
    witness: Witness,
}

/// What all of them saw.
struct Seen {
    answers: Answers,
    wrong: super::writers::Wrong,
    recommended: super::ordinary::Answered,
    witnessed: Witnessed,
}

impl Load {
    /// Writers for the users from this one on, and a witness.
    async fn start(server: &Server, first_user: u64) -> anyhow::Result<Self> {
        Self::between(server, server, first_user).await
    }

    /// The same, whose writes one node takes and whose other calls another.
    async fn between(writes: &Server, asks: &Server, first_user: u64) -> anyhow::Result<Self> {
        Ok(Self {
            callers: Callers::start(writes, first_user).await?,
            ordinary: Ordinary::start(asks).await?,
            witness: Witness::start(writes, asks, WITNESS + first_user).await?,
        })
    }

    /// Ends the calls, and compares what was acknowledged with what this server has.
    async fn end(self, server: &Server) -> anyhow::Result<Seen> {
        let (answers, recommended) = (self.callers.end().await?, self.ordinary.end().await?);
        let witnessed = self.witness.end().await?;
        let wrong = compared(&answers.sent, &stored(server, &answers.sent.users()).await?);
        Ok(Seen { answers, wrong, recommended, witnessed })
    }
}

impl Seen {
    /// The row where nothing that callers ask for is missing.
    fn nothing_refused(&self, row: Row) -> Row {
        let failed = self.recommended.failures.len();
        row.none("write refused", "refused", self.answers.refused)
            .none("read that failed", "failed_reads", self.answers.failed_reads.len())
            .none("recommendation that failed", "failed", failed)
    }

    /// The row where calls may be refused, if they are told what to do.
    fn refused_in_words(&self, row: Row) -> Row {
        let (refused, failed) = (self.answers.refused, &self.recommended.failures);
        let other = failed.iter().filter(|said| !said.starts_with("Unavailable")).chain(&self.answers.other);
        let other: Vec<&String> = other.collect();
        row.figure("refused", refused as f64).figure("failed", failed.len() as f64).sees(
            "each refusal is UNAVAILABLE, and those of writes say when to try again",
            other
                .first()
                .map_or_else(|| format!("{refused} writes and {} others", failed.len()), |it| (*it).clone()),
            other.is_empty(),
        )
    }

    /// The row with what must hold whatever is missing.
    fn told(&self, row: Row, recovered: Option<Duration>) -> Row {
        let events = self.answers.sent.acknowledged.len();
        let answers = self.recommended.answers();
        row.figure("events", events as f64)
            .figure("answers", answers as f64)
            .sees("an ordinary caller is answered, too", answers.to_string(), answers > 0)
            .none("movie answered that its user had just seen", "wrong_answers", self.witnessed.wrong)
            .sees("the witness is answered", self.witnessed.asked.to_string(), self.witnessed.asked > 0)
            .none("acknowledged event lost", "lost", self.wrong.lost)
            .none("event doubled", "doubled", self.wrong.doubled)
            .none("event that nobody sent", "foreign", self.wrong.foreign)
            .sees("it works again by itself", format!("of {events} events"), recovered.is_some())
            .timed(
                "the time until then",
                "recovery_s",
                Bound::AtMost(RECOVERS_WITHIN_S),
                "s",
                recovered.map(|recovered| recovered.as_secs_f64()),
            )
    }
}

/// Writes at one node that a user saw a movie, and asks one at once what to watch next: that movie is a wrong answer.
struct Witness {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Witnessed>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Witnessed {
    asked: usize,
    wrong: usize,
}

impl Witness {
    async fn start(writes: &Server, asks: &Server, user_id: u64) -> anyhow::Result<Self> {
        let mut writes = InteractionServiceClient::new(connected(writes).await?);
        let mut asks = RecommendationServiceClient::new(connected(asks).await?);
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut witnessed = Witnessed::default();
            for number in 0.. {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                let event = Event { user_id, number };
                // What is refused may be stored or not, so that nothing follows from it.
                let Ok(reply) = writes.record_interaction(event.request()).await else { continue };
                let request = v1::RecommendRequest {
                    subject: Some(Subject::UserId(user_id)),
                    k: Some(K),
                    consistency_token: reply.into_inner().consistency_token,
                    ..Default::default()
                };
                if let Ok(reply) = asks.recommend(request).await {
                    let movies = reply.into_inner().recommendations;
                    witnessed.asked += 1;
                    witnessed.wrong +=
                        usize::from(movies.iter().any(|movie| movie.movie_id == event.movie_id()));
                }
            }
            witnessed
        });
        Ok(Self { stop, task })
    }

    async fn end(self) -> anyhow::Result<Witnessed> {
        self.stop.store(true, Ordering::SeqCst);
        Ok(self.task.await?)
    }
}

/// The port in a URL with one host.
fn port_of(url: &str) -> anyhow::Result<u16> {
    let (_, rest) = url.split_once("://").context("a URL has a scheme")?;
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let (_, port) = authority.rsplit_once(':').context("a URL of a service names its port")?;
    port.parse().with_context(|| format!("{port} is no port"))
}

/// How long it takes until Redis answers the server of these metrics; `None` if it does not.
async fn until_redis_answers(metrics: &str) -> anyhow::Result<Option<Duration>> {
    let (began, before) = (Instant::now(), answered_by_redis(metrics).await?);
    let back =
        until(async || answered_by_redis(metrics).await.is_ok_and(|answered| answered >= before + COMMANDS));
    Ok(back.await.then(|| began.elapsed()))
}

/// How many commands Redis answered, as the server counts them.
async fn answered_by_redis(metrics: &str) -> anyhow::Result<u64> {
    let mut connection = TcpStream::connect(metrics).await?;
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await?;
    Ok(answered(&text))
}

fn answered(text: &str) -> u64 {
    let counts = text.lines().filter(|line| {
        line.starts_with("marquee_redis_command_duration_seconds_count") && line.contains("outcome=\"ok\"")
    });
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_whatever_stands_behind_it() {
        assert_eq!(port_of("redis://127.0.0.1:6379?namespace=a").unwrap(), 6379);
        assert_eq!(port_of("scylla://127.0.0.1:9042/keyspace").unwrap(), 9042);
        assert!(port_of("redis://localhost").is_err());
    }

    #[test]
    fn commands_that_redis_answered_are_summed_up_and_others_are_not() {
        let text = "marquee_redis_command_duration_seconds_count{purpose=\"get\",outcome=\"ok\"} 3\n\
                    marquee_redis_command_duration_seconds_count{purpose=\"put\",outcome=\"ok\"} 4\n\
                    marquee_redis_command_duration_seconds_count{purpose=\"get\",outcome=\"open\"} 9\n";
        assert_eq!(answered(text), 7);
    }
}
