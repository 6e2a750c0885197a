//! The rules in memory, in the order in which they decide, and which movies each is about.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use marquee_core::domain::TimeMs;
use marquee_store::RuleRecord;
use roaring::RoaringBitmap;

use super::effects::Effects;
use super::rule::{Action, Rule};
use crate::catalog::{Catalog, Movies};

/// How long the movies of a rule that asks for ratings are remembered: every event may change them.
const REMEMBERED: Duration = Duration::from_secs(5);

/// All rules.
pub(super) struct HeldRules(Vec<HeldRule>);

/// A rule and its movies.
struct HeldRule {
    rule: Arc<Rule>,
    /// Those that its action names.
    named: Arc<RoaringBitmap>,
    selected: Mutex<Option<Selected>>,
}

/// The movies that passed the rule's filter.
struct Selected {
    of: Weak<Movies>,
    at: Instant,
    movies: Arc<RoaringBitmap>,
}

impl HeldRules {
    /// The rules of these records; `None` when there are none. What cannot be read holds for nothing: a later program
    /// may have written it.
    pub(super) fn new(records: Vec<RuleRecord>) -> Option<Self> {
        let read = |record: RuleRecord| {
            let rule_id = record.rule_id.clone();
            let rule = Rule::from_record(record);
            rule.inspect_err(
                |error| tracing::warn!(rule_id, %error, "a rule is not understood and not heeded"),
            )
            .ok()
        };
        let mut rules: Vec<HeldRule> = records.into_iter().filter_map(read).map(HeldRule::new).collect();
        rules.sort_by(|one, other| one.rule.place().cmp(&other.rule.place()));
        (!rules.is_empty()).then_some(Self(rules))
    }

    /// The rules in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.0.iter().map(|held| &held.rule)
    }

    /// What the rules do to a request that says this context at this time; `None` where that is nothing.
    pub(super) fn effects(&self, context: &str, now_ms: TimeMs, catalog: &Catalog) -> Option<Effects> {
        let mut effects = Effects::default();
        for held in self.0.iter().filter(|held| held.rule.holds(context, now_ms)) {
            effects.add(&held.rule, held.movies(catalog));
        }
        (!effects.is_nothing()).then_some(effects)
    }
}

impl HeldRule {
    fn new(rule: Rule) -> Self {
        let named = Arc::new(rule.action.movie_ids().iter().copied().collect());
        Self { rule: Arc::new(rule), named, selected: Mutex::default() }
    }

    /// The ids of its movies.
    fn movies(&self, catalog: &Catalog) -> Arc<RoaringBitmap> {
        if self.rule.filter.is_empty() {
            return Arc::clone(&self.named);
        }
        let (movies, now) = (catalog.movies(), Instant::now());
        let mut selected = self.selected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(selected) = selected.as_ref().filter(|selected| selected.is_of(&movies, now, &self.rule))
        {
            return Arc::clone(&selected.movies);
        }
        let found = Arc::new(self.select(catalog, &movies));
        *selected = Some(Selected { of: Arc::downgrade(&movies), at: now, movies: Arc::clone(&found) });
        found
    }

    /// Those of its movies that pass the filter; none where the catalogue lost a genre of it.
    fn select(&self, catalog: &Catalog, movies: &Movies) -> RoaringBitmap {
        let indexes = catalog.select(&self.rule.filter).ok().flatten().unwrap_or_default();
        let mut passed: RoaringBitmap =
            indexes.iter().filter_map(|index| movies.at(index)).map(|movie| movie.movie_id).collect();
        if !self.rule.action.movie_ids().is_empty() {
            passed &= &*self.named;
        }
        passed
    }
}

impl Selected {
    fn is_of(&self, movies: &Arc<Movies>, now: Instant, rule: &Rule) -> bool {
        let is_fresh = !rule.filter.asks_for_ratings() || now.saturating_duration_since(self.at) < REMEMBERED;
        is_fresh && std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(movies))
    }
}

impl Effects {
    /// Adds what a rule does to its movies, after all that go before it.
    fn add(&mut self, rule: &Arc<Rule>, movies: Arc<RoaringBitmap>) {
        match &rule.action {
            Action::Pin { movie_ids } => {
                self.pin(rule, movie_ids.iter().copied().filter(|movie_id| movies.contains(*movie_id)));
            }
            Action::Boost { weight, .. } => self.weigh(rule, movies, *weight),
            Action::Bury { penalty: Some(penalty), .. } => self.weigh(rule, movies, -penalty),
            Action::Bury { penalty: None, .. } => self.remove(rule, movies),
        }
    }
}
