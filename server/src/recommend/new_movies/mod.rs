//! Movies that the catalogue has and the active model does not know: rows for them, by which they are recommended.
//!
//! Two tasks keep the rows up: one looks for another model or another catalogue and predicts, the other follows the
//! event stream and folds in who took which movie. Neither is on the way of a request or of a write. Requests read the
//! newest rows, without a lock; the stage `stages/explore.rs` gives new movies their places.
//!
//! Rows are of the active model. What was folded in lives in memory: for another model, and after a restart, it is folded
//! in again from what the event stream still keeps.

mod folds;
mod rows;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use marquee_core::domain::{EventKey, Interaction};
use marquee_core::idle::in_idle_time;
use marquee_engine::{Bundle, Model, Priority, Want};
use marquee_ranking::new_movies::{Content, Known, features};
use roaring::RoaringBitmap;
use tokio::sync::Notify;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use folds::Folds;
use rows::Predicted;
pub(super) use rows::Rows;

use super::history::EncodableHistory;
use super::metrics::Folded;
use super::model_index::ModelIndex;
use super::stages::profile::EVENTS_PER_PLACE;
use super::{RecommendError, Recommender, RequestOptions, Subject, taste_of};
use crate::catalog::{Movie, Movies};
use crate::profiles::ConsistencyToken;
use crate::shared::events::{EventLog, EventsError, Position};

/// How often it is looked for another model or catalogue. Where there is none, a look is two comparisons.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Events that are folded in together, and between two such parts: rows are shown anew after each.
const EVENTS_AT_ONCE: usize = 256;
const BETWEEN_PARTS: Duration = Duration::from_millis(100);

/// Users that are encoded at once.
const USERS_AT_ONCE: usize = 8;

/// How long the follower waits where the event stream does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the rows of new movies up.
pub struct NewMovies {
    recommender: Arc<Recommender>,
    events: Arc<dyn EventLog>,
    state: Mutex<State>,
    /// There are new movies whose events nobody has read.
    unread: Notify,
    stop: CancellationToken,
}

/// What rows are made of.
#[derive(Default)]
struct State {
    fitted: Option<Fitted>,
    predicted: Predicted,
    folds: Folds,
    /// Events are read from the first new movie of a model on.
    are_events_read: bool,
}

/// A prediction of rows, and what it was fitted to.
struct Fitted {
    /// Of the model.
    number: u64,
    content: Arc<Content>,
    /// The movies that the model knows, in the order of the catalogue.
    known: Vec<Arc<Movie>>,
}

/// Who took a movie, and the user's vector before, if there is one.
type UserVector = (Interaction, Result<Option<Arc<[f32]>>, RecommendError>);

/// A model and a catalogue at one moment.
struct Seen {
    model: Arc<Model>,
    movies: Arc<Movies>,
    index: Arc<ModelIndex>,
}

impl NewMovies {
    /// Has no rows before [`follow`](Self::follow) made them.
    pub fn new(recommender: Arc<Recommender>, events: Arc<dyn EventLog>, stop: CancellationToken) -> Self {
        Self { recommender, events, state: Mutex::default(), unread: Notify::new(), stop }
    }

    /// Follows model, catalogue and events until it is stopped. Nothing of it goes on afterwards that holds the store:
    /// wait for its end.
    pub async fn follow(self: Arc<Self>) {
        tokio::join!(Arc::clone(&self).follow_catalogue(), self.follow_events());
    }

