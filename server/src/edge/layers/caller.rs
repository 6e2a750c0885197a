//! Who calls, and from where.
//!
//! Where nobody asks who calls, a key is not checked, so it names a caller in the log and no more, as the name on a
//! certificate does: whatever is shared out by caller goes by [`Origin`] then, which nobody can invent.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::{Extensions, HeaderValue, Request};
use sha2::{Digest as _, Sha256};

use super::ConnectionInfo;
use super::forwarded::ForwardedFor;
use super::identity::Known;

const HEADER: &str = "x-api-key";

/// Bytes of the hash of a key that name its caller.
const NAME_BYTES: usize = 16;

/// Bits of an IPv6 address that a host cannot choose.
const NETWORK_BITS: u32 = 64;

/// The caller of a request. Its name is made only when it is wanted.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Who it is, once that is known.
    known: Option<Known>,
    certificate: Option<Arc<str>>,
    key: Option<HeaderValue>,
    address: Option<IpAddr>,
}

impl Caller {
    /// The caller of this request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let connection = request.extensions().get::<ConnectionInfo>();
        let certificate = connection.and_then(ConnectionInfo::client_name).cloned();
        let key = request.headers().get(HEADER).filter(|key| !key.is_empty()).cloned();
        Self { known: None, certificate, key, address: peer(request.extensions()) }
    }

    /// Names the caller by what the layers found out, if they did.
    pub(super) fn becomes(&mut self, known: Option<&Known>) {
        self.known = known.cloned();
    }
}

/// The other end of the connection, or that which a proxy calls for.
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let connection = extensions.get::<ConnectionInfo>();
    let forwarded = extensions.get::<ForwardedFor>().map(|forwarded| forwarded.0);
    forwarded.or_else(|| connection.and_then(ConnectionInfo::peer).map(|peer| peer.ip()))
}

impl fmt::Display for Caller {
    /// Its name, the name on its certificate, a hash of the key, which must not be told to others, or the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Known(identity)) = &self.known {
            return write!(f, "name-{}", identity.name);
        }
        if let Some(name) = &self.certificate {
            return write!(f, "certificate-{name}");
        }
        match (&self.key, self.address) {
            (Some(key), _) => {
                write!(f, "key-{}", hex::encode(&Sha256::digest(key.as_bytes())[..NAME_BYTES]))
            }
            (None, Some(address)) => write!(f, "peer-{address}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// Where a call comes from: an IPv4 address, or the first 64 bits of an IPv6 address, whose host may choose the
/// others. One for all whose address is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(Option<IpAddr>);

impl Origin {
    /// The origin of the request that has these extensions.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        peer(extensions).map_or(Self(None), Self::from)
    }
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let network = !(u128::MAX >> NETWORK_BITS);
                Ipv6Addr::from_bits(address.to_bits() & network).into()
            }
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(IpAddr::V4(address)) => write!(f, "peer-{address}"),
            Some(IpAddr::V6(network)) => write!(f, "peer-{network}/{NETWORK_BITS}"),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> String {
        Origin::from(address.parse::<IpAddr>().unwrap()).to_string()
    }

    #[test]
    fn a_call_through_a_proxy_comes_from_where_the_proxy_says() {
        let mut extensions = Extensions::new();
        assert_eq!(Origin::of(&extensions).to_string(), "unknown");
        extensions.insert(ForwardedFor("192.0.2.7".parse().unwrap()));
        assert_eq!(Origin::of(&extensions).to_string(), "peer-192.0.2.7");
    }

    #[test]
    fn a_host_has_one_origin_whichever_of_its_addresses_it_uses() {
        assert_eq!(origin("192.0.2.7"), "peer-192.0.2.7");
        assert_eq!(origin("::ffff:192.0.2.7"), "peer-192.0.2.7");
        assert_eq!(origin("2001:db8:1:2:3:4:5:6"), "peer-2001:db8:1:2::/64");
        assert_eq!(origin("2001:db8:1:2::9"), origin("2001:db8:1:2:3:4:5:6"));
        assert_ne!(origin("2001:db8:1:2::9"), origin("2001:db8:1:3::9"));
    }
}
