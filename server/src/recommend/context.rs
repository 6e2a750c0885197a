//! A request on its way through the stages.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use marquee_core::domain::{MovieId, Profile};
use marquee_engine::{EngineError, Model};
use marquee_ranking::Objective;
use marquee_retrieval::{ItemRow, Method, Query, Scored};
use roaring::RoaringBitmap;

use super::explanation::Explanation;
use super::history::bitmap_of;
use super::model_index::ModelIndex;
use super::stage::Stage;
use super::timings::Stopwatch;
use super::{
    Exploration, Pick, Question, RecommendError, Recommended, Recommender, RequestOptions, Source, Subject,
};
use crate::catalog::{Filter, Movies};
use crate::rules::Effects;

/// A stage that turns what was found so far into more of an answer.
pub(super) type Run = fn(&mut RequestContext<'_>);

/// What one request asks, what was looked up for it, and how far its answer is.
pub(super) struct RequestContext<'a> {
    pub(super) parts: &'a Recommender,
    /// How many movies are wanted.
    pub(super) k: usize,
    /// What the list is chosen for beside the model's score.
    pub(super) objective: Option<Objective>,
    /// Places for new movies, if they have any.
    pub(super) exploration: Option<Exploration>,
    pub(super) options: &'a RequestOptions,
    /// The pinned model, which is there, or the active one, if there is any.
    pub(super) model: Result<Arc<Model>, EngineError>,
    pub(super) movies: Arc<Movies>,
    /// Catalogue indexes of the movies that may be answered; all when `None`.
    pub(super) selection: Option<RoaringBitmap>,
    pub(super) excluded: Excluded<'a>,
    /// What the rules do to the answer; `None` where that is nothing.
    pub(super) rules: Option<Box<Effects>>,
    /// Movies that count as taste, oldest first.
    pub(super) taste: Cow<'a, [MovieId]>,
    /// Everything that a user has seen, and the preferences; empty where no stored user is asked about.
    pub(super) profile: Arc<Profile>,
    /// Movies of the request's own history that the model does not know.
    pub(super) ignored: usize,
    /// The model's candidates; `None` where it has no answer.
    pub(super) found: Option<Found>,
    /// What they were found from, where the answer is to be explained.
    pub(super) evidence: Option<Box<Evidence>>,
    /// The answer so far, best first.
    pub(super) picks: Vec<Pick>,
    /// Which path answers.
    pub(super) source: Source,
    /// Why the answer is what it is, where that was asked.
    pub(super) explanation: Option<Box<Explanation>>,
    pub(super) watch: Stopwatch,
}

/// What the model found.
pub(super) struct Found {
    pub(super) model: Arc<Model>,
    /// The vector that they were found for.
    pub(super) vector: Arc<[f32]>,
    /// Best first.
    pub(super) items: Vec<Scored>,
    /// How.
    pub(super) method: Option<Method>,
    /// What it was found from.
    pub(super) source: Source,
}

/// Which candidates a history was answered with, and how.
pub(super) struct Evidence {
    /// The rows of the whole history, oldest first, each once.
    pub(super) history: Vec<ItemRow>,
    /// What was asked for it.
    pub(super) query: Query,
}

/// Which movies must not be answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Excluded<'a> {
    Nothing,
    /// Those of the request's own history.
    History(&'a [MovieId]),
    /// What the user has seen.
    Seen,
}

impl<'a> Excluded<'a> {
    pub(super) fn of(question: &'a Question) -> Self {
        match &question.subject {
            _ if !question.exclude_seen => Self::Nothing,
            Subject::History(movie_ids) => Self::History(movie_ids),
            Subject::User(_) => Self::Seen,
        }
    }
}

impl<'a> RequestContext<'a> {
    /// A request for `k` movies that pass the filter. Its model is resolved here, once.
    ///
    /// # Errors
    /// [`RecommendError`] for a filter that cannot be used, and a pinned model that is not there.
    pub(super) fn new(
        parts: &'a Recommender,
        k: usize,
        filter: &Filter,
        options: &'a RequestOptions,
    ) -> Result<Self, RecommendError> {
        let watch = Stopwatch::start();
        let selection = parts.catalog.select(filter)?;
        let model = match options.model_version.as_deref() {
            Some(pinned) => Ok(parts.engine.model(Some(pinned))?),
            None => parts.engine.model(None),
        };
        Ok(Self {
            parts,
            k,
            objective: None,
            exploration: None,
            options,
            model,
            movies: parts.catalog.movies(),
            selection,
            excluded: Excluded::Nothing,
            rules: None,
            taste: Cow::default(),
            profile: Arc::default(),
            ignored: 0,
            found: None,
            evidence: None,
            picks: Vec::new(),
            source: Source::Popularity,
            explanation: None,
            watch,
        })
    }

    /// Chooses the list for an objective, as far as it is one for a history of so many movies. Rules that lift or bury
    /// movies change values, so that there is one where none was asked for.
    pub(super) fn choose_for(&mut self, objective: Option<Objective>, history: usize) {
        let asked = objective.and_then(|objective| objective.for_history(history));
        self.objective = asked.or_else(|| self.weights().map(|_| Objective::default()));
    }

    /// The rules, where they lift or bury movies.
    pub(super) fn weights(&self) -> Option<&Effects> {
        self.rules.as_deref().filter(|rules| rules.weighs())
    }

    /// How many movies are wanted beside those that rules pin.
    pub(super) fn room(&self) -> usize {
        self.k - self.rules.as_ref().map_or(0, |rules| rules.pins.len())
    }

    /// How many of the model's best the list is chosen from.
    pub(super) fn candidates(&self) -> usize {
        self.objective.map_or(self.k, |objective| objective.candidates(self.k))
    }

    /// Between its movies and a model's rows.
    pub(super) fn index_of(&self, model: &Model) -> Arc<ModelIndex> {
        self.parts.rows.get(model, &self.movies)
    }

    /// The movie at a catalogue index; `None` for one that came after this request's snapshot.
    pub(super) fn movie_id_at(&self, index: u32) -> Option<MovieId> {
        self.movies.at(index).map(|movie| movie.movie_id)
    }

    /// The rows that may be answered; all when `None`.
    pub(super) fn allowed_rows(&self, index: &ModelIndex) -> Option<Arc<RoaringBitmap>> {
        match &self.selection {
            Some(indexes) => Some(Arc::new(index.rows_of(indexes))),
            None => index.servable(),
        }
    }

    /// The movies that must not be answered. Few answers need them: the model's own are of rows.
    pub(super) fn excluded_movies(&self) -> RoaringBitmap {
        let mut excluded = match self.excluded {
            Excluded::Nothing => RoaringBitmap::new(),
            Excluded::History(movie_ids) => bitmap_of(movie_ids.to_vec()),
            Excluded::Seen => self.profile.seen.clone(),
        };
        if let Some(rules) = &self.rules {
            excluded |= rules.withheld();
        }
        excluded
    }

    /// Runs stages in their order.
    pub(super) fn run(&mut self, stages: &[(Stage, Run)]) {
        for (stage, run) in stages {
            let began = Instant::now();
            run(self);
            self.watch.lap(*stage, began);
        }
    }

    /// The answer.
    pub(super) fn finish(self) -> Recommended {
        let found = self.found.as_ref();
        Recommended {
            model_version: found.map(|found| found.model.bundle().version().to_owned()),
            method: found.and_then(|found| found.method),
            source: self.source,
            seed: self.exploration.map(|exploration| exploration.seed),
            picks: self.picks,
            ignored: self.ignored,
            explanation: self.explanation,
            timings: self.watch.finish(&self.parts.metrics),
        }
    }
}
