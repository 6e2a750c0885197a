//! `judge-model`: whether a version of the registry may take the place of the model in service.

use std::sync::Arc;

use async_trait::async_trait;
use marquee_engine::{BundleError, Engine, Model};
use marquee_store::Store;

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind};
use super::super::run::Run;
use super::active_model::active_model;
use super::newest::newest_users;
use super::number::Number;
use crate::catalog::Catalog;
use crate::judge::{Bounds, Comparison, Judge, Verdict};
use crate::recommend::Recommender;
use crate::registry::{LoadModel, Registered, Registry};

const NAME: Argument = Argument::required("name", "the name that the version was uploaded under");
const VERSION: Argument = Argument::required("version", "the version, as the registry has it");
const USERS: Number = Number {
    argument: Argument::optional(
        "users",
        "how many, those with the newest events; 5000 when absent, at most 100000",
    ),
    default: 5_000,
    most: 100_000,
};
const MARGIN: Number = Number {
    argument: Argument::optional(
        "margin",
        "by how many percent nDCG@10 and recall@10 may be lower, with 95% certainty; 10 when absent",
    ),
    default: 10,
    most: 100,
};
const LEAST_COVERAGE: Number = Number {
    argument: Argument::optional(
        "least_coverage",
        "the least coverage, in percent of that of the model in service; 50 when absent",
    ),
    default: 50,
    most: 100,
};
const MOST_LATENCY: Number = Number {
    argument: Argument::optional(
        "most_latency",
        "the most that 95 of 100 answers take, in percent of those of the model in service; 200 when absent",
    ),
    default: 200,
    most: 100_000,
};
const MOST_MEMORY: Number = Number {
    argument: Argument::optional(
        "most_memory",
        "the most memory, in percent of that of the model in service; 200 when absent",
    ),
    default: 200,
    most: 100_000,
};

/// Between two attempts to load the version while another bundle is loaded.
const TURN_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// How a bundle says that its training did not see the newest events of users.
const HOLDING_BACK: [&str; 2] = ["leave-one-out", "global-time"];

/// The kind.
pub(super) struct JudgeModel {
    pub(super) store: Arc<dyn Store>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) recommender: Arc<Recommender>,
    pub(super) engine: Arc<Engine>,
    pub(super) registry: Arc<Registry>,
    pub(super) load: LoadModel,
}

/// A model that was loaded to be judged, and is let go unless it is kept.
struct Candidate {
    model: Arc<Model>,
    engine: Arc<Engine>,
    stays: bool,
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.stays {
            // It may have been unloaded or activated meanwhile.
            let _is_gone = self.engine.unload(self.model.bundle().version());
        }
    }
}

impl JudgeModel {
    /// The model of a version: the loaded one, or one that is loaded for this.
    async fn candidate(&self, version: &Registered, run: &Run) -> Result<Candidate, Failure> {
        let stays = self.engine.model(Some(&version.summary.version())).is_ok();
        let model = loop {
            match (self.load)(version.folder.clone()).await {
                Err(BundleError::Busy { .. }) => {
                    run.reached(0, 0, "waiting for another model to be loaded");
                    tokio::time::sleep(TURN_RETRY).await;
                }
                loaded => break loaded.map_err(Failure::of)?,
            }
        };
        Ok(Candidate { model, engine: Arc::clone(&self.engine), stays })
    }

    /// The version that a job names.
    async fn version(&self, run: &Run) -> Result<Registered, Failure> {
        let [name, version] = [NAME, VERSION].map(|it| run.argument(it.name).unwrap_or_default().to_owned());
        let registry = Arc::clone(&self.registry);
        let found = tokio::task::spawn_blocking(move || registry.get(&name, &version)).await;
        found.map_err(Failure::of)?.map_err(Failure::of)
    }
}

