//! What can be set, where it is set, and what holds when nothing is.
//!
//! One struct, [`Settings`], is every layer: the command line with its environment variables, and the
//! TOML file. [`Config::resolve`] lays them over the defaults, which stand in `defaults` alone; a test
//! holds `server/CONFIGURATION.md` to them.

mod bounds;
mod defaults;
mod redact;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use marquee_engine::runtime::{self, Device};
use marquee_engine::{EngineOptions, Precision};
use marquee_store::OnDamage;
use serde::{Deserialize, Serialize};

pub(crate) use redact::without_password;
use redact::without_passwords;
pub use values::{CacheUrl, LogFormat, Span, StoreUrl};
use values::{address_from_text, as_text, from_text, listen_address};

use crate::shared::limit::Rate;

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

/// One layer of settings: what is absent is left to the layer below.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Address and port of the gRPC API; localhost:PORT and :PORT are this machine alone, 0.0.0.0:PORT is open to others
    #[arg(long, env = "MARQUEE_LISTEN", value_name = "ADDR:PORT", value_parser = listen_address)]
    #[serde(default, deserialize_with = "address_from_text")]
    pub listen: Option<SocketAddr>,
    /// Address and port of the Prometheus metrics; none when absent
    #[arg(long, env = "MARQUEE_METRICS_LISTEN", value_name = "ADDR:PORT", value_parser = listen_address)]
    #[serde(default, deserialize_with = "address_from_text")]
    pub metrics_listen: Option<SocketAddr>,
    /// Folder of the embedded store
    #[arg(long, env = "MARQUEE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where users, histories and movies are kept: redb, or scylla://[USER:PASSWORD@]HOST[:PORT],HOST.../KEYSPACE?OPTION=VALUE&... with the options consistency, replication_factor, timeout_ms, tls=true and ca=FILE
    #[allow(rustdoc::broken_intra_doc_links, reason = "the doc is the option's help")]
    #[arg(long, env = "MARQUEE_STORE", hide_env_values = true, value_name = "URL")]
    #[serde(default, deserialize_with = "from_text")]
    pub store: Option<StoreUrl>,
    /// How old the statistics of a store that nodes share may become; one of the nodes sums them up anew
    #[arg(long, env = "MARQUEE_STATISTICS_INTERVAL", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub statistics_interval: Option<Span>,
    /// Where answers are remembered: local, or redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], also with rediss, redis-cluster or redis-sentinel, and the options namespace=NAME (first part of the keys) and ca=FILE
    #[allow(rustdoc::broken_intra_doc_links, reason = "the doc is the option's help")]
    #[arg(long, env = "MARQUEE_CACHE", hide_env_values = true, value_name = "URL")]
    #[serde(default, deserialize_with = "from_text")]
    pub cache: Option<CacheUrl>,
    /// Folder of the model bundle; "bundled" for the one that comes with the program
    #[arg(long, env = "MARQUEE_BUNDLE", value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// MovieLens folder that an empty store is filled with at start, "bundled" for the sample that comes with the program, "none" for none; "auto" is the bundled one in a store of its own, ./.marquee/sample, while the default store holds nothing
    #[arg(long, env = "MARQUEE_SAMPLE", value_name = "DIR")]
    pub sample: Option<PathBuf>,
    /// Whether a model is used though most movies of the catalogue have other titles than those it was trained on
    #[arg(long, env = "MARQUEE_ALLOW_MISMATCHED_MODEL", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_mismatched_model: Option<bool>,
    /// Where the model runs: auto, cpu, cuda or cuda:N
    #[arg(long, env = "MARQUEE_DEVICE", value_name = "DEVICE")]
    #[serde(default, deserialize_with = "from_text")]
    pub device: Option<Device>,
    /// Precision of the encoder on the CPU: fp32 or int8
    #[arg(long, env = "MARQUEE_PRECISION", value_name = "PRECISION")]
    #[serde(default, deserialize_with = "from_text")]
    pub precision: Option<Precision>,
    /// Worker threads of the engine; 0 for one a core, each on its own, or eight on a GPU
    #[arg(long, env = "MARQUEE_WORKERS", value_name = "N")]
    pub workers: Option<usize>,
    /// Ask Linux for processors that are awake within so many microseconds, 0 for none that sleep: lower latency at low load for more power, needs write access to /dev/cpu_dma_latency; not asked for when absent
    #[arg(long, env = "MARQUEE_WAKE_LATENCY_US", value_name = "US")]
    pub wake_latency_us: Option<u16>,
    /// Jobs that may wait for a worker, on a GPU 32768 at least; one more is refused with RESOURCE_EXHAUSTED
    #[arg(long, env = "MARQUEE_QUEUE_LIMIT", value_name = "N")]
    pub queue_limit: Option<usize>,
    /// Models that may be loaded at once; one more is refused until another one is unloaded
    #[arg(long, env = "MARQUEE_MAX_MODELS", value_name = "N")]
    pub max_models: Option<usize>,
    /// Memory that all models together may take, in MiB, told by the sizes of their files; 0 for no bound
    #[arg(long, env = "MARQUEE_MODEL_MEMORY_MIB", value_name = "MIB")]
    pub model_memory_mib: Option<u64>,
    /// Memory for remembered user vectors, in MiB; 0 to remember none
    #[arg(long, env = "MARQUEE_VECTOR_CACHE_MIB", value_name = "MIB")]
    pub vector_cache_mib: Option<u64>,
    /// Memory for remembered profiles of users, in MiB; 0 to remember none
    #[arg(long, env = "MARQUEE_PROFILE_CACHE_MIB", value_name = "MIB")]
    pub profile_cache_mib: Option<u64>,
    /// How often the callers at one address may call each method, each message of a stream counting: 100/s, 600/m or 5000/h; no limit when absent
    #[arg(long, env = "MARQUEE_RATE_LIMIT", value_name = "RATE")]
    #[serde(default, deserialize_with = "from_text")]
    pub rate_limit: Option<Rate>,
    /// Largest request message, in KiB
    #[arg(long, env = "MARQUEE_MAX_MESSAGE_KIB", value_name = "KIB")]
    pub max_message_kib: Option<usize>,
    /// Calls that one connection may have open at once
    #[arg(long, env = "MARQUEE_MAX_CONCURRENT_STREAMS", value_name = "N")]
    pub max_concurrent_streams: Option<u32>,
    /// Memory for request messages that have not arrived whole, over all connections, in MiB; three of the largest messages at least
    #[arg(long, env = "MARQUEE_RECEIVE_BUFFER_MIB", value_name = "MIB")]
    pub receive_buffer_mib: Option<usize>,
    /// How long a request may take to arrive whole; of a stream each message, and none between two
    #[arg(long, env = "MARQUEE_RECEIVE_TIMEOUT", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub receive_timeout: Option<Span>,
    /// Connections that may be open; fewer where the limit of open files asks for it
    #[arg(long, env = "MARQUEE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,
    /// Connections that may be open from one address, or one network of 64 bits of IPv6; callers behind a proxy have one address
    #[arg(long, env = "MARQUEE_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    pub max_connections_per_address: Option<usize>,
    /// How long a new connection may take to begin to speak HTTP/2
    #[arg(long, env = "MARQUEE_HANDSHAKE_TIMEOUT", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub handshake_timeout: Option<Span>,
    /// How long a connection may be open without a call, at most twice this time; its client makes a new one for its next call
    #[arg(long, env = "MARQUEE_IDLE_TIMEOUT", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub idle_timeout: Option<Span>,
    /// How long a reply may wait for its reader; a stream ends with ABORTED then, other calls with their connection
    #[arg(long, env = "MARQUEE_SEND_TIMEOUT", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub send_timeout: Option<Span>,
    /// Calls of WatchInteractions that may be open at once, a quarter of them from one address
    #[arg(long, env = "MARQUEE_MAX_WATCHERS", value_name = "N")]
    pub max_watchers: Option<usize>,
    /// How far ahead of the server's clock the time of an interaction may lie, from callers and imports
    /// alike; later ones are refused
    #[arg(long, env = "MARQUEE_MAX_CLOCK_SKEW", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub max_clock_skew: Option<Span>,
    /// How long calls are still accepted after SIGTERM while health says NOT_SERVING, so that balancers notice; SIGINT does not wait
    #[arg(long, env = "MARQUEE_DRAIN_DELAY", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub drain_delay: Option<Span>,
    /// How long calls in flight may take to end after SIGTERM
    #[arg(long, env = "MARQUEE_SHUTDOWN_TIMEOUT", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub shutdown_timeout: Option<Span>,
    /// Form of the log: auto (text on a terminal, else JSON), text or json
    #[arg(long, env = "MARQUEE_LOG_FORMAT", value_name = "FORM")]
    #[serde(default, deserialize_with = "from_text")]
    pub log_format: Option<LogFormat>,
    /// Calls that end well have a line of the log when they take at least so long; those that fail have one too, ten alike a second
    #[arg(long, env = "MARQUEE_LOG_SLOW_CALLS", value_name = "SPAN")]
    #[serde(default, deserialize_with = "from_text")]
    pub log_slow_calls: Option<Span>,
    /// Of the other calls that end well one in so many has a line of the log, at random; 0 for none
    #[arg(long, env = "MARQUEE_LOG_CALLS_ONE_IN", value_name = "N")]
    pub log_calls_one_in: Option<u32>,
}

