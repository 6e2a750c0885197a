//! How many connections there may be, in all and from one address.
//!
//! Each costs a descriptor, a task and buffers, whether it is used or not, and whoever opens them without end
//! leaves none for others. A proxy has one address for all who come through it, so the share of an address is
//! generous, and those that are known to be one have none. Of IPv6 a network of 64 bits counts as one address: a caller has all of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::metrics::{Counter, UpDownCounter};

use crate::edge::Proxies;

/// The bits of an IPv6 address that name a network.
const NETWORK_BITS: u32 = 64;

const REFUSAL: Label = Label::one_of("reason", &["total", "address", "descriptors"]);
const UNUSED: Label = Label::one_of("reason", &["handshake", "idle", "unread"]);

metrics! {
    pub(crate) METRICS;
    OPEN = Metric::up_down_counter("marquee.connections.open", "{connection}", &[], "Connections that are open");
    REFUSED = Metric::counter(
        "marquee.connections.refused",
        "{connection}",
        &[REFUSAL],
        "Connections that were refused, by what was used up: `max-connections`, the share of the address, or the \
         descriptors of the system",
    );
    CLOSED = Metric::counter(
        "marquee.connections.closed",
        "{connection}",
        &[UNUSED],
        "Connections that the server closed because nobody used them: they began neither to speak HTTP/2 nor a request \
         of HTTP/1.1, were idle, or their replies were not read",
    );
}

/// How many connections may be open.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    /// From everywhere.
    pub(crate) total: usize,
    /// From one address.
    pub(crate) per_address: usize,
    /// Those who bring the calls of many others, and have no share of an address.
    pub(crate) proxies: Proxies,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many as there may be.
    Total,
    /// There are as many of its address as there may be.
    Address,
    /// The system has no descriptor for it.
    Descriptors,
}

/// Why the server ends a connection by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unused {
    /// It began neither to speak HTTP/2 nor a request of HTTP/1.1.
    Handshake,
    /// Nobody called for long.
    Idle,
    /// Nobody reads the replies.
    Unread,
}

/// The connections that are open.
pub(crate) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    metrics: Metrics,
}

#[derive(Default)]
struct Open {
    total: usize,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Default)]
struct Address {
    connections: usize,
    held_bytes: Arc<AtomicUsize>,
}

/// The place of one connection, free again when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    /// Whose share it is of; `None` for a proxy.
    address: Option<IpAddr>,
    held_bytes: Arc<AtomicUsize>,
}

