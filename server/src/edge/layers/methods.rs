//! The methods that exist, so that what is counted or limited by method stays bounded.

use std::collections::HashMap;
use std::sync::Arc;

/// All methods, each as `package.Service/Method`. Cheap to clone: the layers share one table.
#[derive(Clone)]
pub(crate) struct Methods(Arc<HashMap<String, &'static str>>);

impl Methods {
    /// The name of the method that is called by this path.
    pub(super) fn of_path(&self, path: &str) -> Option<&'static str> {
        self.0.get(path).copied()
    }

    /// The names of all methods.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.values().copied()
    }
}

impl FromIterator<&'static str> for Methods {
    fn from_iter<I: IntoIterator<Item = &'static str>>(methods: I) -> Self {
        Self(Arc::new(methods.into_iter().map(|method| (format!("/{method}"), method)).collect()))
    }
}
