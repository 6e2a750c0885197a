//! The values that need more than a number or a path.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer};

use super::redact::without_password;

/// Why a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not accepted here; {accepted}")]
pub struct ValueError {
    found: String,
    accepted: &'static str,
}

/// Reads an optional setting from its text form.
pub(super) fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Writes a setting in its text form.
pub(super) fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads an address to listen at from its text form.
pub(super) fn address_from_text<'de, D>(deserializer: D) -> Result<Option<SocketAddr>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    listen_address(&text).map(Some).map_err(serde::de::Error::custom)
}

/// An address to listen at: `ADDR:PORT`, `localhost:PORT` or `:PORT`. The last two are this machine's own
/// IPv4 address: whoever opens the server to others names the address.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, ValueError> {
    let wrong = || ValueError {
        found: text.to_owned(),
        accepted: "ADDR:PORT such as 127.0.0.1:50051, 0.0.0.0:50051 or [::1]:50051, localhost:PORT or :PORT is",
    };
    let port = text.strip_prefix("localhost").unwrap_or(text).strip_prefix(':');
    match port.and_then(|port| port.parse().ok()) {
        Some(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().map_err(|_| wrong()),
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl FromStr for LogFormat {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(ValueError { found: text.to_owned(), accepted: "auto, text or json is" }),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// A span of time, written as `250ms`, `10s`, `2m` or `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong =
            || ValueError { found: text.to_owned(), accepted: "a span such as 250ms, 10s, 2m or 1h is" };
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit_ms = match &text[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit_ms).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// A URL, or the name of the choice that needs none; printed without its password.
macro_rules! url_value {
    ($(#[$doc:meta])* $type:ident, $name:ident = $plain:literal, $schemes:expr, $accepted:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $type(String);

        impl $type {
            /// The choice that needs no URL.
            pub fn $name() -> Self {
                Self($plain.to_owned())
            }

            /// The URL, password included; `None` for the choice that needs none.
            pub fn url(&self) -> Option<&str> {
                (self.0 != $plain).then_some(self.0.as_str())
            }
        }

        impl FromStr for $type {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                if text == $plain || $schemes.iter().any(|scheme| text.starts_with(scheme)) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ValueError { found: without_password(text), accepted: $accepted })
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&without_password(&self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

url_value!(
    /// Where users, histories and movies are kept.
    StoreUrl, redb = "redb", ["scylla://"], "redb or scylla://HOST[:PORT],HOST.../KEYSPACE is"
);
url_value!(
    /// Where answers are remembered.
    CacheUrl, local = "local",
    [
        "redis://", "rediss://", "redis-cluster://", "rediss-cluster://", "redis-sentinel://",
        "rediss-sentinel://",
    ],
    "local, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or the same with rediss, redis-cluster or redis-sentinel is"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_what_it_prints() {
        for text in ["auto", "text", "json"] {
            assert_eq!(text.parse::<LogFormat>().unwrap().to_string(), text);
        }
        for text in ["250ms", "10s", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("2m".parse::<Span>().unwrap().to_string(), "120s");
    }

    #[test]
    fn localhost_and_a_bare_port_are_addresses_of_this_machine() {
        for text in ["127.0.0.1:50051", "localhost:50051", ":50051"] {
            assert_eq!(listen_address(text).unwrap().to_string(), "127.0.0.1:50051", "{text}");
        }
        for text in ["0.0.0.0:9090", "[::1]:50051"] {
            assert_eq!(listen_address(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_that_is_none_says_what_is_one() {
        for text in ["50051", "localhost", "localhost:", ":70000", "example.org:50051", ""] {
            let error = listen_address(text).unwrap_err().to_string();
            assert!(error.contains("localhost:PORT or :PORT"), "{error}");
        }
    }

    #[test]
    fn a_wrong_value_says_what_is_accepted() {
        let error = "xml".parse::<LogFormat>().unwrap_err().to_string();
        assert_eq!(error, "\"xml\" is not accepted here; auto, text or json is");
        assert!("10".parse::<Span>().is_err());
        assert!("99999999999999999999h".parse::<Span>().is_err());
    }

    #[test]
    fn a_wrong_url_does_not_show_its_password() {
        let error = "postgres://u:secret@h/d".parse::<StoreUrl>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
