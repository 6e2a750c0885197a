//! The pipeline: profile, engine, rank, hydrate.
//!
//! Owns no I/O of its own. A history that the model knows goes through the engine; who has none is
//! answered by onboarding preferences, and else by popularity with decay. Where the model finds fewer
//! than k, popularity fills up, so that an answer is never empty while anything is allowed.

mod cold;
mod fit;
mod model_index;
mod request;
mod similar;
mod stages;
mod taste;
mod vector_cache;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use marquee_core::domain::{MovieId, Profile};
use marquee_engine::{Answer, Engine, EngineError, Input, Job, Model, Sequence, Want};
use marquee_retrieval::{ItemRow, Metric, Query, Scored};
use roaring::RoaringBitmap;

pub use fit::Fit;
pub use model_index::Mismatch;
use model_index::{ModelIndex, ModelIndexes};
pub use request::{
    Encoded, Pick, Question, RecommendError, Recommended, RequestOptions, SimilarQuestion, Source, Subject,
};
pub use stages::Timings;
use stages::{Stage, Stopwatch};
pub use vector_cache::UserVectorCache;

use crate::catalog::{Catalog, Movies};
use crate::profiles::{ConsistencyToken, Profiles};
use crate::shared::cache::Cache;
use crate::telemetry::StageMetrics;

/// How many of a user's newest events are read for one place in the model's sequence: some events
/// are not taste, and some repeat a movie.
const EVENTS_PER_PLACE: usize = 2;

/// The longest sequence of any model that profiles are read for before the model is known.
const EVENTS_WITHOUT_MODEL: usize = 400;

/// Answers what to watch next.
pub struct Recommender {
    engine: Arc<Engine>,
    catalog: Arc<Catalog>,
    profiles: Arc<Profiles>,
    vectors: Option<UserVectorCache>,
    rows: ModelIndexes,
    metrics: StageMetrics,
}

/// What a request starts from, once its subject is looked up.
#[derive(Debug, Default)]
struct Start<'a> {
    /// Movies that count as taste, oldest first.
    taste: Cow<'a, [MovieId]>,
    /// Everything that a user has seen, and the preferences; empty for a request's own history.
    profile: Arc<Profile>,
}

