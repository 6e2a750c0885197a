//! Callers that write and remember what was acknowledged, and the comparison with what is stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use futures::stream;
use marquee_proto::v1;
use marquee_proto::v1::catalog_service_client::CatalogServiceClient;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::operations_service_client::OperationsServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::served::Server;

/// Movies that events are about: the ids 1 to this.
const MOVIES: u32 = 500;
/// The first id of those that are imported while others write.
const FIRST_NEW_MOVIE: u32 = 1_000_000;
/// Events of one RecordInteractions, and movies of one ImportMovies.
const EVENTS_A_STREAM: i64 = 200;
const MOVIES_A_STREAM: u32 = 3;
/// The time of an event is so many seconds after this.
const EPOCH_SECONDS: i64 = 1_700_000_000;
/// Callers of RecordInteraction and of RecordInteractions; each writes for a user of its own.
const SINGLES: u64 = 6;
const STREAMS: u64 = 2;

/// An event of a user; its movie follows from its number, and no two of a user are of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Event {
    pub(super) user_id: u64,
    pub(super) number: i64,
}

impl Event {
    /// The movie that it is about.
    pub(super) fn movie_id(self) -> u32 {
        1 + (self.number % i64::from(MOVIES)) as u32
    }

    /// The request that records it alone.
    pub(super) fn request(self) -> v1::RecordInteractionRequest {
        let time = prost_types::Timestamp { seconds: EPOCH_SECONDS + self.number, nanos: 0 };
        v1::RecordInteractionRequest {
            user: Some(self.user_id.into()),
            movie: Some(self.movie_id().into()),
            kind: v1::InteractionKind::Like.into(),
            rating: None,
            time: Some(time),
        }
    }

    /// A message of a stream that records many.
    pub(super) fn message(self) -> v1::RecordInteractionsRequest {
        v1::RecordInteractionsRequest { interaction: Some(self.request().into()) }
    }
}

/// What callers sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// Events that the server acknowledged.
    pub(super) acknowledged: Vec<Event>,
    /// Events without an answer: they may be there or not.
    pub(super) unanswered: Vec<Event>,
    /// Movies whose import was acknowledged.
    pub(super) movies: Vec<u32>,
    /// Calls that failed while the server was not yet killed, in its words.
    pub(super) failed: Vec<String>,
}

impl Sent {
    /// Adds what others sent.
    pub(super) fn append(&mut self, mut other: Self) {
        self.acknowledged.append(&mut other.acknowledged);
        self.unanswered.append(&mut other.unanswered);
        self.movies.append(&mut other.movies);
        self.failed.append(&mut other.failed);
    }

    /// Users that events were sent for.
    pub(super) fn users(&self) -> Vec<u64> {
        let mut users: Vec<u64> =
            self.acknowledged.iter().chain(&self.unanswered).map(|event| event.user_id).collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

/// What is wrong with stored events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Acknowledged and not there.
    pub(super) lost: usize,
    /// There more than once.
    pub(super) doubled: usize,
    /// There and never sent.
    pub(super) foreign: usize,
}

impl std::ops::AddAssign for Wrong {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.foreign += other.foreign;
    }
}

/// Compares what was sent with what is stored.
pub(super) fn compared(sent: &Sent, stored: &[Event]) -> Wrong {
    let mut times: HashMap<Event, usize> = HashMap::with_capacity(stored.len());
    for event in stored {
        *times.entry(*event).or_default() += 1;
    }
    let doubled = times.values().filter(|times| **times > 1).count();
    let lost = sent.acknowledged.iter().filter(|event| !times.contains_key(event)).count();
    for event in sent.acknowledged.iter().chain(&sent.unanswered) {
        times.remove(event);
    }
    Wrong { lost, doubled, foreign: times.len() }
}

/// A connection of its own to the server.
pub(super) async fn connected(server: &Server) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(server.url())?.connect().await?)
}

