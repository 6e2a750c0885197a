//! Page tokens: opaque to callers, checked when they come back.
//!
//! A token is the hexadecimal form of the list that it is of and of the key after which the page goes on.
//! The list is a hash of the method and of all its arguments but the page's own, so that a token that was
//! given for another user, another filter or by another method is an invalid argument, and not a page of
//! something that nobody asked for.

use marquee_core::domain::{EventKey, Kind, UserId};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use super::ApiError;
use crate::access::audit::Place;
use crate::catalog::After;
use crate::registry;
use crate::rules::RulePlace;

/// Bytes of the hash that stands for a list.
const LIST_BYTES: usize = 8;

/// What a token goes on with: the answers of one method to one set of arguments.
#[derive(Clone, Copy)]
pub(super) struct List([u8; LIST_BYTES]);

impl List {
    /// The list of a method; `arguments` is its request without page size and page token.
    pub(super) fn of(method: &str, arguments: &impl Message) -> Self {
        let mut hash = Xxh3::new();
        hash.update(method.as_bytes());
        hash.update(&[0]);
        hash.update(&arguments.encode_to_vec());
        Self(hash.digest().to_be_bytes())
    }

    /// The token for what comes after this movie.
    pub(super) fn movies_token(self, after: After) -> String {
        let mut key = self.0.to_vec();
        key.extend(after.score.to_bits().to_be_bytes());
        key.extend(after.movie_id.to_be_bytes());
        hex::encode(key)
    }

