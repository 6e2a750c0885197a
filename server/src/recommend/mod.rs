//! What to watch next: a pipeline of stages over one request.
//!
//! profile -> candidates -> rerank -> fill -> explore -> explain -> hydrate, under the rules that hold; `stages` lists them and says how one is added. A history that
//! the model knows goes through the engine; who has none is answered by onboarding preferences, and else by
//! popularity with decay. Where the model finds fewer than k, popularity fills up, so that an answer is never empty
//! while anything is allowed.
//!
//! The model is resolved once for a request, pinned or active, and everything that depends on a model asks that one.

mod context;
mod encode;
mod explain;
mod explanation;
mod fit;
mod history;
mod home;
mod metrics;
mod model_index;
mod new_movies;
mod onboarding;
mod personal_search;
mod request;
mod sample;
mod similar_movies;
mod similar_users;
mod source;
mod stage;
mod stages;
mod taste;
mod timings;
mod usage;
mod vector_cache;
mod vectors;
mod verdict;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use marquee_engine::{Engine, EngineError, Model};
use tokio::sync::mpsc::Receiver;

use context::{Excluded, RequestContext};
pub use explanation::{Because, Explanation, Reasons, SimilarTo};
pub use fit::Fit;
pub use home::{Basis, HomePage, HomeQuestion, HomeRow, Past, RowKind};
pub(crate) use metrics::METRICS;
use metrics::RecommendMetrics;
pub use model_index::Mismatch;
use model_index::ModelIndexes;
pub use new_movies::NewMovies;
use new_movies::Rows;
pub use onboarding::{Onboarding, OnboardingQuestion};
pub use request::{
    Encoded, Exploration, Pick, Question, RecommendError, Recommended, RequestOptions, SimilarQuestion,
    SimilarityBasis, Subject, VectorQuestion,
};
pub(crate) use sample::Sample;
use sample::Sampler;
pub use similar_movies::Similar;
pub use similar_users::{SimilarUsers, UsersFound};
pub use source::Source;
pub use stage::Stage;
use stages::{candidates, explain as reasons, profile, rerank, rules};
pub(crate) use taste::taste_of;
pub use timings::Timings;
pub use usage::{Served, Usage, UsageCounts};
pub use vector_cache::UserVectorCache;
pub use vectors::{MovieVector, VectorError, VectorExport};
pub use verdict::{Obstacle, Place, SeenAs, Verdict};

use crate::catalog::Catalog;
use crate::profiles::Profiles;
use crate::rules::Rules;
use crate::shared::cache::Cache;
use crate::similar::Kept;

/// Answers what to watch next.
pub struct Recommender {
    engine: Arc<Engine>,
    catalog: Arc<Catalog>,
    profiles: Arc<Profiles>,
    vectors: Option<UserVectorCache>,
    rules: Option<Arc<Rules>>,
    similar: Arc<Kept>,
    rows: ModelIndexes,
    /// Those of movies that the active model does not know; [`NewMovies`] makes them.
    new_rows: ArcSwapOption<Rows>,
    /// Sets some answers aside, where somebody looks at them.
    sampler: Option<Sampler>,
    metrics: RecommendMetrics,
}

impl Recommender {
    /// A pipeline over these parts; `cache` remembers user vectors.
    pub fn new(
        engine: Arc<Engine>,
        catalog: Arc<Catalog>,
        profiles: Arc<Profiles>,
        cache: Option<Arc<dyn Cache>>,
    ) -> Self {
        let vectors = cache.map(UserVectorCache::new);
        let metrics = RecommendMetrics::default();
        let (rows, new_rows) = (ModelIndexes::default(), ArcSwapOption::empty());
        Self {
            engine,
            catalog,
            profiles,
            vectors,
            rules: None,
            similar: Arc::default(),
            rows,
            new_rows,
            sampler: None,
            metrics,
        }
    }

    /// The same pipeline, which sets some answers aside, and where they come out.
    #[must_use]
    pub(crate) fn sampled(mut self) -> (Self, Receiver<Sample>) {
        let (sampler, samples) = Sampler::new();
        self.sampler = Some(sampler);
        (self, samples)
    }

    /// The same pipeline, whose recommendations heed these rules.
    #[must_use]
    pub fn under(mut self, rules: Arc<Rules>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// The same pipeline, which knows who watched which movies by this table.
    #[must_use]
    pub(crate) fn with_similar(mut self, similar: Arc<Kept>) -> Self {
        self.similar = similar;
        self
    }

    /// The same pipeline, which treats models that do not belong to the catalogue so.
    #[must_use]
    pub(crate) fn on_mismatch(mut self, mismatch: Mismatch) -> Self {
        self.rows.mismatch = mismatch;
        self
    }

    /// Compares a model with the catalogue, once for both, and logs what is new; `None` when the model is used,
    /// else how badly they fit.
    pub(crate) fn mismatch_of(&self, model: &Model) -> Option<Fit> {
        let map = self.rows.get(model, &self.catalog.movies());
        (!map.is_used()).then(|| map.fit())
    }

    /// The best movies for a subject.
    ///
    /// # Errors
    /// [`RecommendError`]; an unknown user or an empty history is none, popularity answers it.
    pub async fn recommend(&self, question: &Question) -> Result<Recommended, RecommendError> {
        let mut context = RequestContext::new(self, question.k, &question.filter, &question.options)?;
        context.excluded = Excluded::of(question);
        context.exploration = question.exploration;
        profile::profile(&mut context, &question.subject, &question.consistency_token).await?;
        rules::heed(&mut context, &question.context);
        candidates::for_taste(&mut context, question).await?;
        if context.objective.is_some() {
            // Most requests have none, and none shall carry the future of it.
            Box::pin(rerank::by_objective(&mut context)).await;
        }
        context.run(&stages::CHOOSE);
        if let Some(newest) = question.explain_newest {
            // Most requests do not ask, and none shall carry the future of asking.
            Box::pin(reasons::explain(&mut context, question, newest)).await;
        }
        context.run(&stages::SHOW);
        self.metrics.answered(context.source);
        if let Some(sampler) = &self.sampler {
            sampler.see(&context);
        }
        Ok(context.finish())
    }

    /// The active model.
    ///
    /// # Errors
    /// [`EngineError`] while there is none.
    pub(crate) fn model(&self) -> Result<Arc<Model>, EngineError> {
        self.model_of(None)
    }

    /// The model of a version, or the active one.
    ///
    /// # Errors
    /// [`EngineError`] when it is not loaded, or none is active.
    pub(crate) fn model_of(&self, version: Option<&str>) -> Result<Arc<Model>, EngineError> {
        self.engine.model(version)
    }

    /// How many questions of one caller shall be answered at once; one while there is no model.
    pub fn at_once(&self) -> usize {
        self.engine.model(None).map_or(1, |model| model.share_of_queue())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_is_cheap_to_move() {
        type Arguments = (&'static Recommender, &'static Question);
        let size = size_of_future(|(recommender, question): Arguments| recommender.recommend(question));
        assert!(size < 1536, "{size} bytes");
    }
}
