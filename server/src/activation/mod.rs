//! Which model is active: on this node, after its restart, and on all nodes of its store.
//!
//! The engine knows what it has loaded, and forgets it when it ends. So the version of the registry that is activated is
//! noted in the store, with the one that is gone back to. A node starts with what is noted and follows it, asking every
//! two seconds; one that cannot load it serves on with what it has, or with the bundle of its settings, says so, and tries
//! again.
//!
//! A model that is no version of the registry is a matter of the node that loaded it: that it was activated is noted, so
//! that the version before it does not come back by itself, and other nodes stay as they are.

mod standing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use marquee_core::meters::Metric;
use marquee_core::metrics;
use marquee_engine::{Before, BundleError, BundleSummary, Engine, Model, ModelSetError, ModelState};
use marquee_store::{Store, StoreError};
use opentelemetry::metrics::Gauge;
use tokio::sync::Mutex;

use self::standing::{Named, Past, Standing, Version};
use crate::registry::{LoadModel, Registered, Registry, RegistryError, Role};

/// How often the store is asked which model is active.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Until a version that could not be loaded is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Between two attempts to load the first model while another one is loaded.
const TURN_RETRY: Duration = Duration::from_millis(200);

metrics! {
    pub(crate) METRICS;
    MISSED = Metric::gauge(
        "marquee.activation.missed",
        "",
        &[],
        "1 while this node does not serve the version that is activated, because it cannot be loaded here, else 0",
    );
}

/// Why a model does not become the active one.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The engine does not have it so.
    #[error(transparent)]
    Models(#[from] ModelSetError),
    /// Its bundle cannot be loaded.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It is not in the registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It cannot be noted, or what is noted cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether activations are kept and followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the store, for the next start and for all its nodes.
    InStore,
    /// Nowhere: each start takes the bundle of the settings.
    Nowhere,
}

/// The model that a server starts with.
#[derive(Debug)]
pub struct Started {
    /// The model.
    pub model: Arc<Model>,
    /// A sentence that says where it comes from, where that is not the bundle of the settings as they say.
    pub origin: Option<String>,
}

/// Which model is active.
pub struct Activations {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    engine: Arc<Engine>,
    load: LoadModel,
    /// The bundle of the settings.
    bundle: PathBuf,
    kept: Kept,
    missed: Gauge<u64>,
    /// Held by whoever changes which model is active.
    state: Mutex<State>,
}

/// What a node has made of what is noted.
#[derive(Default)]
struct State {
    /// What was taken over, or noted by this node itself.
    done: Option<Standing>,
    /// What could not be, and when that was tried.
    failed: Option<(Standing, Instant)>,
}

