//! Page tokens: opaque to callers, checked when they come back.
//!
//! A token is the hexadecimal form of a tag, which says what list it is of, and the key after which
//! the page goes on. A token of another list or a damaged one is an invalid argument.

use super::ApiError;
use crate::catalog::After;
use crate::domain::Kind;
use crate::store::EventKey;

const MOVIES: u8 = b'm';
const EVENTS: u8 = b'e';

/// The token of a list of movies.
pub(super) fn movies_token(after: After) -> String {
    let mut bytes = vec![MOVIES];
    bytes.extend(after.score.to_bits().to_be_bytes());
    bytes.extend(after.movie_id.to_be_bytes());
    hex::encode(bytes)
}

/// Where a list of movies goes on; `None` for the first page.
pub(super) fn movies_after(token: &str) -> Result<Option<After>, ApiError> {
    parse::<12, _>(token, MOVIES, |[a, b, c, d, e, f, g, h, i, j, k, l]| {
        let score = f64::from_bits(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        Some(After { score, movie_id: u32::from_be_bytes([i, j, k, l]) })
    })
}

/// The token of a list of events.
pub(super) fn events_token(after: EventKey) -> String {
    let mut bytes = vec![EVENTS];
    bytes.extend(after.time_ms.to_be_bytes());
    bytes.extend(after.movie_id.to_be_bytes());
    bytes.push(after.kind as u8);
    hex::encode(bytes)
}

/// Where a list of events goes on; `None` for the first page.
pub(super) fn events_after(token: &str) -> Result<Option<EventKey>, ApiError> {
    parse::<13, _>(token, EVENTS, |[a, b, c, d, e, f, g, h, i, j, k, l, kind]| {
        Some(EventKey {
            time_ms: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            movie_id: u32::from_be_bytes([i, j, k, l]),
            kind: Kind::from_number(kind)?,
        })
    })
}

fn parse<const N: usize, T>(
    token: &str,
    tag: u8,
    read: impl FnOnce([u8; N]) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    hex::decode(token)
        .ok()
        .filter(|bytes| bytes.first() == Some(&tag))
        .and_then(|bytes| <[u8; N]>::try_from(&bytes[1..]).ok())
        .and_then(read)
        .map(Some)
        .ok_or_else(|| {
            ApiError::invalid("page_token", "is not one of this list; leave it empty for the first page")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        let after = After { score: 12.5, movie_id: 2571 };
        assert_eq!(movies_after(&movies_token(after)).unwrap(), Some(after));
        let key = EventKey { time_ms: -5, movie_id: 7, kind: Kind::Like };
        assert_eq!(events_after(&events_token(key)).unwrap(), Some(key));
        assert_eq!(movies_after("").unwrap(), None);
    }

    #[test]
    fn a_foreign_or_damaged_token_is_refused() {
        let foreign = events_token(EventKey { time_ms: 0, movie_id: 7, kind: Kind::Like });
        for token in [foreign.as_str(), "6d", "zz", "6d0", "ü", "6d00"] {
            assert!(movies_after(token).is_err(), "{token}");
        }
    }
}
