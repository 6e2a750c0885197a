//! Movies like one movie, by the cosine of the model's output embeddings.
//!
//! Candidates come from the same retrieval as everything else, by inner product; norms follow
//! popularity, so the order among the candidates is that of the cosine. [`OVERFETCH`] candidates are
//! looked at for every movie that is wanted.

use std::sync::Arc;
use std::time::Instant;

use marquee_engine::{Input, Job, Model, Want};
use marquee_retrieval::{ItemRow, Method, Metric, Query};
use roaring::RoaringBitmap;

use super::{
    Pick, RecommendError, Recommended, Recommender, SimilarQuestion, Source, Stage, Stopwatch, hydrate,
};

/// Candidates for each movie that is wanted.
const OVERFETCH: usize = 20;

/// Candidates at least.
const MIN_CANDIDATES: usize = 400;

impl Recommender {
    /// The movies most like one movie, itself left out.
    ///
    /// # Errors
    /// [`RecommendError::UnknownMovie`] when the model does not know the movie.
    pub async fn similar(&self, question: &SimilarQuestion) -> Result<Recommended, RecommendError> {
        let mut watch = Stopwatch::start();
        let options = &question.options;
        let model = self.engine.model(options.model_version.as_deref())?;
        let bundle = model.bundle();
        let movies = self.catalog.movies();
        let map = self.rows.get(&model, &movies);
        let unknown = RecommendError::UnknownMovie(question.movie_id);
        let row = map.row_of(bundle, question.movie_id).ok_or(unknown)?;
        let allowed = match self.catalog.select(&question.filter)? {
            Some(indexes) => Some(Arc::new(map.rows_of(&indexes))),
            None => map.servable(),
        };
        let query = Query {
            k: (question.k * OVERFETCH).max(MIN_CANDIDATES),
            allowed,
            excluded: Arc::new(RoaringBitmap::from_iter([row])),
            method: Method::Exact,
            metric: Metric::InnerProduct,
        };
        let input = Input::Vector(bundle.output_embedding(row).into());
        let (deadline, priority) = (options.deadline, options.priority);
        let answer = model.submit(Job { input, want: Want::TopK(query), deadline, priority }).await?;
        watch.engine(answer.timings);

        let began = Instant::now();
        let mut picks: Vec<Pick> = answer
            .items
            .iter()
            .map(|item| Pick {
                movie_id: bundle.vocabulary[item.row as usize],
                score: cosine(&model, row, item.row),
                source: Source::Model,
                movie: None,
            })
            .collect();
        picks.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.movie_id.cmp(&b.movie_id)));
        picks.truncate(question.k);
        watch.lap(Stage::Rank, began);

        let began = Instant::now();
        hydrate(&mut picks, &movies);
        watch.lap(Stage::Hydrate, began);
        Ok(Recommended {
            picks,
            model_version: Some(bundle.version().to_owned()),
            method: answer.method,
            source: Source::Model,
            timings: watch.finish(&self.metrics),
            ignored: 0,
        })
    }
}

/// The cosine of two output embeddings; 0 where one has no length.
fn cosine(model: &Model, a: ItemRow, b: ItemRow) -> f32 {
    let (a, b) = (model.bundle().output_embedding(a), model.bundle().output_embedding(b));
    let dot =
        |x: &[f32], y: &[f32]| -> f64 { x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { (dot(a, b) / norms) as f32 } else { 0.0 }
}
