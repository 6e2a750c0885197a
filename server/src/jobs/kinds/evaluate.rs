//! `evaluate`: how good the model in service is on the newest events, each held back from its user's history.

use std::sync::Arc;

use async_trait::async_trait;
use marquee_store::Store;

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind};
use super::super::run::Run;
use super::active_model::active_model;
use super::newest::newest_users;
use super::number::Number;
use crate::catalog::Catalog;
use crate::judge::Judge;
use crate::recommend::Recommender;

const USERS: Number = Number {
    argument: Argument::optional(
        "users",
        "how many, those with the newest events; 1000 when absent, at most 100000",
    ),
    default: 1_000,
    most: 100_000,
};

/// The kind.
pub(super) struct Evaluate {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    recommender: Arc<Recommender>,
}

impl Evaluate {
    pub(super) fn new(store: Arc<dyn Store>, catalog: Arc<Catalog>, recommender: Arc<Recommender>) -> Self {
        Self { store, catalog, recommender }
    }
}

#[async_trait]
impl Kind for Evaluate {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn about(&self) -> &'static str {
        "Measures the model in service on the newest events: nDCG, recall, diversity, novelty, freshness and coverage of \
         lists of ten."
    }

    fn arguments(&self) -> &'static [Argument] {
        const { &[USERS.argument] }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), String> {
        USERS.check(arguments)
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let wanted = USERS.asked(run)?;
        let model = active_model(&self.recommender, run).await?;
        let users = newest_users(self.store.as_ref(), wanted as usize, run).await.map_err(Failure::of)?;
        let total = users.len() as u64;
        let judge =
            Judge { recommender: &self.recommender, store: self.store.as_ref(), catalog: &self.catalog };
        let mut lists = judge.lists();
        for (done, user_id) in (1..).zip(users) {
            lists.add(user_id).await.map_err(Failure::of)?;
            run.reached(done, total, "lists");
            run.breathe().await;
        }
        let (users, figures) = (lists.users(), lists.figures().map_err(Failure::of)?);
        let outcome =
            Outcome::said(format!("{} on the newest event of {users} users", model.bundle().version()));
        let outcome = outcome.figure("users", users as f64);
        Ok(figures.iter().fold(outcome, |outcome, (name, figure)| outcome.figure(*name, figure.value)))
    }
}
