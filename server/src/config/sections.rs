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
use crate::access::{ClaimRoles, KeySource};
use crate::edge::{AllowedHosts, ClientAuth, CorsOrigins, OwnRoles, Presets, Proxies, Reflection};
use crate::jobs::{Commands, Places, Schedules};
use crate::shared::limit::{Rate, Share};
use crate::telemetry::LogFormat;

const TENTH: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
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
        /// Whether the gateway serves the web console at /: on or off
        console <"SWITCH">: Switch = Switch::On;
        /// Names by which callers without gRPC may call the server, beside its addresses and localhost: what stands in
        /// their Host header, without a port; * for any
        allowed_hosts <"HOST,...">: AllowedHosts = AllowedHosts::default();
        /// Origins whose pages may call the server beside its own, as browsers write them; * for any. Cookies are never
        /// taken
        cors_origins <"ORIGIN,...">: CorsOrigins = CorsOrigins::default();
        /// How often the callers at one address may call each method, each message of a stream counting: 100/s, 600/m
        /// or 5000/h; none for no limit
        rate_limit <"RATE">: Option<Rate> = None;
        /// How many calls one caller may have in flight, counted by each node: a number, or a part of queue-limit such as
        /// 25%; none for no limit
        caller_share <"SHARE">: Option<Share> = None;
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

    /// Who may call, and what stands between callers and those who listen on the way.
    security: SecurityConfig {
        /// Whether callers must say who they are: on or off. Beyond this machine it must be on, unless insecure-open is
        /// said
        auth <"SWITCH">: Switch = Switch::Off;
        /// Certificate of the server as PEM, and behind it those that lead to its authority: all calls are over TLS 1.3
        /// or 1.2 then
        tls_cert <"FILE">: Option<PathBuf> = None;
        /// Private key of the certificate as PEM
        tls_key <"FILE">: Option<PathBuf> = None;
        /// Authorities as PEM whose certificates callers show
        tls_client_ca <"FILE">: Option<PathBuf> = None;
        /// Whether callers must show a certificate where tls-client-ca is given: required or optional
        tls_client_auth <"NEED">: ClientAuth = ClientAuth::Required;
        /// How often the files of certificates and keys are looked at for changes, which are taken over without losing a
        /// connection
        tls_reload_interval <"TIME">: Duration = Duration::from_secs(5), TENTH..=DAY;
        /// Networks of proxies that end TLS before the server: addresses that they forward (X-Forwarded-For, Forwarded)
        /// are believed, from nobody else
        tls_terminated_by <"CIDR,...">: Proxies = Proxies::NONE;
        /// Whether a server that others reach may do without TLS and without auth: whoever reaches it may do everything,
        /// and whoever listens on the way reads along
        insecure_open <"BOOL">: bool = false;
        /// Whether what is only warned of ends the start: metrics open to others, Redis or CQL without TLS on other
        /// machines
        strict_security <"BOOL">: bool = false;
        /// Roles beside those that come with the server. A RIGHT is a method, such as CatalogService/GetMovie or
        /// CatalogService/*, or a bound: own_user, max_k=N, or model=VERSION for each model that may be pinned
        roles <"NAME:RIGHT,...;...">: OwnRoles = OwnRoles::default();
        /// Where the public keys (a JWK set) are of an identity provider whose tokens (JWT) are taken beside keys: a file,
        /// which is looked at every five seconds, or a URL of https
        jwt_keys <"FILE|URL">: Option<KeySource> = None;
        /// Authorities as PEM that sign the certificate of that URL; those of the system when none
        jwt_keys_ca <"FILE">: Option<PathBuf> = None;
        /// How often that URL is asked again; a token by a key that is new has it asked at once
        jwt_keys_refresh <"TIME">: Duration = Duration::from_mins(5), SECOND..=DAY;
        /// The iss of tokens
        jwt_issuer <"ISSUER">: Option<String> = None;
        /// The aud of tokens
        jwt_audience <"AUDIENCE">: Option<String> = None;
        /// By how much the provider's clock may differ
        jwt_leeway <"TIME">: Duration = Duration::from_secs(30), Duration::ZERO..=Duration::from_mins(10);
        /// The claim that gives roles: a text of words, or a list
        jwt_role_claim <"CLAIM">: String = "role".to_owned();
        /// Which value of that claim gives which role; when none, values are names of roles
        jwt_roles <"VALUE=ROLE,...">: ClaimRoles = ClaimRoles::default();
        /// The claim with the user_id that the caller owns
        jwt_user_claim <"CLAIM">: Option<String> = None;
        /// Whether people may make accounts of their own: on or off. Off, none are made
        sign_up <"SWITCH">: Switch = Switch::Off;
        /// How long a person stays signed in without a call
        session_idle <"TIME">: Duration = Duration::from_hours(14 * 24), MINUTE..=YEAR;
        /// How long a person stays signed in at most
        session_lifetime <"TIME">: Duration = Duration::from_hours(90 * 24), MINUTE..=YEAR;
        /// Which name on a certificate that an authority of tls-client-ca has signed has which role, where its caller shows
        /// no key; more than one if it is named again
        certificate_roles <"NAME=ROLE,...">: ClaimRoles = ClaimRoles::default();
        /// Who may ask which services there are, by gRPC's reflection: on for everybody, authenticated for whoever shows a
        /// key where auth is on, off for nobody
        reflection <"WHO">: Reflection = Reflection::On;
        /// Whether changes of movies, rules, models, rights and whole users are recorded, and what is refused: on or off;
        /// when none, as auth is
        audit <"SWITCH">: Option<Switch> = None;
        /// How many days those records are kept
        audit_retention_days <"DAYS">: u32 = 400, 1..=3650;
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
        /// Folder below which callers may have bundles loaded, with no links out of it; when none, any folder while auth is
        /// off, and else the folder bundles in data-dir, beside the bundle of the start
        bundles_dir <"DIR">: Option<PathBuf> = None;
        /// Folder of the versions of models that are uploaded; when none, the folder models in data-dir. Nodes may share one
        models_dir <"DIR">: Option<PathBuf> = None;
        /// Versions that may be kept there; one more is refused until another one is deleted
        models_max_versions <"N">: usize = 50, 1..=1000;
        /// Disk that they may take together, in MiB
        models_max_mib <"MIB">: u64 = 20 << 10, 1..=MAX_MIB;
        /// Whether a version of the registry that is activated stays so, over restarts and on all nodes of the store: on or
        /// off. Off, every start takes that of bundle, and each node is activated by itself
        keep_activation <"SWITCH">: Switch = Switch::On;
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
        /// Of a hundred users, how many take part in no experiment, so that all experiments together can be read against
        /// them
        holdout_percent <"PERCENT">: u32 = 0, 0..=50;
    }

    /// Long work that the server does itself.
    jobs: JobsConfig {
        /// Jobs that this node runs at once; 0 for a node that leaves them to those that share its store
        jobs_at_once <"N">: usize = 2, 0..=64;
        /// Percent of a processor that each of them takes; they run behind everything else as well
        job_budget <"PERCENT">: u32 = 50, 1..=100;
        /// Jobs that are over and kept, the newest
        job_history <"N">: usize = 1000, 1..=10_000;
        /// How many days they are kept
        job_history_days <"DAYS">: u32 = 90, 1..=3650;
        /// Releases that jobs may import, by name; a server that listens on loopback alone takes any path as well
        job_sources <"NAME=PATH,...">: Places = Places::default();
        /// Folders, or for backups s3://BUCKET/PREFIX, that jobs may write to, by name; a server that listens on loopback alone takes any path as well
        job_targets <"NAME=PATH,...">: Places = Places::default();
        /// Programs that the job train may run, by name, with what they are given; no shell reads them
        job_commands <"NAME=PROGRAM [ARGUMENT ...];...">: Commands = Commands::default();
        /// How many days events of users are kept, older ones are removed by the job retention; 0 for ever
        event_retention_days <"DAYS">: u32 = 0, 0..=36_500;
        /// When jobs run by themselves, in UTC unless a ZONE is named, each put off by up to a JITTER such as ~10m; shipped
        /// stands for those that come with the server
        job_schedules <"NAME=KIND [ARGUMENT=VALUE ...] @ CRON [ZONE] [~JITTER];...">: Schedules = Schedules::default();
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
