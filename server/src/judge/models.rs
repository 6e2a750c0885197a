//! Two versions of a model on the same held-back events: what one has that the other lacks.
//!
//! Each user's newest movie is held back, both versions list ten for the history before it, one after the other and each
//! of them first as often, and all differences are paired by user. A version that cannot answer for a history where the
//! other one does has an empty list.

use std::time::{Duration, Instant};

use marquee_core::domain::{MovieId, UserId};

use super::figures::{Difference, Figure};
use super::lists::{List, Lists};
use super::{Held, Judge, JudgeError, K, Row};

/// Two versions, and their lists so far.
pub struct Models<'a> {
    judge: &'a Judge<'a>,
    in_service: Side<'a>,
    candidate: Side<'a>,
    overlaps: Vec<f64>,
}

/// One of the versions.
struct Side<'a> {
    version: &'a str,
    lists: Lists,
    latencies: Vec<Duration>,
}

/// What two versions are like beside each other.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Users whose lists were compared.
    pub users: usize,
    /// Each figure of the version in service (`plain`) and of the candidate (`chosen`), and the difference.
    pub rows: Vec<Row>,
    /// The part of a list of the one that is in that of the other.
    pub overlap: f64,
    /// How long 95 of 100 answers took at most, of the version in service and of the candidate; `None` of one that
    /// answered nobody.
    pub latency: [Option<Duration>; 2],
}

impl Comparison {
    /// A figure of the version in service and of the candidate, and the difference, with 95% certainty between its bounds.
    pub fn figure(&self, name: &str) -> Option<(f64, f64, Difference)> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        Some((row.plain.value, row.chosen.value, row.difference))
    }
}

impl<'a> Side<'a> {
    fn of(version: &'a str) -> Self {
        Self { version, lists: Lists::default(), latencies: Vec::new() }
    }

    async fn answer(&mut self, judge: &Judge<'_>, held: &Held) -> Result<Option<List>, JudgeError> {
        let began = Instant::now();
        let list = judge.list(held, None, Some(self.version)).await?;
        // That a model has no answer is known at once, and says nothing of what its answers take.
        self.latencies.extend(list.is_some().then(|| began.elapsed()));
        Ok(list)
    }
}

impl<'a> Models<'a> {
    pub(super) fn new(judge: &'a Judge<'a>, in_service: &'a str, candidate: &'a str) -> Self {
        let (in_service, candidate) = (Side::of(in_service), Side::of(candidate));
        Self { judge, in_service, candidate, overlaps: Vec::new() }
    }

    /// Adds the lists of a user; one without a history, and one for whom neither version answers, is passed over.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub async fn add(&mut self, user_id: UserId) -> Result<(), JudgeError> {
        let Some(held) = self.judge.held(user_id).await? else { return Ok(()) };
        let (judge, is_first) = (self.judge, self.users().is_multiple_of(2));
        let (old, new) = if is_first {
            let old = self.in_service.answer(judge, &held).await?;
            (old, self.candidate.answer(judge, &held).await?)
        } else {
            let new = self.candidate.answer(judge, &held).await?;
            (self.in_service.answer(judge, &held).await?, new)
        };
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        self.overlaps.push(overlap(&old, &new));
        self.in_service.lists.push(old);
        self.candidate.lists.push(new);
        Ok(())
    }

    /// Of how many users they are.
    pub fn users(&self) -> usize {
        self.overlaps.len()
    }

    /// What the lists say.
    ///
    /// # Errors
    /// [`JudgeError::Nobody`] when there are none.
    pub fn compared(mut self) -> Result<Comparison, JudgeError> {
        if self.overlaps.is_empty() {
            return Err(JudgeError::Nobody);
        }
        let (old, new) = (&self.in_service.lists, &self.candidate.lists);
        let rows = self.judge.figures(old).into_iter().zip(self.judge.figures(new));
        let rows = rows.map(|((name, plain), (_, chosen))| Row {
            name,
            difference: chosen.less(&plain),
            plain,
            chosen,
        });
        let latency = [&mut self.in_service, &mut self.candidate].map(|side| p95(&mut side.latencies));
        let (users, rows) = (self.overlaps.len(), rows.collect());
        Ok(Comparison { users, rows, overlap: Figure::mean(self.overlaps).value, latency })
    }
}

fn overlap(one: &List, other: &List) -> f64 {
    let ids =
        |list: &List| -> Vec<MovieId> { list.movies.iter().flatten().map(|movie| movie.movie_id).collect() };
    let (one, other) = (ids(one), ids(other));
    one.iter().filter(|id| other.contains(id)).count() as f64 / K as f64
}

/// What 95 of 100 do not exceed; `None` of none.
fn p95(latencies: &mut [Duration]) -> Option<Duration> {
    latencies.sort_unstable();
    let place = (latencies.len() * 95).div_ceil(100).saturating_sub(1);
    latencies.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_answers_95_took_no_longer() {
        let mut latencies: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(p95(&mut latencies), Some(Duration::from_millis(95)));
        assert_eq!(p95(&mut latencies[..1]), Some(Duration::from_millis(1)));
        assert_eq!(p95(&mut []), None);
    }
}
