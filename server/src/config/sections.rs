//! The settings: each stands here, once, with its documentation, type, default and bounds.
//!
//! A new one is a line here and a row of `server/CONFIGURATION.md`, which a test asks for. Its option is its name with
//! dashes, its environment variable `MARQUEE_` and its name, and the file has it in the table of its section.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use marquee_core::clock::MAX_CLOCK_SKEW;
use marquee_engine::{Device, EncoderBackend, EngineOptions, Precision};
use marquee_retrieval::planner::INDEX_FROM_ITEMS;
use marquee_retrieval::{AnnOptions, Method, Quantization};
use tracing::Level;

use super::setting::sections;
use super::{BUNDLED, CacheUrl, StoreUrl, Switch};
use crate::edge::{AllowedHosts, CorsOrigins, Presets};
use crate::shared::limit::Rate;
use crate::telemetry::LogFormat;

const TENTH: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);
const YEAR: Duration = Duration::from_hours(365 * 24);
/// A TiB.
const MAX_MIB: u64 = 1 << 20;
const MANY: usize = 1_000_000;

// Bounds keep mistakes out, such as bytes where MiB are meant; what is wise is said in the documentation.
sections! {
    /// Where calls come in, and what they and their connections may take.
    server: ServerConfig {
        /// Address and port of the gRPC API; localhost:PORT and :PORT are this machine alone, 0.0.0.0:PORT is open to
        /// others
        listen <"ADDR:PORT">: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 50051));
        /// Whether the same port answers HTTP/1.1, JSON and gRPC-web too; false for gRPC alone
        http_gateway <"BOOL">: bool = true;
        /// Names by which callers without gRPC may call the server, beside its addresses and localhost: what stands in
        /// their Host header, without a port; * for any
        allowed_hosts <"HOST,...">: AllowedHosts = AllowedHosts::default();
        /// Origins whose pages may call the server beside its own, as browsers write them; * for any. Cookies are never
        /// taken
        cors_origins <"ORIGIN,...">: CorsOrigins = CorsOrigins::default();
        /// How often the callers at one address may call each method, each message of a stream counting: 100/s, 600/m
        /// or 5000/h; none for no limit
        rate_limit <"RATE">: Option<Rate> = None;
        /// Largest request message, in KiB
        max_message_kib <"KIB">: usize = 4096, 1..=1 << 20;
        /// Calls that one connection may have open at once
        max_concurrent_streams <"N">: u32 = 1024, 1..=1_000_000;
        /// Memory for request messages that have not arrived whole, over all connections, in MiB; three of the largest
        /// messages at least
        receive_buffer_mib <"MIB">: usize = 128, 1..=MAX_MIB as usize;
        /// How long a request may take to arrive whole; of a stream each message, and none between two
        receive_timeout <"TIME">: Duration = Duration::from_secs(30), TENTH..=DAY;
        /// Connections that may be open; fewer where the limit of open files asks for it
        max_connections <"N">: usize = 10_000, 1..=MANY;
        /// Connections that may be open from one address, or one network of 64 bits of IPv6; callers behind a proxy
        /// have one address
        max_connections_per_address <"N">: usize = 5_000, 1..=MANY;
        /// How long a new connection may take to begin to speak HTTP/2, or its first request of HTTP/1.1 to have its
        /// headers whole
        handshake_timeout <"TIME">: Duration = Duration::from_secs(10), TENTH..=DAY;
        /// How long a connection may be open without a call, at most twice this time; its client makes a new one for
        /// its next call
        idle_timeout <"TIME">: Duration = Duration::from_mins(30), TENTH..=YEAR;
        /// How long a reply may wait for its reader; a stream ends with ABORTED then, other calls with their connection
        send_timeout <"TIME">: Duration = Duration::from_secs(10), SECOND..=DAY;
        /// Calls of WatchInteractions that may be open at once, a quarter of them from one address
        max_watchers <"N">: usize = 256, 1..=MANY;
        /// How long calls are still accepted after SIGTERM while health says NOT_SERVING, so that balancers notice;
        /// SIGINT does not wait
        drain_delay <"TIME">: Duration = Duration::ZERO, Duration::ZERO..=DAY;
        /// How long calls in flight may take to end after SIGTERM
        shutdown_timeout <"TIME">: Duration = Duration::from_secs(10), Duration::ZERO..=DAY;
        /// Ask Linux for processors that are awake within so many microseconds, 0 for none that sleep: lower latency at
        /// low load for more power, needs write access to /dev/cpu_dma_latency; not asked for when none
        wake_latency_us <"US">: Option<u16> = None;
    }

    /// Where users, histories and movies are kept.
    store: StoreConfig {
        /// Folder of the embedded store
        data_dir <"DIR">: PathBuf = "./.marquee".into();
        /// Where users, histories and movies are kept: redb, or
        /// scylla://[USER:PASSWORD@]HOST[:PORT],HOST.../KEYSPACE?OPTION=VALUE&... with the options consistency,
        /// replication_factor, timeout_ms, tls=true and ca=FILE
        store <"URL">: StoreUrl = StoreUrl::redb();
        /// MovieLens folder that an empty store is filled with at start, "bundled" for the sample that comes with the
        /// program, "none" for none; "auto" is the bundled one in a store of its own, ./.marquee/sample, while the
        /// default store holds nothing
        sample_data <"DIR">: PathBuf = "auto".into();
        /// How old the statistics of a store that nodes share may become; one of the nodes sums them up anew
        statistics_interval <"TIME">: Duration = Duration::from_mins(10), TENTH..=WEEK;
        /// How far ahead of the server's clock the time of an interaction may lie, from callers and imports alike; later
        /// ones are refused
        max_clock_skew <"TIME">: Duration = MAX_CLOCK_SKEW, Duration::ZERO..=YEAR;
    }

    /// What is remembered, and where.
    cache: CacheConfig {
        /// Where answers are remembered: local, or redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], also with rediss,
        /// redis-cluster or redis-sentinel, and the options namespace=NAME (first part of the keys) and ca=FILE
        cache <"URL">: CacheUrl = CacheUrl::local();
        /// Memory for remembered user vectors, in MiB; 0 to remember none
        vector_cache_mib <"MIB">: u64 = 64, 0..=MAX_MIB;
        /// Memory for remembered profiles of users, in MiB; 0 to remember none
        profile_cache_mib <"MIB">: u64 = 64, 0..=MAX_MIB;
    }

    /// The model, and what it runs on.
    engine: EngineConfig {
        /// Folder of the model bundle; "bundled" for the one that comes with the program
        bundle <"DIR">: PathBuf = BUNDLED.into();
        /// Whether a model is used though most movies of the catalogue have other titles than those it was trained on
        allow_mismatched_model <"BOOL">: bool = false;
        /// Where the model runs: auto, cpu, cuda or cuda:N
        device <"DEVICE">: Device = Device::Auto;
        /// What computes the encoder on the CPU: ort (ONNX Runtime, with attention by a kernel of our own where it can),
        /// ort-only (ONNX Runtime alone) or native (kernels of our own, where they can)
        encoder <"ENCODER">: EncoderBackend = EncoderBackend::Ort;
        /// Precision of the encoder on the CPU: fp32, int8 (of ort) or bf16 (of native)
        precision <"PRECISION">: Precision = Precision::Fp32;
        /// Worker threads of the engine; 0 for one a core, each on its own, or eight on a GPU
        workers <"N">: usize = 0, 0..=1024;
        /// Jobs that may wait for a worker, on a GPU 32768 at least; one more is refused with RESOURCE_EXHAUSTED
        queue_limit <"N">: usize = EngineOptions::QUEUE_LIMIT, 1..=MANY;
        /// Models that may be loaded at once; one more is refused until another one is unloaded
        max_models <"N">: usize = EngineOptions::MAX_MODELS, 1..=1024;
        /// Memory that all models together may take, in MiB, told by the sizes of their files; 0 for no bound
        model_memory_mib <"MIB">: u64 = 0, 0..=MAX_MIB;
    }

    /// How the best movies for a user vector are found.
    retrieval: RetrievalConfig {
        /// How requests that name no method are answered: exact, ann (by the index where it can) or auto
        retrieval_method <"METHOD">: Method = Method::Auto;
        /// Movies of a model from which auto takes the index, if its measured recall@10 is 0.99 or more and no filter
        /// is asked for
        ann_from_movies <"N">: usize = INDEX_FROM_ITEMS, 1..=u32::MAX as usize;
        /// Neighbours that each movie has in the index (M): more is more recall, memory and time to build
        ann_connectivity <"N">: usize = AnnOptions::DEFAULT.connectivity, 2..=512;
        /// Candidates looked at for each movie that the index takes in (efConstruction): more is more recall and time to
        /// build
        ann_expansion_add <"N">: usize = AnnOptions::DEFAULT.expansion_add, 1..=1 << 16;
        /// Candidates that a search looks at (efSearch): up to eight times as many where the measured recall@10 is below
        /// 0.995
        ann_expansion_search <"N">: usize = AnnOptions::DEFAULT.expansion_search, 1..=1 << 16;
        /// Numbers of the vectors in the index: f32, bf16, f16 or i8; candidates are scored in full precision always
        ann_quantization <"TYPE">: Quantization = AnnOptions::DEFAULT.quantization;
        /// Whether users may be looked for whose taste is alike, by SimilarUsers and SearchVectors: on or off. Every caller
        /// may ask, and sees ids of users
        similar_users <"SWITCH">: Switch = Switch::Off;
        /// Users that are kept for that, those with the oldest activity go first; each takes four bytes for each of the
        /// model's dimensions, and its links in the index
        similar_users_max <"N">: usize = 100_000, 1..=10 * MANY;
    }

    /// What lists are chosen for.
    ranking: RankingConfig {
        /// Whether rows of movies that the model does not know are kept up, for requests that give them places; off for a
        /// server that nobody asks for them
        new_movies <"SWITCH">: Switch = Switch::On;
        /// Objectives by name, which a request's preset takes; that called default is of requests that name none. A KNOB is
        /// a field of RecommendRequest, such as diversity
        presets <"NAME:KNOB=VALUE,...;...">: Presets = Presets::default();
    }

    /// What is logged and counted.
    telemetry: TelemetryConfig {
        /// Address and port of the Prometheus metrics; none to serve none
        metrics_listen <"ADDR:PORT">: Option<SocketAddr> = None;
        /// Least level that is logged: error, warn, info, debug or trace; RUST_LOG, a filter by module, wins where it is
        /// set
        log_level <"LEVEL">: Level = Level::INFO;
        /// Form of the log: auto (text on a terminal, else JSON), text or json
        log_format <"FORM">: LogFormat = LogFormat::Auto;
        /// Calls that end well have a line of the log when they take at least so long; those that fail have one too, ten
        /// alike a second
        log_slow_calls <"TIME">: Duration = SECOND, Duration::ZERO..=DAY;
        /// Of the other calls that end well one in so many has a line of the log, at random; 0 for none
        log_calls_one_in <"N">: u32 = 0, 0..=u32::MAX;
    }
}