    async fn follow_catalogue(self: Arc<Self>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.stop.run_until_cancelled(ticks.tick()).await.is_none() {
                return;
            }
            let Some(seen) = self.look() else { continue };
            if let Err(error) = Arc::clone(&self).take_in(Arc::new(seen)).await {
                tracing::warn!(%error, "rows of new movies are not up to date");
            }
        }
    }

    /// The active model and the catalogue, where rows are not of them.
    fn look(&self) -> Option<Seen> {
        let model = self.recommender.model().ok()?;
        let movies = self.recommender.catalog.movies();
        let is_shown =
            self.recommender.new_rows.load().as_ref().is_some_and(|rows| rows.are_of(&model, &movies));
        (!is_shown).then(|| Seen { index: self.recommender.rows.get(&model, &movies), model, movies })
    }

    /// Makes the rows of what was seen: at once by the prediction that there is, and anew where another one is needed.
    async fn take_in(self: Arc<Self>, seen: Arc<Seen>) -> Result<(), JoinError> {
        let known = seen.known();
        let (is_of_model, is_fitted) = {
            let state = self.state();
            let fitted = state.fitted.as_ref().filter(|fitted| fitted.number == seen.model.number());
            (fitted.is_some(), fitted.is_some_and(|fitted| fitted.is_to(&known)))
        };
        if is_of_model {
            let (this, seen) = (Arc::clone(&self), Arc::clone(&seen));
            spawn_blocking(move || this.show(&mut this.state(), &seen)).await?;
        }
        if !is_fitted {
            let model = Arc::clone(&seen.model);
            let fitting = spawn_blocking(move || {
                let content = Arc::new(fit(model.bundle(), &known));
                Fitted { number: model.number(), content, known }
            });
            let Some(fitted) = self.stop.run_until_cancelled(fitting).await else { return Ok(()) };
            let fitted = fitted?;
            let this = Arc::clone(&self);
            spawn_blocking(move || this.take(fitted, &seen, is_of_model)).await?;
        }
        Ok(())
    }

    /// Shows the rows of another prediction. What was folded in counts on, if it is of the same model.
    fn take(&self, fitted: Fitted, seen: &Seen, is_of_model: bool) {
        let mut state = self.state();
        state.predicted = Predicted::default();
        if !is_of_model {
            state.folds = Folds::default();
            state.are_events_read = false;
        }
        state.fitted = Some(fitted);
        self.show(&mut state, seen);
    }

    /// Predicts what was not predicted yet and shows all rows.
    fn show(&self, state: &mut State, seen: &Seen) {
        let Some(fitted) = &state.fitted else { return };
        let new = seen.new_movies();
        if !new.is_empty() && !std::mem::replace(&mut state.are_events_read, true) {
            self.unread.notify_one();
        }
        state.predicted = std::mem::take(&mut state.predicted).with(new, &fitted.content);
        let rows = Rows::new(&seen.model, &seen.movies, &state.predicted, &state.folds, &fitted.content);
        self.recommender.new_rows.store(Some(Arc::new(rows)));
    }

    async fn follow_events(self: Arc<Self>) {
        let mut after = None;
        loop {
            let next = async {
                match after {
                    Some(after) => self.events.next(after, EVENTS_AT_ONCE).await,
                    None => std::future::pending().await,
                }
            };
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.unread.notified() => {
                    after = Some(Position::START);
                    continue;
                }
                page = next => page,
            };
            match page {
                Ok(page) => {
                    after = page.last().map(|placed| placed.position).or(after);
                    let events = page.into_iter().map(|placed| placed.event);
                    let are_any_new = Arc::clone(&self).fold_in(events.collect()).await;
                    if are_any_new {
                        sleep(BETWEEN_PARTS).await;
                    }
                }
                Err(EventsError::Lost(_)) => {
                    self.recommender.metrics.folded(Folded::Lost);
                    after = Some(Position::START);
                }
                Err(EventsError::Unavailable(_)) => sleep(RETRY).await,
            }
        }
    }

    /// Moves the rows of the movies that users took; whether any of them are new.
    async fn fold_in(self: Arc<Self>, events: Vec<Interaction>) -> bool {
        let Ok(model) = self.recommender.model() else { return false };
        let index = self.recommender.rows.get(&model, &self.recommender.catalog.movies());
        let is_new = |event: &Interaction| {
            event.is_taste() && index.is_used() && index.row_of(model.bundle(), event.movie_id).is_none()
        };
        let events = self.state().folds.without_those_it_has(events.into_iter().filter(is_new));
        if events.is_empty() {
            return false;
        }
        let vector =
            async |event: Interaction| (event, self.recommender.vector_before(&model, &index, &event).await);
        let vectors: Vec<UserVector> =
            stream::iter(events).map(vector).buffered(USERS_AT_ONCE).collect().await;
        let number = model.number();
        if let Err(error) = spawn_blocking(move || self.add(number, vectors)).await {
            tracing::warn!(%error, "rows of new movies did not move");
        }
        true
    }

    /// Adds what users' vectors are worth, those of the model of this number, and shows the rows.
    fn add(&self, number: u64, vectors: Vec<UserVector>) {
        let mut state = self.state();
        let State { fitted: Some(fitted), predicted, folds, .. } = &mut *state else { return };
        if fitted.number != number {
            return;
        }
        for (event, vector) in vectors {
            let outcome = match vector {
                Ok(Some(vector)) => folds.add(&event, &vector),
                Ok(None) => Folded::NoVector,
                Err(error) => {
                    tracing::debug!(%error, "an event is not folded into the row of a new movie");
                    Folded::Failed
                }
            };
            self.recommender.metrics.folded(outcome);
        }
        if let Some(shown) = self.recommender.new_rows.load_full() {
            let rows = shown.after(predicted, folds, &fitted.content);
            self.recommender.new_rows.store(Some(Arc::new(rows)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// The movies that the model knows.
    fn known(&self) -> Vec<Arc<Movie>> {
        self.movies_at(&self.index.known())
    }

    /// The others, by ascending index; none of a model that is not used, or of a catalogue that has none of its movies.
    fn new_movies(&self) -> Vec<(u32, Arc<Movie>)> {
        let known = self.index.known();
        if known.is_empty() {
            return Vec::new();
        }
        let new = self.movies.indexes() - known;
        new.iter().zip(self.movies_at(&new)).collect()
    }

    fn movies_at(&self, indexes: &RoaringBitmap) -> Vec<Arc<Movie>> {
        indexes.iter().filter_map(|index| self.movies.at(index)).cloned().collect()
    }
}

impl Fitted {
    /// Whether it was fitted to these movies as they are said to be now.
    fn is_to(&self, known: &[Arc<Movie>]) -> bool {
        let alike = |(one, other): (&Arc<Movie>, &Arc<Movie>)| {
            Arc::ptr_eq(one, other)
                || (one.movie_id, &one.genres, one.year, &one.tags)
                    == (other.movie_id, &other.genres, other.year, &other.tags)
        };
        self.known.len() == known.len() && self.known.iter().zip(known).all(alike)
    }
}

/// A prediction of a model's rows from what is said of its movies.
fn fit(bundle: &Bundle, known: &[Arc<Movie>]) -> Content {
    let with_row = |movie: &Arc<Movie>| {
        let row = bundle.output_embedding(bundle.row_of(movie.movie_id)?);
        Some(Known { features: features_of(movie), row })
    };
    let known: Vec<Known<'_>> = known.iter().filter_map(with_row).collect();
    Content::fit(&known, bundle.dimension(), &|steps, step| in_idle_time(steps, step))
}

/// What the catalogue says of a movie.
fn features_of(movie: &Movie) -> Vec<String> {
    features(movie.genres.iter().map(|genre| &**genre), movie.year, movie.tags.iter().map(|(tag, _)| &**tag))
}

impl Recommender {
    /// The vector of a user before an event; `None` where nothing was known by then.
    async fn vector_before(
        &self,
        model: &Model,
        index: &ModelIndex,
        event: &Interaction,
    ) -> Result<Option<Arc<[f32]>>, RecommendError> {
        let newest = model.bundle().maximum_length() * EVENTS_PER_PLACE;
        let token = ConsistencyToken::default();
        let profile = Box::pin(self.profiles.read(event.user_id, newest, &token)).await?;
        let Some(profile) = profile else { return Ok(None) };
        let is_before = |other: &&Interaction| EventKey::from(*other) < EventKey::from(event);
        let before: Vec<Interaction> = profile.newest.iter().filter(is_before).copied().collect();
        let subject = Subject::User(event.user_id);
        let encodable = EncodableHistory::of(model, index, &subject, &taste_of(&before));
        if encodable.rows.is_empty() {
            return Ok(None);
        }
        let options = RequestOptions { priority: Priority::Bulk, ..RequestOptions::default() };
        let answer = self.run_sequence(model, encodable.newest(model), Want::Vector, &options).await?;
        Ok(Some(answer.vector))
    }
}
