//! One rule: what it does, of which movies, where and when.

use std::cmp::Reverse;

use marquee_core::domain::{MovieId, NotShowable, TimeMs, showable};
use marquee_store::RuleRecord;
use serde::{Deserialize, Serialize};

use crate::catalog::Filter;

/// Characters of a rule's name at most.
const MAX_ID_LENGTH: usize = 64;

/// A rule. Stored, it is JSON of these names without the id: what a later program adds is passed over, and what an
/// earlier one did not say is as its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The caller's name of it.
    #[serde(skip)]
    pub rule_id: String,
    /// Why it is there, ready to show.
    pub reason: String,
    /// What it does.
    pub action: Action,
    /// Of which movies it holds, of those that the action names.
    #[serde(default)]
    pub filter: Filter,
    /// In which contexts it holds; everywhere when empty.
    #[serde(default)]
    pub contexts: Vec<String>,
    /// From when on it holds; from ever when `None`.
    #[serde(default)]
    pub start_ms: Option<TimeMs>,
    /// From when on it no longer holds; never when `None`.
    #[serde(default)]
    pub end_ms: Option<TimeMs>,
    /// Whether it holds at all.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// The greater goes first where two rules collide.
    #[serde(default)]
    pub priority: i32,
}

fn enabled() -> bool {
    true
}

/// What a rule does with movies. Where it may name none, it means all that pass its filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Shows them first, in this order.
    Pin {
        /// The movies; at least one.
        movie_ids: Vec<MovieId>,
    },
    /// Adds to their values.
    Boost {
        /// The movies.
        #[serde(default)]
        movie_ids: Vec<MovieId>,
        /// How much, above 0.
        weight: f64,
    },
    /// Pushes them down, or takes them out.
    Bury {
        /// The movies.
        #[serde(default)]
        movie_ids: Vec<MovieId>,
        /// What is taken off their values, above 0; they are taken out of answers when `None`.
        #[serde(default)]
        penalty: Option<f64>,
    },
}

impl Action {
    /// The movies that it names.
    pub fn movie_ids(&self) -> &[MovieId] {
        match self {
            Self::Pin { movie_ids } | Self::Boost { movie_ids, .. } | Self::Bury { movie_ids, .. } => {
                movie_ids
            }
        }
    }
}

/// What is wrong with a rule by itself; to be read after the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// The name is none.
    #[error("must be 1 to 64 lower-case letters, digits and hyphens")]
    Id,
    /// The reason cannot be shown.
    #[error(transparent)]
    Reason(NotShowable),
    /// A context cannot be shown.
    #[error(transparent)]
    Contexts(NotShowable),
    /// It names no movie to show.
    #[error("must name a movie")]
    NothingToPin,
    /// It is about no movie.
    #[error("must be there, or movie_ids: a rule that lifts or buries says of which movies")]
    NoMovies,
    /// It ends before it begins.
    #[error("must be after start_time")]
    Ends,
}

impl Rule {
    /// Finds what is wrong with the rule by itself.
    ///
    /// # Errors
    /// [`RuleFault`], the first one.
    pub fn check(&self) -> Result<(), RuleFault> {
        let is_allowed = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=MAX_ID_LENGTH).contains(&self.rule_id.len()) || !self.rule_id.bytes().all(is_allowed) {
            return Err(RuleFault::Id);
        }
        showable(&self.reason).map_err(RuleFault::Reason)?;
        self.contexts.iter().try_for_each(|context| showable(context)).map_err(RuleFault::Contexts)?;
        match &self.action {
            Action::Pin { movie_ids } if movie_ids.is_empty() => return Err(RuleFault::NothingToPin),
            action if action.movie_ids().is_empty() && self.filter.is_empty() => {
                return Err(RuleFault::NoMovies);
            }
            _ => {}
        }
        match (self.start_ms, self.end_ms) {
            (Some(start), Some(end)) if end <= start => Err(RuleFault::Ends),
            _ => Ok(()),
        }
    }

    /// Whether it holds for a request that says this context, which may be empty, at this time.
    pub fn holds(&self, context: &str, now_ms: TimeMs) -> bool {
        self.enabled
            && self.start_ms.is_none_or(|start| start <= now_ms)
            && self.end_ms.is_none_or(|end| now_ms < end)
            && (self.contexts.is_empty() || self.contexts.iter().any(|one| one == context))
    }

    /// Its place among others: what is less goes first.
    pub fn place(&self) -> RulePlace<'_> {
        RulePlace::of(self.priority, &self.rule_id)
    }

    /// The rule as it is stored.
    pub(super) fn to_record(&self) -> RuleRecord {
        let body = serde_json::to_vec(self).expect("a rule has no maps whose keys are no texts");
        RuleRecord { rule_id: self.rule_id.clone(), body }
    }

    /// The rule that was stored.
    ///
    /// # Errors
    /// What of it is not understood, such as an action of a later program.
    pub(super) fn from_record(record: RuleRecord) -> Result<Self, serde_json::Error> {
        let rule: Self = serde_json::from_slice(&record.body)?;
        Ok(Self { rule_id: record.rule_id, ..rule })
    }
}

