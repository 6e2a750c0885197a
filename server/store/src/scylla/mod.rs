//! The store for many nodes: ScyllaDB, or anything that speaks its CQL.
//!
//! Everything of a user is one partition, so a profile, a page of history and a deletion are one
//! statement each, and a batch of a user's events is written atomically. All writes of them are inserts by
//! key and may be repeated; no counters, and lightweight transactions only for [`documents`], for the leases
//! of a migration and of the job in [`sums`] that sums up over all users.
//!
//! A deletion on one node and a write on another of the same moment leave a whole user or none, because
//! all rows of a call have one timestamp ([`timestamps`]) and each says since when its user is there: the
//! row that does so or, where a deletion took that one, the time of the write itself. The next write
//! makes the missing row, with the timestamp of the write that its time was taken from, so that no
//! deletion that has come since is undone.
//!
//! What an event changed ([`Recorded`]) is decided by reading before writing. Two nodes that record
//! the same event at the same moment may both call it new; what is stored is the same.

mod connect;
mod documents;
mod export;
mod failure;
mod known;
mod link;
mod metrics;
mod migrations;
mod retry;
mod rows;
mod settings;
mod statements;
mod sums;
mod timestamps;
mod writes;

pub(crate) use self::metrics::METRICS;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use marquee_core::domain::{
    EventKey, Interaction, MovieId, MovieRecord, Preferences, Profile, TimeMs, User, UserId,
};
use marquee_core::statistics::{MovieStats, Opinion, opinions};
use tokio::sync::mpsc;

use self::known::Known;
use self::link::Link;
pub use self::migrations::MigrateMode;
use self::rows::{EventRow, Found, MovieRow, PartitionRow, RuleRow, UserRow, WrittenEventRow, WrittenRow};
pub use self::settings::ScyllaSettings;
use self::statements::Statement;
use self::timestamps::Timestamps;
use self::writes::{What, Write};
use super::{
    Deleted, Documents, Record, Recorded, Revision, RuleRecord, Store, StoreError, StoreStats, UserStats,
};

/// Users of one call that are written at once.
const USERS_AT_ONCE: usize = 32;
/// Events of one batch: 64 rows are some 4 KB, and servers warn of batches over 5.
const BATCH_ROWS: usize = 64;
/// With more new events of a user than this, its whole partition is read instead of their movies.
const FEW_EVENTS: usize = 4;

/// The store in a cluster.
pub struct ScyllaStore {
    link: Link,
    timestamps: Timestamps,
    sums_age: Mutex<sums::Age>,
}

impl ScyllaStore {
    /// Connects, checks the schema and prepares all statements.
    ///
    /// # Errors
    /// [`StoreError::Open`] when no node can be reached or the credentials or keyspace are wrong,
    /// [`StoreError::Schema`] when the keyspace has another version.
    pub async fn open(settings: ScyllaSettings) -> Result<Self, StoreError> {
        let link = Link::open(settings).await?;
        Ok(Self { link, timestamps: Timestamps::default(), sums_age: Mutex::default() })
    }

    /// Makes the keyspace and its tables, or brings them to this program's version; the statements
    /// that were run, or with [`MigrateMode::DryRun`] would be.
    ///
    /// # Errors
    /// As [`Self::open`], and [`StoreError::Open`] when another migration holds the lock.
    pub async fn migrate(settings: &ScyllaSettings, mode: MigrateMode) -> Result<Vec<String>, StoreError> {
        migrations::migrate(&connect::session(settings).await?, settings, mode).await
    }

    /// The preferences and all events of a user, newest first.
    async fn partition(
        &self,
        user_id: UserId,
    ) -> Result<Option<(Preferences, Vec<Interaction>)>, StoreError> {
        let rows: Vec<PartitionRow> = self.link.all(Statement::Partition, (user_id as i64,)).await?;
        let mut preferences = None;
        let mut events = Vec::with_capacity(rows.len());
        for (_created_ms, genres, movies, time_ms, movie_id, kind, half_stars) in rows {
            preferences.get_or_insert_with(|| rows::preferences(genres, movies));
            events.extend(rows::event(user_id, (time_ms, movie_id, kind, half_stars))?);
        }
        Ok(preferences.map(|preferences| (preferences, events)))
    }

    async fn found(&self, user_id: UserId) -> Result<Option<Found>, StoreError> {
        let row: Option<UserRow> = self.link.first(Statement::User, (user_id as i64,)).await?;
        Ok(row.map(|row| rows::found(user_id, row)))
    }

