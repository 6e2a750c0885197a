//! `vectors`: the vectors of those who did something last are computed and remembered, so that they need not wait for
//! that after a change of the model.

use std::sync::Arc;

use async_trait::async_trait;
use marquee_engine::Priority;
use marquee_store::Store;

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind};
use super::super::run::Run;
use super::active_model::active_model;
use super::newest::newest_users;
use super::number::Number;
use crate::recommend::{RecommendError, Recommender, RequestOptions, Subject};

const USERS: Number = Number {
    argument: Argument::optional(
        "users",
        "how many, those with the newest events; 10000 when absent, at most 1000000",
    ),
    default: 10_000,
    most: 1_000_000,
};

/// The kind.
pub(super) struct Vectors {
    store: Arc<dyn Store>,
    recommender: Arc<Recommender>,
}

impl Vectors {
    pub(super) fn new(store: Arc<dyn Store>, recommender: Arc<Recommender>) -> Self {
        Self { store, recommender }
    }
}

#[async_trait]
impl Kind for Vectors {
    fn name(&self) -> &'static str {
        "vectors"
    }

    fn about(&self) -> &'static str {
        "Computes the vectors of the users with the newest events into the cache of the node that runs it, or of all \
         that share a Redis."
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
        let options = RequestOptions { priority: Priority::Bulk, ..RequestOptions::default() };
        let (total, mut encoded) = (users.len() as u64, 0_u64);
        for (done, user_id) in (1..).zip(users) {
            match self.recommender.encode(&Subject::User(user_id), &options).await {
                Ok(_) => encoded += 1,
                Err(RecommendError::NothingToEncode(_)) => {}
                Err(error) => return Err(Failure::of(error)),
            }
            run.reached(done, total, "vectors");
            run.breathe().await;
        }
        let said = format!("the vectors of {encoded} of {total} users");
        Ok(Outcome::said(said).figure("users", total as f64).figure("vectors", encoded as f64))
    }
}