    /// Where a list of movies goes on; `None` for the first page.
    pub(super) fn movies_after(self, token: &str) -> Result<Option<After>, ApiError> {
        self.parse::<12, _>(token, |[a, b, c, d, e, f, g, h, i, j, k, l]| {
            let score = f64::from_bits(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
            Some(After { score, movie_id: u32::from_be_bytes([i, j, k, l]) })
        })
    }

    /// The token for what comes after this user.
    pub(super) fn users_token(self, after: UserId) -> String {
        let mut key = self.0.to_vec();
        key.extend(after.to_be_bytes());
        hex::encode(key)
    }

    /// Where a list of users goes on; `None` for the first page.
    pub(super) fn users_after(self, token: &str) -> Result<Option<UserId>, ApiError> {
        self.parse::<8, _>(token, |user_id| Some(UserId::from_be_bytes(user_id)))
    }

    /// The token for what comes after this event.
    pub(super) fn events_token(self, after: EventKey) -> String {
        let mut key = self.0.to_vec();
        key.extend(after.time_ms.to_be_bytes());
        key.extend(after.movie_id.to_be_bytes());
        key.push(after.kind as u8);
        hex::encode(key)
    }

    /// Where a list of events goes on; `None` for the first page.
    pub(super) fn events_after(self, token: &str) -> Result<Option<EventKey>, ApiError> {
        self.parse::<13, _>(token, |[a, b, c, d, e, f, g, h, i, j, k, l, kind]| {
            Some(EventKey {
                time_ms: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
                movie_id: u32::from_be_bytes([i, j, k, l]),
                kind: Kind::from_number(kind)?,
            })
        })
    }

    /// The token for what comes after this rule.
    pub(super) fn rules_token(self, after: RulePlace<'_>) -> String {
        let mut key = self.0.to_vec();
        key.extend(after.priority.0.to_be_bytes());
        key.extend(after.rule_id.as_bytes());
        hex::encode(key)
    }

    /// Where a list of rules goes on, the priority and the name of a rule; `None` for the first page.
    pub(super) fn rules_after(self, token: &str) -> Result<Option<(i32, String)>, ApiError> {
        self.read(token, |key| {
            let (priority, rule_id) = key.split_first_chunk()?;
            Some((i32::from_be_bytes(*priority), str::from_utf8(rule_id).ok()?.to_owned()))
        })
    }

    /// The token for what comes after this name.
    pub(super) fn names_token(self, after: &str) -> String {
        let mut key = self.0.to_vec();
        key.extend(after.as_bytes());
        hex::encode(key)
    }

    /// Where a list by name goes on; `None` for the first page.
    pub(super) fn names_after(self, token: &str) -> Result<Option<String>, ApiError> {
        self.read(token, |name| Some(str::from_utf8(name).ok()?.to_owned()))
    }

    /// The token for what comes after this record of the audit.
    pub(super) fn records_token(self, after: &Place) -> String {
        let mut key = self.0.to_vec();
        key.extend(after.day.to_be_bytes());
        key.extend(after.key.as_bytes());
        hex::encode(key)
    }

    /// Where a list of records goes on; `None` for the first page.
    pub(super) fn records_after(self, token: &str) -> Result<Option<Place>, ApiError> {
        self.read(token, |key| {
            let (day, key) = key.split_first_chunk()?;
            Some(Place { day: i64::from_be_bytes(*day), key: str::from_utf8(key).ok()?.to_owned() })
        })
    }

    /// The token for what comes after this version of a model.
    pub(super) fn versions_token(self, after: &registry::Place) -> String {
        let mut key = self.0.to_vec();
        key.extend(format!("{}/{}", after.version, after.name).into_bytes());
        hex::encode(key)
    }

    /// Where a list of versions goes on; `None` for the first page.
    pub(super) fn versions_after(self, token: &str) -> Result<Option<registry::Place>, ApiError> {
        self.read(token, |key| {
            let (version, name) = str::from_utf8(key).ok()?.split_once('/')?;
            Some(registry::Place { version: version.to_owned(), name: name.to_owned() })
        })
    }

    /// The token for what comes after this job.
    pub(super) fn jobs_token(self, after: &str) -> String {
        let mut key = self.0.to_vec();
        key.extend(after.as_bytes());
        hex::encode(key)
    }

    /// Where a list of jobs goes on, the name of one; `None` for the first page.
    pub(super) fn jobs_after(self, token: &str) -> Result<Option<String>, ApiError> {
        self.read(token, |key| str::from_utf8(key).ok().map(str::to_owned))
    }

    fn parse<const N: usize, T>(
        self,
        token: &str,
        read: impl FnOnce([u8; N]) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        self.read(token, |key| key.try_into().ok().and_then(read))
    }

    fn read<T>(self, token: &str, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>, ApiError> {
        if token.is_empty() {
            return Ok(None);
        }
        hex::decode(token)
            .ok()
            .as_deref()
            .and_then(|bytes| bytes.strip_prefix(&self.0))
            .and_then(read)
            .map(Some)
            .ok_or_else(|| {
                ApiError::invalid(
                    "page_token",
                    "is not one that this list gave for these arguments; repeat those of the page before, or \
                     leave it empty for the first page",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use marquee_proto::v1;

    use super::*;

    const AFTER: After = After { score: 12.5, movie_id: 2571 };

    fn of_user(user_id: u64) -> List {
        List::of("ListHistory", &v1::GetUserRequest { user: Some(user_id.into()) })
    }

    #[test]
    fn a_token_comes_back_as_it_went() {
        let list = of_user(1);
        assert_eq!(list.movies_after(&list.movies_token(AFTER)).unwrap(), Some(AFTER));
        let key = EventKey { time_ms: -5, movie_id: 7, kind: Kind::Like };
        assert_eq!(list.events_after(&list.events_token(key)).unwrap(), Some(key));
        assert_eq!(list.users_after(&list.users_token(u64::MAX)).unwrap(), Some(u64::MAX));
        assert_eq!(list.movies_after("").unwrap(), None);
    }

    #[test]
    fn a_token_of_another_method_or_other_arguments_is_refused() {
        let token = of_user(1).movies_token(AFTER);
        assert!(of_user(2).movies_after(&token).is_err());
        let other_method = List::of("ListTrendingMovies", &v1::GetUserRequest { user: Some(1.into()) });
        assert!(other_method.movies_after(&token).is_err());
    }

    #[test]
    fn a_damaged_token_is_refused() {
        let list = of_user(1);
        let token = list.movies_token(AFTER);
        let of_events = list.events_token(EventKey { time_ms: 0, movie_id: 7, kind: Kind::Like });
        for damaged in [&token[1..], &token[2..], &token[..16], of_events.as_str(), "zz", "6d0", "ü"] {
            assert!(list.movies_after(damaged).is_err(), "{damaged}");
        }
    }
}