/// Imports the movies that events are about.
pub(super) async fn import_movies(server: &Server) -> anyhow::Result<()> {
    let movies = (1..=MOVIES).map(|movie_id| movie(movie_id, 0));
    CatalogServiceClient::new(connected(server).await?).import_movies(stream::iter(movies)).await?;
    Ok(())
}

/// A movie whose title says of which import it is.
pub(super) fn movie(movie_id: u32, import: u64) -> v1::ImportMoviesRequest {
    let title = title(movie_id, import);
    v1::ImportMoviesRequest {
        movie: Some(movie_id.into()),
        title,
        genres: vec!["Drama".to_owned()],
        ..Default::default()
    }
}

fn title(movie_id: u32, import: u64) -> String {
    format!("Movie {movie_id} of {import} (1999)")
}

/// Callers of every writing method at once, until the server is gone.
pub(super) struct Writers {
    callers: JoinSet<Sent>,
    killed: Arc<AtomicBool>,
}

impl Writers {
    /// Begins to write for users that nobody wrote for before, where `round` is another each time.
    pub(super) async fn start(server: &Server, round: u64) -> anyhow::Result<Self> {
        let killed = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        let first_user = 1 + round * (SINGLES + STREAMS);
        for user_id in first_user..first_user + SINGLES {
            callers.spawn(singles(connected(server).await?, user_id, Arc::clone(&killed)));
        }
        for user_id in first_user + SINGLES..first_user + SINGLES + STREAMS {
            callers.spawn(streams(connected(server).await?, user_id, Arc::clone(&killed)));
        }
        callers.spawn(imports(connected(server).await?, round, Arc::clone(&killed)));
        Ok(Self { callers, killed })
    }

    /// Kills the server, and returns what was sent.
    pub(super) async fn kill(mut self, server: Server) -> anyhow::Result<Sent> {
        self.killed.store(true, Ordering::SeqCst);
        server.kill()?;
        let mut sent = Sent::default();
        while let Some(caller) = self.callers.join_next().await {
            sent.append(caller?);
        }
        Ok(sent)
    }
}

/// The words of a call that failed while the server was not killed.
fn early(killed: &AtomicBool, status: &tonic::Status) -> Option<String> {
    (!killed.load(Ordering::SeqCst)).then(|| format!("{:?}: {}", status.code(), status.message()))
}

async fn singles(channel: Channel, user_id: u64, killed: Arc<AtomicBool>) -> Sent {
    let mut client = InteractionServiceClient::new(channel);
    let mut sent = Sent::default();
    for number in 0.. {
        let event = Event { user_id, number };
        match client.record_interaction(event.request()).await {
            Ok(_) => sent.acknowledged.push(event),
            Err(status) => {
                sent.unanswered.push(event);
                sent.failed.extend(early(&killed, &status));
                break;
            }
        }
    }
    sent
}

async fn streams(channel: Channel, user_id: u64, killed: Arc<AtomicBool>) -> Sent {
    let mut client = InteractionServiceClient::new(channel);
    let mut sent = Sent::default();
    for first in (0..).step_by(EVENTS_A_STREAM as usize) {
        let events = (first..first + EVENTS_A_STREAM).map(move |number| Event { user_id, number });
        match client.record_interactions(stream::iter(events.clone().map(Event::message))).await {
            Ok(reply) if reply.get_ref().accepted == EVENTS_A_STREAM as u64 => {
                sent.acknowledged.extend(events);
            }
            Ok(reply) => {
                sent.failed.push(format!("{:?}", reply.into_inner()));
                break;
            }
            Err(status) => {
                sent.unanswered.extend(events);
                sent.failed.extend(early(&killed, &status));
                break;
            }
        }
    }
    sent
}