    /// What is known of the user that matters to these events, and the user, if there is one.
    async fn known(
        &self,
        user_id: UserId,
        events: &[Interaction],
    ) -> Result<(Known, Option<Found>), StoreError> {
        let mut known = Known::expecting(events.len());
        if events.len() > FEW_EVENTS {
            let Some((_, stored)) = self.partition(user_id).await? else { return Ok((known, None)) };
            for event in stored.iter().rev() {
                known.add(event);
            }
            return Ok((known, self.found(user_id).await?));
        }
        for event in events {
            let values = (user_id as i64, i64::from(event.movie_id));
            let rows: Vec<EventRow> = self.link.all(Statement::EventsOfMovie, values).await?;
            for row in rows {
                if let Some(stored) = rows::event(user_id, row)? {
                    known.add(&stored);
                }
            }
        }
        Ok((known, self.found(user_id).await?))
    }

    /// Records events of one user.
    async fn record_user(
        &self,
        user_id: UserId,
        events: &[Interaction],
        now_ms: TimeMs,
    ) -> Result<Vec<Recorded>, StoreError> {
        // Taken before the reads, so that a deletion that they do not see takes what is written as well.
        let timestamp = self.timestamps.now();
        let (mut known, found) = self.known(user_id, events).await?;
        let outcomes: Vec<_> = events.iter().map(|event| known.add(event)).collect();
        // What is there already is written again: a deletion of before may take it after it was read.
        let kept = events.iter().filter(|event| known.keeps(event));
        let user = user_row(user_id, found.as_ref(), now_ms, timestamp);
        let kept = kept.map(|event| What::Event(event).at(timestamp));
        let writes: Vec<_> = user.into_iter().chain(kept).collect();
        for batch in writes.chunks(BATCH_ROWS) {
            self.write(batch).await?;
        }
        Ok(outcomes)
    }

    /// Sees to it that a row says since when the user is there, whatever becomes of the events.
    async fn date_user(&self, user_id: UserId) -> Result<(), StoreError> {
        match self.found(user_id).await? {
            Some(Found { user, undated_since: Some(since), .. }) => {
                self.write(&[What::User(user_id, user.created_ms).at(since)]).await
            }
            _ => Ok(()),
        }
    }

    /// Writes rows of one user, so of one partition: together or not at all.
    async fn write(&self, rows: &[Write<'_>]) -> Result<(), StoreError> {
        match rows {
            [row] => self.link.execute(row.statement(), row).await.map(drop),
            rows => self.link.batch(rows).await,
        }
    }

    async fn has_rule(&self, rule_id: &str) -> Result<bool, StoreError> {
        Ok(self.link.first::<(String,)>(Statement::Rule, (rule_id,)).await?.is_some())
    }

    /// Adds or replaces a movie; whether it is new.
    async fn put_movie(&self, movie: &MovieRecord) -> Result<bool, StoreError> {
        let id = i64::from(movie.movie_id);
        let is_new = self.link.first::<(i64,)>(Statement::Movie, (id,)).await?.is_none();
        let tags: Vec<_> = movie.tags.iter().map(|(tag, users)| (tag, i64::from(*users))).collect();
        let (imdb, tmdb) = (movie.imdb.map(i64::from), movie.tmdb.map(i64::from));
        let attributes: Vec<_> = movie.attributes.iter().map(rows::attribute_row).collect();
        let values = (id, &movie.title, &movie.genres, imdb, tmdb, tags, &movie.key, attributes);
        self.link.execute(Statement::PutMovie, values).await?;
        Ok(is_new)
    }
}

/// The row that says since when the user is there, if that is missing.
fn user_row(
    user_id: UserId,
    found: Option<&Found>,
    now_ms: TimeMs,
    timestamp: i64,
) -> Option<Write<'static>> {
    match found {
        None => Some(What::User(user_id, now_ms).at(timestamp)),
        Some(Found { user, undated_since, .. }) => {
            undated_since.map(|since| What::User(user_id, user.created_ms).at(since))
        }
    }
}