/// What of a taste a model can read.
struct EncodableHistory {
    /// All of it, oldest first, each once.
    rows: Vec<ItemRow>,
    /// The same rows, where they are a request's own history.
    history: Option<RoaringBitmap>,
    /// Movies of a request's own history that the model does not know.
    ignored: usize,
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
        let (rows, metrics) = (ModelIndexes::default(), StageMetrics::default());
        Self { engine, catalog, profiles, vectors, rows, metrics }
    }

    /// The same pipeline, which treats models that do not belong to the catalogue so.
    #[must_use]
    pub fn on_mismatch(mut self, mismatch: Mismatch) -> Self {
        self.rows.mismatch = mismatch;
        self
    }

    /// Compares a model with the catalogue, once for both, and logs what is new; `None` when the model is used,
    /// else how badly they fit.
    pub fn mismatch_of(&self, model: &Model) -> Option<Fit> {
        let map = self.rows.get(model, &self.catalog.movies());
        (!map.is_used()).then(|| map.fit())
    }

    /// The best movies for a subject.
    ///
    /// # Errors
    /// [`RecommendError`]; an unknown user or an empty history is none, popularity answers it.
    pub async fn recommend(&self, question: &Question) -> Result<Recommended, RecommendError> {
        let mut watch = Stopwatch::start();
        let selection = self.catalog.select(&question.filter)?;
        let start = self.start(&question.subject, &question.consistency_token, &mut watch).await?;
        let movies = self.catalog.movies();
        let (taste, origin) = match &*start.taste {
            [] => {
                let preferred = taste::without_repeats(&start.profile.preferences.movie_ids);
                (Cow::Owned(preferred), Source::Preferences)
            }
            taste => (Cow::Borrowed(taste), Source::Model),
        };
        let scope = Scope { movies: &movies, selection: selection.as_ref(), profile: &start.profile };
        let modelled = self.modelled(question, &taste, &scope, &mut watch).await?;
        let began = Instant::now();
        let mut recommended = modelled.into_recommended(origin);
        self.fill_up(&mut recommended, question, &scope);
        watch.lap(Stage::Rank, began);

        let began = Instant::now();
        hydrate(&mut recommended.picks, &movies);
        watch.lap(Stage::Hydrate, began);
        self.metrics.answered(recommended.source.label());
        recommended.timings = watch.finish(&self.metrics);
        Ok(recommended)
    }

    /// The user vector of a subject.
    ///
    /// # Errors
    /// [`RecommendError::NothingToEncode`] when the model knows none of the subject's movies.
    pub async fn encode(
        &self,
        subject: &Subject,
        options: &RequestOptions,
    ) -> Result<Encoded, RecommendError> {
        let mut watch = Stopwatch::start();
        let model = self.engine.model(options.model_version.as_deref())?;
        let start = self.start(subject, &ConsistencyToken::default(), &mut watch).await?;
        let map = self.rows.get(&model, &self.catalog.movies());
        let encodable = EncodableHistory::of(&model, &map, subject, &start.taste);
        if encodable.rows.is_empty() {
            return Err(RecommendError::NothingToEncode(match subject {
                Subject::User(user_id) => {
                    format!("user {user_id} is unknown or has no movies that the model knows")
                }
                Subject::History(_) => "the model knows none of the history's movies".to_owned(),
            }));
        }
        let sequence = encodable.newest(&model);
        let answer = self.run(&model, sequence, Want::Vector, options).await?;
        watch.engine(answer.timings);
        Ok(Encoded {
            vector: answer.vector,
            model_version: model.bundle().version().to_owned(),
            timings: watch.finish(&self.metrics),
            ignored: encodable.ignored,
        })
    }

    /// How many questions of one caller shall be answered at once; one while there is no model.
    pub fn at_once(&self) -> usize {
        self.engine.model(None).map_or(1, |model| model.share_of_queue())
    }

    async fn start<'a>(
        &self,
        subject: &'a Subject,
        consistency_token: &ConsistencyToken,
        watch: &mut Stopwatch,
    ) -> Result<Start<'a>, RecommendError> {
        let began = Instant::now();
        let start = match subject {
            Subject::History(movie_ids) => Start { taste: movie_ids.into(), ..Start::default() },
            Subject::User(user_id) => {
                // Reading a store makes a future of nine kilobytes, which would be moved with every request's.
                let profile =
                    Box::pin(self.profiles.read(*user_id, self.events_to_read(), consistency_token)).await?;
                profile.map_or_else(Start::default, |profile| Start {
                    taste: taste::taste_of(&profile.newest).into(),
                    profile,
                })
            }
        };
        watch.lap(Stage::Profile, began);
        Ok(start)
    }

    fn events_to_read(&self) -> usize {
        self.engine
            .model(None)
            .map_or(EVENTS_WITHOUT_MODEL, |model| model.bundle().maximum_length() * EVENTS_PER_PLACE)
    }

    /// What the model answers to a taste.
    async fn modelled(
        &self,
        question: &Question,
        taste: &[MovieId],
        scope: &Scope<'_>,
        watch: &mut Stopwatch,
    ) -> Result<Modelled, RecommendError> {
        let pinned = question.options.model_version.as_deref();
        if taste.is_empty() && pinned.is_none() {
            return Ok(Modelled { answered: None, ignored: 0 });
        }
        let model = self.engine.model(pinned)?;
        let map = self.rows.get(&model, scope.movies);
        let encodable = EncodableHistory::of(&model, &map, &question.subject, taste);
        let ignored = encodable.ignored;
        if encodable.rows.is_empty() {
            return Ok(Modelled { answered: None, ignored });
        }
        let allowed = match scope.selection {
            Some(indexes) => Some(Arc::new(map.rows_of(indexes))),
            None => map.servable(),
        };
        let sequence = encodable.newest(&model);
        let excluded = match encodable.history {
            _ if !question.exclude_seen => RoaringBitmap::new(),
            // It has been seen, and nothing else has.
            Some(history) => history,
            None => rows_of_movies(&model, &scope.profile.seen),
        };
        let query = Query {
            k: question.k,
            allowed,
            excluded: Arc::new(excluded),
            method: question.method,
            metric: Metric::InnerProduct,
        };
        let answer = self.run(&model, sequence, Want::TopK(query), &question.options).await?;
        watch.engine(answer.timings);
        Ok(Modelled { answered: Some((model, answer)), ignored })
    }

    /// Runs a sequence through the engine, past the encoder when its vector is remembered.
    async fn run(
        &self,
        model: &Arc<Model>,
        sequence: Sequence,
        want: Want,
        options: &RequestOptions,
    ) -> Result<Answer, EngineError> {
        let bundle = model.bundle();
        let (deadline, priority) = (options.deadline, options.priority);
        let Some(vectors) = &self.vectors else {
            let input = Input::Sequence(sequence);
            return model.submit(Job { input, want, deadline, priority }).await;
        };
        let key = UserVectorCache::key(model.arithmetic(), &sequence);
        let remembered = vectors.get(key, bundle.dimension()).await;
        self.metrics.vector_lookup(remembered.is_some());
        if let Some(vector) = remembered {
            return model.submit(Job { input: Input::Vector(vector), want, deadline, priority }).await;
        }
        let input = Input::Sequence(sequence);
        let answer = model.submit(Job { input, want, deadline, priority }).await?;
        vectors.put(key, &answer.vector).await;
        Ok(answer)
    }
}

