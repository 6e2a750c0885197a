//! The head of a user: one record that answers a recommendation with one read.
//!
//! It holds who the user is, sums, the packed sets of seen and rated movies, and the newest run of
//! the history; older runs stand in a table of their own. An event of a user therefore rewrites one
//! record of some 3 KB, and a profile of the newest events is one lookup and no scan.

use std::collections::HashMap;

use marquee_core::domain::{MovieId, Preferences, TimeMs, User, UserId};
use marquee_core::statistics::{Opinion, half_stars};
use roaring::RoaringBitmap;

use super::codec::{Reader, decode_preferences, encode_preferences};
use super::event::{NEWEST, OLDEST, PackedEvent, identity, run_of};
use crate::{StoreError, UserStats};

/// A head as it is stored, its parts not yet decoded.
///
/// Layout: created, first, last, events, half stars (8 bytes each); interactions, ratings, and the
/// lengths of preferences, seen and rated (4 bytes each); these three; the newest run.
pub(super) struct HeadView<'a> {
    pub(super) created_ms: TimeMs,
    first_ms: TimeMs,
    last_ms: TimeMs,
    events: u64,
    half_stars: u64,
    interactions: u32,
    ratings: u32,
    preferences: &'a [u8],
    seen: &'a [u8],
    rated: &'a [u8],
    pub(super) newest: &'a [PackedEvent],
}

impl<'a> HeadView<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let mut reader = Reader(bytes);
        let (created_ms, first_ms, last_ms) = (reader.i64()?, reader.i64()?, reader.i64()?);
        let (events, half_stars) = (reader.u64()?, reader.u64()?);
        let (interactions, ratings) = (reader.u32()?, reader.u32()?);
        let lengths = [reader.u32()?, reader.u32()?, reader.u32()?];
        let [preferences, seen, rated] = lengths.map(|len| reader.bytes(len as usize));
        Ok(Self {
            created_ms,
            first_ms,
            last_ms,
            events,
            half_stars,
            interactions,
            ratings,
            preferences: preferences?,
            seen: seen?,
            rated: rated?,
            newest: run_of(reader.0)?,
        })
    }

    /// Whether older runs exist beside the newest.
    pub(super) fn has_older(&self) -> bool {
        self.events > self.newest.len() as u64
    }

    pub(super) fn preferences(&self) -> Result<Preferences, StoreError> {
        decode_preferences(self.preferences)
    }

    pub(super) fn seen(&self) -> Result<RoaringBitmap, StoreError> {
        bitmap(self.seen)
    }

    fn rated(&self) -> Result<RoaringBitmap, StoreError> {
        bitmap(if self.ratings == self.interactions { self.seen } else { self.rated })
    }

    pub(super) fn user(&self, user_id: UserId) -> Result<User, StoreError> {
        Ok(User { user_id, created_ms: self.created_ms, preferences: self.preferences()? })
    }

    pub(super) fn stats(&self) -> UserStats {
        let any = self.events > 0;
        UserStats {
            interactions: u64::from(self.interactions),
            ratings: u64::from(self.ratings),
            half_stars: self.half_stars,
            first_ms: any.then_some(self.first_ms),
            last_ms: any.then_some(self.last_ms),
        }
    }
}

fn bitmap(bytes: &[u8]) -> Result<RoaringBitmap, StoreError> {
    RoaringBitmap::deserialize_from(bytes)
        .map_err(|error| StoreError::Corrupt(format!("a set of movies: {error}")))
}

/// The oldest event of a stored head: an older one may be in the runs already, and any may where deletions
/// left nothing in the head.
pub(super) fn boundary(newest: &[PackedEvent], has_older: bool) -> PackedEvent {
    newest.first().map_or(if has_older { NEWEST } else { OLDEST }, identity)
}

/// A head being changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) created_ms: TimeMs,
    pub(super) first_ms: TimeMs,
    pub(super) last_ms: TimeMs,
    /// Events of the whole history.
    pub(super) events: u64,
    /// The sum of the latest ratings.
    pub(super) half_stars: u64,
    pub(super) preferences: Preferences,
    pub(super) seen: RoaringBitmap,
    pub(super) rated: RoaringBitmap,
    /// Oldest first. Once stored, every event here is newer than all in older runs.
    pub(super) newest: Vec<PackedEvent>,
    /// See [`boundary`].
    pub(super) boundary: PackedEvent,
    /// What the events with each movie come to, once somebody needed more than a glance at the newest.
    pub(super) opinions: Option<HashMap<MovieId, Opinion>>,
}

