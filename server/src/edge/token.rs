//! Consistency tokens: what a write hands out, so that a later read anywhere reflects it.
//!
//! A token is the write's [`ConsistencyToken`] in hexadecimal behind `v1.`: for each user that is named the user, the
//! time, the movie and the kind of the last event. Whoever changes a token only changes what is read
//! from the store instead of a cache.

use bytes::{Buf as _, BufMut as _};
use marquee_core::domain::{EventKey, Kind};

use super::ApiError;
use crate::profiles::{ConsistencyToken, MAX_USERS};

const PREFIX: &str = "v1.";

/// The whole token of [`ConsistencyToken::Stored`].
const STORED: &str = "v1.stored";

/// User, time, movie, kind.
const EVENT_BYTES: usize = 8 + 8 + 4 + 1;

/// The text of a consistency token.
pub(super) fn of(consistency_token: &ConsistencyToken) -> String {
    let ConsistencyToken::Events(events) = consistency_token else { return STORED.to_owned() };
    let mut bytes = Vec::with_capacity(EVENT_BYTES * events.len());
    for (user_id, key) in events {
        bytes.put_u64(*user_id);
        bytes.put_i64(key.time_ms);
        bytes.put_u32(key.movie_id);
        bytes.put_u8(key.kind as u8);
    }
    format!("{PREFIX}{}", hex::encode(bytes))
}

/// What the token of a request names; nothing for no token.
pub(super) fn read(token: &str) -> Result<ConsistencyToken, ApiError> {
    if token.is_empty() {
        return Ok(ConsistencyToken::default());
    }
    if token == STORED {
        return Ok(ConsistencyToken::Stored);
    }
    token.strip_prefix(PREFIX).and_then(events).map(ConsistencyToken::Events).ok_or_else(|| {
        ApiError::invalid(
            "consistency_token",
            "is not one that this server gave; send back what a write answered",
        )
    })
}

fn events(token: &str) -> Option<Vec<(u64, EventKey)>> {
    let bytes = hex::decode(token).ok()?;
    let (events, []) = bytes.as_chunks::<EVENT_BYTES>() else { return None };
    if !(1..=MAX_USERS).contains(&events.len()) {
        return None;
    }
    let event = |mut bytes: &[u8]| {
        let (user_id, time_ms, movie_id) = (bytes.get_u64(), bytes.get_i64(), bytes.get_u32());
        let kind = Kind::from_number(bytes.get_u8())?;
        Some((user_id, EventKey { time_ms, movie_id, kind }))
    };
    events.iter().map(|bytes| event(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_its_mark() {
        let key = EventKey { time_ms: -5, movie_id: 7, kind: Kind::Hide };
        for consistency_token in
            [ConsistencyToken::Events(vec![(1, key), (u64::MAX, key)]), ConsistencyToken::Stored]
        {
            assert_eq!(read(&of(&consistency_token)).unwrap(), consistency_token);
        }
        assert_eq!(read("").unwrap(), ConsistencyToken::default());
    }

    #[test]
    fn another_text_is_refused() {
        let good =
            of(&ConsistencyToken::Events(vec![(1, EventKey { time_ms: 1, movie_id: 1, kind: Kind::View })]));
        let bad_kind = format!("{}ff", &good[..good.len() - 2]);
        for token in ["v1.", "v2.00", "v1.xyz", "v1.00", &good[1..], &good[..good.len() - 2], &bad_kind] {
            assert!(read(token).is_err(), "{token}");
        }
    }
}
