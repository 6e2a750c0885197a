//! `index`: the index of the model in service, opened or built, and kept for the next start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use marquee_retrieval::Planner;
use tokio::task::spawn_blocking;

use super::super::job::Outcome;
use super::super::kind::{Failure, Kind};
use super::super::run::Run;
use super::active_model::active_model;
use crate::recommend::Recommender;

/// What searches each model that is loaded, by the model's version.
#[derive(Default)]
pub struct Planners(Mutex<HashMap<String, Weak<Planner>>>);

impl Planners {
    /// Adds that of a version.
    pub fn add(&self, version: &str, planner: &Arc<Planner>) {
        let mut planners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        planners.retain(|_, planner| planner.strong_count() > 0);
        planners.insert(version.to_owned(), Arc::downgrade(planner));
    }

    /// That of a version, while it is loaded.
    pub fn get(&self, version: &str) -> Option<Arc<Planner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(version)?.upgrade()
    }
}

/// The kind.
pub(super) struct Index {
    recommender: Arc<Recommender>,
    planners: Arc<Planners>,
}

impl Index {
    pub(super) fn new(recommender: Arc<Recommender>, planners: Arc<Planners>) -> Self {
        Self { recommender, planners }
    }
}

#[async_trait]
impl Kind for Index {
    fn name(&self) -> &'static str {
        "index"
    }

    fn about(&self) -> &'static str {
        "Has the index of the active model built on the node that runs it, and kept in its data folder for the next start."
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let model = active_model(&self.recommender, run).await?;
        let (version, items) = (model.bundle().version(), model.bundle().items());
        let planner = self.planners.get(version);
        let planner =
            planner.ok_or_else(|| Failure::new(format!("{version} is searched without an index")))?;
        run.reached(0, 0, format!("{items} movies"));
        let recall = spawn_blocking(move || planner.make_index()).await.map_err(Failure::of)?;
        let recall = recall.map_err(Failure::of)?;
        let said = format!("the index of {version} has a recall@10 of {recall:.4}");
        Ok(Outcome::said(said).figure("recall@10", recall).figure("movies", items as f64))
    }
}
