//! Figures by name, several rounds each, and what is said of them: median, least and most.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The figures of all rounds.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    rounds: BTreeMap<&'static str, Vec<f64>>,
}

/// One figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The one in the middle; the mean of both when there are two.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of the values of all rounds; `None` when there was none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let half = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Some(Self { least, median, most })
    }
}

impl Figures {
    /// Adds what a round found.
    pub fn add(&mut self, name: &'static str, value: f64) {
        self.rounds.entry(name).or_default().push(value);
    }

    /// What was found; `None` when it was not measured.
    pub fn spread(&self, name: &str) -> Option<Spread> {
        Spread::of(self.rounds.get(name)?)
    }

    /// The median; `None` when it was not measured.
    pub fn median(&self, name: &str) -> Option<f64> {
        self.spread(name).map(|spread| spread.median)
    }

    /// The figure of every round, with its spread.
    pub fn to_json(&self) -> Value {
        let one = |(name, rounds): (&&str, &Vec<f64>)| {
            let spread = self.spread(name)?;
            let value = json!({
                "median": spread.median, "least": spread.least, "most": spread.most, "rounds": rounds
            });
            Some(((*name).to_owned(), value))
        };
        Value::Object(self.rounds.iter().filter_map(one).collect())
    }
}

/// Three or four figures that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_rounds() {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 2.0] {
            figures.add("odd", value);
        }
        for value in [4.0, 1.0] {
            figures.add("even", value);
        }
        assert_eq!(figures.spread("odd"), Some(Spread { least: 1.0, median: 2.0, most: 3.0 }));
        assert_eq!(figures.median("even"), Some(2.5));
        assert_eq!(figures.median("never"), None);
    }
}
