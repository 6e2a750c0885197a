//! People who watch what they like, to see what an answer is worth before there are real ones.
//!
//! Each person has the past of a user of a data set up to some moment, recorded under an id of its own. It asks once, looks at
//! the list from its beginning, and watches what that user really liked afterwards. So a better model has more watched,
//! and an experiment on a running server has something to find.

mod people;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt as _, stream};
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use prost_types::Timestamp;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub use people::{People, Person};

/// How long before its visit a person did the last thing of its past.
const BEFORE: Duration = Duration::from_hours(1);

/// Who asks whom.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// The server.
    pub target: String,
    /// The id of the first person; the others have those after it.
    pub first_user: u64,
    /// How many people there are.
    pub people: u64,
    /// How many movies each asks for; the server's own number when absent.
    pub k: Option<u32>,
    /// How many ask at the same time.
    pub callers: usize,
}

/// Why people cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The data set is none.
    #[error("{path}: {message}; name a folder of a MovieLens release with --data")]
    Data {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The server cannot be reached.
    #[error("{target} cannot be reached ({source}); name the server with --target")]
    Connect {
        /// Where it should be.
        target: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The server refuses a call.
    #[error("{method}: {}: {}", .status.code(), .status.message())]
    Call {
        /// The call.
        method: &'static str,
        /// What it says.
        status: Box<Status>,
    },
}

/// What came of the people who were answered alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many there are.
    pub people: u64,
    /// How many of them watched anything.
    pub watchers: u64,
    /// How many movies they watched.
    pub watched: u64,
}

impl Simulation {
    /// Lets everybody visit; what came of it by the arms of their answers, or by the model where there is no experiment.
    ///
    /// # Errors
    /// [`SimulateError`] at the first call that the server refuses.
    pub async fn run(&self, people: &People) -> Result<BTreeMap<String, Outcome>, SimulateError> {
        let connect = |source| SimulateError::Connect { target: self.target.clone(), source };
        let endpoint = Endpoint::from_shared(self.target.clone()).map_err(connect)?;
        let channel = endpoint.connect().await.map_err(connect)?;
        self.record_past(&channel, people).await?;
        let mut visits = stream::iter(0..self.people)
            .map(|number| self.visit(channel.clone(), number, people.person(number)))
            .buffer_unordered(self.callers.max(1));
        let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
        while let Some(visit) = visits.next().await {
            let (answered_by, watched) = visit?;
            let outcome = outcomes.entry(answered_by).or_default();
            outcome.people += 1;
            outcome.watchers += u64::from(watched > 0);
            outcome.watched += watched;
        }
        Ok(outcomes)
    }

    /// Records what everybody did before.
    async fn record_past(&self, channel: &Channel, people: &People) -> Result<(), SimulateError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ended = now.saturating_sub(BEFORE);
        let of_person = move |(user_id, person): (u64, Person)| {
            let count = person.past.len() as u32;
            person.past.into_iter().zip(0..).map(move |(movie_id, number)| {
                view(user_id, movie_id, ended.saturating_sub((count - number) * Duration::from_mins(1)))
            })
        };
        let past: Vec<v1::RecordInteractionsRequest> = (0..self.people)
            .map(|number| (self.first_user + number, people.person(number)))
            .flat_map(of_person)
            .map(|interaction| v1::RecordInteractionsRequest { interaction: Some(interaction) })
            .collect();
        let method = "RecordInteractions";
        let mut client = InteractionServiceClient::new(channel.clone());
        let reply = client.record_interactions(stream::iter(past)).await.map_err(refused(method))?;
        match reply.into_inner().rejections.first() {
            None => Ok(()),
            Some(rejection) => {
                let message = format!("{} {}", rejection.field, rejection.description);
                Err(refused(method)(Status::new(Code::InvalidArgument, message)))
            }
        }
    }

    /// One person asks, and watches: who answered, and how many movies.
    async fn visit(
        &self,
        channel: Channel,
        number: u64,
        person: Person,
    ) -> Result<(String, u64), SimulateError> {
        let user_id = self.first_user + number;
        let subject = Some(Subject::UserId(user_id));
        let request = v1::RecommendRequest { subject, k: self.k, ..Default::default() };
        let mut client = RecommendationServiceClient::new(channel.clone());
        let answer = client.recommend(request).await.map_err(refused("Recommend"))?.into_inner();
        let shown: Vec<u32> = answer.recommendations.iter().map(|movie| movie.movie_id).collect();
        let watched = person.watches(&shown);
        let mut client = InteractionServiceClient::new(channel);
        for movie_id in &watched {
            let request = v1::RecordInteractionRequest {
                user: Some(user_id.into()),
                movie: Some((*movie_id).into()),
                kind: v1::InteractionKind::View.into(),
                ..Default::default()
            };
            client.record_interaction(request).await.map_err(refused("RecordInteraction"))?;
        }
        Ok((answered_by(&answer), watched.len() as u64))
    }
}

fn view(user_id: u64, movie_id: u32, since_1970: Duration) -> v1::Interaction {
    v1::Interaction {
        user: Some(user_id.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::View.into(),
        time: Some(Timestamp {
            seconds: since_1970.as_secs() as i64,
            nanos: (since_1970.subsec_millis() * 1_000_000) as i32,
        }),
        ..Default::default()
    }
}

/// The arms of an answer, or its model.
fn answered_by(answer: &v1::RecommendResponse) -> String {
    let arms: Vec<String> =
        answer.experiments.iter().map(|applied| format!("{}/{}", applied.experiment, applied.arm)).collect();
    if arms.is_empty() { answer.model_version.clone() } else { arms.join(" ") }
}

fn refused(method: &'static str) -> impl Fn(Status) -> SimulateError {
    move |status| SimulateError::Call { method, status: Box::new(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_its_arms_and_without_any_for_its_model() {
        let applied = |arm: &str| v1::AppliedArm {
            experiment: "lists".to_owned(),
            arm: arm.to_owned(),
            ..Default::default()
        };
        let model_version = "small@2".to_owned();
        let plain = v1::RecommendResponse { model_version, ..Default::default() };
        assert_eq!(answered_by(&plain), "small@2");
        let of_arm = v1::RecommendResponse { experiments: vec![applied("B")], ..plain };
        assert_eq!(answered_by(&of_arm), "lists/B");
    }
}
