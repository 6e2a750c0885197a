//! Every default, in one place.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use marquee_core::clock::MAX_CLOCK_SKEW;
use marquee_engine::runtime::Device;
use marquee_engine::{EngineOptions, Precision};
use marquee_store::OnDamage;

use super::{BUNDLED, CacheUrl, Config, LogFormat, Span, StoreUrl};

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            metrics_listen: None,
            data_dir: "./.marquee".into(),
            store: StoreUrl::redb(),
            statistics_interval: Span(Duration::from_mins(10)),
            cache: CacheUrl::local(),
            bundle: BUNDLED.into(),
            sample: "auto".into(),
            allow_mismatched_model: false,
            device: Device::Auto,
            precision: Precision::Fp32,
            workers: 0,
            wake_latency_us: None,
            queue_limit: 1024,
            max_models: EngineOptions::MAX_MODELS,
            model_memory_mib: 0,
            vector_cache_mib: 64,
            profile_cache_mib: 64,
            rate_limit: None,
            max_message_kib: 4096,
            max_concurrent_streams: 1024,
            receive_buffer_mib: 128,
            receive_timeout: Span(Duration::from_secs(30)),
            max_connections: 10_000,
            max_connections_per_address: 5_000,
            handshake_timeout: Span(Duration::from_secs(10)),
            idle_timeout: Span(Duration::from_mins(30)),
            send_timeout: Span(Duration::from_secs(10)),
            max_watchers: 256,
            max_clock_skew: Span(MAX_CLOCK_SKEW),
            drain_delay: Span(Duration::ZERO),
            shutdown_timeout: Span(Duration::from_secs(10)),
            log_format: LogFormat::Auto,
            log_slow_calls: Span(Duration::from_secs(1)),
            log_calls_one_in: 0,
            on_damage: OnDamage::Refuse,
        }
    }
}
