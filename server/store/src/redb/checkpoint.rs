//! A checkpoint: what changed since the last one, written to redb in one durable transaction.
//!
//! It is taken out of the writer's memory at once and written beside the writer, which meanwhile goes
//! on in the next journal. So a checkpoint of 40 MB, half a second of work and of syncing, holds no
//! write up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use marquee_core::domain::{MovieId, UserId};
use marquee_core::statistics::MovieStats;
use redb::WriteTransaction;

use super::codec::encode_stats;
use super::documents::ChangedDocuments;
use super::event::{PackedEvent, identity};
use super::head::Head;
use super::runs::RunsMut;
use super::schema::{EPOCH, EVENTS, META, MOVIE_STATS, MOVIES, NOTES, RULES, USERS};
use super::snapshot::Snapshot;
use super::tables::Tables;
use crate::StoreError;

/// The most events in a stored head. A profile of 200 is mostly there; the record stays under 4 KB.
const HEAD_LIMIT: usize = 256;
/// What a full head keeps; the rest becomes runs.
const HEAD_KEEP: usize = 128;

/// Heads by user; `None` for a user who is not there.
pub(super) type Heads = HashMap<UserId, Option<Head>>;

/// Deleted events by user, without their ratings.
pub(super) type Struck = HashMap<UserId, HashSet<PackedEvent>>;

/// What changed since the last checkpoint.
pub(super) struct Changes {
    /// Shared with the writer, which reads here what is not stored yet.
    pub(super) heads: Arc<Heads>,
    /// Users whose runs go.
    pub(super) erased: HashSet<UserId>,
    /// Events that go from the runs.
    pub(super) struck: Struck,
    /// `None` for a movie that has no sums any more.
    pub(super) sums: Vec<(MovieId, Option<MovieStats>)>,
    /// `None` for a movie that is removed.
    pub(super) movies: HashMap<MovieId, Option<Vec<u8>>>,
    /// `None` for a rule that is removed.
    pub(super) rules: HashMap<String, Option<Vec<u8>>>,
    pub(super) notes: HashMap<String, Vec<u8>>,
    pub(super) documents: ChangedDocuments,
    /// Events in all.
    pub(super) events: u64,
    /// The journal's epoch after the checkpoint.
    pub(super) epoch: u64,
}

/// A checkpoint that is durable.
pub(super) struct Checkpoint {
    pub(super) stored: Arc<Snapshot>,
    /// How many of the oldest events in the changes' heads went to older runs, where any did.
    pub(super) handed_down: HashMap<UserId, usize>,
}

impl Changes {
    /// Writes everything.
    ///
    /// Quick repair saves the allocator's state too, so that opening after a crash need not walk the
    /// whole file.
    pub(super) fn write(&self, tables: &Arc<Tables>) -> Result<Checkpoint, StoreError> {
        let mut transaction = tables.database().begin_write()?;
        transaction.set_quick_repair(true);
        let handed_down = self.write_users(&transaction)?;
        self.documents.write(&transaction)?;
        {
            let mut sums = transaction.open_table(MOVIE_STATS)?;
            for (movie_id, stats) in &self.sums {
                match stats {
                    Some(stats) => sums.insert(movie_id, encode_stats(stats).as_slice())?,
                    None => sums.remove(movie_id)?,
                };
            }
            let mut movies = transaction.open_table(MOVIES)?;
            for (movie_id, movie) in &self.movies {
                match movie {
                    Some(movie) => movies.insert(movie_id, movie.as_slice())?,
                    None => movies.remove(movie_id)?,
                };
            }
            let mut rules = transaction.open_table(RULES)?;
            for (rule_id, rule) in &self.rules {
                match rule {
                    Some(rule) => rules.insert(rule_id.as_str(), rule.as_slice())?,
                    None => rules.remove(rule_id.as_str())?,
                };
            }
            let mut notes = transaction.open_table(NOTES)?;
            for (key, value) in &self.notes {
                notes.insert(key.as_str(), value.as_slice())?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(EVENTS, self.events)?;
            meta.insert(EPOCH, self.epoch)?;
        }
        tables.commit(transaction)?;
        Ok(Checkpoint { stored: Arc::new(Snapshot::open(tables)?), handed_down })
    }

    fn write_users(&self, transaction: &WriteTransaction) -> Result<HashMap<UserId, usize>, StoreError> {
        let mut users = transaction.open_table(USERS)?;
        let mut runs = RunsMut::open(transaction)?;
        for user_id in &self.erased {
            runs.remove_all(*user_id)?;
        }
        for (user_id, struck) in &self.struck {
            struck.iter().try_for_each(|event| runs.remove(*user_id, event))?;
        }
        let mut heads: Vec<_> = self.heads.iter().collect();
        heads.sort_unstable_by_key(|(user_id, _)| **user_id);
        let mut all_handed_down = HashMap::new();
        for (user_id, head) in heads {
            if let Some(head) = head {
                let handed_down = hand_down(*user_id, head, &mut runs)?;
                users.insert(user_id, head.encode_from(handed_down).as_slice())?;
                if handed_down > 0 {
                    all_handed_down.insert(*user_id, handed_down);
                }
            } else {
                users.remove(user_id)?;
            }
        }
        Ok(all_handed_down)
    }
}

/// Copies the events that do not belong in the stored head to the older runs: how many of the oldest.
fn hand_down(user_id: UserId, head: &Head, runs: &mut RunsMut<'_>) -> Result<usize, StoreError> {
    let mut late = 0;
    if head.has_older()
        && let Some(newest_run) = runs.newest(user_id)?
    {
        late = head.newest.partition_point(|event: &PackedEvent| identity(event) < identity(&newest_run));
        for event in &head.newest[..late] {
            runs.insert(user_id, *event)?;
        }
    }
    let left = &head.newest[late..];
    if left.len() <= HEAD_LIMIT {
        return Ok(late);
    }
    let older = left.len() - HEAD_KEEP;
    runs.append(user_id, &left[..older])?;
    Ok(late + older)
}