impl Activations {
    /// Of an engine, for which `load` loads versions of the registry, or the bundle of the settings.
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        engine: Arc<Engine>,
        load: LoadModel,
        bundle: PathBuf,
        kept: Kept,
    ) -> Self {
        let missed = MISSED.u64_gauge();
        Self { store, registry, engine, load, bundle, kept, missed, state: Mutex::default() }
    }

    /// Loads and activates the first model: the version that is noted, else the bundle of the settings.
    ///
    /// # Errors
    /// [`ActivationError`] when that bundle cannot be loaded.
    pub async fn start(&self) -> Result<Started, ActivationError> {
        let mut state = self.state.lock().await;
        self.missed.record(0, &[]);
        let why = match self.noted().await {
            Ok(Some(standing)) if standing.active.registered.is_some() => {
                let version = standing.active.model_version.clone();
                match self.take_over(&mut state, standing).await {
                    Ok(()) => {
                        let model = self.engine.model(None).map_err(|_| ModelSetError::NotLoaded(version))?;
                        let version = model.bundle().version();
                        tracing::info!(version, "serving the version that was activated last");
                        let origin = format!("The model is {version}, which was activated last.");
                        return Ok(Started { model, origin: Some(origin) });
                    }
                    Err(error) => {
                        Some(format!("{version}, which was activated last, cannot be loaded: {error}"))
                    }
                }
            }
            Ok(standing) => {
                state.done = standing;
                None
            }
            // What is noted is looked for again by whoever follows it.
            Err(error) => Some(format!("which version was activated last cannot be read: {error}")),
        };
        let model = self.loaded_in_turn(self.bundle.clone()).await?;
        let version = model.bundle().version();
        match &state.done {
            Some(done) if done.active.model_version == version => {
                self.engine.take_over(version, done.past.before())?
            }
            _ => self.engine.activate(version)?,
        };
        let (bundle, kept) = (self.bundle.display(), self.kept == Kept::InStore);
        let origin = why.map(|why| {
            tracing::warn!(version, %bundle, "serving the bundle of the settings: {why}");
            format!("The model is the bundle in {bundle}: {why}.")
        });
        if origin.is_none() {
            tracing::info!(version, %bundle, kept, "serving the bundle of the settings");
        }
        Ok(Started { model, origin })
    }

    /// Follows what is noted, until it is aborted.
    pub async fn follow(&self) {
        if self.kept == Kept::Nowhere {
            return;
        }
        let mut held = None;
        loop {
            {
                let mut state = self.state.lock().await;
                if let Err(error) = self.catch_up(&mut state).await {
                    tracing::debug!(%error, "which model is active not read; trying again");
                }
                // Once for each: somebody may want it unloaded.
                if held != state.done {
                    held.clone_from(&state.done);
                    self.hold_past(&state).await;
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Makes a loaded model the active one; `asked` is the version of the registry that was asked for, if one was.
    ///
    /// # Errors
    /// [`ActivationError`]; nothing changes then.
    pub async fn activate(
        &self,
        model: &Model,
        asked: Option<&Registered>,
    ) -> Result<Arc<Model>, ActivationError> {
        let mut state = self.state.lock().await;
        if self.kept == Kept::Nowhere {
            return Ok(self.engine.activate(model.bundle().version())?);
        }
        let version = model.bundle().version();
        if let ModelState::Failed(why) = self.engine.state(model) {
            return Err(ModelSetError::Failed { version: version.to_owned(), why }.into());
        }
        let active = match asked {
            Some(asked) => named(version, Some(asked)),
            None => self.named(&state, version).await?,
        };
        let past = match self.engine.model(None) {
            Ok(current) if current.bundle().version() == version => self.past(&state).await?,
            Ok(current) => Past::Active(self.named(&state, current.bundle().version()).await?),
            Err(_) => Past::Nothing,
        };
        self.note(&mut state, Standing { active, past }).await?;
        Ok(self.engine.activate(version)?)
    }

    /// Goes back to the model that was active before the newest activation; which one that is, and the version that was
    /// gone back from. Repeated, it goes back no further.
    ///
    /// # Errors
    /// [`ActivationError`]; nothing changes then.
    pub async fn roll_back(&self) -> Result<(Arc<Model>, String), ActivationError> {
        let mut state = self.state.lock().await;
        if self.kept == Kept::Nowhere {
            return Ok(self.engine.roll_back()?);
        }
        self.catch_up(&mut state).await?;
        if let Some((missed, _)) = state.failed.take() {
            return self.roll_back_missed(&mut state, missed).await;
        }
        if let (Before::Active(before), Ok(left)) = (self.engine.before(), self.engine.model(None)) {
            self.hold_past(&state).await;
            let to = self.engine.model(Some(&before)).map_err(|_| ModelSetError::NothingBefore)?;
            if let ModelState::Failed(why) = self.engine.state(&to) {
                return Err(ModelSetError::Failed { version: before, why }.into());
            }
            let active = self.named(&state, &before).await?;
            let past = Past::Left(self.named(&state, left.bundle().version()).await?);
            self.note(&mut state, Standing { active, past }).await?;
        }
        Ok(self.engine.roll_back()?)
    }

    /// Goes back from a version that this node never could serve.
    async fn roll_back_missed(
        &self,
        state: &mut State,
        missed: Standing,
    ) -> Result<(Arc<Model>, String), ActivationError> {
        let Past::Active(before) = missed.past else { return Err(ModelSetError::NothingBefore.into()) };
        let left = missed.active.model_version.clone();
        let standing = Standing { active: before, past: Past::Left(missed.active) };
        self.take_over(state, standing.clone()).await?;
        self.note(state, standing).await?;
        let model = self.engine.model(None).map_err(|_| ModelSetError::NothingBefore)?;
        Ok((model, left))
    }

    /// Whether this version is noted as the active one, or as what is gone back to.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be read.
    pub async fn role_of(&self, name: &str, version: &str) -> Result<Option<Role>, StoreError> {
        let Some(Standing { active, past }) = self.noted().await? else { return Ok(None) };
        Ok(match past {
            _ if active.is(name, version) => Some(Role::Active),
            Past::Active(before) if before.is(name, version) => Some(Role::Before),
            _ => None,
        })
    }

    /// What is noted, where that counts.
    async fn noted(&self) -> Result<Option<Standing>, StoreError> {
        match self.kept {
            Kept::InStore => Standing::read(self.store.as_ref()).await,
            Kept::Nowhere => Ok(None),
        }
    }

    /// Notes what is active from now on. Models of folders alone are nothing to note, unless a version was noted before.
    async fn note(&self, state: &mut State, standing: Standing) -> Result<(), StoreError> {
        let is_of_folders = |named: &Named| named.registered.is_none();
        if standing.models().all(is_of_folders) && self.noted().await?.is_none() {
            return Ok(());
        }
        standing.write(self.store.as_ref()).await?;
        (state.done, state.failed) = (Some(standing), None);
        self.missed.record(0, &[]);
        Ok(())
    }

    /// Takes over what is noted, if that is something else than what was done here.
    async fn catch_up(&self, state: &mut State) -> Result<(), StoreError> {
        let Some(standing) = self.noted().await? else { return Ok(()) };
        let was_tried =
            state.failed.as_ref().is_some_and(|(failed, at)| *failed == standing && at.elapsed() < RETRY);
        if state.done.as_ref() == Some(&standing) || was_tried {
            return Ok(());
        }
        let version = standing.active.model_version.clone();
        match self.take_over(state, standing).await {
            Ok(()) => tracing::info!(version, "activated as on the other nodes"),
            Err(error) => {
                tracing::warn!(version, %error, "the version that is activated cannot be served here");
            }
        }
        Ok(())
    }

    /// Makes active what is noted.
    async fn take_over(&self, state: &mut State, standing: Standing) -> Result<(), ActivationError> {
        let taken = match &standing.active.registered {
            Some(version) => self.take_over_version(version, &standing.past).await,
            None => self.go_back_from(&standing.past).await,
        };
        match taken {
            Ok(()) => (state.done, state.failed) = (Some(standing), None),
            Err(_) => state.failed = Some((standing, Instant::now())),
        }
        self.missed.record(u64::from(taken.is_err()), &[]);
        taken
    }

    async fn take_over_version(&self, version: &Version, past: &Past) -> Result<(), ActivationError> {
        let model = self.loaded_in_turn(self.folder_of(version).await?).await?;
        self.engine.take_over(model.bundle().version(), past.before())?;
        Ok(())
    }

    /// Where the others went back to a model of their own, goes back to that of this node.
    async fn go_back_from(&self, past: &Past) -> Result<(), ActivationError> {
        let Past::Left(left) = past else { return Ok(()) };
        let is_active = self.engine.model(None).is_ok_and(|it| it.bundle().version() == left.model_version);
        if !is_active || self.engine.roll_back().is_ok() {
            return Ok(());
        }
        let model = self.loaded_in_turn(self.bundle.clone()).await?;
        self.engine.take_over(model.bundle().version(), Before::Left(left.model_version.clone()))?;
        Ok(())
    }

    /// Loads what is gone back to, so that this is one swap; where there is no room for it, or it is gone, that is all.
    async fn hold_past(&self, state: &State) {
        let Some(Standing { past: Past::Active(before), .. }) = &state.done else { return };
        if self.engine.model(Some(&before.model_version)).is_ok() {
            return;
        }
        let folder = match &before.registered {
            Some(version) => self.folder_of(version).await,
            None if is_bundle(&self.bundle, &before.model_version) => Ok(self.bundle.clone()),
            None => return,
        };
        let loaded = match folder {
            Ok(folder) => (self.load)(folder).await.map_err(ActivationError::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = loaded {
            let version = &before.model_version;
            tracing::debug!(version, %error, "the model that is gone back to is not loaded");
        }
    }

    /// Loads a bundle, after any that is being loaded.
    async fn loaded_in_turn(&self, folder: PathBuf) -> Result<Arc<Model>, BundleError> {
        loop {
            match (self.load)(folder.clone()).await {
                Err(BundleError::Busy { .. }) => tokio::time::sleep(TURN_RETRY).await,
                loaded => return loaded,
            }
        }
    }

    async fn folder_of(&self, version: &Version) -> Result<PathBuf, RegistryError> {
        let (registry, Version { name, version }) = (Arc::clone(&self.registry), version.clone());
        on_disk(move || registry.get(&name, &version).map(|found| found.folder)).await
    }

    /// What was active before the active model, here.
    async fn past(&self, state: &State) -> Result<Past, RegistryError> {
        Ok(match self.engine.before() {
            Before::Nothing => Past::Nothing,
            Before::Active(version) => Past::Active(self.named(state, &version).await?),
            Before::Left(version) => Past::Left(self.named(state, &version).await?),
        })
    }

    /// A model by what requests call it, as the store names it.
    async fn named(&self, state: &State, model_version: &str) -> Result<Named, RegistryError> {
        let known = state.done.iter().flat_map(Standing::models).find(|it| it.model_version == model_version);
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let (registry, wanted) = (Arc::clone(&self.registry), model_version.to_owned());
        let seal = self.engine.model(Some(model_version)).ok().map(|model| model.bundle().seal().to_owned());
        let found = on_disk(move || registry.find(&wanted, seal.as_deref())).await?;
        Ok(named(model_version, found.as_ref()))
    }
}

fn named(model_version: &str, registered: Option<&Registered>) -> Named {
    let version = registered.map(|it| Version { name: it.name.clone(), version: it.version.clone() });
    Named { model_version: model_version.to_owned(), registered: version }
}

/// Whether the bundle in a folder calls itself so.
fn is_bundle(folder: &Path, model_version: &str) -> bool {
    BundleSummary::read(folder).is_ok_and(|summary| summary.version() == model_version)
}

/// Does what waits for the disk where that may be.
async fn on_disk<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(done) => done,
        Err(broken_off) => std::panic::resume_unwind(broken_off.into_panic()),
    }
}
