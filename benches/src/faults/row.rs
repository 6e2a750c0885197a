//! One fault: what is expected of the service, and what was seen.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::short;
use crate::many_nodes::aims::Bound;

/// What bounds of time and processor time are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timings {
    /// A row whose figure is beyond its bound is red.
    Count,
    /// They are printed: the machine or the build says nothing about the service.
    ArePrinted,
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub fault: String,
    /// What is expected, one word or sentence for each thing that was looked at.
    pub expected: Vec<String>,
    /// What was seen, in the same order.
    pub seen: Vec<String>,
    /// Whether all of it is as expected.
    pub ok: bool,
    /// All figures by name, in the units that the names say.
    pub figures: BTreeMap<String, f64>,
    #[serde(skip)]
    timings: Timings,
}

impl Row {
    /// A row about a fault, with nothing seen yet.
    pub fn new(fault: impl Into<String>, timings: Timings) -> Self {
        let (expected, seen, figures) = Default::default();
        Self { fault: fault.into(), expected, seen, ok: true, figures, timings }
    }

    /// Adds something that holds or does not, with what was seen in words.
    #[must_use]
    pub fn sees(mut self, expected: impl Into<String>, seen: impl Into<String>, ok: bool) -> Self {
        self.expected.push(expected.into());
        self.seen.push(seen.into());
        self.ok &= ok;
        self
    }

    /// Adds a count of what must not be.
    #[must_use]
    pub fn none(mut self, what: &str, name: &str, count: usize) -> Self {
        self.figures.insert(name.to_owned(), count as f64);
        self.sees(format!("no {what}"), count.to_string(), count == 0)
    }

    /// Adds a figure with its bound. `None` is a figure that this system does not tell, and harms nothing.
    #[must_use]
    pub fn within(mut self, what: &str, name: &str, bound: Bound, unit: &str, value: Option<f64>) -> Self {
        let expected = format!("{what} {bound} {unit}").trim_end().to_owned();
        let Some(value) = value else { return self.sees(expected, "not known here", true) };
        self.figures.insert(name.to_owned(), value);
        self.sees(expected, format!("{} {unit}", short(value)).trim_end(), bound.holds(value))
    }

    /// As [`Row::within`], of a figure that is a matter of time or processor time.
    #[must_use]
    pub fn timed(self, what: &str, name: &str, bound: Bound, unit: &str, value: Option<f64>) -> Self {
        let ok = self.ok;
        let printed = self.timings == Timings::ArePrinted;
        let row = self.within(what, name, bound, unit, value);
        if printed { Self { ok, ..row } } else { row }
    }

    /// Adds a figure that explains the others.
    #[must_use]
    pub fn figure(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.to_owned(), value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(timings: Timings) -> Row {
        Row::new("a fault", timings)
    }

    #[test]
    fn one_thing_that_is_not_as_expected_makes_a_row_red() {
        let good = row(Timings::Count).none("lost events", "lost", 0);
        assert!(good.ok && good.figures.get("lost") == Some(&0.0));
        assert!(!good.none("doubled events", "doubled", 1).sees("it starts", "it did", true).ok);
    }

    #[test]
    fn a_bound_is_judged_only_where_timings_count() {
        let slow = |timings| row(timings).timed("p99", "p99_ms", Bound::AtMost(10.0), "ms", Some(11.0));
        assert!(!slow(Timings::Count).ok);
        assert!(slow(Timings::ArePrinted).ok);
        assert_eq!(slow(Timings::Count).seen, ["11.0 ms"]);
        assert!(row(Timings::Count).within("p99", "p99_ms", Bound::AtMost(10.0), "ms", None).ok);
    }
}
