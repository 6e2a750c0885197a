//! What can be set, where it is set, and what holds when nothing is.
//!
//! All settings stand in `sections`, by component. [`Config::resolve`] lays the TOML file and then the command line
//! with its environment variables over the defaults; a value that cannot work is refused there with one sentence, and
//! not later by calls that hang or by a machine that has no more memory. A test holds `server/CONFIGURATION.md` to what
//! stands there.

mod exposure;
mod layers;
mod redact;
mod sections;
mod setting;
mod values;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use marquee_core::tls::Trust;
use marquee_engine::EngineOptions;
use marquee_engine::runtime::{self, Device};
use marquee_retrieval::{AnnOptions, PlannerOptions};

pub use exposure::Exposed;
pub use layers::Settings;
pub(crate) use redact::without_password;
pub use sections::{
    CacheConfig, Config, EngineConfig, JobsConfig, RetrievalConfig, SecurityConfig, ServerConfig,
    StoreConfig, TelemetryConfig,
};
pub use values::{CacheUrl, StoreUrl, Switch, UrlError};

use crate::access::accounts::SessionTimes;
use crate::access::{TokenOptions, TokensError};
use crate::activation::Kept;
use crate::edge::Bundles;
use crate::edge::tls::{ClientAuthorities, TlsFiles};
use crate::jobs::{History, RunnerOptions};
use crate::registry::{Quota, Registry};

/// What the workers of a GPU take at most, however many there are: three cores to feed it and wait for it, and two for
/// those who rank.
const CORES_OF_A_GPU: usize = 5;

/// The value of a setting for what comes with the program.
const BUNDLED: &str = "bundled";

/// What an empty store is filled with at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample<'a> {
    /// The one that comes with the program, in a store of its own while the default store holds nothing.
    Auto,
    /// The one that comes with the program, whichever store it is.
    Bundled,
    /// A MovieLens folder, whichever store it is.
    Folder(&'a Path),
    /// Nothing.
    None,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {path} is wrong at line {line}: {why}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why. The line itself stays away: there may be a password in it.
        why: String,
    },
    /// A value is not one that the server can work with.
    #[error("{name} is {found}; {accepted} is accepted")]
    NotAccepted {
        /// The setting, as its option is spelled.
        name: String,
        /// What it is, passwords taken out.
        found: String,
        /// Which values it takes.
        accepted: String,
    },
}

impl Config {
    /// The command line over the file over the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] that names the first setting whose value cannot be used, in the file with its line.
    pub fn resolve(file: Option<&Path>, command_line: &Settings) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some(path) = file {
            layers::apply_file(&mut config, path)?;
        }
        command_line.apply(&mut config)?;
        Ok(config)
    }

    /// The folders that callers may have models loaded from, `bundle`, that of the start, among them.
    pub(crate) fn open_bundles(&self, bundle: &Path) -> Bundles {
        match &self.engine.bundles_dir {
            None if self.security.auth == Switch::Off => Bundles::Any,
            None => Bundles::Below(vec![self.store.data_dir.join("bundles"), bundle.to_owned()]),
            Some(folder) => Bundles::Below(vec![folder.clone(), bundle.to_owned()]),
        }
    }

    /// Where versions of models are kept that are uploaded, and how much of them.
    pub(crate) fn registry(&self) -> Registry {
        let folder = self.engine.models_dir.clone();
        let quota =
            Quota { versions: self.engine.models_max_versions, bytes: self.engine.models_max_mib << 20 };
        Registry::open(folder.unwrap_or_else(|| self.store.data_dir.join("models")), quota)
    }

    /// The settings as a TOML file that [`Config::resolve`] reads, passwords taken out.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for setting in sections::SETTINGS {
            if setting.section != section {
                section = setting.section;
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{section}]");
            }
            text.push_str(&setting.line(self));
        }
        text
    }

    /// The threads on which calls are received and answered, on a machine of so many `cores`. More threads than
    /// cores cost whoever wakes up a turn of the processor.
    ///
    /// On a CPU the model takes nearly all the time, and half as many threads as cores answered one caller 1.5%
    /// sooner and 64 callers 2% more often (two cores). A GPU's workers need `CORES_OF_A_GPU`: with fourteen cores,
    /// eight workers and half the load that they can bear, the slowest of a hundred calls took 5.1 ms with eleven
    /// threads, 4.4 ms with nine.
    pub(crate) fn async_threads(&self, cores: usize) -> usize {
        let on_a_gpu = match self.engine.device {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            Device::Auto => runtime::comes_with_cuda(),
        };
        let half = (cores / 2).max(1);
        let held = self.engine.options().gpu_workers.min(CORES_OF_A_GPU);
        if on_a_gpu { cores.saturating_sub(held).max(half) } else { half }
    }
}