impl EncodableHistory {
    fn of(model: &Model, map: &ModelIndex, subject: &Subject, taste: &[MovieId]) -> Self {
        let bundle = model.bundle();
        let (mut rows, mut unknown) = (Vec::with_capacity(taste.len()), Vec::new());
        for movie_id in taste {
            match map.row_of(bundle, *movie_id) {
                Some(row) => rows.push(row),
                None => unknown.push(*movie_id),
            }
        }
        // A stored user's taste has each movie once, and what of it is unknown is not the caller's business.
        if let Subject::User(_) = subject {
            return Self { rows, history: None, ignored: 0 };
        }
        let history = bitmap_of(rows.clone());
        if (history.len() as usize) < rows.len() {
            rows = taste::without_repeats(&rows);
        }
        Self { rows, history: Some(history), ignored: bitmap_of(unknown).len() as usize }
    }

    /// The newest part, as much as fits the model.
    fn newest(&self, model: &Model) -> Sequence {
        let beyond = self.rows.len().saturating_sub(model.bundle().maximum_length());
        self.rows[beyond..].into()
    }
}

/// What may be answered.
struct Scope<'a> {
    movies: &'a Arc<Movies>,
    /// Catalogue indexes; all when `None`.
    selection: Option<&'a RoaringBitmap>,
    /// What the user has seen and prefers.
    profile: &'a Profile,
}

/// The model's part of an answer.
struct Modelled {
    /// `None` when the model knows nothing of the taste.
    answered: Option<(Arc<Model>, Answer)>,
    /// Movies of a request's own history that the model does not know.
    ignored: usize,
}

impl Modelled {
    /// What the model found, from this source; nothing yet, to be filled up by popularity, where it has no answer.
    fn into_recommended(self, source: Source) -> Recommended {
        let timings = Timings::default();
        let Some((model, answer)) = self.answered else {
            return Recommended {
                picks: Vec::new(),
                model_version: None,
                method: None,
                source: Source::Popularity,
                timings,
                ignored: self.ignored,
            };
        };
        let bundle = model.bundle();
        Recommended {
            picks: answer.items.iter().map(|item| pick_of(&bundle.vocabulary, *item, source)).collect(),
            model_version: Some(bundle.version().to_owned()),
            method: answer.method,
            source,
            timings,
            ignored: self.ignored,
        }
    }
}

fn pick_of(vocabulary: &[MovieId], item: Scored, source: Source) -> Pick {
    Pick { movie_id: vocabulary[item.row as usize], score: item.score, source, movie: None }
}

fn rows_of_movies(model: &Model, movie_ids: &RoaringBitmap) -> RoaringBitmap {
    bitmap_of(movie_ids.iter().filter_map(|movie_id| model.bundle().row_of(movie_id)).collect())
}

/// The bitmap of numbers in any order: sorting them first costs less than to insert one after another.
fn bitmap_of(mut numbers: Vec<u32>) -> RoaringBitmap {
    numbers.sort_unstable();
    numbers.dedup();
    RoaringBitmap::from_sorted_iter(numbers).expect("the numbers are sorted, each is there once")
}

fn hydrate(picks: &mut [Pick], movies: &Movies) {
    for pick in picks {
        pick.movie = movies.get(pick.movie_id).cloned();
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
