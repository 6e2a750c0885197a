//! Keys of callers in requests: whoever knows users and movies by texts of their own names them by these in the place of
//! numbers. Keys become numbers at one place, before anything else is asked of a request.
//!
//! ```
//! use marquee_proto::{Keyed, Numbers, v1};
//!
//! struct Catalogue;
//! impl Numbers for Catalogue {
//!     fn user(&mut self, _: &str, _: &str) -> Option<u64> {
//!         Some(7)
//!     }
//!     fn movie(&mut self, _: &str, key: &str) -> Option<u32> {
//!         (key == "heat-1995").then_some(6)
//!     }
//!     fn listed_user(&mut self, _: &str, _: usize, _: &str) -> u64 {
//!         7
//!     }
//!     fn listed_movie(&mut self, _: &str, _: usize, key: &str) -> u32 {
//!         if key == "heat-1995" { 6 } else { u32::MAX }
//!     }
//! }
//!
//! let mut request = v1::GetMovieRequest { movie: Some("heat-1995".to_owned().into()) };
//! request.number_keys(&mut Catalogue);
//! assert_eq!(request.movie_id(), 6);
//! ```

#![allow(clippy::pedantic)]

use crate::v1;

/// The most bytes of a key.
pub const MAX_KEY_BYTES: usize = 256;

/// Whether a text may be a key.
pub fn is_key(text: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&text.len())
}

/// What numbers keys have. It is asked for texts of any length, see [`is_key`], and told the field that holds each.
pub trait Numbers {
    /// The number of a user; `None` leaves the key where it is.
    fn user(&mut self, field: &'static str, key: &str) -> Option<u64>;

    /// The number of a movie; `None` leaves the key where it is.
    fn movie(&mut self, field: &'static str, key: &str) -> Option<u32>;

    /// The number of a user at a place of a list.
    fn listed_user(&mut self, field: &'static str, index: usize, key: &str) -> u64;

    /// The number of a movie at a place of a list; of one that nobody knows, a number that no movie has.
    fn listed_movie(&mut self, field: &'static str, index: usize, key: &str) -> u32;

    /// What follows stands in the message of this field, in that at this place where the field is a list.
    fn enter(&mut self, field: &'static str, index: Option<usize>) {
        let _ = (field, index);
    }

    /// What follows stands in the message around again.
    fn leave(&mut self) {}
}

/// A message that may name users and movies by keys.
pub trait Keyed {
    /// Puts numbers in the place of all keys, within lists and messages too: those of a list follow its numbers, and one
    /// that stands among these already adds nothing, unless the list is a history.
    fn number_keys(&mut self, numbers: &mut dyn Numbers);
}

include!(concat!(env!("OUT_DIR"), "/keyed.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    /// Users have the length of their key, movies too; the movie `gone` is unknown.
    struct Lengths;

    impl Numbers for Lengths {
        fn user(&mut self, field: &'static str, key: &str) -> Option<u64> {
            Some(self.listed_user(field, 0, key))
        }

        fn movie(&mut self, _: &'static str, key: &str) -> Option<u32> {
            (key != "gone").then_some(key.len() as u32)
        }

        fn listed_user(&mut self, _: &'static str, _: usize, key: &str) -> u64 {
            key.len() as u64
        }

        fn listed_movie(&mut self, field: &'static str, _: usize, key: &str) -> u32 {
            self.movie(field, key).unwrap_or(u32::MAX)
        }
    }

    #[test]
    fn keys_become_numbers_wherever_they_stand() {
        let filter = v1::Filter { deny_movie_keys: vec!["abc".to_owned()], ..Default::default() };
        let history =
            v1::History { movie_ids: vec![9], movie_keys: vec!["ab".to_owned(), "gone".to_owned()] };
        let mut batch = v1::RecommendBatchRequest {
            requests: vec![
                v1::RecommendRequest {
                    subject: Some("anna".to_owned().into()),
                    filter: Some(filter),
                    ..Default::default()
                },
                v1::RecommendRequest { subject: Some(history.into()), ..Default::default() },
            ],
        };
        batch.number_keys(&mut Lengths);
        assert_eq!(batch.requests[0].user_id(), 4);
        assert_eq!(batch.requests[0].filter.as_ref().unwrap().deny_movie_ids, [3]);
        let Some(v1::recommend_request::Subject::History(history)) = &batch.requests[1].subject else {
            panic!("a history stays one")
        };
        assert_eq!((&history.movie_ids[..], history.movie_keys.len()), (&[9, 2, u32::MAX][..], 0));
    }

    #[test]
    fn a_movie_that_stands_by_its_number_and_by_its_key_stands_once_but_in_a_history() {
        let keys = || vec!["abc".to_owned(), "ab".to_owned()];
        let mut pin = v1::Pin { movie_ids: vec![3, 9], movie_keys: keys() };
        pin.number_keys(&mut Lengths);
        assert_eq!(pin.movie_ids, [3, 9, 2]);
        let mut history = v1::History { movie_ids: vec![3, 9], movie_keys: keys() };
        history.number_keys(&mut Lengths);
        assert_eq!(history.movie_ids, [3, 9, 3, 2]);
    }

    #[test]
    fn a_key_that_nobody_knows_stays_where_it_is() {
        let mut request = v1::GetMovieRequest { movie: Some("gone".to_owned().into()) };
        request.number_keys(&mut Lengths);
        assert_eq!(request, v1::GetMovieRequest { movie: Some("gone".to_owned().into()) });
    }
}
