//! Who calls: whoever holds a key, else whoever is at an address.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderValue, Request};
use sha2::{Digest as _, Sha256};

use super::ConnectionInfo;

const HEADER: &str = "x-api-key";

/// Bytes of the hash of a key that name its caller.
const NAME_BYTES: usize = 16;

/// The caller of a request. Its name is made only when it is wanted.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    key: Option<HeaderValue>,
    address: Option<IpAddr>,
}

impl Caller {
    /// The caller of this request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let key = request.headers().get(HEADER).filter(|key| !key.is_empty()).cloned();
        let connection = request.extensions().get::<ConnectionInfo>();
        Self { key, address: connection.and_then(ConnectionInfo::peer).map(|peer| peer.ip()) }
    }
}

impl fmt::Display for Caller {
    /// A hash of the key, which must not be told to others, or the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, self.address) {
            (Some(key), _) => {
                write!(f, "key-{}", hex::encode(&Sha256::digest(key.as_bytes())[..NAME_BYTES]))
            }
            (None, Some(address)) => write!(f, "peer-{address}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}
