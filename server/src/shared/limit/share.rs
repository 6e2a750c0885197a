//! How many calls in flight a caller may have, so that none takes the places of all others.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::Counter;

use super::{METHOD, SHARE_TAKEN};

/// A share as it is written: calls, or a part of those that may wait for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many calls.
    Calls(u32),
    /// So many of a hundred that may wait.
    Percent(u32),
}

/// Why a text is not a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a share; write a number of calls, or a part of queue-limit, as 64 or 25%")]
pub struct ShareError(String);

impl Share {
    /// In calls, where so many may wait; one at least.
    pub fn of(self, queue_limit: usize) -> usize {
        match self {
            Self::Calls(calls) => calls as usize,
            Self::Percent(percent) => (queue_limit.saturating_mul(percent as usize) / 100).max(1),
        }
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let wrong = || ShareError(text.to_owned());
        let number = |text: &str, most: u32| {
            text.parse::<u32>().ok().filter(|number| (1..=most).contains(number)).ok_or_else(wrong)
        };
        match text.strip_suffix('%') {
            Some(percent) => Ok(Self::Percent(number(percent, 100)?)),
            None => Ok(Self::Calls(number(text, u32::MAX)?)),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => write!(f, "{calls}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// Who has how many calls in flight.
pub struct Shares {
    most: usize,
    held: Mutex<HashMap<String, usize>>,
    refused: Counter<u64>,
}

impl Shares {
    /// So many for each caller at most.
    pub fn new(most: usize) -> Self {
        Self { most, held: Mutex::default(), refused: SHARE_TAKEN.u64_counter() }
    }

    /// A place for a call of `method` by `caller`, until it is dropped; `None` where they have all that they may.
    pub fn take(self: &Arc<Self>, caller: String, method: &'static str) -> Option<Place> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = held.get(&caller).copied().unwrap_or_default();
        if calls >= self.most {
            self.refused.add(1, &[METHOD.is(method)]);
            return None;
        }
        held.insert(caller.clone(), calls + 1);
        Some(Place { shares: Arc::clone(self), caller })
    }

    fn give_back(&self, caller: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(caller) {
            Some(calls) if *calls > 1 => *calls -= 1,
            _ => _ = held.remove(caller),
        }
    }
}

/// The place of a call in flight.
pub struct Place {
    shares: Arc<Shares>,
    caller: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shares.give_back(&self.caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_reads_what_it_prints_and_is_one_call_at_least() {
        for (text, calls) in [("64", 64), ("25%", 256), ("100%", 1024), ("1", 1)] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.to_string().as_str(), share.of(1024)), (text, calls));
        }
        assert_eq!(Share::Percent(1).of(10), 1);
        for text in ["", "0", "0%", "101%", "-1", "%", "1.5", "x"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_caller_has_its_share_and_gets_back_what_it_gives_back() {
        let shares = Arc::new(Shares::new(2));
        let take = |caller: &str| shares.take(caller.to_owned(), "method");
        let (one, two) = (take("a").unwrap(), take("a").unwrap());
        assert!(take("a").is_none());
        assert!(take("b").is_some(), "another one has a share of its own");
        drop(one);
        let three = take("a").unwrap();
        assert!(take("a").is_none());
        drop((two, three));
        assert!(shares.held.lock().unwrap().is_empty(), "who calls no more takes no room");
    }
}
