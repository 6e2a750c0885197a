//! The pipeline without a socket, over the sample and the models that a test loads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use marquee_core::domain::{MovieId, UserId};
use marquee_engine::runtime::Device;
use marquee_engine::{Bundle, Engine, EngineOptions, Model, Precision};
use marquee_retrieval::{ExactScorer, RetrievalError, Scorer};
use marquee_server::app;
use marquee_server::config::StoreUrl;
use marquee_server::profiles::Profiles;
use marquee_server::recommend::Recommender;
use marquee_server::shared::cache::Cache;
use marquee_store::OnDamage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{root, sample, sample_data};

/// Ratings from so many stars on are taste.
const TASTE_FROM_STARS: f64 = 3.0;

/// The bundle that the sample's ratings trained.
pub fn bundled_model() -> PathBuf {
    root().join("onnx/bundles/movielens-small")
}

pub fn engine() -> Arc<Engine> {
    Arc::new(Engine::start(EngineOptions { workers: 1, ..EngineOptions::default() }))
}

/// A pipeline over the sample, with an engine that has no model yet.
pub async fn pipeline(engine: &Arc<Engine>, cache: Option<Arc<dyn Cache>>) -> Recommender {
    let data = sample_data().await;
    let store =
        app::open_store(&StoreUrl::redb(), data.path(), OnDamage::Refuse).await.expect("the store opens");
    let catalog = app::build_catalog(store.as_ref()).await.expect("the store can be read");
    let profiles = Profiles::new(store, 0, None).expect("no Redis is used");
    Recommender::new(Arc::clone(engine), Arc::new(catalog), Arc::new(profiles), cache)
}

pub async fn load(engine: &Engine, bundle: &Path, precision: Precision) -> Arc<Model> {
    let exact = |bundle: &Arc<Bundle>| -> Result<Arc<dyn Scorer>, RetrievalError> {
        let table = bundle.output_embeddings();
        Ok(Arc::new(ExactScorer::build(table, bundle.dimension(), &bundle.vocabulary)?))
    };
    engine.load(bundle, Device::Cpu, precision, exact).await.expect("the bundle loads")
}

/// Histories of users of the sample, each cut after 10 to 100 movies, oldest first: of as many users as are wanted.
pub fn histories(count: usize, seed: u64) -> Vec<Vec<MovieId>> {
    let mut events: BTreeMap<UserId, Vec<(i64, MovieId)>> = BTreeMap::new();
    let mut rows = csv::Reader::from_path(sample().join("ratings.csv")).expect("the sample is there");
    for row in rows.deserialize::<(UserId, MovieId, f64, i64)>() {
        let (user_id, movie_id, stars, time) = row.expect("the sample is well-formed");
        if stars >= TASTE_FROM_STARS {
            events.entry(user_id).or_default().push((time, movie_id));
        }
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut users: Vec<Vec<(i64, MovieId)>> =
        events.into_values().filter(|events| events.len() >= 10).collect();
    (0..count)
        .map(|_| {
            let mut events = users.swap_remove(random.random_range(0..users.len()));
            events.sort_unstable();
            events.truncate(random.random_range(10..=100));
            events.into_iter().map(|(_, movie_id)| movie_id).collect()
        })
        .collect()
}
