//! When to leave a server alone that does not answer.
//!
//! After [`FAILURES_TO_OPEN`] failures in a row nothing is sent for [`REST`]; then one command may try,
//! and its outcome decides: a success closes the circuit, a failure starts the next rest. A trial whose
//! caller went away costs one rest more and nothing else.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open the circuit.
const FAILURES_TO_OPEN: u32 = 5;

/// How long nothing is sent once the circuit is open.
const REST: Duration = Duration::from_millis(250);

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// From now on commands are refused.
    Opened,
    /// From now on commands are sent again.
    Closed,
}

/// A circuit breaker, shared by all callers.
#[derive(Default)]
pub(super) struct Breaker {
    circuit: Mutex<Circuit>,
}

#[derive(Default)]
struct Circuit {
    failures: u32,
    /// When the next trial may go out; `None` while the circuit is closed.
    trial_at: Option<Instant>,
}

impl Breaker {
    /// Whether a command may be sent now.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.with(|circuit| match circuit.trial_at {
            None => true,
            Some(trial_at) if now < trial_at => false,
            Some(_) => {
                circuit.trial_at = Some(now + REST);
                true
            }
        })
    }

    /// A command was answered.
    pub(super) fn succeeded(&self) -> Option<Change> {
        self.with(|circuit| {
            let was_open = circuit.trial_at.is_some();
            *circuit = Circuit::default();
            was_open.then_some(Change::Closed)
        })
    }

    /// A command was not answered.
    pub(super) fn failed(&self, now: Instant) -> Option<Change> {
        self.with(|circuit| {
            circuit.failures += 1;
            if circuit.failures < FAILURES_TO_OPEN {
                return None;
            }
            let was_open = circuit.trial_at.replace(now + REST).is_some();
            (!was_open).then_some(Change::Opened)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Circuit) -> T) -> T {
        act(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(breaker.failed(now), None);
        }
        assert_eq!(breaker.failed(now), Some(Change::Opened));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_the_circuit() {
        let now = Instant::now();
        assert!(!open(now).admits(now));
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_TO_OPEN {
            breaker.failed(now);
            assert_eq!(breaker.succeeded(), None);
        }
        assert!(breaker.admits(now));
    }

    #[test]
    fn after_a_rest_one_trial_goes_out() {
        let now = Instant::now();
        let breaker = open(now);
        assert!(breaker.admits(now + REST));
        assert!(!breaker.admits(now + REST));
    }

    #[test]
    fn a_trial_that_succeeds_closes_the_circuit() {
        let now = Instant::now();
        let breaker = open(now);
        assert!(breaker.admits(now + REST));
        assert_eq!(breaker.succeeded(), Some(Change::Closed));
        assert!(breaker.admits(now + REST));
    }

    #[test]
    fn a_trial_that_fails_or_is_given_up_starts_the_next_rest() {
        let now = Instant::now();
        let breaker = open(now);
        assert!(breaker.admits(now + REST));
        assert_eq!(breaker.failed(now + REST), None);
        assert!(!breaker.admits(now + REST));
        assert!(breaker.admits(now + 2 * REST));
        assert!(breaker.admits(now + 3 * REST));
    }
}