/// A page's limit as CQL takes it.
fn cql_limit(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

#[async_trait]
impl Store for ScyllaStore {
    async fn record(&self, events: &[Interaction], now_ms: TimeMs) -> Result<Vec<Recorded>, StoreError> {
        let mut places: HashMap<UserId, Vec<usize>> = HashMap::new();
        for (place, event) in events.iter().enumerate() {
            places.entry(event.user_id).or_default().push(place);
        }
        let writes = places.into_iter().map(async |(user_id, places)| {
            let of_user: Vec<_> = places.iter().map(|place| events[*place]).collect();
            let outcomes = self.record_user(user_id, &of_user, now_ms).await?;
            Ok::<_, StoreError>(places.into_iter().zip(outcomes))
        });
        let written: Vec<_> = stream::iter(writes).buffer_unordered(USERS_AT_ONCE).try_collect().await?;
        let mut outcomes = vec![Recorded::default(); events.len()];
        for (place, outcome) in written.into_iter().flatten() {
            outcomes[place] = outcome;
        }
        Ok(outcomes)
    }

    async fn profile(&self, user_id: UserId, newest: usize) -> Result<Option<Arc<Profile>>, StoreError> {
        Ok(self.partition(user_id).await?.map(|(preferences, mut events)| {
            let seen = events.iter().map(|event| event.movie_id).collect();
            events.truncate(newest);
            events.reverse();
            Arc::new(Profile { newest: events, seen, preferences })
        }))
    }

    async fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Option<Vec<Interaction>>, StoreError> {
        let limit = cql_limit(limit);
        let user = user_id as i64;
        let rows: Vec<EventRow> = match after {
            _ if limit == 0 => Vec::new(),
            None => self.link.all(Statement::Events, (user, limit)).await?,
            Some(EventKey { time_ms, movie_id, kind }) => {
                let values = (user, time_ms, i64::from(movie_id), kind as u8 as i8, limit);
                self.link.all(Statement::EventsAfter, values).await?
            }
        };
        if rows.is_empty() && self.user(user_id).await?.is_none() {
            return Ok(None);
        }
        rows.into_iter()
            .filter_map(|row| rows::event(user_id, row).transpose())
            .collect::<Result<_, _>>()
            .map(Some)
    }

    async fn user(&self, user_id: UserId) -> Result<Option<User>, StoreError> {
        Ok(self.found(user_id).await?.map(|found| found.user))
    }

    async fn user_stats(&self, user_id: UserId) -> Result<Option<UserStats>, StoreError> {
        Ok(self.partition(user_id).await?.map(|(_, events)| {
            let opinions = opinions(&events);
            let ratings = opinions.values().filter_map(Opinion::rating);
            UserStats {
                interactions: opinions.len() as u64,
                ratings: ratings.clone().count() as u64,
                half_stars: ratings.map(|rating| u64::from(rating.half_stars())).sum(),
                first_ms: events.last().map(|event| event.time_ms),
                last_ms: events.first().map(|event| event.time_ms),
            }
        }))
    }

    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let limit = cql_limit(limit);
        let rows: Vec<(i64,)> = match after {
            None => self.link.all(Statement::FirstUsers, (limit,)).await?,
            Some(after) => self.link.all(Statement::UsersAfter, (after as i64, limit)).await?,
        };
        Ok(rows.into_iter().map(|(user_id,)| user_id as u64).collect())
    }

    async fn register(&self, user_id: UserId, now_ms: TimeMs) -> Result<(User, bool), StoreError> {
        if let Some(user) = self.user(user_id).await? {
            return Ok((user, false));
        }
        self.write(&[What::User(user_id, now_ms).at(self.timestamps.now())]).await?;
        Ok((User { user_id, created_ms: now_ms, preferences: Preferences::default() }, true))
    }

    async fn set_preferences(
        &self,
        user_id: UserId,
        preferences: Preferences,
        now_ms: TimeMs,
    ) -> Result<User, StoreError> {
        let found = self.found(user_id).await?;
        let replaced = found.as_ref().and_then(|found| found.preferred_at);
        let timestamp = self.timestamps.after(replaced.unwrap_or(i64::MIN));
        let user = user_row(user_id, found.as_ref(), now_ms, timestamp);
        let preferred = What::Preferences(user_id, &preferences).at(timestamp);
        self.write(&user.into_iter().chain([preferred]).collect::<Vec<_>>()).await?;
        let created_ms = found.map_or(now_ms, |found| found.user.created_ms);
        Ok(User { user_id, created_ms, preferences })
    }

    async fn delete_event(&self, user_id: UserId, key: EventKey) -> Result<Option<Deleted>, StoreError> {
        let (user, movie) = (user_id as i64, i64::from(key.movie_id));
        let rows: Vec<WrittenEventRow> = self.link.all(Statement::WrittenOfMovie, (user, movie)).await?;
        let (mut found, mut opinion) = (None, None);
        for (written_at, time_ms, movie_id, kind, half_stars) in rows {
            let Some(event) = rows::event(user_id, (time_ms, movie_id, kind, half_stars))? else { continue };
            if EventKey::from(&event) == key {
                found = Some((event, written_at));
            } else {
                opinion = Some(Opinion::with(opinion, &event));
            }
        }
        let Some((event, written_at)) = found else { return Ok(None) };
        self.date_user(user_id).await?;
        // Later than what was read, and no later: what is recorded again after this stays.
        let timestamp = self.timestamps.after(written_at.unwrap_or(i64::MIN));
        let values = (timestamp, user, key.time_ms, movie, key.kind as u8 as i8);
        self.link.execute(Statement::DeleteEvent, values).await?;
        Ok(Some(Deleted::leaving(opinion, event)))
    }

    async fn delete_user(&self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let rows: Vec<WrittenRow> = self.link.all(Statement::Written, (user_id as i64,)).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut events = Vec::with_capacity(rows.len());
        let mut newest_write = None;
        for (created, preferred, recorded, time_ms, movie_id, kind, half_stars) in rows {
            newest_write = newest_write.max(created).max(preferred).max(recorded);
            events.extend(rows::event(user_id, (time_ms, movie_id, kind, half_stars))?);
        }
        let timestamp = self.timestamps.after(newest_write.unwrap_or(i64::MIN));
        self.link.execute(Statement::DeleteUser, (timestamp, user_id as i64)).await?;
        events.reverse();
        Ok(events)
    }

    async fn put_movies(&self, movies: &[MovieRecord]) -> Result<Vec<bool>, StoreError> {
        let writes: Vec<_> = movies.iter().map(|movie| self.put_movie(movie)).collect();
        let written: Result<Vec<bool>, _> = stream::iter(writes).buffered(USERS_AT_ONCE).try_collect().await;
        // Of movies that failed some are there nevertheless, and no node's catalogue may miss them.
        if !movies.is_empty() {
            self.movies_changed().await?;
        }
        written
    }

    async fn remove_movies(&self, movie_ids: &[MovieId]) -> Result<(), StoreError> {
        let removals = movie_ids.iter().map(|movie_id| {
            let values = (i64::from(*movie_id),);
            async move { self.link.execute(Statement::RemoveMovie, values).await.map(drop) }
        });
        let removed = stream::iter(removals.collect::<Vec<_>>()).buffer_unordered(USERS_AT_ONCE);
        let removed = removed.try_collect::<()>().await;
        // Of movies that failed some are gone nevertheless, and no node's catalogue may have them.
        self.movies_changed().await?;
        removed
    }

    async fn movies(&self, after: Option<MovieId>, limit: usize) -> Result<Vec<MovieRecord>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let after = after.map_or(-1, i64::from);
        let rows: Vec<MovieRow> = self.link.all(Statement::Movies, (after, cql_limit(limit))).await?;
        Ok(rows.into_iter().map(rows::movie).collect())
    }

    async fn put_rule(&self, rule: &RuleRecord) -> Result<bool, StoreError> {
        let is_new = !self.has_rule(&rule.rule_id).await?;
        let written = self.link.execute(Statement::PutRule, (&rule.rule_id, &rule.body)).await;
        // One whose answer was lost may be there nevertheless.
        self.rules_changed().await?;
        written.map(|_| is_new)
    }

    async fn remove_rule(&self, rule_id: &str) -> Result<bool, StoreError> {
        let was_there = self.has_rule(rule_id).await?;
        let removed = self.link.execute(Statement::RemoveRule, (rule_id,)).await;
        self.rules_changed().await?;
        removed.map(|_| was_there)
    }

    async fn rules(&self) -> Result<Vec<RuleRecord>, StoreError> {
        let rows: Vec<RuleRow> = self.link.all(Statement::Rules, ()).await?;
        Ok(rows.into_iter().map(rows::rule).collect())
    }

    async fn movie_stats(&self) -> Result<Vec<MovieStats>, StoreError> {
        self.newest_sums().await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.newest_stats().await
    }

    async fn sum_up(&self, older_than: Duration, now_ms: TimeMs) -> Result<bool, StoreError> {
        self.publish_if_due(older_than, now_ms).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.newest_revision().await
    }

    async fn get_note(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Option<Vec<u8>>,)> = self.link.first(Statement::Note, (key,)).await?;
        Ok(row.map(|(value,)| value.unwrap_or_default()))
    }

    async fn put_note(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.link.execute(Statement::PutNote, (key, value)).await.map(drop)
    }

    fn documents(&self) -> &dyn Documents {
        self
    }

    async fn export(&self, chunks: mpsc::Sender<Vec<Record>>) -> Result<(), StoreError> {
        self.send_everything(&chunks).await
    }

    async fn clock_ms(&self) -> Result<Option<TimeMs>, StoreError> {
        let row: Option<(i64,)> = self.link.first(Statement::Clock, ()).await?;
        Ok(row.map(|(time_ms,)| time_ms))
    }

    fn name(&self) -> &'static str {
        "cql"
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.link.execute(Statement::Ping, ()).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
