//! `recall`: what the index finds of what an exact answer has, for the users with the newest events.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use marquee_core::domain::{MovieId, UserId};
use marquee_engine::Priority;
use marquee_retrieval::Method;
use marquee_store::Store;

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind};
use super::super::run::Run;
use super::active_model::active_model;
use super::newest::newest_users;
use super::number::Number;
use crate::catalog::Filter;
use crate::profiles::ConsistencyToken;
use crate::recommend::{Question, Recommender, RequestOptions, Source, Subject};

const USERS: Number = Number {
    argument: Argument::optional(
        "users",
        "for how many, those with the newest events; 500 when absent, at most 100000",
    ),
    default: 500,
    most: 100_000,
};

/// Length of the lists.
const K: usize = 10;

/// The kind.
pub(super) struct Recall {
    store: Arc<dyn Store>,
    recommender: Arc<Recommender>,
}

impl Recall {
    pub(super) fn new(store: Arc<dyn Store>, recommender: Arc<Recommender>) -> Self {
        Self { store, recommender }
    }

    /// The movies for a user by a method, and whether the index answered; `None` where the model does not.
    async fn list(&self, user_id: UserId, method: Method) -> Result<Option<(Vec<MovieId>, bool)>, Failure> {
        let question = Question {
            subject: Subject::User(user_id),
            k: K,
            method,
            objective: None,
            filter: Filter::default(),
            exclude_seen: false,
            context: String::new(),
            consistency_token: ConsistencyToken::default(),
            exploration: None,
            explain_newest: None,
            options: RequestOptions { priority: Priority::Bulk, ..RequestOptions::default() },
        };
        let answer = self.recommender.recommend(&question).await.map_err(Failure::of)?;
        let movies = answer.picks.iter().map(|pick| pick.movie_id).collect();
        Ok((answer.source == Source::Model).then_some((movies, answer.method == Some(Method::Ann))))
    }
}

#[async_trait]
impl Kind for Recall {
    fn name(&self) -> &'static str {
        "recall"
    }

    fn about(&self) -> &'static str {
        "Measures the recall@10 of the index against exact answers, for the users with the newest events."
    }

    fn arguments(&self) -> &'static [Argument] {
        const { &[USERS.argument] }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), String> {
        USERS.check(arguments)
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let wanted = USERS.asked(run)?;
        active_model(&self.recommender, run).await?;
        let users = newest_users(self.store.as_ref(), wanted as usize, run).await.map_err(Failure::of)?;
        let total = users.len() as u64;
        let (mut found, mut expected, mut by_index, mut compared) = (0, 0, 0_u64, 0_u64);
        for (done, user_id) in (1..).zip(users) {
            if let Some((exact, _)) = self.list(user_id, Method::Exact).await?
                && let Some((answered, is_by_index)) = self.list(user_id, Method::Ann).await?
            {
                let exact: HashSet<MovieId> = exact.into_iter().collect();
                found += answered.iter().filter(|movie_id| exact.contains(movie_id)).count();
                expected += exact.len();
                by_index += u64::from(is_by_index);
                compared += 1;
            }
            run.reached(done, total, "lists");
            run.breathe().await;
        }
        if expected == 0 {
            return Err(Failure::new("the model answers for none of these users; record interactions first"));
        }
        let recall = found as f64 / expected as f64;
        let said =
            format!("recall@10 is {recall:.4} over {compared} users, of whom the index answered {by_index}");
        Ok(Outcome::said(said)
            .figure("recall@10", recall)
            .figure("users", compared as f64)
            .figure("by_index", by_index as f64))
    }
}
