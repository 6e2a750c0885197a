//! What the numbers among the settings may be.
//!
//! A number that cannot work is refused at the start, with one sentence, and not by calls that hang or by a
//! machine that has no more memory. The bounds keep mistakes out, such as bytes where MiB are meant; what
//! is wise is said where the settings are documented.

use std::fmt::Display;
use std::time::Duration;

use super::{Config, ConfigError, Span};

/// The setting of a name, its least and its most.
struct Bounds<T> {
    name: &'static str,
    least: T,
    most: T,
    found: fn(&Config) -> T,
}

const NUMBERS: [Bounds<u64>; 13] = [
    Bounds { name: "workers", least: 0, most: 1024, found: |config| config.workers as u64 },
    Bounds { name: "queue-limit", least: 1, most: 1_000_000, found: |config| config.queue_limit as u64 },
    Bounds { name: "max-models", least: 1, most: 1024, found: |config| config.max_models as u64 },
    Bounds { name: "model-memory-mib", least: 0, most: MAX_MIB, found: |config| config.model_memory_mib },
    Bounds { name: "vector-cache-mib", least: 0, most: MAX_MIB, found: |config| config.vector_cache_mib },
    Bounds { name: "profile-cache-mib", least: 0, most: MAX_MIB, found: |config| config.profile_cache_mib },
    Bounds {
        name: "max-message-kib",
        least: 1,
        most: 1 << 20,
        found: |config| config.max_message_kib as u64,
    },
    Bounds {
        name: "max-concurrent-streams",
        least: 1,
        most: 1_000_000,
        found: |config| config.max_concurrent_streams.into(),
    },
    Bounds { name: "max-watchers", least: 1, most: 1_000_000, found: |config| config.max_watchers as u64 },
    Bounds {
        name: "receive-buffer-mib",
        least: 1,
        most: MAX_MIB,
        found: |config| config.receive_buffer_mib as u64,
    },
    Bounds {
        name: "max-connections",
        least: 1,
        most: 1_000_000,
        found: |config| config.max_connections as u64,
    },
    Bounds {
        name: "max-connections-per-address",
        least: 1,
        most: 1_000_000,
        found: |config| config.max_connections_per_address as u64,
    },
    Bounds {
        name: "log-calls-one-in",
        least: 0,
        most: u32::MAX as u64,
        found: |config| config.log_calls_one_in.into(),
    },
];

const SPANS: [Bounds<Span>; 9] = [
    Bounds {
        name: "statistics-interval",
        least: Span(Duration::from_millis(100)),
        most: Span(Duration::from_hours(168)),
        found: |config| config.statistics_interval,
    },
    Bounds {
        name: "send-timeout",
        least: Span(Duration::from_secs(1)),
        most: Span(Duration::from_hours(24)),
        found: |config| config.send_timeout,
    },
    Bounds {
        name: "max-clock-skew",
        least: Span(Duration::ZERO),
        most: Span(Duration::from_hours(365 * 24)),
        found: |config| config.max_clock_skew,
    },
    Bounds {
        name: "receive-timeout",
        least: Span(Duration::from_millis(100)),
        most: Span(Duration::from_hours(24)),
        found: |config| config.receive_timeout,
    },
    Bounds {
        name: "handshake-timeout",
        least: Span(Duration::from_millis(100)),
        most: Span(Duration::from_hours(24)),
        found: |config| config.handshake_timeout,
    },
    Bounds {
        name: "idle-timeout",
        least: Span(Duration::from_millis(100)),
        most: Span(Duration::from_hours(365 * 24)),
        found: |config| config.idle_timeout,
    },
    Bounds {
        name: "drain-delay",
        least: Span(Duration::ZERO),
        most: Span(Duration::from_hours(24)),
        found: |config| config.drain_delay,
    },
    Bounds {
        name: "shutdown-timeout",
        least: Span(Duration::ZERO),
        most: Span(Duration::from_hours(24)),
        found: |config| config.shutdown_timeout,
    },
    Bounds {
        name: "log-slow-calls",
        least: Span(Duration::ZERO),
        most: Span(Duration::from_hours(24)),
        found: |config| config.log_slow_calls,
    },
];

/// A TiB.
const MAX_MIB: u64 = 1 << 20;

impl<T: Display + PartialOrd> Bounds<T> {
    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let found = (self.found)(config);
        if (&self.least..=&self.most).contains(&&found) {
            return Ok(());
        }
        let found = found.to_string();
        Err(ConfigError::OutOfBounds { name: self.name, found, accepted: self.accepted() })
    }

    fn accepted(&self) -> String {
        format!("{} to {}", self.least, self.most)
    }
}

/// Whether every number is within its bounds.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    NUMBERS.iter().try_for_each(|bounds| bounds.check(config))?;
    SPANS.iter().try_for_each(|bounds| bounds.check(config))
}

/// What a setting accepts, if it has bounds.
#[cfg(test)]
pub(super) fn accepted(name: &str) -> Option<String> {
    let number = NUMBERS.iter().find(|bounds| bounds.name == name).map(Bounds::accepted);
    number.or_else(|| SPANS.iter().find(|bounds| bounds.name == name).map(Bounds::accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: Config) -> String {
        config.checked().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_accepted() {
        Config::default().checked().unwrap();
    }

    #[test]
    fn a_number_that_cannot_work_is_named_with_what_is_accepted() {
        let no_calls = Config { max_concurrent_streams: 0, ..Config::default() };
        assert_eq!(refusal(no_calls), "max-concurrent-streams is 0; 1 to 1000000 is accepted");
        let no_message = Config { max_message_kib: 0, ..Config::default() };
        assert_eq!(refusal(no_message), "max-message-kib is 0; 1 to 1048576 is accepted");
        let no_job = Config { queue_limit: 0, ..Config::default() };
        assert_eq!(refusal(no_job), "queue-limit is 0; 1 to 1000000 is accepted");
        let bytes = Config { vector_cache_mib: 64 << 20, ..Config::default() };
        assert_eq!(refusal(bytes), "vector-cache-mib is 67108864; 0 to 1048576 is accepted");
    }

    #[test]
    fn a_span_that_cannot_work_is_named_with_what_is_accepted() {
        let busy = Config { statistics_interval: Span(Duration::ZERO), ..Config::default() };
        assert_eq!(refusal(busy), "statistics-interval is 0s; 100ms to 604800s is accepted");
    }

    #[test]
    fn every_number_among_the_settings_has_bounds() {
        let settings: toml::Table = toml::from_str(&Config::default().to_toml().unwrap()).unwrap();
        for (name, value) in settings {
            let is_span = value.as_str().is_some_and(|text| text.parse::<Span>().is_ok());
            assert!(accepted(&name).is_some() || !(value.is_integer() || is_span), "{name}");
        }
    }
}
