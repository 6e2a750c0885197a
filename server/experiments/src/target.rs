//! Whom an experiment is for.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Who takes part, of those whose place it is. All that it says must hold; one that says nothing is for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// For each label, the values that it may have. A request that does not say the label takes no part.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Fewest events of the unit's history.
    pub events_min: Option<u64>,
    /// Most events of the unit's history; 0 is for new users alone.
    pub events_max: Option<u64>,
}

/// What is known of who asks.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What the request says of itself, such as country and device.
    pub labels: &'a HashMap<String, String>,
    /// How many events its history has.
    pub events: u64,
}

impl Target {
    /// Whether it asks for the number of events, which is known later than labels are.
    pub fn asks_for_events(&self) -> bool {
        self.events_min.is_some() || self.events_max.is_some()
    }

    /// Whether the subject takes part.
    pub fn holds(&self, subject: &Subject<'_>) -> bool {
        let events = self.events_min.unwrap_or(0)..=self.events_max.unwrap_or(u64::MAX);
        events.contains(&subject.events)
            && self.labels.iter().all(|(label, allowed)| {
                subject.labels.get(label).is_some_and(|value| allowed.contains(value))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(said: &[(&str, &str)]) -> HashMap<String, String> {
        said.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let allowed = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let target = Target {
            labels: [("country".to_owned(), allowed(&["DE", "AT"])), ("device".to_owned(), allowed(&["tv"]))]
                .into(),
            events_min: Some(5),
            events_max: None,
        };
        let holds = |said: &[(&str, &str)], events| target.holds(&Subject { labels: &labels(said), events });
        assert!(holds(&[("country", "AT"), ("device", "tv"), ("other", "x")], 5));
        assert!(!holds(&[("country", "FR"), ("device", "tv")], 5));
        assert!(!holds(&[("country", "AT")], 5));
        assert!(!holds(&[("country", "AT"), ("device", "tv")], 4));
    }

    #[test]
    fn a_target_that_says_nothing_is_for_all() {
        assert!(Target::default().holds(&Subject { labels: &labels(&[]), events: 0 }));
    }
}