/// Where a rule stands among all: the greatest priority first, of equal ones by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RulePlace<'a> {
    /// The rule's priority.
    pub priority: Reverse<i32>,
    /// Its name.
    pub rule_id: &'a str,
}

impl<'a> RulePlace<'a> {
    /// The place of a rule of this priority and name.
    pub fn of(priority: i32, rule_id: &'a str) -> Self {
        Self { priority: Reverse(priority), rule_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin() -> Rule {
        Rule {
            rule_id: "christmas".to_owned(),
            reason: "Christmas".to_owned(),
            action: Action::Pin { movie_ids: vec![7, 3] },
            filter: Filter { genres_none: vec!["Horror".to_owned()], ..Filter::default() },
            contexts: vec!["home".to_owned()],
            start_ms: Some(1_000),
            end_ms: Some(2_000),
            enabled: true,
            priority: 5,
        }
    }

    #[test]
    fn a_rule_holds_from_its_start_until_its_end_in_its_contexts() {
        let rule = pin();
        let held = [999, 1_000, 1_999, 2_000].map(|now_ms| rule.holds("home", now_ms));
        assert_eq!(held, [false, true, true, false]);
        assert!(!rule.holds("kids-page", 1_500) && !rule.holds("", 1_500));
        let everywhere = Rule { contexts: Vec::new(), start_ms: None, end_ms: None, ..pin() };
        assert!(everywhere.holds("kids-page", 0) && everywhere.holds("", TimeMs::MAX));
        assert!(!Rule { enabled: false, ..everywhere }.holds("", 0));
    }

    #[test]
    fn a_rule_comes_back_from_its_record() {
        let boost = Rule { action: Action::Boost { movie_ids: vec![], weight: 0.3 }, ..pin() };
        let bury = Rule { action: Action::Bury { movie_ids: vec![1], penalty: None }, ..pin() };
        for rule in [pin(), boost, bury] {
            assert_eq!(Rule::from_record(rule.to_record()).unwrap(), rule);
        }
    }

    #[test]
    fn what_a_later_program_adds_is_passed_over_and_what_an_earlier_one_left_out_is_as_its_default() {
        let of = |body: &str| {
            Rule::from_record(RuleRecord { rule_id: "a".to_owned(), body: body.as_bytes().to_vec() })
        };
        let body = r#"{"reason": "New", "action": {"boost": {"weight": 2.0, "colour": 1}}, "audience": ["x"],
            "filter": {"genres_any": ["War"], "mood": "dark"}}"#;
        let rule = of(body).unwrap();
        let filter = Filter { genres_any: vec!["War".to_owned()], ..Filter::default() };
        assert_eq!((rule.filter, rule.enabled, rule.priority), (filter, true, 0));
        assert_eq!(rule.action, Action::Boost { movie_ids: vec![], weight: 2.0 });
        assert!(of(r#"{"reason": "New", "action": {"teleport": {}}}"#).is_err());
    }

    #[test]
    fn a_rule_that_can_do_nothing_is_refused() {
        let of = |action| Rule { action, filter: Filter::default(), ..pin() };
        assert_eq!(pin().check(), Ok(()));
        assert_eq!(of(Action::Pin { movie_ids: vec![] }).check(), Err(RuleFault::NothingToPin));
        assert_eq!(of(Action::Boost { movie_ids: vec![], weight: 1.0 }).check(), Err(RuleFault::NoMovies));
        assert_eq!(of(Action::Bury { movie_ids: vec![], penalty: None }).check(), Err(RuleFault::NoMovies));
        assert_eq!(Rule { end_ms: Some(1_000), ..pin() }.check(), Err(RuleFault::Ends));
        for rule_id in ["", "Christmas", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(Rule { rule_id: rule_id.to_owned(), ..pin() }.check(), Err(RuleFault::Id));
        }
        assert!(Rule { reason: "a\u{1b}[1m".to_owned(), ..pin() }.check().is_err());
    }

    #[test]
    fn the_greater_priority_goes_first_and_then_the_id() {
        let of = |rule_id: &str, priority| Rule { rule_id: rule_id.to_owned(), priority, ..pin() };
        let mut rules = [of("b", 0), of("c", 9), of("a", 0), of("d", -1)];
        rules.sort_by(|one, other| one.place().cmp(&other.place()));
        assert_eq!(rules.map(|rule| rule.rule_id), ["c", "a", "b", "d"]);
    }
}
