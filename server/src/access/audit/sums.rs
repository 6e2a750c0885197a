//! Refusals of callers whom nobody knows, summed up: anybody can have as many as they like.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use marquee_core::domain::TimeMs;

use super::{Entry, Record};

/// Sums that are kept apart by where their calls come from; more places than that have one sum a method.
const APART: usize = 1_000;

/// Where all other calls come from.
const ELSEWHERE: &str = "elsewhere";

/// What has been summed up.
#[derive(Default)]
pub(super) struct Sums(Mutex<HashMap<Alike, u64>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Alike {
    origin: String,
    method: &'static str,
    outcome: &'static str,
}

/// Calls that are alike.
pub(super) struct Sum {
    alike: Alike,
    /// How many.
    pub(super) calls: u64,
}

impl Sums {
    /// Adds a refusal.
    pub(super) fn add(&self, entry: &Entry) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alike = Alike { origin: entry.origin.clone(), method: entry.method, outcome: entry.outcome };
        if sums.len() >= APART && !sums.contains_key(&alike) {
            ELSEWHERE.clone_into(&mut alike.origin);
        }
        *sums.entry(alike).or_default() += 1;
    }

    /// All sums, which begin anew.
    pub(super) fn take(&self) -> Vec<Sum> {
        let sums = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        sums.into_iter().map(|(alike, calls)| Sum { alike, calls }).collect()
    }
}

impl Sum {
    /// Its record, at the end of its minute.
    pub(super) fn record(self, time_ms: TimeMs) -> Record {
        let Alike { origin, method, outcome } = self.alike;
        Record {
            time_ms,
            caller: None,
            origin,
            method: method.to_owned(),
            user: None,
            request_id: None,
            outcome: outcome.to_owned(),
            calls: self.calls,
        }
    }
}
