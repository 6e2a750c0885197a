//! The values of settings: which there are of a type, how they are read and how they are written.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use marquee_core::duration;
use marquee_engine::{Device, EncoderBackend, Precision};
use marquee_retrieval::{Method, Quantization};
use tracing::Level;

use super::redact::without_password;
use crate::access::{ClaimRoles, KeySource};
use crate::edge::{AllowedHosts, ClientAuth, CorsOrigins, OwnRoles, Presets, Proxies, Reflection};
use crate::jobs::{Commands, Places, Schedules};
use crate::shared::limit::{Rate, Share};
use crate::telemetry::LogFormat;

/// Whether something is done that nobody gets who does not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// A type that settings have. What is written is read back.
pub(super) trait Value: Sized {
    /// Which texts are read, for people.
    fn accepted() -> String;
    fn read(text: &str) -> Option<Self>;
    fn written(&self) -> String;
}

/// The value of a text, if it is one that lies within the bounds.
pub(super) fn read_within<T: Value + PartialOrd>(text: &str, bounds: &RangeInclusive<T>) -> Option<T> {
    T::read(text).filter(|value| bounds.contains(value))
}

/// Which values lie within the bounds, for people.
pub(super) fn accepted_within<T: Value>(bounds: &RangeInclusive<T>) -> String {
    format!("{} to {}", bounds.start().written(), bounds.end().written())
}

/// `none` is a value of its own, so that a layer can take back what the one below says.
impl<T: Value> Value for Option<T> {
    fn accepted() -> String {
        format!("none, or {}", T::accepted())
    }

    fn read(text: &str) -> Option<Self> {
        if text == "none" { Some(None) } else { T::read(text).map(Some) }
    }

    fn written(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::written)
    }
}

impl Value for Duration {
    fn accepted() -> String {
        "a time such as 250ms, 10s, 2m or 1h".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        duration::parse(text).ok()
    }

    fn written(&self) -> String {
        duration::format(*self)
    }
}

