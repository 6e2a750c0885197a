//! The values that need more than a number or a path.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::redact::without_password;

/// Why a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not accepted here; {accepted}")]
pub struct ValueError {
    found: String,
    accepted: &'static str,
}

/// Reads the value from its text form wherever serde meets it.
macro_rules! text_value {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = ValueError;

            fn try_from(text: String) -> Result<Self, ValueError> {
                text.parse()
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum DeviceChoice {
    /// CUDA if there is one, else the CPU; the log says which.
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device, or an error.
    Cuda(u32),
}

text_value!(DeviceChoice);

impl FromStr for DeviceChoice {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError { found: text.to_owned(), accepted: "auto, cpu, cuda or cuda:N is" };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let number = text.strip_prefix("cuda:").ok_or_else(wrong)?;
                number.parse().map(Self::Cuda).map_err(|_| wrong())
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// The precision of the encoder on the CPU.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum PrecisionChoice {
    /// 32-bit floating point.
    Fp32,
    /// Dense layers in 8-bit integers.
    Int8,
}

text_value!(PrecisionChoice);

impl FromStr for PrecisionChoice {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "fp32" => Ok(Self::Fp32),
            "int8" => Ok(Self::Int8),
            _ => Err(ValueError { found: text.to_owned(), accepted: "fp32 or int8 is" }),
        }
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
        })
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

text_value!(LogFormat);

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
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

text_value!(Span);

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
    ($(#[$doc:meta])* $type:ident, $name:ident = $plain:literal, $scheme:literal, $accepted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Deserialize, PartialEq, Eq)]
        #[serde(try_from = "String")]
        pub struct $type(String);

        text_value!($type);

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
                if text == $plain || text.starts_with($scheme) {
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
    StoreUrl, redb = "redb", "scylla://", "redb or scylla://HOST[:PORT],HOST.../KEYSPACE is"
);
url_value!(
    /// Where answers are remembered.
    CacheUrl, local = "local", "redis://", "local or redis://HOST[:PORT] is"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_what_it_prints() {
        for text in ["auto", "cpu", "cuda:1"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["250ms", "10s", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("2m".parse::<Span>().unwrap().to_string(), "120s");
    }

    #[test]
    fn a_wrong_value_says_what_is_accepted() {
        let error = "gpu".parse::<DeviceChoice>().unwrap_err().to_string();
        assert_eq!(error, "\"gpu\" is not accepted here; auto, cpu, cuda or cuda:N is");
        assert!("10".parse::<Span>().is_err());
        assert!("99999999999999999999h".parse::<Span>().is_err());
        assert!("cuda:".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn a_wrong_url_does_not_show_its_password() {
        let error = "postgres://u:secret@h/d".parse::<StoreUrl>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
