//! What the engine is asked for reasons: the candidates, their scores without a movie, what is most like another.
//!
//! All of it is bulk work behind whoever waits for an answer, and ends before the request's deadline does, so that the
//! answer is sent with the reasons that there are. What the model's explanations have in the queue together is
//! bounded, since one request for reasons is many jobs.

use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use marquee_engine::{Input, Job, Model, Priority, Sequence, Want};
use marquee_retrieval::{ItemRow, Method, Metric, Query, Scored};
use roaring::RoaringBitmap;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::drops::{Baseline, Loss, all_equal};
use crate::recommend::context::Evidence;

/// The part of the time left until the deadline that reasons may take, in quarters.
const QUARTERS_OF_THE_TIME: u32 = 3;

/// The jobs of all explanations that may wait in a model's queue.
struct Room(Semaphore);

/// Asks a model beside the answer itself.
pub(in crate::recommend) struct Probe<'a> {
    model: &'a Model,
    room: Arc<Room>,
    until: Option<Instant>,
}

/// What was found of some movies, in their order.
pub(in crate::recommend) struct Findings {
    /// What each movie loses without a movie of the history, newest first.
    pub(super) drops: Vec<(ItemRow, Vec<Option<Loss>>)>,
    /// Movies that were to be tried and were not.
    pub(super) not_tried: usize,
    /// What of the history is nearest to each movie by the cosine.
    pub(super) nearest: Vec<Option<Scored>>,
}

impl<'a> Probe<'a> {
    /// A probe of a model for a request with this deadline.
    pub(in crate::recommend) fn new(model: &'a Model, deadline: Option<Instant>) -> Self {
        let room = model.extension(|| Room(Semaphore::new(model.share_of_queue())));
        Self { model, room, until: deadline.map(|deadline| most_of_the_time(Instant::now(), deadline)) }
    }

    /// The best `count` for the vector that may be answered by the query, best first; none when there was no time.
    pub(in crate::recommend) async fn candidates(
        &self,
        vector: &Arc<[f32]>,
        query: &Query,
        count: usize,
    ) -> Vec<Scored> {
        let query = Query { k: count, method: Method::Exact, ..query.clone() };
        self.best(Input::Vector(Arc::clone(vector)), query).await.unwrap_or_default()
    }

    /// What the movies of these rows lose without each of the history's `newest`, and what of it is most like them.
    /// All of it is asked at once, so that it shares batches.
    pub(in crate::recommend) async fn find(
        &self,
        rows: &[Option<ItemRow>],
        evidence: &Evidence,
        candidates: &[Scored],
        newest: usize,
    ) -> Findings {
        let baseline = Baseline::new(rows, candidates);
        let history = &evidence.history;
        let longest = self.model.bundle().maximum_length();
        let tried = (0..history.len()).rev().take(newest.min(longest));
        let (without, nearest) =
            tokio::join!(self.without(history, tried, candidates), self.nearest(rows, history));
        let mut findings = Findings { drops: Vec::with_capacity(without.len()), not_tried: 0, nearest };
        for (row, scores) in without {
            match scores {
                Some(scores) => findings.drops.push((row, baseline.drops(&scores))),
                None => findings.not_tried += 1,
            }
        }
        findings
    }

    /// The candidates' scores without the movie at each of these places of the history; `None` where there was no time.
    async fn without(
        &self,
        history: &[ItemRow],
        places: impl Iterator<Item = usize>,
        candidates: &[Scored],
    ) -> Vec<(ItemRow, Option<Vec<Scored>>)> {
        let allowed: RoaringBitmap = candidates.iter().map(|item| item.row).collect();
        let query = Query { allowed: Some(Arc::new(allowed)), ..Query::exact(candidates.len()) };
        let query = &query;
        join_all(places.map(async |place| {
            let scores = match without_one(history, place, self.model.bundle().maximum_length()) {
                _ if candidates.is_empty() => None,
                Some(sequence) => self.best(Input::Sequence(sequence), query.clone()).await,
                None => Some(all_equal(candidates)),
            };
            (history[place], scores)
        }))
        .await
    }

    /// The movie of the history, other than itself, that is nearest to each of these by the cosine.
    async fn nearest(&self, rows: &[Option<ItemRow>], history: &[ItemRow]) -> Vec<Option<Scored>> {
        let allowed: Arc<RoaringBitmap> = Arc::new(history.iter().copied().collect());
        let allowed = &allowed;
        join_all(rows.iter().map(async |row| {
            let row = (*row)?;
            let query = Query {
                allowed: Some(Arc::clone(allowed)),
                excluded: Arc::new(RoaringBitmap::from_iter([row])),
                metric: Metric::Cosine,
                ..Query::exact(1)
            };
            let vector = self.model.bundle().output_embedding(row).into();
            self.best(Input::Vector(vector), query).await?.first().copied()
        }))
        .await
    }

    /// Runs a job once there is room for it; `None` when it is not done in time, or refused.
    async fn best(&self, input: Input, query: Query) -> Option<Vec<Scored>> {
        let job = Job { input, want: Want::TopK(query), deadline: self.until, priority: Priority::Bulk };
        let run = async {
            let _room = self.room.0.acquire().await.ok()?;
            Some(self.model.submit(job).await.ok()?.items)
        };
        match self.until {
            Some(until) => timeout_at(until.into(), run).await.ok().flatten(),
            None => run.await,
        }
    }
}

/// When reasons have to be there: the rest of the time is the answer's.
fn most_of_the_time(now: Instant, deadline: Instant) -> Instant {
    now + deadline.saturating_duration_since(now) * QUARTERS_OF_THE_TIME / 4
}

/// The newest part of a history without the movie at one place, as much of it as fits; `None` when nothing is left.
fn without_one(history: &[ItemRow], place: usize, longest: usize) -> Option<Sequence> {
    let left = history.len() - 1;
    let rest = history[..place].iter().chain(&history[place + 1..]);
    (left > 0).then(|| rest.skip(left.saturating_sub(longest)).copied().collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_older_movie_comes_in_for_the_one_that_is_taken_out_of_a_long_history() {
        let rest = |place, longest| without_one(&[1, 2, 3, 4], place, longest).unwrap().to_vec();
        assert_eq!(rest(3, 3), [1, 2, 3]);
        assert_eq!(rest(1, 3), [1, 3, 4]);
        assert_eq!(rest(3, 2), [2, 3]);
        assert_eq!(rest(0, 9), [2, 3, 4]);
    }

    #[test]
    fn nothing_is_left_of_a_history_without_its_only_movie() {
        assert!(without_one(&[1], 0, 10).is_none());
    }

    #[test]
    fn a_quarter_of_the_time_is_left_for_the_answer() {
        let now = Instant::now();
        let until = most_of_the_time(now, now + Duration::from_millis(100));
        assert_eq!(until - now, Duration::from_millis(75));
        assert_eq!(most_of_the_time(now + Duration::from_secs(1), now), now + Duration::from_secs(1));
    }
}
