//! Business rules: movies that are pinned to the top, lifted or buried, for a reason and for a time.
//!
//! Rules are stored objects. They are few and read by every request, so each node holds all of them in memory, and who
//! has none pays one atomic load. A write is stored first and then read back, so that memory holds what any other node
//! reads; those hear of it by the store's revision, as they do of movies.
//!
//! [`Effects`] is what all rules that hold for a request do to its answer. The pipeline applies it; what a rule is
//! about (its filter) is asked of the catalogue and remembered until that changes.

mod effects;
mod held;
mod rule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use marquee_core::domain::{MovieId, TimeMs};
use marquee_store::{Store, StoreError, to_its_end};
use tokio::sync::Mutex;

pub use self::effects::{Effects, Pinned};
use self::held::HeldRules;
pub use self::rule::{Action, Rule, RuleFault, RulePlace};
use crate::catalog::{Catalog, CatalogError, Reread};

/// Rules at most.
const MAX_RULES: usize = 1_000;

/// All rules. All methods may be called from many tasks at once.
pub struct Rules {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    /// `None` while there are none.
    held: ArcSwapOption<HeldRules>,
    /// Held from a write until it is read back, so that what is read last is what was written last.
    writing: Mutex<()>,
}

/// Why a rule is not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuleError {
    /// Something is wrong with the rule by itself.
    #[error(transparent)]
    Fault(#[from] RuleFault),
    /// It names a movie that the catalogue does not have.
    #[error("movie {0} is not in the catalogue")]
    UnknownMovie(MovieId),
    /// Its filter cannot be used.
    #[error(transparent)]
    Filter(#[from] CatalogError),
    /// There are as many as there may be.
    #[error("there are {MAX_RULES} rules, as many as there may be; delete one that is over")]
    TooMany,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Rules {
    /// The rules of a store, about the movies of the catalogue that follows it.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn open(store: Arc<dyn Store>, catalog: Arc<Catalog>) -> Result<Self, StoreError> {
        let rules = Self { store, catalog, held: ArcSwapOption::empty(), writing: Mutex::default() };
        rules.read().await?;
        Ok(rules)
    }

    /// What they do to a request that says this context; `None` where that is nothing. The time is asked for where there
    /// are rules.
    pub fn effects(&self, context: &str, now_ms: impl FnOnce() -> TimeMs) -> Option<Effects> {
        self.held.load().as_ref()?.effects(context, now_ms(), &self.catalog)
    }

    /// Adds or replaces a rule; whether it was new. A write whose caller goes away is done to its end.
    ///
    /// # Errors
    /// [`RuleError`] when the rule is not one, there are too many, or the store does not acknowledge it.
    pub async fn put(self: &Arc<Self>, rule: Rule) -> Result<bool, RuleError> {
        self.check(&rule)?;
        let rules = Arc::clone(self);
        let write = async move {
            let _one_at_a_time = rules.writing.lock().await;
            if rules.get(&rule.rule_id).is_none() && rules.len() >= MAX_RULES {
                return Err(RuleError::TooMany);
            }
            let written = rules.store.put_rule(&rule.to_record()).await;
            // What was not acknowledged may be stored nevertheless.
            rules.read().await?;
            Ok(written?)
        };
        to_its_end(write).await
    }

    /// Removes a rule; whether there was one. A removal whose caller goes away is done to its end.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not acknowledge it.
    pub async fn remove(self: &Arc<Self>, rule_id: String) -> Result<bool, StoreError> {
        let rules = Arc::clone(self);
        let removal = async move {
            let _one_at_a_time = rules.writing.lock().await;
            let removed = rules.store.remove_rule(&rule_id).await;
            rules.read().await?;
            removed
        };
        to_its_end(removal).await
    }

    /// The rule of this name.
    pub fn get(&self, rule_id: &str) -> Option<Arc<Rule>> {
        self.held.load().as_ref()?.iter().find(|rule| rule.rule_id == rule_id).cloned()
    }

    /// At most `limit` rules after a place, in the order in which they decide.
    pub fn list(&self, after: Option<RulePlace<'_>>, limit: usize) -> Vec<Arc<Rule>> {
        let held = self.held.load();
        let rules = held.iter().flat_map(|held| held.iter());
        rules.filter(|rule| after.is_none_or(|after| rule.place() > after)).take(limit).cloned().collect()
    }

    fn len(&self) -> usize {
        self.held.load().as_ref().map_or(0, |held| held.iter().count())
    }

    fn check(&self, rule: &Rule) -> Result<(), RuleError> {
        rule.check()?;
        let movies = self.catalog.movies();
        if let Some(unknown) = rule.action.movie_ids().iter().find(|id| movies.index_of(**id).is_none()) {
            return Err(RuleError::UnknownMovie(*unknown));
        }
        self.catalog.select(&rule.filter)?;
        Ok(())
    }

    async fn read(&self) -> Result<(), StoreError> {
        let held = HeldRules::new(self.store.rules().await?);
        self.held.store(held.map(Arc::new));
        Ok(())
    }
}

#[async_trait::async_trait]
impl Reread for Rules {
    async fn reread(&self) -> Result<(), StoreError> {
        let _no_write = self.writing.lock().await;
        self.read().await
    }
}
