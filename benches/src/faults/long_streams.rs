//! Ordinary callers with much to say: long streams, each message in a DATA frame of its own.
//!
//! HTTP/2 libraries take many small frames that wait for an attack and close the whole connection.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use marquee_engine::Bundle;
use marquee_proto::methods::{catalog, interaction, recommendation};
use marquee_proto::v1;
use prost::Message as _;

use super::raw::{Call, Ended, Raw, WIDE, ended, framed, messages, send_each};
use super::writers::{Event, import_movies, movie};
use super::{FIXTURE, Field, Row};
use crate::served::Server;

const RECORD: &str = interaction::RECORD_INTERACTIONS.path;
const IMPORT: &str = catalog::IMPORT_MOVIES.path;
const RECOMMEND: &str = recommendation::RECOMMEND_STREAM.path;
/// The first user that events are sent for.
const FIRST_USER: u64 = 9_000_001;
/// The first movie that is imported.
const FIRST_MOVIE: u32 = 2_000_000;

/// Sends them.
///
/// # Errors
/// When the server does not start.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let server = field.launch(&folder.path().join("store"), &[]).start().await?;
    import_movies(&server).await?;
    Ok(vec![
        recording(field, &server).await,
        recommending(field, &server).await?,
        importing(field, &server).await,
    ])
}

async fn recording(field: &Field, server: &Server) -> Row {
    let events = field.extent.streamed_events;
    let mut runs = Streams::new("RecordInteractions", events);
    for run in 0..field.extent.streams {
        let user_id = FIRST_USER + run as u64;
        let sent = (0..events as i64).map(|number| Event { user_id, number }.message().encode_to_vec());
        runs.run(server, RECORD, sent, |ended| {
            let reply = v1::RecordInteractionsResponse::decode(one(ended)?)?;
            Ok((reply.accepted - reply.duplicates) as usize)
        })
        .await;
    }
    runs.row(field)
}

async fn importing(field: &Field, server: &Server) -> Row {
    let movies = field.extent.streamed_movies;
    let mut runs = Streams::new("ImportMovies", movies);
    for run in 0..field.extent.streams {
        let sent = (FIRST_MOVIE..).take(movies).map(|movie_id| movie(movie_id, run as u64).encode_to_vec());
        runs.run(server, IMPORT, sent, |ended| {
            let reply = v1::ImportMoviesResponse::decode(one(ended)?)?;
            Ok((reply.added + reply.replaced) as usize)
        })
        .await;
    }
    runs.row(field)
}

async fn recommending(field: &Field, server: &Server) -> anyhow::Result<Row> {
    let known: Vec<_> = Bundle::open(FIXTURE.as_ref())?.vocabulary.iter().copied().take(5).collect();
    let history = v1::History::from(known);
    let subject = Some(v1::recommend_request::Subject::History(history));
    let request = v1::RecommendRequest { subject, k: Some(1), ..Default::default() };
    let message = v1::RecommendStreamRequest { request: Some(request) }.encode_to_vec();
    let requests = field.extent.streamed_requests;
    let mut runs = Streams::new("RecommendStream", requests);
    for _ in 0..field.extent.streams {
        let sent = std::iter::repeat_n(message.clone(), requests);
        runs.run(server, RECOMMEND, sent, |ended| {
            Ok(messages(&ended.body).filter(|answer| answers(answer)).count())
        })
        .await;
    }
    Ok(runs.row(field))
}

/// Whether a message of RecommendStream has an answer and no error.
fn answers(message: &[u8]) -> bool {
    let outcome = v1::RecommendStreamResponse::decode(message).ok().and_then(|message| message.outcome);
    matches!(outcome.and_then(|outcome| outcome.outcome), Some(v1::recommend_outcome::Outcome::Response(_)))
}

/// The message of an answer that has one.
fn one(ended: &Ended) -> anyhow::Result<&[u8]> {
    messages(&ended.body).next().context("an answer has a message")
}

/// What came of the streams of one method.
struct Streams {
    method: &'static str,
    messages: usize,
    runs: usize,
    cut: Vec<String>,
    unanswered: usize,
    seconds: f64,
}

impl Streams {
    fn new(method: &'static str, messages: usize) -> Self {
        Self { method, messages, runs: 0, cut: Vec::new(), unanswered: 0, seconds: 0.0 }
    }

    /// Sends a stream on a connection of its own; `taken` reads from the answer how many messages the server
    /// took.
    async fn run(
        &mut self,
        server: &Server,
        path: &str,
        sent: impl Iterator<Item = Vec<u8>>,
        taken: impl Fn(&Ended) -> anyhow::Result<usize>,
    ) {
        let began = Instant::now();
        self.runs += 1;
        let outcome = streamed(server, path, sent.map(|message| framed(&message, false))).await;
        self.seconds += began.elapsed().as_secs_f64();
        match outcome {
            Ok(ended) if ended.code == Some(0) => {
                self.unanswered += self.messages.abs_diff(taken(&ended).unwrap_or_default());
            }
            Ok(ended) => self.cut.push(format!("status {:?} {}", ended.code, ended.message)),
            Err(error) => self.cut.push(format!("{error:#}")),
        }
    }

    fn row(self, field: &Field) -> Row {
        let Self { method, messages, runs, cut, unanswered, seconds } = self;
        let first = cut.first().map_or_else(String::new, |first| format!(", the first: {first}"));
        field
            .row(format!("{runs} x {messages} messages on {method}, one DATA frame each"))
            .sees("none cut off", format!("{} of {runs}{first}", cut.len()), cut.is_empty())
            .none("message without its answer", "unanswered", unanswered)
            .figure("cut", cut.len() as f64)
            .figure("messages_per_s", (messages * (runs - cut.len())) as f64 / seconds)
    }
}

/// Sends a stream as fast as the windows allow and reads its answer meanwhile.
async fn streamed(
    server: &Server,
    path: &str,
    messages: impl Iterator<Item = Bytes>,
) -> anyhow::Result<Ended> {
    let raw = Raw::connect(server.authority(), Ipv4Addr::LOCALHOST, WIDE).await?;
    let Call { response, mut body } = raw.open(path, &[]).await?;
    let (sent, ended) = tokio::join!(send_each(&mut body, messages), ended(response));
    let ended = ended?;
    sent?;
    Ok(ended)
}
