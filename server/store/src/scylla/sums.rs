//! Sums over all users, which no node could keep up to date alone.
//!
//! A counter would count a repeated write twice, so nothing is counted on the way of a write. Instead
//! one node at a time, the holder of a lease, reads the whole table in parts and publishes what it
//! summed up as a snapshot with a number of its own; the others notice the number and read the
//! snapshot. The lease ends by itself when its holder dies. Two holders at once, which a lease that
//! ended too early allows, publish two whole snapshots of which the later one counts.
//!
//! How old a snapshot is, nodes tell by their own monotonic clocks since they saw it first, so that a clock that
//! is set back does not keep the statistics from being summed up, nor one that is ahead.
//!
//! Where no snapshot was published, it is being replaced at this moment, or a program of before wrote it that counted no
//! ratings by value, the table itself is read.

use std::sync::PoisonError;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use marquee_core::domain::{Interaction, TimeMs};
use marquee_core::statistics::MovieStats;
use tokio::time::Instant;

use super::ScyllaStore;
use super::known::Totals;
use super::link::applied;
use super::rows::{self, PartRow, RevisionRow, ScanRow};
use super::statements::Statement;
use crate::{Revision, StoreError, StoreStats};

/// Parts of the token ring that are scanned one by one, and how many at once.
const SCAN_PARTS: i64 = 64;
const SCANS_AT_ONCE: usize = 4;
/// Movies of one row of a snapshot: some 200 KB.
const MOVIES_A_PART: usize = 1_000;
const LEASE: &str = "sums";
const MOVIES: &str = "movies";
const RULES: &str = "rules";
const ACCESS: &str = "access";

/// The newest snapshot.
struct Published {
    snapshot: i64,
    summed_ms: TimeMs,
    parts: i32,
    stats: StoreStats,
}

/// The age of the newest snapshot.
#[derive(Debug, Default)]
pub(super) struct Age(Option<Seen>);

/// A snapshot at the moment when it was seen first.
#[derive(Clone, Copy, Debug)]
struct Seen {
    snapshot: i64,
    at: Instant,
    age: Duration,
}

impl Age {
    /// How old the snapshot is at this moment. Clocks are asked once, when it is new here.
    fn of(&mut self, snapshot: i64, summed_ms: TimeMs, now_ms: TimeMs, at: Instant) -> Duration {
        let age_ms = u64::try_from(now_ms.saturating_sub(summed_ms)).unwrap_or(0);
        let new = Seen { snapshot, at, age: Duration::from_millis(age_ms) };
        let seen = self.0.filter(|seen| seen.snapshot == snapshot).unwrap_or(new);
        self.0 = Some(seen);
        seen.age + at.saturating_duration_since(seen.at)
    }
}

impl ScyllaStore {
    pub(super) async fn newest_sums(&self) -> Result<Vec<MovieStats>, StoreError> {
        if let Some(published) = self.published().await? {
            let mut parts = 0;
            let mut sums = Vec::new();
            let take = |(part, ratings): PartRow| {
                let ratings = ratings.filter(|ratings| ratings.len() == part.len());
                let Some(ratings) = ratings else { return Ok(()) };
                parts += 1;
                for (row, counts) in part.into_iter().zip(ratings) {
                    sums.push(rows::sums(row, &counts)?);
                }
                Ok(())
            };
            self.link.each(Statement::Sums, (published.snapshot,), take).await?;
            if parts == published.parts {
                return Ok(sums);
            }
        }
        Ok(self.totals().await?.into_movies().collect())
    }

    pub(super) async fn newest_stats(&self) -> Result<StoreStats, StoreError> {
        match self.published().await? {
            Some(published) => Ok(published.stats),
            None => Ok(self.counts(&self.totals().await?).await?),
        }
    }

    pub(super) async fn newest_revision(&self) -> Result<Revision, StoreError> {
        let mut revision = Revision::default();
        for row in self.link.all::<RevisionRow>(Statement::Revisions, ()).await? {
            match row.0.as_str() {
                MOVIES => revision.movies = row.1,
                RULES => revision.rules = row.1,
                ACCESS => revision.access = row.1,
                _ => revision.statistics = row.1,
            }
        }
        Ok(revision)
    }

    /// Says that movies have changed.
    pub(super) async fn movies_changed(&self) -> Result<(), StoreError> {
        self.changed(MOVIES).await
    }

    /// Says that rules have changed.
    pub(super) async fn rules_changed(&self) -> Result<(), StoreError> {
        self.changed(RULES).await
    }

    /// Says that who may call has changed.
    pub(super) async fn access_changed(&self) -> Result<(), StoreError> {
        self.changed(ACCESS).await
    }

    async fn changed(&self, what: &str) -> Result<(), StoreError> {
        let revision: i64 = rand::random();
        self.link.execute(Statement::PutRevision, (what, revision)).await.map(drop)
    }