impl Value for PathBuf {
    fn accepted() -> String {
        "a path".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn written(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

impl Value for String {
    fn accepted() -> String {
        "a text".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn written(&self) -> String {
        self.clone()
    }
}

/// An address to listen at. `localhost:PORT` and `:PORT` are this machine's own IPv4 address: whoever opens the server
/// to others names the address.
impl Value for SocketAddr {
    fn accepted() -> String {
        "ADDR:PORT such as 127.0.0.1:50051, 0.0.0.0:50051 or [::1]:50051, localhost:PORT or :PORT".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        let port = text.strip_prefix("localhost").unwrap_or(text).strip_prefix(':');
        match port.and_then(|port| port.parse().ok()) {
            Some(port) => Some(Self::from((Ipv4Addr::LOCALHOST, port))),
            None => text.parse().ok(),
        }
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

/// Types that read what they print.
macro_rules! printed {
    ($($type:ty: $accepted:literal,)+) => {
        $(impl Value for $type {
            fn accepted() -> String {
                $accepted.to_owned()
            }

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn written(&self) -> String {
                self.to_string()
            }
        })+
    };
}

printed! {
    u16: "0 to 65535",
    u32: "a whole number",
    u64: "a whole number",
    usize: "a whole number",
    bool: "true or false",
    Device: "auto, cpu, cuda or cuda:N",
    EncoderBackend: "ort, ort-only or native",
    Precision: "fp32, int8 or bf16",
    Rate: "100/s, 600/m or 5000/h",
    Share: "a number such as 64, or a part such as 25%",
    AllowedHosts: "none, *, or names without ports such as api.example.org,example.org",
    CorsOrigins: "none, *, or SCHEME://HOST[:PORT] without a path such as https://app.example.org,http://localhost:5173",
    Presets: "none, or NAME:KNOB=VALUE,...;NAME:... such as default:diversity=0.25,calibration=0.35;new:freshness_weight=1",
    ClaimRoles: "none, or VALUE=ROLE,... such as staff=operator,apps=recommender",
    KeySource: "a path, or a URL such as https://id.example.org/jwks.json, without TLS of this machine alone",
    Proxies: "none, or networks and addresses such as 10.0.0.0/8,192.0.2.7,fd00::/8",
    OwnRoles: "none, or NAME:RIGHT,...;NAME:... such as bot:CatalogService/*,RecommendationService/Recommend,max_k=20",
    Places: "none, or NAME=PATH,... such as nightly=/backups/nightly,weekly=/backups/weekly",
    Commands: "none, or NAME=PROGRAM [ARGUMENT ...];... such as nightly=/opt/train --epochs 3",
    Schedules: "none, shipped, or schedules such as shipped; nightly=backup target=nas @ 0 2 * * * Europe/Berlin ~30m",
    StoreUrl: "redb or scylla://HOST[:PORT],HOST.../KEYSPACE",
    CacheUrl: "local, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or the same with rediss, redis-cluster or redis-sentinel",
}

/// Types whose values have a name each.
macro_rules! named {
    ($($type:ty: $accepted:literal { $($name:literal = $value:expr),+ })+) => {
        $(impl Value for $type {
            fn accepted() -> String {
                $accepted.to_owned()
            }

            fn read(text: &str) -> Option<Self> {
                $(if text == $name { return Some($value); })+
                None
            }

            fn written(&self) -> String {
                $(if *self == $value { return $name.to_owned(); })+
                unreachable!("every value has a name: {self:?}")
            }
        })+
    };
}

named! {
    Switch: "on or off" {
        "on" = Switch::On, "off" = Switch::Off
    }
    ClientAuth: "required or optional" {
        "required" = ClientAuth::Required, "optional" = ClientAuth::Optional
    }
    Reflection: "on, off or authenticated" {
        "on" = Reflection::On, "off" = Reflection::Off, "authenticated" = Reflection::Authenticated
    }
    LogFormat: "auto, text or json" {
        "auto" = LogFormat::Auto, "text" = LogFormat::Text, "json" = LogFormat::Json
    }
    Level: "error, warn, info, debug or trace" {
        "error" = Level::ERROR, "warn" = Level::WARN, "info" = Level::INFO, "debug" = Level::DEBUG,
        "trace" = Level::TRACE
    }
    Method: "auto, exact or ann" {
        "auto" = Method::Auto, "exact" = Method::Exact, "ann" = Method::Ann
    }
    Quantization: "f32, bf16, f16 or i8" {
        "f32" = Quantization::F32, "bf16" = Quantization::Bf16, "f16" = Quantization::F16, "i8" = Quantization::I8
    }
}

/// A URL, or the name of the choice that needs none; printed without its password.
macro_rules! url_value {
    ($(#[$doc:meta])* $type:ident, $name:ident = $plain:literal, $schemes:expr) => {
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
            type Err = UrlError;

            fn from_str(text: &str) -> Result<Self, UrlError> {
                let has = |scheme: &&str| text.split_once("://").is_some_and(|(found, _)| found == *scheme);
                let is_known = text == $plain || $schemes.iter().any(has);
                is_known.then(|| Self(text.to_owned())).ok_or_else(|| UrlError(without_password(text)))
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

/// The URL has a scheme of something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is of no store or cache that is known")]
pub struct UrlError(String);

url_value!(
    /// Where users, histories and movies are kept.
    StoreUrl, redb = "redb", ["scylla"]
);
url_value!(
    /// Where answers are remembered.
    CacheUrl, local = "local",
    ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_and_a_bare_port_are_addresses_of_this_machine() {
        for text in ["127.0.0.1:50051", "localhost:50051", ":50051"] {
            assert_eq!(SocketAddr::read(text).unwrap().written(), "127.0.0.1:50051", "{text}");
        }
        for text in ["0.0.0.0:9090", "[::1]:50051"] {
            assert_eq!(SocketAddr::read(text).unwrap().written(), text);
        }
        for text in ["50051", "localhost", "localhost:", ":70000", "example.org:50051", ""] {
            assert_eq!(SocketAddr::read(text), None, "{text}");
        }
    }

    fn assert_read_back<T: Value>(texts: &[&str]) {
        assert!(texts.iter().all(|text| T::read(text).is_some_and(|value| value.written() == *text)));
    }

    #[test]
    fn every_name_reads_what_it_prints() {
        assert_read_back::<Level>(&["error", "warn", "info", "debug", "trace"]);
        assert_read_back::<Quantization>(&["f32", "bf16", "f16", "i8"]);
        assert_read_back::<LogFormat>(&["auto", "text", "json"]);
        assert_read_back::<Method>(&["auto", "exact", "ann"]);
        assert!(LogFormat::read("xml").is_none());
    }

    #[test]
    fn a_wrong_url_does_not_show_its_password() {
        let error = "postgres://u:secret@h/d".parse::<StoreUrl>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
