//! Places for callers who stay: so many in all, and a share of them for each origin, so that one caller leaves
//! room for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::edge::ApiError;
use crate::edge::layers::Origin;

/// One origin has one part of so many of the places.
const SHARES: usize = 4;

/// Places, and who has them.
#[derive(Clone)]
pub(super) struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_origin: HashMap<Origin, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All are taken.
    Full,
    /// The origin has its share.
    Share,
}

/// When a refused watcher may try again.
const RETRY: Duration = Duration::from_secs(5);

impl From<NoPlace> for ApiError {
    fn from(why: NoPlace) -> Self {
        match why {
            NoPlace::Full => Self::TooManyWatchers { retry_after: RETRY },
            NoPlace::Share => Self::TooManyWatchersOfAddress { retry_after: RETRY },
        }
    }
}

/// A place, free again when this is dropped.
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    origin: Origin,
}

impl Places {
    /// So many places.
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place for a caller from there.
    pub(super) fn take(&self, origin: Origin) -> Result<Place, NoPlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_origin = taken.by_origin.get(&origin).copied().unwrap_or_default();
        if taken.all >= self.most {
            return Err(NoPlace::Full);
        }
        if of_origin >= self.most.div_ceil(SHARES) {
            return Err(NoPlace::Share);
        }
        taken.all += 1;
        taken.by_origin.insert(origin, of_origin + 1);
        Ok(Place { taken: Arc::clone(&self.taken), origin })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(of_origin) = taken.by_origin.get_mut(&self.origin) {
            *of_origin -= 1;
            if *of_origin == 0 {
                taken.by_origin.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::from(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_origin_has_a_quarter_and_leaves_the_others_room() {
        let places = Places::new(8);
        let greedy: Vec<_> = (0..2).map(|_| places.take(origin(1)).ok()).collect();
        assert_eq!(places.take(origin(1)).err(), Some(NoPlace::Share));
        let others: Vec<_> = (2..8).map(|last| places.take(origin(last)).ok()).collect();
        assert!(greedy.iter().chain(&others).all(Option::is_some));
        assert_eq!(places.take(origin(8)).err(), Some(NoPlace::Full));
    }

    #[test]
    fn a_place_that_is_left_is_free_again() {
        let places = Places::new(1);
        let place = places.take(origin(1));
        assert_eq!(places.take(origin(2)).err(), Some(NoPlace::Full));
        drop(place);
        assert!(places.taken.lock().unwrap().by_origin.is_empty());
        assert!(places.take(origin(2)).is_ok());
    }
}
