//! What an import by a map did, to be printed.

use std::fmt;
use std::time::Duration;

use super::left_out::{LeftOut, PassedOver};
use super::look::Look;

/// What an import by a map did. Printed, it is a few lines for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedReport {
    /// Items that were read.
    pub items: u64,
    /// Items that the store did not have before.
    pub new_items: u64,
    /// Events that were stored.
    pub events: u64,
    /// Of these, events that the store had already.
    pub duplicates: u64,
    /// Users of the events.
    pub users: u64,
    /// Rows that were left out.
    pub left_out: LeftOut,
    /// Files of the folder that were not read.
    pub passed_over: PassedOver,
    /// How long it took.
    pub elapsed: Duration,
}

impl MappedReport {
    pub(super) fn of(look: &Look) -> Self {
        Self {
            items: look.items(),
            users: look.users,
            left_out: look.left_out.clone(),
            passed_over: look.passed_over.clone(),
            ..Self::default()
        }
    }
}

impl fmt::Display for MappedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} items ({} new)", self.items, self.new_items)?;
        writeln!(
            f,
            "{} interactions of {} users ({} of them known before)",
            self.events, self.users, self.duplicates
        )?;
        write!(f, "{}{}in {:.1} s", self.left_out, self.passed_over, self.elapsed.as_secs_f64())
    }
}
