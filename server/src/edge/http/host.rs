//! Hosts as requests name them, and which of them are served.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address, or a name in lower case without the dot of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    /// The host of a URL: IPv6 stands in brackets. `None` for what is none.
    fn parse(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[') {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let is_label = |label: &str| {
            let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_');
            !label.is_empty() && label.bytes().all(is_letter)
        };
        name.split('.').all(is_label).then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Whether it is this machine for whoever asks.
    fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A host and the port that is named with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

impl Authority {
    /// `HOST` or `HOST:PORT`; `None` for anything else, such as one with a user.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let host_end = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let Some(colon) = text[host_end..].find(':') else {
            return Some(Self { host: Host::parse(text)?, port: None });
        };
        let (host, port) = text.split_at(host_end + colon);
        let digits = &port[1..];
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        let port = digits.parse().ok().filter(|_| is_number)?;
        Some(Self { host: Host::parse(host)?, port: Some(port) })
    }
}

/// The hosts for which callers without gRPC are answered.
///
/// Addresses and `localhost` are served always. Any other name can be made to mean this machine by whoever owns it, and
/// a browser takes its pages and this server for one site then (DNS rebinding), so a name must be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHosts {
    /// Whatever its name.
    Any,
    /// These names, and no others.
    Names(Vec<String>),
}

impl AllowedHosts {
    pub(super) fn serve(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) | (_, Host::Address(_)) => true,
            (Self::Names(names), Host::Name(name)) => host.is_localhost() || names.contains(name),
        }
    }
}

impl Default for AllowedHosts {
    /// No name.
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

/// The text is none of the forms that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither none nor * nor a list of what is accepted")]
pub struct ListError;

/// `none`, `*`, or what stands between commas.
pub(super) fn parse_list<T>(
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, ListError> {
    match text {
        "*" => Ok(None),
        "none" => Ok(Some(Vec::new())),
        list => {
            let items: Option<Vec<T>> = list.split(',').map(|item| parse(item.trim())).collect();
            items.map(Some).ok_or(ListError)
        }
    }
}

/// The text that [`parse_list`] reads.
pub(super) fn write_list<T: fmt::Display>(items: &[T], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if items.is_empty() {
        return f.write_str("none");
    }
    let mut comma = "";
    items.iter().try_for_each(|item| {
        write!(f, "{comma}{item}")?;
        comma = ",";
        Ok(())
    })
}

impl FromStr for AllowedHosts {
    type Err = ListError;

    fn from_str(text: &str) -> Result<Self, ListError> {
        let name = |item: &str| match Host::parse(item)? {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        };
        Ok(parse_list(text, name)?.map_or(Self::Any, Self::Names))
    }
}

impl fmt::Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Names(names) => write_list(names, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<u16>)> {
        Authority::parse(text).map(|authority| (authority.host.to_string(), authority.port))
    }

    #[test]
    fn an_authority_is_a_host_with_a_port_or_without() {
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", None),
            ("127.0.0.1:50051", "127.0.0.1", Some(50051)),
            ("[::1]", "[::1]", None),
            ("[0:0::1]:80", "[::1]", Some(80)),
            ("LocalHost.:8080", "localhost", Some(8080)),
            ("api.Example.ORG", "api.example.org", None),
            ("my_service:1", "my_service", Some(1)),
        ] {
            assert_eq!(parsed(text), Some((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_authority_is_none() {
        for text in [
            "",
            ":80",
            "a:",
            "a:+1",
            "a:65536",
            "a:80:80",
            "user@a",
            "user:secret@a:80",
            "::1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "a b",
            "a..b",
            "a..",
            ".",
            "a/b",
            "localhost#@evil.example",
            "localhost,evil.example",
            "b\u{fc}cher.example",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    fn serves(setting: &str, host: &str) -> bool {
        setting.parse::<AllowedHosts>().unwrap().serve(&Authority::parse(host).unwrap().host)
    }

    #[test]
    fn addresses_and_localhost_are_served_and_names_that_are_listed() {
        for host in ["127.0.0.1:50051", "192.0.2.7", "[2001:db8::1]:1", "localhost", "a.b.localhost:5"] {
            assert!(serves("none", host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "notlocalhost", "2130706433", "0x7f.0.0.1"] {
            assert!(!serves("none", host), "{host}");
            assert!(!serves("example.org, api.example.org", host), "{host}");
            assert!(serves("*", host), "{host}");
        }
        assert!(serves("example.org,API.example.org.", "api.example.org:443"));
        assert!(!serves("example.org", "api.example.org"));
    }

    #[test]
    fn the_setting_is_none_any_or_names_without_ports() {
        for text in ["none", "*", "a", "a.example,b.example"] {
            assert_eq!(text.parse::<AllowedHosts>().unwrap().to_string(), text);
        }
        for text in ["", "a,", "a:80", "127.0.0.1", "https://a", "*,a", "*.a", "a b"] {
            assert_eq!(text.parse::<AllowedHosts>(), Err(ListError), "{text:?}");
        }
    }
}