/// The settings that are in force.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// See [`Settings::listen`].
    pub listen: SocketAddr,
    /// See [`Settings::metrics_listen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
    /// See [`Settings::data_dir`].
    pub data_dir: PathBuf,
    /// See [`Settings::store`].
    #[serde(serialize_with = "as_text")]
    pub store: StoreUrl,
    /// See [`Settings::statistics_interval`].
    #[serde(serialize_with = "as_text")]
    pub statistics_interval: Span,
    /// See [`Settings::cache`].
    #[serde(serialize_with = "as_text")]
    pub cache: CacheUrl,
    /// See [`Settings::bundle`] and [`Config::is_bundled_model`].
    pub bundle: PathBuf,
    /// See [`Settings::sample`] and [`Config::wanted_sample`].
    pub sample: PathBuf,
    /// See [`Settings::allow_mismatched_model`].
    pub allow_mismatched_model: bool,
    /// See [`Settings::device`].
    #[serde(serialize_with = "as_text")]
    pub device: Device,
    /// See [`Settings::precision`].
    #[serde(serialize_with = "as_text")]
    pub precision: Precision,
    /// See [`Settings::workers`].
    pub workers: usize,
    /// See [`Settings::wake_latency_us`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_latency_us: Option<u16>,
    /// See [`Settings::queue_limit`].
    pub queue_limit: usize,
    /// See [`Settings::max_models`].
    pub max_models: usize,
    /// See [`Settings::model_memory_mib`].
    pub model_memory_mib: u64,
    /// See [`Settings::vector_cache_mib`].
    pub vector_cache_mib: u64,
    /// See [`Settings::profile_cache_mib`].
    pub profile_cache_mib: u64,
    /// See [`Settings::rate_limit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// See [`Settings::max_message_kib`].
    pub max_message_kib: usize,
    /// See [`Settings::max_concurrent_streams`].
    pub max_concurrent_streams: u32,
    /// See [`Settings::receive_buffer_mib`].
    pub receive_buffer_mib: usize,
    /// See [`Settings::receive_timeout`].
    #[serde(serialize_with = "as_text")]
    pub receive_timeout: Span,
    /// See [`Settings::max_connections`].
    pub max_connections: usize,
    /// See [`Settings::max_connections_per_address`].
    pub max_connections_per_address: usize,
    /// See [`Settings::handshake_timeout`].
    #[serde(serialize_with = "as_text")]
    pub handshake_timeout: Span,
    /// See [`Settings::idle_timeout`].
    #[serde(serialize_with = "as_text")]
    pub idle_timeout: Span,
    /// See [`Settings::send_timeout`].
    #[serde(serialize_with = "as_text")]
    pub send_timeout: Span,
    /// See [`Settings::max_watchers`].
    pub max_watchers: usize,
    /// See [`Settings::max_clock_skew`].
    #[serde(serialize_with = "as_text")]
    pub max_clock_skew: Span,
    /// See [`Settings::drain_delay`].
    #[serde(serialize_with = "as_text")]
    pub drain_delay: Span,
    /// See [`Settings::shutdown_timeout`].
    #[serde(serialize_with = "as_text")]
    pub shutdown_timeout: Span,
    /// See [`Settings::log_format`].
    #[serde(serialize_with = "as_text")]
    pub log_format: LogFormat,
    /// See [`Settings::log_slow_calls`].
    #[serde(serialize_with = "as_text")]
    pub log_slow_calls: Span,
    /// See [`Settings::log_calls_one_in`].
    pub log_calls_one_in: u32,
    /// Said for one start, on the command line alone: nobody shall lose anything because of an old file.
    #[serde(skip)]
    pub on_damage: OnDamage,
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
    /// A number or a span is not one that the server can work with.
    #[error("{name} is {found}; {accepted} is accepted")]
    OutOfBounds {
        /// The setting, as its option is spelled.
        name: &'static str,
        /// What it is.
        found: String,
        /// The least and the most that it may be.
        accepted: String,
    },
}

