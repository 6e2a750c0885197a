//! One caller of one server, one call after another.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::stream;
use marquee_loadgen::workload::{Population, request_random};
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::served::Server;

/// How many items every request asks for.
pub(super) const K: u32 = 10;
/// The seed of stored histories.
const SEED: u64 = 1;
/// The time of the first stored event, in 2023, and the time between two of a user.
const EPOCH_SECONDS: i64 = 1_700_000_000;
const STEP_SECONDS: i64 = 60;
/// How long a write may take to be seen before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// The caller, and the server that lives as long.
pub(super) struct Caller {
    recommendations: RecommendationServiceClient<Channel>,
    interactions: InteractionServiceClient<Channel>,
    _server: Server,
}

impl Caller {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) async fn new(server: Server) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(server.url())?.connect().await?;
        Ok(Self {
            recommendations: RecommendationServiceClient::new(channel.clone()),
            interactions: InteractionServiceClient::new(channel),
            _server: server,
        })
    }

    /// Stores a history for each of the users, of at most `longest` movies.
    ///
    /// # Errors
    /// When the server does not take all of it.
    pub(super) async fn fill(
        &self,
        population: &Population,
        users: u64,
        longest: usize,
    ) -> anyhow::Result<()> {
        let events: Vec<_> = (1..=users).flat_map(|user_id| history(population, user_id, longest)).collect();
        let sent = events.len() as u64;
        let answer = self.interactions.clone().record_interactions(stream::iter(events)).await?.into_inner();
        anyhow::ensure!(answer.accepted == sent, "{} of {sent} events were taken", answer.accepted);
        Ok(())
    }

    /// Asks once for every user, so that the server remembers them.
    ///
    /// # Errors
    /// When a call fails.
    pub(super) async fn warm(&self, users: u64) -> anyhow::Result<()> {
        for user_id in 1..=users {
            self.recommend(Subject::UserId(user_id)).await?;
        }
        Ok(())
    }

    /// The movies that are recommended.
    ///
    /// # Errors
    /// When the call fails.
    pub(super) async fn recommend(&self, subject: Subject) -> anyhow::Result<Vec<u32>> {
        let request = v1::RecommendRequest { subject: Some(subject), k: Some(K), ..Default::default() };
        let answer = self.recommendations.clone().recommend(request).await?.into_inner();
        Ok(answer.recommendations.into_iter().map(|movie| movie.movie_id).collect())
    }

    /// The time of one Recommend.
    ///
    /// # Errors
    /// When the call fails or finds too little.
    pub(super) async fn timed(&self, subject: Subject) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let found = self.recommend(subject).await?;
        let took = began.elapsed();
        anyhow::ensure!(found.len() == K as usize, "an answer has {} of {K} movies", found.len());
        Ok(took)
    }

    /// The best movie for a user.
    ///
    /// # Errors
    /// When the call fails or finds nothing.
    pub(super) async fn best(&self, user_id: u64) -> anyhow::Result<u32> {
        let found = self.recommend(Subject::UserId(user_id)).await?;
        found.first().copied().context("an answer is empty")
    }

    /// Writes that a user likes a movie.
    ///
    /// # Errors
    /// When the call fails.
    pub(super) async fn like(&self, user_id: u64, movie_id: u32) -> anyhow::Result<()> {
        let kind = v1::InteractionKind::Like.into();
        let event = v1::RecordInteractionRequest {
            user: Some(user_id.into()),
            movie: Some(movie_id.into()),
            kind,
            ..Default::default()
        };
        self.interactions.clone().record_interaction(event).await?;
        Ok(())
    }

    /// How long from now until the first Recommend is sent that no longer has the movie in its answer.
    ///
    /// # Errors
    /// When a call fails or the movie stays.
    pub(super) async fn gone_after(&self, user_id: u64, movie_id: u32) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let waited = began.elapsed();
            if !self.recommend(Subject::UserId(user_id)).await?.contains(&movie_id) {
                return Ok(waited);
            }
            anyhow::ensure!(waited < PATIENCE, "a write is not seen on another node after {PATIENCE:?}");
        }
    }
}

/// The stored history of a user, as the messages of a stream.
fn history(
    population: &Population,
    user_id: u64,
    longest: usize,
) -> impl Iterator<Item = v1::RecordInteractionsRequest> + use<> {
    let movies = population.history(&mut request_random(SEED, user_id), longest).movie_ids;
    (0..).zip(movies).map(move |(place, movie_id)| {
        let time = prost_types::Timestamp { seconds: EPOCH_SECONDS + place * STEP_SECONDS, nanos: 0 };
        let kind = v1::InteractionKind::Like.into();
        let event = v1::Interaction {
            user: Some(user_id.into()),
            movie: Some(movie_id.into()),
            kind,
            rating: None,
            time: Some(time),
        };
        v1::RecordInteractionsRequest { interaction: Some(event) }
    })
}
