//! What is counted of one user in one experiment: a function of the user's own history.
//!
//! The row is computed anew from the history whenever the user did something, so that what is seen twice counts once
//! and what was missed is made up for.

use marquee_core::domain::{Interaction, Kind, TimeMs};
use marquee_experiments::{Amount, Row as Values};
use serde::{Deserialize, Serialize};

use super::definition::{Definition, Metric, What};

/// The row of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UserRow {
    /// The place of the arm of the first answer.
    pub(super) arm: usize,
    /// When that was.
    pub(super) first_ms: TimeMs,
    /// By which shares the user was divided.
    pub(super) phase: u32,
    /// Whether there was an answer of another arm later.
    #[serde(default)]
    pub(super) crossed: bool,
    /// For each metric, what the user counts for, and what is beside that.
    pub(super) values: Vec<(Amount, Amount)>,
}

impl UserRow {
    /// The row of a user with a first answer, before anything is counted.
    pub(super) fn new(arm: usize, first_ms: TimeMs, phase: u32) -> Self {
        Self { arm, first_ms, phase, crossed: false, values: Vec::new() }
    }

    /// Counts what the user did, before the first answer and since.
    pub(super) fn count(&mut self, definition: &Definition, events: &[Interaction]) {
        let window = definition.window_ms;
        let within = |from: TimeMs, until: TimeMs| {
            events.iter().filter(move |event| (from..until).contains(&event.time_ms))
        };
        let first = self.first_ms;
        let values = definition.metrics.iter().map(|metric| {
            let after = within(first, first.saturating_add(window));
            let before = within(first.saturating_sub(window), first);
            metric.of(after, before)
        });
        self.values = values.collect();
    }

    /// What the user adds to the sums of each metric.
    pub(super) fn values(&self) -> impl Iterator<Item = Values> {
        self.values.iter().map(|(value, other)| Values { value: *value, other: *other })
    }
}

impl Metric {
    /// What a user counts for, and what is beside that: what was done before, or the number of ratings.
    fn of<'a>(
        &self,
        after: impl Iterator<Item = &'a Interaction>,
        before: impl Iterator<Item = &'a Interaction>,
    ) -> (Amount, Amount) {
        match self.what {
            What::Conversion => {
                let did = after.into_iter().any(|event| self.counts(event.kind));
                (if did { Amount::ONE } else { Amount::ZERO }, Amount::ZERO)
            }
            What::Count | What::Value => (self.capped(self.worth(after)), self.capped(self.worth(before))),
            What::MeanRating => {
                let ratings = after.filter(|event| event.kind == Kind::Rating);
                let stars = ratings.filter_map(|event| Some(event.rating?.stars()));
                let sums = stars.fold((0.0, 0.0), |(sum, count), stars| (sum + stars, count + 1.0));
                (Amount::new(sums.0), Amount::new(sums.1))
            }
        }
    }

    fn worth<'a>(&self, events: impl Iterator<Item = &'a Interaction>) -> f64 {
        let counted = events.filter(|event| self.counts(event.kind));
        match self.what {
            What::Value => counted.map(|event| self.value_of(event.kind)).sum(),
            _ => counted.count() as f64,
        }
    }

    fn capped(&self, value: f64) -> Amount {
        Amount::new(self.cap.map_or(value, |cap| value.min(cap)))
    }
}
