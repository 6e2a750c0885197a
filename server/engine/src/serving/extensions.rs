//! What the engine's user keeps of a model, and loses with it.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

/// Values of any types, one of each.
#[derive(Default)]
pub(super) struct Extensions {
    by_type: RwLock<FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Extensions {
    /// The value of type `T`; the first who asks makes it.
    pub(super) fn get_or_insert_with<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let of_type = TypeId::of::<T>();
        let made = self.by_type.read().unwrap_or_else(PoisonError::into_inner).get(&of_type).cloned();
        let value = made.unwrap_or_else(|| {
            let mut by_type = self.by_type.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_type.entry(of_type).or_insert_with(|| Arc::new(make())))
        });
        value.downcast().expect("each value is kept under its own type")
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_and_each_type_has_its_own() {
        let extensions = Extensions::default();
        assert_eq!(*extensions.get_or_insert_with(|| 1_u32), 1);
        assert_eq!(*extensions.get_or_insert_with(|| 2_u32), 1);
        assert_eq!(*extensions.get_or_insert_with(|| "text"), "text");
    }
}
