//! The instruments of the pipeline, made once.
//!
//! Each label value has a handle of its own, as [`RpcMetrics`](crate::telemetry::RpcMetrics) has for each method.

use std::time::Duration;

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::metrics::{BoundCounter, BoundHistogram};

use super::source::Source;
use super::stage::Stage;

const STAGES: [&str; Stage::ALL.len()] = {
    let mut names = [""; Stage::ALL.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = Stage::ALL[place].name();
        place += 1;
    }
    names
};

const SOURCES: [&str; Source::ALL.len()] = {
    let mut labels = [""; Source::ALL.len()];
    let mut place = 0;
    while place < labels.len() {
        labels[place] = Source::ALL[place].label();
        place += 1;
    }
    labels
};

const STAGE: Label = Label::one_of("stage", &STAGES);
const SOURCE: Label = Label::one_of("source", &SOURCES);
const OUTCOME: Label = Label::one_of("outcome", &["hit", "miss"]);
const FOLDED: Label = Label::one_of("outcome", &Folded::LABELS);
const TRIED: Label = Label::one_of("outcome", &["tried", "not_tried"]);

metrics! {
    pub(crate) METRICS;
    STAGE_DURATION = Metric::histogram(
        "marquee.recommend.stage.duration",
        "s",
        &[STAGE],
        "Where the time of recommendations goes",
    );
    VECTOR_LOOKUPS = Metric::counter(
        "marquee.recommend.vector_cache.lookups",
        "{lookup}",
        &[OUTCOME],
        "How many recommendations find their user's vector and need not encode, over all tiers of the cache",
    );
    REASONS = Metric::counter(
        "marquee.recommend.reasons",
        "{movie}",
        &[TRIED],
        "Movies of histories that were to be tried as reasons; `not_tried` where a deadline was near or the engine full",
    );
    ANSWERS = Metric::counter(
        "marquee.recommend.answers",
        "{call}",
        &[SOURCE],
        "Recommendations by where they come from: users without a history get `preferences` or `popularity`",
    );
    EXPLORED = Metric::counter(
        "marquee.recommend.explored",
        "{movie}",
        &[],
        "New movies that were drawn for places of lists",
    );
    FOLDED_IN = Metric::counter(
        "marquee.recommend.new_movie_events",
        "{event}",
        &[FOLDED],
        "Events with new movies: `no_vector` of users not known before, `full` of such as count already; `lost` counts gaps",
    );
}

/// What became of an event with a new movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// It moved the movie's row.
    Moved,
    /// Nothing was known of its user.
    NoVector,
    /// The movie had enough of them, or one of this user.
    Full,
    /// The user could not be encoded.
    Failed,
    /// The event stream did not keep it and those beside it.
    Lost,
}

impl Folded {
    const LABELS: [&str; 5] = ["moved", "no_vector", "full", "failed", "lost"];
}

/// Where the time of recommendations goes, and where they come from.
pub(super) struct RecommendMetrics {
    // By the list itself: the compiler evaluates no function for a length in release mode.
    stages: [BoundHistogram<f64>; Stage::ALL.len()],
    vectors_found: BoundCounter<u64>,
    vectors_missed: BoundCounter<u64>,
    reasons_tried: BoundCounter<u64>,
    reasons_not_tried: BoundCounter<u64>,
    answers: [BoundCounter<u64>; Source::ALL.len()],
    explored: BoundCounter<u64>,
    folded: [BoundCounter<u64>; Folded::LABELS.len()],
}

impl Default for RecommendMetrics {
    fn default() -> Self {
        let (duration, lookups, answers) =
            (STAGE_DURATION.seconds(), VECTOR_LOOKUPS.u64_counter(), ANSWERS.u64_counter());
        let (reasons, folded) = (REASONS.u64_counter(), FOLDED_IN.u64_counter());
        Self {
            stages: STAGES.map(|stage| duration.bind(&[STAGE.is(stage)])),
            vectors_found: lookups.bind(&[OUTCOME.is("hit")]),
            vectors_missed: lookups.bind(&[OUTCOME.is("miss")]),
            reasons_tried: reasons.bind(&[TRIED.is("tried")]),
            reasons_not_tried: reasons.bind(&[TRIED.is("not_tried")]),
            answers: SOURCES.map(|source| answers.bind(&[SOURCE.is(source)])),
            explored: EXPLORED.u64_counter().bind(&[]),
            folded: Folded::LABELS.map(|outcome| folded.bind(&[FOLDED.is(outcome)])),
        }
    }
}

impl RecommendMetrics {
    /// The stages, in the order of [`Stage::ALL`], took so long; one that took no time took no part.
    pub(super) fn stages(&self, times: [Duration; Stage::ALL.len()]) {
        for (duration, time) in self.stages.iter().zip(times) {
            if !time.is_zero() {
                duration.record(time.as_secs_f64());
            }
        }
    }

    /// A remembered vector was looked up.
    pub(super) fn vector_lookup(&self, found: bool) {
        let lookups = if found { &self.vectors_found } else { &self.vectors_missed };
        lookups.add(1);
    }

    /// So many movies of a history were tried as reasons, and so many were to be.
    pub(super) fn reasons(&self, tried: usize, not_tried: usize) {
        self.reasons_tried.add(tried as u64);
        self.reasons_not_tried.add(not_tried as u64);
    }

    /// A new movie was drawn for a place.
    pub(super) fn explored(&self) {
        self.explored.add(1);
    }

    /// This became of an event with a new movie.
    pub(super) fn folded(&self, outcome: Folded) {
        self.folded[outcome as usize].add(1);
    }

    /// A recommendation was answered by this source.
    pub(super) fn answered(&self, source: Source) {
        self.answers[source as usize].add(1);
    }
}
