//! The loaded models: which there are, which one is active, and how many there may be.
//!
//! A model stays until it is unloaded, so that any number of them serve at once: the active one those who name no
//! version, the others those who pin theirs. The set is bounded by number and by memory, and what goes beyond is
//! refused before it takes any. A model that failed stays as well, until it is unloaded or its bundle is loaded
//! again: the new one then takes its place.
//!
//! Readers, of whom each request is one, wait for nobody: a change makes a new list and swaps it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::model::Model;
use crate::bundle::{Announced, BundleError};

/// What a model does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It is loaded and serves requests that pin it.
    Standby,
    /// It serves requests that pin no version.
    Active,
    /// It failed three times in a row and takes no jobs.
    Failed(String),
}

/// Why the set of models stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelSetError {
    /// There is no such model.
    #[error("model {0:?} is not loaded; ListModels says which are")]
    NotLoaded(String),
    /// It answers those who name no version.
    #[error("model {0} is active; activate another one before it is unloaded")]
    Active(String),
    /// It answers nobody.
    #[error("model {version} failed ({why}); load its bundle again")]
    Failed {
        /// The model.
        version: String,
        /// Why it failed.
        why: String,
    },
    /// There is none to go back to.
    #[error("no model that was active before is loaded; activate one by its version")]
    NothingBefore,
}

/// The loaded models.
#[derive(Debug)]
pub(super) struct ModelSet {
    max_models: usize,
    max_bytes: Option<u64>,
    models: ArcSwap<Models>,
    /// Held by whoever changes the set.
    changing: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Models {
    /// The one that was loaded last at the end.
    loaded: Vec<Arc<Model>>,
    active: Option<Arc<Model>>,
    before: Before,
}

/// What was active before the active one, by its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    #[default]
    Nothing,
    /// This one, until the newest activation.
    Active(String),
    /// This one, until it was gone back from.
    Left(String),
}

impl Models {
    fn find(&self, version: &str) -> Result<&Arc<Model>, ModelSetError> {
        let mut loaded = self.loaded.iter();
        let found = loaded.find(|model| model.bundle().version() == version);
        found.ok_or_else(|| ModelSetError::NotLoaded(version.to_owned()))
    }

    fn is_active(&self, model: &Model) -> bool {
        self.active.as_deref().is_some_and(|active| std::ptr::eq(active, model))
    }

    /// The models as a refusal names them.
    fn described(&self) -> String {
        let described = self.loaded.iter().map(|model| {
            let active = if self.is_active(model) { "active, " } else { "" };
            format!("{} ({active}{} MiB)", model.bundle().version(), mib(model.memory_bytes()))
        });
        described.collect::<Vec<_>>().join(", ")
    }
}

impl ModelSet {
    /// An empty set for so many models, and so many bytes of all together.
    pub(super) fn new(max_models: usize, max_bytes: Option<u64>) -> Self {
        Self { max_models, max_bytes, models: ArcSwap::default(), changing: Mutex::new(()) }
    }

    /// The model for requests that pin none.
    pub(super) fn active(&self) -> Option<Arc<Model>> {
        self.models.load().active.clone()
    }

    /// The model of a version.
    pub(super) fn get(&self, version: &str) -> Result<Arc<Model>, ModelSetError> {
        self.models.load().find(version).cloned()
    }

    /// All of them, the one that was loaded last at the end.
    pub(super) fn loaded(&self) -> Vec<Arc<Model>> {
        self.models.load().loaded.clone()
    }

    /// What a model does.
    pub(super) fn state(&self, model: &Model) -> ModelState {
        match model.why_out_of_service() {
            Some(why) => ModelState::Failed(why.to_owned()),
            None if self.models.load().is_active(model) => ModelState::Active,
            None => ModelState::Standby,
        }
    }

    /// The model of a bundle, if its version is loaded and serves.
    pub(super) fn serving(
        &self,
        bundle: &Announced,
        folder: &Path,
    ) -> Result<Option<Arc<Model>>, BundleError> {
        match self.get(bundle.version()).ok().filter(|model| model.in_service()) {
            Some(loaded) if loaded.bundle().seal() != bundle.seal() => Err(BundleError::VersionTaken {
                bundle: folder.display().to_string(),
                version: bundle.version().to_owned(),
            }),
            loaded => Ok(loaded),
        }
    }