impl SecurityConfig {
    /// Whether calls are recorded.
    pub(crate) fn audits(&self) -> bool {
        self.audit.unwrap_or(self.auth) == Switch::On
    }

    /// How long what is recorded of calls is kept.
    pub(crate) fn audit_retention(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.audit_retention_days))
    }

    /// What tokens of an identity provider have to be like, if they are taken.
    pub(crate) fn token_options(&self) -> Result<Option<TokenOptions>, TokensError> {
        let Some(keys) = self.jwt_keys.clone() else { return Ok(None) };
        let (Some(issuer), Some(audience)) = (self.jwt_issuer.clone(), self.jwt_audience.clone()) else {
            return Err(TokensError::Incomplete);
        };
        Ok(Some(TokenOptions {
            keys,
            trust: self.jwt_keys_ca.clone().map_or(Trust::System, Trust::Authority),
            refresh: self.jwt_keys_refresh,
            issuer,
            audience,
            leeway: self.jwt_leeway,
            role_claim: self.jwt_role_claim.clone(),
            roles: self.jwt_roles.clone(),
            user_claim: self.jwt_user_claim.clone(),
        }))
    }

    /// How long people stay signed in.
    pub(crate) fn session_times(&self) -> SessionTimes {
        SessionTimes { idle: self.session_idle, most: self.session_lifetime }
    }

    /// The files that connections are encrypted with, where they are; HTTP/1.1 is spoken where there is a gateway.
    pub(crate) fn tls_files(&self, has_gateway: bool) -> Option<TlsFiles> {
        let clients = self.tls_client_ca.clone();
        Some(TlsFiles {
            certificate: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            clients: clients.map(|file| ClientAuthorities { file, auth: self.tls_client_auth }),
            protocols: if has_gateway { &["h2", "http/1.1"] } else { &["h2"] },
        })
    }
}

impl JobsConfig {
    /// How jobs are run here.
    pub(crate) fn runner(&self) -> RunnerOptions {
        RunnerOptions { at_once: self.jobs_at_once, budget_percent: self.job_budget }
    }

    /// How much of what is over is kept.
    pub(crate) fn history(&self) -> History {
        let age = Duration::from_hours(24 * u64::from(self.job_history_days));
        History { jobs: self.job_history, age }
    }
}

impl EngineConfig {
    /// The engine that these settings mean. `workers` is for the device that a model is placed on; on a GPU each has a
    /// session and a stream of its own.
    pub fn options(&self) -> EngineOptions {
        let options = EngineOptions {
            queue_limit: self.queue_limit,
            encoder: self.encoder,
            max_models: self.max_models,
            max_model_bytes: (self.model_memory_mib > 0).then_some(self.model_memory_mib << 20),
            ..EngineOptions::default()
        };
        match self.workers {
            0 => options,
            workers => EngineOptions { workers, gpu_workers: workers, ..options },
        }
    }

    /// Whether what is activated is kept.
    pub(crate) fn kept(&self) -> Kept {
        if self.keep_activation == Switch::On { Kept::InStore } else { Kept::Nowhere }
    }

    /// Whether the model is the one that comes with the program.
    pub(crate) fn is_bundled_model(&self) -> bool {
        self.bundle.as_os_str() == BUNDLED
    }
}

impl RetrievalConfig {
    /// The planner that these settings mean.
    pub fn options(&self) -> PlannerOptions {
        let ann = AnnOptions {
            connectivity: self.ann_connectivity,
            expansion_add: self.ann_expansion_add,
            expansion_search: self.ann_expansion_search,
            quantization: self.ann_quantization,
        };
        PlannerOptions { ann, index_from_items: self.ann_from_movies, ..PlannerOptions::default() }
    }
}

impl StoreConfig {
    /// The sample that `sample_data` stands for.
    pub(crate) fn wanted_sample(&self) -> Sample<'_> {
        match self.sample_data.to_str() {
            Some("auto") => Sample::Auto,
            Some("none") => Sample::None,
            Some(BUNDLED) => Sample::Bundled,
            _ => Sample::Folder(&self.sample_data),
        }
    }

    /// Whether users, histories and movies are kept where they are when nothing is set.
    pub(crate) fn is_default(&self) -> bool {
        self.store.url().is_none() && self.data_dir == Self::default().data_dir
    }
}

#[cfg(test)]
mod tests;
