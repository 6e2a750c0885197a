//! What a read must contain: the meaning of a consistency token.
//!
//! A consistency token names events, not times or versions: whether a profile contains them can be seen from the
//! profile itself, so no clock, counter or cache has to be believed.

use marquee_core::domain::{EventKey, Interaction, Profile, UserId};

/// More users than this are not named one by one.
pub(crate) const MAX_USERS: usize = 8;

/// Names writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsistencyToken {
    /// The last event of each of these users; a profile that has it has all that were acknowledged
    /// before it. Nobody's when empty.
    Events(Vec<(UserId, EventKey)>),
    /// Something that no profile shows, or too much to name: only the store itself is good enough.
    Stored,
}

impl Default for ConsistencyToken {
    fn default() -> Self {
        Self::Events(Vec::new())
    }
}

impl ConsistencyToken {
    /// Adds events that were written after all that are named already.
    pub fn add(&mut self, events: &[Interaction]) {
        for event in events {
            let Self::Events(last) = self else { return };
            let key = EventKey::from(event);
            match last.iter().position(|(user_id, _)| *user_id == event.user_id) {
                Some(place) => last[place].1 = key,
                None if last.len() < MAX_USERS => last.push((event.user_id, key)),
                None => *self = Self::Stored,
            }
        }
    }

    /// Whether this profile, read with its newest `asked` events, contains the user's part.
    pub fn is_in(&self, user_id: UserId, profile: &Profile, asked: usize) -> bool {
        match self {
            Self::Stored => false,
            Self::Events(events) => {
                let mut of_user = events.iter().filter(|(user, _)| *user == user_id);
                of_user.all(|(_, key)| contains(profile, *key, asked))
            }
        }
    }
}

/// Whether the event is seen, and among the newest unless all those are newer.
fn contains(profile: &Profile, key: EventKey, asked: usize) -> bool {
    let newest = &profile.newest;
    let too_old = newest.len() >= asked && newest.first().is_none_or(|oldest| key < EventKey::from(oldest));
    profile.seen.contains(key.movie_id)
        && (too_old || newest.binary_search_by_key(&key, EventKey::from).is_ok())
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Kind, MovieId, TimeMs};

    use super::*;

    fn event(user_id: UserId, movie_id: MovieId, time_ms: TimeMs) -> Interaction {
        Interaction { user_id, movie_id, time_ms, kind: Kind::View, rating: None }
    }

    fn consistency_token(events: &[Interaction]) -> ConsistencyToken {
        let mut consistency_token = ConsistencyToken::default();
        consistency_token.add(events);
        consistency_token
    }

    /// The profile of user 1 after these events.
    fn profile(events: &[Interaction], asked: usize) -> Profile {
        Profile {
            newest: events[events.len().saturating_sub(asked)..].to_vec(),
            seen: events.iter().map(|event| event.movie_id).collect(),
            ..Profile::default()
        }
    }

    #[test]
    fn a_profile_contains_the_write_or_not() {
        let events = [event(1, 10, 5), event(1, 20, 6), event(1, 30, 7)];
        for written in events {
            assert!(consistency_token(&[written]).is_in(1, &profile(&events, 10), 10));
        }
        assert!(!consistency_token(&[events[2]]).is_in(1, &profile(&events[..2], 10), 10));
        assert!(!consistency_token(&[event(1, 10, 6)]).is_in(1, &profile(&events, 10), 10));
    }

    #[test]
    fn an_event_older_than_all_of_the_newest_need_only_be_seen() {
        let events = [event(1, 10, 5), event(1, 20, 6), event(1, 30, 7)];
        assert!(consistency_token(&[events[0]]).is_in(1, &profile(&events, 2), 2));
        assert!(!consistency_token(&[event(1, 40, 1)]).is_in(1, &profile(&events, 2), 2));
    }

    #[test]
    fn other_users_writes_do_not_matter() {
        assert!(consistency_token(&[event(2, 10, 5)]).is_in(1, &Profile::default(), 10));
        assert!(ConsistencyToken::default().is_in(1, &Profile::default(), 10));
    }

    #[test]
    fn of_several_writes_of_a_user_the_last_is_named() {
        let (first, last) = (event(1, 10, 9), event(1, 20, 5));
        assert_eq!(
            consistency_token(&[first, last]),
            ConsistencyToken::Events(vec![(1, EventKey::from(&last))])
        );
    }

    #[test]
    fn writes_of_many_users_are_only_satisfied_by_the_store() {
        let events: Vec<_> = (0..=MAX_USERS as u64).map(|user| event(user, 10, 5)).collect();
        assert_ne!(consistency_token(&events[1..]), ConsistencyToken::Stored);
        let consistency_token = consistency_token(&events);
        assert_eq!(consistency_token, ConsistencyToken::Stored);
        assert!(!consistency_token.is_in(100, &profile(&[event(100, 10, 5)], 10), 10));
    }
}