    /// Whether there is room for a model of this version and so many bytes, which takes the place of a failed one.
    pub(super) fn require_room(&self, version: &str, folder: &Path, bytes: u64) -> Result<(), BundleError> {
        let models = self.models.load();
        let stay = models.loaded.iter().filter(|model| model.bundle().version() != version);
        let (count, taken) =
            stay.fold((0, 0_u64), |(count, taken), model| (count + 1, taken + model.memory_bytes()));
        let folder = || folder.display().to_string();
        if count >= self.max_models {
            let (bundle, most, loaded) = (folder(), self.max_models, models.described());
            return Err(BundleError::TooManyModels { bundle, most, loaded });
        }
        match self.max_bytes {
            Some(most) if taken.saturating_add(bytes) > most => Err(BundleError::TooMuchMemory {
                bundle: folder(),
                needs_mib: mib(bytes),
                most_mib: most >> 20,
                loaded: match &*models.described() {
                    "" => "no model is loaded".to_owned(),
                    loaded => format!("loaded are {loaded}"),
                },
            }),
            _ => Ok(()),
        }
    }

    /// Adds a model. A failed one of its version makes way for it, and is returned.
    pub(super) fn insert(&self, model: &Arc<Model>) -> Option<Arc<Model>> {
        self.change(|models| {
            let failed = models.find(model.bundle().version()).ok().cloned();
            if let Some(failed) = &failed {
                if models.is_active(failed) {
                    models.active = Some(Arc::clone(model));
                }
                models.loaded.retain(|other| !Arc::ptr_eq(other, failed));
            }
            models.loaded.push(Arc::clone(model));
            failed
        })
    }

    /// Makes a model the one for requests that pin none.
    pub(super) fn activate(&self, version: &str) -> Result<Arc<Model>, ModelSetError> {
        self.change(|models| {
            let model = Arc::clone(models.find(version)?);
            if let Some(why) = model.why_out_of_service() {
                return Err(ModelSetError::Failed { version: version.to_owned(), why: why.to_owned() });
            }
            if !models.is_active(&model) {
                let active = models.active.replace(Arc::clone(&model));
                let version_of = |active: Arc<Model>| Before::Active(active.bundle().version().to_owned());
                models.before = active.map(version_of).unwrap_or_default();
                tracing::info!(version, "activated a model");
            }
            Ok(model)
        })
    }

    /// Makes a model the active one as it was elsewhere: with what was active before it there, loaded here or not.
    pub(super) fn take_over(&self, version: &str, before: Before) -> Result<Arc<Model>, ModelSetError> {
        self.change(|models| {
            let model = Arc::clone(models.find(version)?);
            if let Some(why) = model.why_out_of_service() {
                return Err(ModelSetError::Failed { version: version.to_owned(), why: why.to_owned() });
            }
            models.active = Some(Arc::clone(&model));
            models.before = before;
            Ok(model)
        })
    }

    /// What was active before the active one.
    pub(super) fn before(&self) -> Before {
        self.models.load().before.clone()
    }

    /// Makes the model that was active before the newest activation the active one again; nothing changes where that is
    /// done already. The active model, and the version that was gone back from.
    pub(super) fn roll_back(&self) -> Result<(Arc<Model>, String), ModelSetError> {
        self.change(|models| {
            let active = models.active.clone().ok_or(ModelSetError::NothingBefore)?;
            let version = match &models.before {
                Before::Nothing => return Err(ModelSetError::NothingBefore),
                Before::Left(left) => return Ok((active, left.clone())),
                Before::Active(version) => version.clone(),
            };
            let model = Arc::clone(models.find(&version).map_err(|_| ModelSetError::NothingBefore)?);
            if let Some(why) = model.why_out_of_service() {
                return Err(ModelSetError::Failed { version, why: why.to_owned() });
            }
            let left = active.bundle().version().to_owned();
            models.active = Some(Arc::clone(&model));
            models.before = Before::Left(left.clone());
            tracing::info!(version, left, "went back to the model before");
            Ok((model, left))
        })
    }

    /// Takes a model out of the set.
    pub(super) fn remove(&self, version: &str) -> Result<Arc<Model>, ModelSetError> {
        self.change(|models| {
            let model = Arc::clone(models.find(version)?);
            if models.is_active(&model) {
                return Err(ModelSetError::Active(version.to_owned()));
            }
            models.loaded.retain(|other| !Arc::ptr_eq(other, &model));
            Ok(model)
        })
    }

    /// Lets all go.
    pub(super) fn clear(&self) {
        self.change(|models| *models = Models::default());
    }

    fn change<R>(&self, change: impl FnOnce(&mut Models) -> R) -> R {
        let _guard = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut models = Models::clone(&self.models.load());
        let result = change(&mut models);
        self.models.store(Arc::new(models));
        result
    }
}

/// Bytes in MiB, rounded up.
fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
