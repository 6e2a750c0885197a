//! Proxies that end TLS before the server, and for whom they call.
//!
//! A proxy says in a header from where a call came. Anybody can write such a header, so it is believed of those alone
//! that the settings name, and of what it lists only what they have added: the last address that is none of theirs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks of the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Option<Arc<[IpNet]>>);

/// The text is no list of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither none nor networks such as 10.0.0.0/8,192.0.2.7,fd00::/8")]
pub struct ProxiesError;

impl Proxies {
    /// No proxy.
    pub const NONE: Self = Self(None);

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this is the address of one.
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().flat_map(|networks| networks.iter()).any(|network| network.contains(&address))
    }

    /// The address for which `peer` calls with these headers; `None` where it is no proxy, says nothing, or two
    /// headers that differ: one of them may be the caller's own.
    pub(crate) fn caller_behind(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.hold(peer) {
            return None;
        }
        let plain = self.last_of_others(listed(headers, &X_FORWARDED_FOR).map(address));
        let standard = self.last_of_others(listed(headers, &FORWARDED).map(forwarded_for));
        match (plain, standard) {
            (Some(plain), Some(standard)) => (plain == standard).then_some(plain),
            (one, other) => one.or(other),
        }
    }

    /// The last address that is of no proxy, or the first one of all; `None` where what stands before it is no address.
    fn last_of_others(&self, addresses: impl DoubleEndedIterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut found = None;
        for address in addresses.rev() {
            found = Some(address?);
            if !self.hold(address?) {
                break;
            }
        }
        found
    }
}

/// What stands between the commas of a header, all its lines together.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default());
    let items: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    items.into_iter()
}

/// An address, perhaps with a port, IPv6 perhaps in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// The address of `for` in an element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(node.trim().trim_matches('"'))
}

impl FromStr for Proxies {
    type Err = ProxiesError;

    fn from_str(text: &str) -> Result<Self, ProxiesError> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        let network = |item: &str| {
            let item = item.trim();
            item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from)).map_err(|_| ProxiesError)
        };
        let networks: Result<Vec<IpNet>, _> = text.split(',').map(network).collect();
        Ok(Self(Some(networks?.into())))
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(networks) = &self.0 else { return f.write_str("none") };
        let mut comma = "";
        networks.iter().try_for_each(|network| {
            write!(f, "{comma}{network}")?;
            comma = ",";
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(peer: &str, headers: &[(&'static str, &str)]) -> Option<String> {
        let proxies: Proxies = "10.0.0.0/8,fd00::/8".parse().unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.caller_behind(peer.parse().unwrap(), &map).map(|address| address.to_string())
    }

    #[test]
    fn a_proxy_is_believed_and_nobody_else() {
        let header = [("x-forwarded-for", "192.0.2.7")];
        assert_eq!(behind("10.1.2.3", &header).unwrap(), "192.0.2.7");
        assert_eq!(behind("::ffff:10.1.2.3", &header).unwrap(), "192.0.2.7");
        assert_eq!(behind("192.0.2.1", &header), None);
        assert_eq!(behind("10.1.2.3", &[]), None);
    }

    #[test]
    fn of_a_list_that_address_counts_which_the_proxies_have_added() {
        for (name, list) in [
            ("x-forwarded-for", "198.51.100.1, 192.0.2.7, 10.0.0.5"),
            ("x-forwarded-for", "gibberish, 192.0.2.7:4711"),
            ("forwarded", "for=198.51.100.1, for=192.0.2.7;proto=https, For=\"10.0.0.5:80\""),
        ] {
            assert_eq!(behind("10.1.2.3", &[(name, list)]).unwrap(), "192.0.2.7", "{list}");
        }
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(behind("fd00::1", &lines).unwrap(), "192.0.2.7");
        assert_eq!(behind("fd00::1", &[("forwarded", "for=\"[2001:db8::1]:80\"")]).unwrap(), "2001:db8::1");
        assert_eq!(behind("10.1.2.3", &[("x-forwarded-for", "10.0.0.5, 10.0.0.6")]).unwrap(), "10.0.0.5");
    }

    #[test]
    fn what_is_no_address_or_said_in_two_ways_is_not_believed() {
        for list in ["unknown", "_hidden", "", "192.0.2.7, unknown"] {
            assert_eq!(behind("10.1.2.3", &[("x-forwarded-for", list)]), None, "{list}");
        }
        assert_eq!(behind("10.1.2.3", &[("forwarded", "proto=https;by=10.0.0.1")]), None);
        let forged = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(behind("10.1.2.3", &forged), None);
    }

    #[test]
    fn the_setting_is_none_or_networks() {
        for text in ["none", "10.0.0.0/8", "10.0.0.0/8,fd00::/8"] {
            assert_eq!(text.parse::<Proxies>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.7".parse::<Proxies>().unwrap().to_string(), "192.0.2.7/32");
        for text in ["", "10.0.0.0/33", "proxy.example", "10.0.0.0/8,"] {
            assert_eq!(text.parse::<Proxies>(), Err(ProxiesError), "{text:?}");
        }
    }
}
