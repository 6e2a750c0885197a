//! Sums over all users by movie, inside the transaction that changes what they sum.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::codec::{PackedStats, decode_stats, encode_stats};
use super::schema::MOVIE_STATS;
use crate::domain::{Interaction, MovieId, Rating};
use crate::store::{MovieStats, Recorded, StoreError};

pub(super) struct Sums<'txn> {
    table: Table<'txn, u32, PackedStats>,
    changed: HashMap<MovieId, MovieStats>,
}

impl<'txn> Sums<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self { table: transaction.open_table(MOVIE_STATS)?, changed: HashMap::new() })
    }

    fn of(&mut self, movie_id: MovieId) -> Result<&mut MovieStats, StoreError> {
        use std::collections::hash_map::Entry;
        Ok(match self.changed.entry(movie_id) {
            Entry::Occupied(stats) => stats.into_mut(),
            Entry::Vacant(slot) => {
                let stored = self.table.get(movie_id)?.map(|packed| decode_stats(movie_id, packed.value()));
                slot.insert(stored.unwrap_or(MovieStats { movie_id, ..MovieStats::default() }))
            }
        })
    }

    /// Adds what a recorded event changed.
    pub(super) fn add(&mut self, event: &Interaction, outcome: Recorded) -> Result<(), StoreError> {
        if !outcome.duplicate {
            let stats = self.of(event.movie_id)?;
            stats.users += u64::from(outcome.first_of_movie);
            stats.ratings += u64::from(outcome.rating_before.is_none() && outcome.rating_now.is_some());
            stats.half_stars += outcome.rating_now.map_or(0, |rating| u64::from(rating.half_stars()));
            stats.half_stars -= outcome.rating_before.map_or(0, |rating| u64::from(rating.half_stars()));
            stats.trend = stats.trend.with_event(event.time_ms);
        }
        Ok(())
    }

    /// Takes out the whole history of a user, given oldest first.
    pub(super) fn subtract(&mut self, history: &[Interaction]) -> Result<(), StoreError> {
        let mut latest: HashMap<MovieId, Option<Rating>> = HashMap::new();
        for event in history {
            let stats = self.of(event.movie_id)?;
            stats.trend = stats.trend.without_event(event.time_ms);
            let rating = latest.entry(event.movie_id).or_default();
            *rating = event.rating.or(*rating);
        }
        for (movie_id, rating) in latest {
            let stats = self.of(movie_id)?;
            stats.users -= 1;
            if let Some(rating) = rating {
                stats.ratings -= 1;
                stats.half_stars -= u64::from(rating.half_stars());
            }
        }
        Ok(())
    }

    /// Writes the changed sums; a movie without users has none.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        for (movie_id, stats) in self.changed {
            if stats.users == 0 {
                self.table.remove(movie_id)?;
            } else {
                self.table.insert(movie_id, encode_stats(&stats))?;
            }
        }
        Ok(())
    }
}