impl Settings {
    /// The settings of a TOML file, keys as the long options are spelled.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let before = error.span().map_or("", |span| &text[..span.start]);
            let line = 1 + before.matches('\n').count();
            ConfigError::Parse { path: path.to_owned(), line, why: without_passwords(error.message()) }
        })
    }
}

impl Config {
    /// The command line over the file over the defaults.
    pub fn resolve(command_line: Settings, file: Settings) -> Self {
        let (over, under, default) = (command_line, file, Self::default());
        macro_rules! pick {
            ($($field:ident),*) => {
                Self {
                    metrics_listen: over.metrics_listen.or(under.metrics_listen),
                    rate_limit: over.rate_limit.or(under.rate_limit),
                    on_damage: default.on_damage,
                    wake_latency_us: over.wake_latency_us.or(under.wake_latency_us),
                    $($field: over.$field.or(under.$field).unwrap_or(default.$field)),*
                }
            };
        }
        pick!(
            listen,
            data_dir,
            store,
            statistics_interval,
            cache,
            bundle,
            sample,
            allow_mismatched_model,
            device,
            precision,
            workers,
            queue_limit,
            max_models,
            model_memory_mib,
            vector_cache_mib,
            profile_cache_mib,
            max_message_kib,
            max_concurrent_streams,
            receive_buffer_mib,
            receive_timeout,
            max_connections,
            max_connections_per_address,
            handshake_timeout,
            idle_timeout,
            send_timeout,
            max_watchers,
            max_clock_skew,
            drain_delay,
            shutdown_timeout,
            log_format,
            log_slow_calls,
            log_calls_one_in
        )
    }