#[async_trait]
impl Kind for JudgeModel {
    fn name(&self) -> &'static str {
        "judge-model"
    }

    fn about(&self) -> &'static str {
        "Compares a version of the registry with the model in service on the newest events, each held back from its user's \
         history, and says whether it may take its place."
    }

    fn arguments(&self) -> &'static [Argument] {
        const {
            &[
                NAME,
                VERSION,
                USERS.argument,
                MARGIN.argument,
                LEAST_COVERAGE.argument,
                MOST_LATENCY.argument,
                MOST_MEMORY.argument,
            ]
        }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), String> {
        [USERS, MARGIN, LEAST_COVERAGE, MOST_LATENCY, MOST_MEMORY]
            .iter()
            .try_for_each(|number| number.check(arguments))
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let percent = |number: &Number| number.asked(run).map(|percent| percent as f64);
        let bounds = Bounds {
            margin: percent(&MARGIN)?,
            least_coverage: percent(&LEAST_COVERAGE)?,
            most_latency: percent(&MOST_LATENCY)?,
            most_memory: percent(&MOST_MEMORY)?,
        };
        let wanted = USERS.asked(run)?;
        let version = self.version(run).await?;
        let in_service = active_model(&self.recommender, run).await?;
        if in_service.bundle().seal() == version.summary.seal() {
            return Err(Failure::new("this version is the one in service; judge another one"));
        }
        run.reached(0, 0, "loading the model");
        let mut candidate = self.candidate(&version, run).await?;
        let split = version.summary.training().get("split").and_then(|split| split.as_str());
        if !split.is_some_and(|split| HOLDING_BACK.contains(&split)) {
            run.log(
                "the bundle does not say that its training held back the newest events of users: where it saw them, it is \
                 judged too well",
            );
        }
        let users = newest_users(self.store.as_ref(), wanted as usize, run).await.map_err(Failure::of)?;
        let total = users.len() as u64;
        let judge =
            Judge { recommender: &self.recommender, store: self.store.as_ref(), catalog: &self.catalog };
        let mut models = judge.models(in_service.bundle().version(), candidate.model.bundle().version());
        for (done, user_id) in (1..).zip(users) {
            models.add(user_id).await.map_err(Failure::of)?;
            run.reached(done, total, "pairs of lists");
            run.breathe().await;
        }
        let found = models.compared().map_err(Failure::of)?;
        let memory = [&in_service, &candidate.model].map(|model| model.memory_bytes());
        let verdict = Verdict::of(&found, memory, &bounds);
        for reason in &verdict.reasons {
            run.log(reason);
        }
        candidate.stays |= verdict.accepted;
        Ok(outcome(&version, in_service.bundle().version(), &found, memory, &verdict))
    }
}

fn outcome(
    version: &Registered,
    in_service: &str,
    found: &Comparison,
    memory: [u64; 2],
    verdict: &Verdict,
) -> Outcome {
    let word = if verdict.accepted { "accepted" } else { "refused" };
    let Comparison { users, overlap, latency, .. } = found;
    let summary = format!(
        "{word}: {} {} beside {in_service} on the newest event of {users} users; {}",
        version.name,
        version.version,
        verdict.reasons.join("; "),
    );
    let mut outcome = Outcome::said(summary)
        .figure("accepted", f64::from(u8::from(verdict.accepted)))
        .figure("users", *users as f64)
        .figure("overlap@10", *overlap);
    for (side, place) in [("in service", 0), ("candidate", 1)] {
        if let Some(latency) = latency[place] {
            outcome = outcome.figure(format!("latency p95 us, {side}"), latency.as_secs_f64() * 1e6);
        }
        outcome = outcome.figure(format!("memory bytes, {side}"), memory[place] as f64);
    }
    for name in ["ndcg@10", "recall@10", "coverage@10"] {
        if let Some((old, new, difference)) = found.figure(name) {
            outcome = outcome
                .figure(format!("{name}, in service"), old)
                .figure(format!("{name}, candidate"), new)
                .figure(format!("{name}, difference"), difference.value)
                .figure(format!("{name}, difference at least"), difference.low)
                .figure(format!("{name}, difference at most"), difference.high);
        }
    }
    outcome
}