async fn imports(channel: Channel, round: u64, killed: Arc<AtomicBool>) -> Sent {
    let mut client = CatalogServiceClient::new(channel);
    let mut sent = Sent::default();
    // The same ids in every round, each time with another title.
    for first in (FIRST_NEW_MOVIE..FIRST_NEW_MOVIE + 100 * MOVIES_A_STREAM).step_by(MOVIES_A_STREAM as usize)
    {
        let movies = first..first + MOVIES_A_STREAM;
        let messages = movies.clone().map(move |movie_id| movie(movie_id, round));
        match client.import_movies(stream::iter(messages)).await {
            Ok(_) => sent.movies.extend(movies),
            Err(status) => {
                sent.failed.extend(early(&killed, &status));
                break;
            }
        }
    }
    sent
}

/// All events that the server has of these users.
pub(super) async fn stored(server: &Server, users: &[u64]) -> anyhow::Result<Vec<Event>> {
    let mut client = UserServiceClient::new(connected(server).await?);
    let mut events = Vec::new();
    for user_id in users {
        events.append(&mut history(&mut client, *user_id).await?);
    }
    Ok(events)
}

async fn history(client: &mut UserServiceClient<Channel>, user_id: u64) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            v1::ListHistoryRequest { user: Some(user_id.into()), page_size: Some(1000), page_token };
        let page = match client.list_history(request).await {
            Ok(page) => page.into_inner(),
            // Nothing was stored for this user.
            Err(status) if status.code() == Code::NotFound => return Ok(events),
            Err(status) => return Err(status.into()),
        };
        for entry in page.interactions {
            let interaction = entry.interaction.context("an entry of a history has an interaction")?;
            let time = interaction.time.context("a stored interaction has a time")?;
            events.push(Event { user_id: interaction.user_id(), number: time.seconds - EPOCH_SECONDS });
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(events);
        }
    }
}

/// Sends again what got no answer, as a caller does.
pub(super) async fn send_again(server: &Server, events: &[Event]) -> anyhow::Result<()> {
    let mut client = InteractionServiceClient::new(connected(server).await?);
    let messages: Vec<_> = events.iter().copied().map(Event::message).collect();
    let reply = client.record_interactions(stream::iter(messages)).await?.into_inner();
    anyhow::ensure!(reply.accepted == events.len() as u64, "what is sent again is refused: {reply:?}");
    Ok(())
}

/// How many of these movies have not the title that an import of `round` gave them.
pub(super) async fn lost_movies(server: &Server, movies: &[u32], round: u64) -> anyhow::Result<usize> {
    let mut client = CatalogServiceClient::new(connected(server).await?);
    let mut lost = 0;
    for movie_id in movies {
        let found =
            client.get_movie(v1::GetMovieRequest { movie: Some((*movie_id).into()) }).await?.into_inner();
        lost += usize::from(found.movie.is_none_or(|movie| movie.title != title(*movie_id, round)));
    }
    Ok(lost)
}

/// How many interactions the server says it has.
pub(super) async fn counted(server: &Server) -> anyhow::Result<u64> {
    let mut client = OperationsServiceClient::new(connected(server).await?);
    Ok(client.get_stats(v1::GetStatsRequest {}).await?.into_inner().interactions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(numbers: &[i64]) -> Vec<Event> {
        numbers.iter().map(|number| Event { user_id: 1, number: *number }).collect()
    }

    #[test]
    fn lost_doubled_and_foreign_events_are_told_from_those_that_may_be_there() {
        let sent = Sent { acknowledged: events(&[1, 2, 3]), unanswered: events(&[4, 5]), ..Sent::default() };
        assert_eq!(compared(&sent, &events(&[3, 2, 1])), Wrong::default());
        assert_eq!(compared(&sent, &events(&[1, 2, 3, 5])), Wrong::default());
        let wrong = Wrong { lost: 1, doubled: 2, foreign: 1 };
        assert_eq!(compared(&sent, &events(&[1, 1, 3, 4, 4, 9])), wrong);
    }

    #[test]
    fn every_event_of_a_user_has_a_time_and_a_known_movie() {
        let event = Event { user_id: 7, number: 999 };
        assert_eq!(event.movie_id(), 500);
        assert_eq!(event.request().time.map(|time| time.seconds), Some(1_700_000_999));
    }
}