    /// The same settings, once every number among them is one that the server can work with.
    ///
    /// # Errors
    /// [`ConfigError::OutOfBounds`] that names the first that is not.
    pub fn checked(self) -> Result<Self, ConfigError> {
        bounds::check(&self)?;
        Ok(self)
    }

    /// The settings as a TOML file that [`Settings::from_file`] reads, passwords taken out.
    ///
    /// # Errors
    /// When a path is not valid UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The defaults by the names of the long options, in text form; settings that are unset by default have none.
    pub(crate) fn defaults() -> Vec<(String, String)> {
        let defaults = toml::Table::try_from(Self::default()).expect("the defaults are texts and numbers");
        let text = |value: toml::Value| match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        defaults.into_iter().map(|(name, value)| (name, text(value))).collect()
    }

    /// The worker threads that `workers` stands for.
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            0 => EngineOptions::default().workers,
            workers => workers,
        }
    }

    /// The worker threads that `workers` stands for on a GPU, each with a session and a stream of its own.
    pub fn gpu_workers(&self) -> usize {
        match self.workers {
            0 => EngineOptions::default().gpu_workers,
            workers => workers,
        }
    }

    /// The bytes that `model_memory_mib` stands for; `None` for no bound.
    pub fn max_model_bytes(&self) -> Option<u64> {
        (self.model_memory_mib > 0).then_some(self.model_memory_mib << 20)
    }

    /// The threads on which calls are received and answered, on a machine of so many `cores`. More threads than
    /// cores cost whoever wakes up a turn of the processor.
    ///
    /// On a CPU the model takes nearly all the time, and half as many threads as cores answered one caller 1.5%
    /// sooner and 64 callers 2% more often (two cores). A GPU's workers need `CORES_OF_A_GPU`: with fourteen cores,
    /// eight workers and half the load that they can bear, the slowest of a hundred calls took 5.1 ms with eleven
    /// threads, 4.4 ms with nine.
    pub fn async_threads(&self, cores: usize) -> usize {
        let on_a_gpu = match self.device {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            Device::Auto => runtime::comes_with_cuda(),
        };
        let half = (cores / 2).max(1);
        let held = self.gpu_workers().min(CORES_OF_A_GPU);
        if on_a_gpu { cores.saturating_sub(held).max(half) } else { half }
    }

    /// Whether the model is the one that comes with the program.
    pub fn is_bundled_model(&self) -> bool {
        self.bundle.as_os_str() == BUNDLED
    }

    /// The sample that `sample` stands for.
    pub fn wanted_sample(&self) -> Sample<'_> {
        match self.sample.to_str() {
            Some("auto") => Sample::Auto,
            Some("none") => Sample::None,
            Some(BUNDLED) => Sample::Bundled,
            _ => Sample::Folder(&self.sample),
        }
    }

    /// Whether users, histories and movies are kept where they are when nothing is set.
    pub fn is_default_store(&self) -> bool {
        self.store.url().is_none() && self.data_dir == Self::default().data_dir
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn calls_have_half_the_cores_or_those_that_a_gpus_workers_leave() {
        let on = |device, workers| Config { device, workers, ..Config::default() };
        assert_eq!(on(Device::Cuda(0), 0).async_threads(16), 11);
        assert_eq!(on(Device::Cuda(0), 1).async_threads(16), 15);
        assert_eq!(on(Device::Cuda(0), 6).async_threads(4), 2);
        assert_eq!(on(Device::Cpu, 6).async_threads(8), 4);
        assert_eq!(on(Device::Cpu, 0).async_threads(1), 1);
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_the_defaults() {
        let command_line = Settings { workers: Some(3), ..Settings::default() };
        let file = Settings { workers: Some(5), queue_limit: Some(7), ..Settings::default() };
        let config = Config::resolve(command_line, file);
        assert_eq!((config.workers, config.queue_limit), (3, 7));
        assert_eq!(config.listen, Config::default().listen);
    }

    #[test]
    fn a_misspelt_key_in_the_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marquee.toml");
        std::fs::write(&path, "listne = \"127.0.0.1:1\"\n").unwrap();
        let error = Settings::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("listne"), "{error}");
    }

    #[test]
    fn the_file_takes_the_addresses_that_the_command_line_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marquee.toml");
        std::fs::write(&path, "listen = \"localhost:7000\"\nmetrics-listen = \":9090\"\n").unwrap();
        let config = Config::resolve(Settings::default(), Settings::from_file(&path).unwrap());
        assert_eq!(config.listen, "127.0.0.1:7000".parse().unwrap());
        assert_eq!(config.metrics_listen, Some("127.0.0.1:9090".parse().unwrap()));
    }

    #[test]
    fn a_file_that_is_wrong_names_the_line_and_no_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marquee.toml");
        for (text, why) in [
            ("workers = 1\nstore = \"scylla://u:SECRET@h/k", "line 2: invalid basic string"),
            ("store = scylla://u:SECRET@h/k\n", "line 1: "),
            ("\n\nstore = \"scyla://u:SECRET@h/k\"\n", "line 3: \"scyla://u:***@h/k\" is not accepted"),
            ("cache = { url = \"redis://u:SECRET@h\" }\n", "line 1: invalid type"),
            ("workers = \"redis://u:SECRET@h\"\n", "line 1: invalid type"),
            ("\"redis://u:SECRET@h\" = 1\n", "line 1: unknown field"),
            ("listen = \"redis://u:SECRET@h\"\n", "line 1: \"redis://u:***@h\" is not accepted"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Settings::from_file(&path).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
        }
    }

    #[test]
    fn the_printed_configuration_is_one_that_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marquee.toml");
        std::fs::write(&path, Config::default().to_toml().unwrap()).unwrap();
        let again = Config::resolve(Settings::default(), Settings::from_file(&path).unwrap());
        assert_eq!(again.to_toml().unwrap(), Config::default().to_toml().unwrap());
    }

    #[test]
    fn a_printed_url_has_no_password() {
        let store = "scylla://marquee:secret@db1,db2:9043/movies".parse().unwrap();
        let config = Config { store, ..Config::default() };
        let printed = config.to_toml().unwrap();
        assert!(!printed.contains("secret"), "{printed}");
        assert!(printed.contains("marquee:***@db1"), "{printed}");
    }

    #[test]
    fn the_help_does_not_print_urls_of_the_environment_which_may_hold_passwords() {
        use clap::CommandFactory as _;
        let command = crate::commands::Cli::command();
        for name in ["store", "cache"] {
            let option = command.get_arguments().find(|option| option.get_long() == Some(name));
            assert!(option.is_some_and(clap::Arg::is_hide_env_values_set), "{name}");
        }
    }

    #[test]
    fn the_sample_goes_by_itself_into_the_default_store_alone() {
        assert_eq!(Config::default().wanted_sample(), Sample::Auto);
        assert!(Config::default().is_default_store());
        let own = Config { data_dir: "/srv/marquee".into(), ..Config::default() };
        assert!(!own.is_default_store());
        let store = "scylla://db1/marquee".parse().unwrap();
        assert!(!Config { store, ..Config::default() }.is_default_store());
    }

    /// The table of CONFIGURATION.md, from the options and the defaults themselves.
    fn table() -> String {
        use clap::CommandFactory as _;
        use std::fmt::Write as _;
        #[derive(clap::Parser)]
        struct Probe {
            #[command(flatten)]
            settings: Settings,
        }
        let defaults: HashMap<_, _> = Config::defaults().into_iter().collect();
        let mut text = String::from(
            "| option and TOML key | environment | default | accepted | meaning |\n|---|---|---|---|---|\n",
        );
        for option in Probe::command().get_arguments() {
            let Some(name) = option.get_long().filter(|name| *name != "help") else { continue };
            let default = defaults.get(name).map_or("none", String::as_str);
            let environment =
                option.get_env().map(|env| env.to_string_lossy().into_owned()).unwrap_or_default();
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let accepted = bounds::accepted(name).unwrap_or_default();
            writeln!(text, "| `{name}` | `{environment}` | `{default}` | {accepted} | {help} |").unwrap();
        }
        text
    }

    #[test]
    fn the_documented_defaults_are_the_real_ones() {
        let documented = include_str!("../../CONFIGURATION.md");
        let table = table();
        assert!(documented.contains(&table), "put this table into server/CONFIGURATION.md:\n{table}");
    }
}