impl Connections {
    /// None yet, and at most so many.
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default(), metrics: Metrics::new() })
    }

    /// A place for a connection from this address.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let address = (!self.limits.proxies.hold(address)).then(|| counted_as(address));
        let held_bytes = self.take(address).inspect_err(|refusal| self.refused(*refusal))?;
        self.metrics.open.add(1, &[]);
        Ok(Place { connections: Arc::clone(self), address, held_bytes })
    }

    fn take(&self, address: Option<IpAddr>) -> Result<Arc<AtomicUsize>, Refusal> {
        let mut open = self.lock();
        if open.total >= self.limits.total {
            return Err(Refusal::Total);
        }
        let Some(address) = address else {
            open.total += 1;
            return Ok(Arc::default());
        };
        let of_address = open.addresses.entry(address).or_default();
        if of_address.connections >= self.limits.per_address {
            return Err(Refusal::Address);
        }
        of_address.connections += 1;
        let held_bytes = Arc::clone(&of_address.held_bytes);
        open.total += 1;
        Ok(held_bytes)
    }

    fn give_back(&self, address: Option<IpAddr>) {
        let mut open = self.lock();
        open.total -= 1;
        let Some(address) = address else { return };
        if let Some(of_address) = open.addresses.get_mut(&address) {
            of_address.connections -= 1;
            if of_address.connections == 0 {
                open.addresses.remove(&address);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection was refused.
    pub(super) fn refused(&self, refusal: Refusal) {
        let reason = match refusal {
            Refusal::Total => "total",
            Refusal::Address => "address",
            Refusal::Descriptors => "descriptors",
        };
        self.metrics.refused.add(1, &[REFUSAL.is(reason)]);
    }
}

impl Place {
    /// The bytes of unfinished requests that its address holds.
    pub(super) fn held_bytes(&self) -> &Arc<AtomicUsize> {
        &self.held_bytes
    }

    /// Whether a proxy has it, which has ended the TLS of those whose calls it brings.
    pub(super) fn is_of_a_proxy(&self) -> bool {
        self.address.is_none()
    }

    /// The server ends the connection.
    pub(super) fn closed(&self, unused: Unused) {
        let reason = match unused {
            Unused::Handshake => "handshake",
            Unused::Idle => "idle",
            Unused::Unread => "unread",
        };
        self.connections.metrics.closed.add(1, &[UNUSED.is(reason)]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.give_back(self.address);
        self.connections.metrics.open.add(-1, &[]);
    }
}

/// The address, or the network, that a caller at this address counts as.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

struct Metrics {
    open: UpDownCounter<i64>,
    refused: Counter<u64>,
    closed: Counter<u64>,
}

impl Metrics {
    fn new() -> Self {
        Self {
            open: OPEN.i64_up_down_counter(),
            refused: REFUSED.u64_counter(),
            closed: CLOSED.u64_counter(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, per_address: usize) -> Arc<Connections> {
        Connections::new(ConnectionLimits { total, per_address, proxies: Proxies::NONE })
    }

    fn refusal(connections: &Arc<Connections>, address: &str) -> Option<Refusal> {
        connections.admit(address.parse().unwrap()).err()
    }

    #[test]
    fn one_address_gets_its_share_and_leaves_the_rest_to_others() {
        let connections = connections(3, 2);
        let places = ["10.0.0.1", "10.0.0.1"].map(|address| connections.admit(address.parse().unwrap()));
        assert!(places.iter().all(Result::is_ok));
        assert_eq!(refusal(&connections, "10.0.0.1"), Some(Refusal::Address));
        let _other = connections.admit("10.0.0.2".parse().unwrap());
        assert_eq!(refusal(&connections, "10.0.0.3"), Some(Refusal::Total));
        drop(places);
        assert_eq!(refusal(&connections, "10.0.0.1"), None);
    }

    #[test]
    fn a_proxy_has_no_share_of_an_address_and_counts_in_the_total() {
        let proxies = "10.0.0.0/24".parse().unwrap();
        let connections = Connections::new(ConnectionLimits { total: 3, per_address: 1, proxies });
        let places = ["10.0.0.1"; 3].map(|address| connections.admit(address.parse().unwrap()).ok().unwrap());
        assert!(places.iter().all(Place::is_of_a_proxy));
        assert_eq!(refusal(&connections, "10.0.0.1"), Some(Refusal::Total));
        drop(places);
        assert!(!connections.admit("10.0.1.1".parse().unwrap()).ok().unwrap().is_of_a_proxy());
        assert_eq!(connections.lock().total, 0);
    }

    #[test]
    fn a_connection_that_has_ended_leaves_nothing_behind() {
        let connections = connections(10, 10);
        for _ in 0..100 {
            assert_eq!(refusal(&connections, "10.0.0.1"), None);
        }
        assert!(connections.lock().addresses.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_so_is_an_ipv4_address_in_its_clothes() {
        let connections = connections(10, 1);
        let _first = connections.admit("2001:db8:1:2:3::4".parse().unwrap());
        assert_eq!(refusal(&connections, "2001:db8:1:2:ffff::1"), Some(Refusal::Address));
        assert_eq!(refusal(&connections, "2001:db8:1:3::4"), None);
        let _mapped = connections.admit("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(refusal(&connections, "10.0.0.1"), Some(Refusal::Address));
    }
}
