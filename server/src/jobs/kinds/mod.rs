//! The kinds, a file each. A further one is a file that implements [`Kind`] and a line in `all`.

mod active_model;
mod backup;
mod clean;
mod evaluate;
mod export;
mod import;
mod index;
mod judge_model;
mod newest;
mod number;
mod recall;
mod report;
mod retention;
mod similar;
mod statistics;
mod sync;
mod train;
mod vectors;

use std::path::PathBuf;
use std::sync::Arc;

use marquee_engine::Engine;
use marquee_store::{Store, backup::staging};

pub use self::index::Planners;
use super::commands::Commands;
use super::kind::{Kind, Kinds};
use super::ledger::Ledger;
use super::places::Places;
use crate::catalog::Catalog;
use crate::profiles::Profiles;
use crate::recommend::Recommender;
use crate::registry::{LoadModel, Registry};
use crate::similar::Keeper;
use crate::telemetry::Samples;
use crate::writes::WriteCoordinator;

/// What the kinds work on.
pub(crate) struct Parts {
    /// What is durable.
    pub(crate) store: Arc<dyn Store>,
    /// The one way in for writes.
    pub(crate) coordinator: WriteCoordinator,
    /// The movies in memory.
    pub(crate) catalog: Arc<Catalog>,
    /// The profiles that are remembered.
    pub(crate) profiles: Arc<Profiles>,
    /// The pipeline.
    pub(crate) recommender: Arc<Recommender>,
    /// What searches the models.
    pub(crate) planners: Arc<Planners>,
    /// Builds the table of similar movies.
    pub(crate) similar: Arc<Keeper>,
    /// What the server did lately.
    pub(crate) samples: Arc<Samples>,
    /// Runs the models.
    pub(crate) engine: Arc<Engine>,
    /// The versions of models that are kept.
    pub(crate) registry: Arc<Registry>,
    /// Loads a model from its folder.
    pub(crate) load: LoadModel,
}

/// What the settings say of kinds.
pub(crate) struct KindSettings {
    /// Releases that may be imported.
    pub(crate) sources: Places,
    /// Folders and buckets that backups may be written to.
    pub(crate) targets: Places,
    /// Programs that may be run.
    pub(crate) commands: Commands,
    /// How many days events are kept; 0 for ever.
    pub(crate) event_retention_days: u32,
    /// Where pages are written.
    pub(crate) data_dir: PathBuf,
}

/// All kinds, over these parts and the jobs themselves.
pub(crate) fn all(parts: Parts, settings: KindSettings, ledger: Arc<Ledger>) -> Kinds {
    let Parts { store, coordinator, catalog, profiles, recommender, planners, similar, samples, .. } = parts;
    let Parts { engine, registry, load, .. } = parts;
    let KindSettings { sources, targets, commands, event_retention_days, data_dir } = settings;
    let kinds: Vec<Arc<dyn Kind>> = vec![
        Arc::new(backup::Backup::new(Arc::clone(&store), targets.clone(), staging(&data_dir))),
        Arc::new(clean::Clean::new(Arc::clone(&ledger))),
        Arc::new(evaluate::Evaluate::new(Arc::clone(&store), Arc::clone(&catalog), Arc::clone(&recommender))),
        Arc::new(export::Export::new(Arc::clone(&store), targets)),
        Arc::new(import::Import::new(Arc::clone(&store), Arc::clone(&catalog), profiles, sources)),
        Arc::new(index::Index::new(Arc::clone(&recommender), planners)),
        Arc::new(judge_model::JudgeModel {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            recommender: Arc::clone(&recommender),
            engine,
            registry,
            load,
        }),
        Arc::new(recall::Recall::new(Arc::clone(&store), Arc::clone(&recommender))),
        Arc::new(report::Report {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            recommender: Arc::clone(&recommender),
            ledger,
            samples,
            data_dir,
        }),
        Arc::new(retention::Retention::new(Arc::clone(&store), coordinator, event_retention_days)),
        Arc::new(similar::Similar::new(similar)),
        Arc::new(statistics::Statistics::new(Arc::clone(&store), Arc::clone(&catalog))),
        Arc::new(sync::Sync::new(Arc::clone(&store), catalog, Arc::clone(&recommender))),
        Arc::new(train::Train::new(commands)),
        Arc::new(vectors::Vectors::new(store, recommender)),
    ];
    Kinds::new(kinds)
}
