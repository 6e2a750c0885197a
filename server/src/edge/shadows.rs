//! Models in the shadow of experiments: they answer a second time what was answered already, and nobody waits for them.
//!
//! A few do so at the same time, as bulk work with a deadline of its own; where they are too many, an answer has no shadow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use marquee_core::clock::now_ms;
use marquee_core::domain::{MovieId, UserId};
use marquee_engine::Priority;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::experiments::{Experiments, Shadow, Shadowed};
use crate::recommend::{Question, Recommender};

/// Models that answer in the shadow at the same time.
const AT_ONCE: usize = 4;
/// How long one may take.
const TIME: Duration = Duration::from_secs(2);

/// Who answers in the shadow.
#[derive(Clone)]
pub(super) struct Shadows {
    places: Arc<Semaphore>,
}

/// An answer that is to be compared.
#[derive(Clone)]
pub(super) struct Beside {
    /// Of which experiment, and by which model.
    pub(super) experiment: String,
    pub(super) shadow: Shadow,
    /// To whom.
    pub(super) user_id: UserId,
    /// What was answered, and how long that took in microseconds.
    pub(super) answer: Vec<MovieId>,
    pub(super) answer_us: u64,
}

impl Shadows {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Has the model answer and the answers compared, if there is a place for it.
    pub(super) fn begin(
        &self,
        recommender: &Arc<Recommender>,
        experiments: &Arc<Experiments>,
        mut question: Question,
        beside: Beside,
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let (recommender, experiments) = (Arc::clone(recommender), Arc::clone(experiments));
        question.options.model_version = Some(beside.shadow.model_version);
        question.options.priority = Priority::Bulk;
        question.options.deadline = Some(Instant::now() + TIME);
        question.explain_newest = None;
        let compare = async move {
            let time_ms = now_ms();
            let said = recommender.recommend(&question).await;
            let shadow = said.ok().map(|said| {
                let movies = said.picks.iter().map(|pick| pick.movie_id).collect();
                (movies, said.timings.total.as_micros() as u64)
            });
            experiments.shadowed(Shadowed {
                experiment: beside.experiment,
                user_id: beside.user_id,
                time_ms,
                answer: beside.answer,
                answer_us: beside.answer_us,
                shadow,
            });
            drop(place);
        };
        tokio::spawn(compare.in_current_span());
    }
}