    /// Sums up and publishes, if the newest snapshot is as old as that and nobody else does.
    pub(super) async fn publish_if_due(
        &self,
        older_than: Duration,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let published = self.published().await?;
        let age = published.as_ref().map(|published| {
            let mut age = self.sums_age.lock().unwrap_or_else(PoisonError::into_inner);
            age.of(published.snapshot, published.summed_ms, now_ms, Instant::now())
        });
        if age.is_some_and(|age| age < older_than) {
            return Ok(false);
        }
        let owner: i64 = rand::random();
        let lease = self.link.execute(Statement::TakeLease, (LEASE, owner)).await?;
        if !applied(lease)? {
            return Ok(false);
        }
        let outcome = self.publish(published, now_ms).await;
        self.link.execute(Statement::ReturnLease, (LEASE, owner)).await?;
        outcome.map(|()| true)
    }

    async fn publish(&self, before: Option<Published>, now_ms: TimeMs) -> Result<(), StoreError> {
        let totals = self.totals().await?;
        let stats = self.counts(&totals).await?;
        let snapshot: i64 = rand::random();
        let (sums, ratings): (Vec<_>, Vec<_>) = totals.into_movies().map(rows::sum_rows).unzip();
        let mut parts = 0;
        for (sums, ratings) in sums.chunks(MOVIES_A_PART).zip(ratings.chunks(MOVIES_A_PART)) {
            self.link.execute(Statement::PutSums, (snapshot, parts, sums, ratings)).await?;
            parts += 1;
        }
        let counts = (stats.users as i64, stats.interactions as i64, stats.movies as i64);
        let values = (snapshot, now_ms, parts, counts.0, counts.1, counts.2);
        self.link.execute(Statement::PublishSums, values).await?;
        if let Some(before) = before {
            self.link.execute(Statement::DropSums, (before.snapshot,)).await?;
        }
        Ok(())
    }

    async fn published(&self) -> Result<Option<Published>, StoreError> {
        let rows: Vec<RevisionRow> = self.link.all(Statement::Revisions, ()).await?;
        Ok(rows.into_iter().find_map(|(_, snapshot, summed_ms, parts, users, interactions, movies)| {
            let stats = StoreStats {
                users: users? as u64,
                interactions: interactions? as u64,
                movies: movies? as u64,
            };
            Some(Published { snapshot, summed_ms: summed_ms?, parts: parts?, stats })
        }))
    }

    async fn counts(&self, totals: &Totals) -> Result<StoreStats, StoreError> {
        let movies: Option<(i64,)> = self.link.first(Statement::CountMovies, ()).await?;
        let movies = movies.map_or(0, |(count,)| count as u64);
        Ok(StoreStats { users: totals.users, interactions: totals.interactions, movies })
    }

    /// Sums over the whole table.
    async fn totals(&self) -> Result<Totals, StoreError> {
        let width = u64::MAX / SCAN_PARTS as u64;
        let start = |part: i64| i64::MIN.wrapping_add((part as u64).wrapping_mul(width) as i64);
        let parts = (0..SCAN_PARTS).map(|part| {
            let end = if part + 1 == SCAN_PARTS { i64::MAX } else { start(part + 1) };
            self.totals_of_part(start(part), end)
        });
        let mut totals = Totals::default();
        let mut parts = stream::iter(parts).buffer_unordered(SCANS_AT_ONCE);
        while let Some(part) = parts.next().await {
            totals.merge(part?);
        }
        Ok(totals)
    }

    /// Sums over the users whose tokens are after `start` and up to `end`. A user's rows come
    /// together.
    async fn totals_of_part(&self, start: i64, end: i64) -> Result<Totals, StoreError> {
        let mut totals = Totals::default();
        let mut user: Option<(i64, Vec<Interaction>)> = None;
        let take = |(user_id, time_ms, movie_id, kind, half_stars): ScanRow| {
            let event = rows::event(user_id as u64, (time_ms, movie_id, kind, half_stars))?;
            match &mut user {
                Some((current, events)) if *current == user_id => events.extend(event),
                _ => {
                    if let Some((_, events)) = user.replace((user_id, event.into_iter().collect())) {
                        totals.add_user(&events);
                    }
                }
            }
            Ok(())
        };
        self.link.each(Statement::Scan, (start, end), take).await?;
        if let Some((_, events)) = user {
            totals.add_user(&events);
        }
        Ok(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: TimeMs = 3_600_000;
    const NOW_MS: TimeMs = 1_700_000_000_000;
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_snapshot_is_as_old_as_clocks_say_when_it_is_new_here_and_ages_by_no_clock() {
        let (mut age, start) = (Age::default(), Instant::now());
        assert_eq!(age.of(1, NOW_MS - 5_000, NOW_MS, start), Duration::from_secs(5));
        for step_ms in [HOUR_MS, -HOUR_MS, 0] {
            let old = age.of(1, NOW_MS - 5_000, NOW_MS + step_ms, start + MINUTE);
            assert_eq!(old, MINUTE + Duration::from_secs(5));
        }
        assert_eq!(age.of(2, NOW_MS, NOW_MS, start + MINUTE), Duration::ZERO);
    }

    #[test]
    fn a_snapshot_of_a_clock_that_was_ahead_still_ages() {
        let (mut age, start) = (Age::default(), Instant::now());
        assert_eq!(age.of(1, NOW_MS + HOUR_MS, NOW_MS, start), Duration::ZERO);
        assert_eq!(age.of(1, NOW_MS + HOUR_MS, NOW_MS, start + MINUTE), MINUTE);
    }
}