impl Head {
    pub(super) fn new(created_ms: TimeMs) -> Self {
        Self {
            created_ms,
            first_ms: TimeMs::MAX,
            last_ms: TimeMs::MIN,
            events: 0,
            half_stars: 0,
            preferences: Preferences::default(),
            seen: RoaringBitmap::new(),
            rated: RoaringBitmap::new(),
            newest: Vec::new(),
            boundary: OLDEST,
            opinions: None,
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let view = HeadView::new(bytes)?;
        Ok(Self {
            created_ms: view.created_ms,
            first_ms: view.first_ms,
            last_ms: view.last_ms,
            events: view.events,
            half_stars: view.half_stars,
            preferences: view.preferences()?,
            seen: view.seen()?,
            rated: view.rated()?,
            newest: view.newest.to_vec(),
            boundary: boundary(view.newest, view.has_older()),
            opinions: None,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.encode_from(0)
    }

    /// Without so many of the oldest events.
    pub(super) fn encode_from(&self, first: usize) -> Vec<u8> {
        let preferences = encode_preferences(&self.preferences);
        let seen_len = self.seen.serialized_size();
        let all_rated = self.rated.len() == self.seen.len();
        let rated_len = if all_rated { 0 } else { self.rated.serialized_size() };
        let run = self.newest[first..].as_flattened();
        let mut out = Vec::with_capacity(60 + preferences.len() + seen_len + rated_len + run.len());
        for number in [self.created_ms, self.first_ms, self.last_ms] {
            out.extend(number.to_le_bytes());
        }
        for number in [self.events, self.half_stars] {
            out.extend(number.to_le_bytes());
        }
        let (interactions, ratings) = (self.seen.len() as u32, self.rated.len() as u32);
        for number in [interactions, ratings, preferences.len() as u32, seen_len as u32, rated_len as u32] {
            out.extend(number.to_le_bytes());
        }
        out.extend(preferences);
        self.seen.serialize_into(&mut out).expect("writing to memory does not fail");
        if !all_rated {
            self.rated.serialize_into(&mut out).expect("writing to memory does not fail");
        }
        out.extend(run);
        out
    }

    pub(super) fn has_older(&self) -> bool {
        self.events > self.newest.len() as u64
    }

    /// Puts what the events with a movie come to in the place of what they came to before.
    pub(super) fn replace_opinion(
        &mut self,
        movie_id: MovieId,
        before: Option<Opinion>,
        now: Option<Opinion>,
    ) {
        let rating = |opinion: Option<Opinion>| opinion.and_then(|opinion| opinion.rating());
        self.half_stars += half_stars(rating(now));
        self.half_stars -= half_stars(rating(before));
        let place = |set: &mut RoaringBitmap, is_in| {
            if is_in {
                set.insert(movie_id)
            } else {
                set.remove(movie_id)
            };
        };
        place(&mut self.seen, now.is_some());
        place(&mut self.rated, rating(now).is_some());
        if let Some(opinions) = &mut self.opinions {
            match now {
                Some(now) => opinions.insert(movie_id, now),
                None => opinions.remove(&movie_id),
            };
        }
    }

    pub(super) fn user(&self, user_id: UserId) -> User {
        User { user_id, created_ms: self.created_ms, preferences: self.preferences.clone() }
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Interaction, Kind};

    use super::*;
    use crate::redb::event::pack;

    #[test]
    fn a_head_comes_back_whether_or_not_all_is_rated() {
        let view = Interaction { user_id: 1, movie_id: 9, time_ms: -5, kind: Kind::View, rating: None };
        let mut head = Head::new(77);
        head.events = 300;
        head.seen.extend([1, 70_000, 290_000]);
        head.preferences.movie_ids = vec![5];
        head.newest.push(pack(&view));
        head.boundary = pack(&view);
        for rated in [vec![], vec![70_000], vec![1, 70_000, 290_000]] {
            head.rated = rated.into_iter().collect();
            assert_eq!(Head::decode(&head.encode()).expect("it was encoded"), head);
        }
    }
}
