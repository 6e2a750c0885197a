//! Our keys in Redis, and what becomes of something else that stands under their names.
//!
//! Another program, a person or another version of this one may have put a value of another type there.
//! Every command of ours on such a key fails until somebody takes it away, and none of our keys is worth
//! waiting for a person. So whoever meets one frees the key and goes on.

use fred::interfaces::LuaInterface as _;

use super::{Outage, Purpose, Redis};

const FREE: &str = include_str!("free.lua");

/// A key of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, with the namespace.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
}

/// What a key holds, which is also what has to go when something else is there. A closed set: it labels the
/// metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A remembered value; anything else is deleted, as a new value would replace it.
    Value,
    /// A caller's bucket; anything else is deleted.
    Bucket,
    /// The events, or what is known of them. Somebody may want what is there instead: it is set aside under
    /// another name.
    Events,
    /// As [`Self::Events`].
    EventsKept,
}

impl Holds {
    /// Its label in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Bucket => "bucket",
            Self::Events => "events",
            Self::EventsKept => "events_kept",
        }
    }

    /// As Redis calls the type.
    fn redis_type(self) -> &'static str {
        match self {
            Self::Value => "string",
            Self::Bucket | Self::EventsKept => "hash",
            Self::Events => "stream",
        }
    }
}

impl Key {
    /// A key whose name says that it belongs to this one, on the same master of a cluster.
    #[must_use]
    pub fn beside(&self, what: &str, holds: Holds) -> Self {
        Self { name: self.name_beside(what), holds }
    }

    fn name_beside(&self, what: &str) -> String {
        // What is in braces decides on the master; a namespace may have some of its own.
        let name = &self.name;
        if name.contains('{') { format!("{name}:{what}") } else { format!("{{{name}}}:{what}") }
    }

    fn name_to_be_set_aside(&self) -> Option<String> {
        match self.holds {
            Holds::Value | Holds::Bucket => None,
            Holds::Events | Holds::EventsKept => Some(self.name_beside("set-aside")),
        }
    }

    /// The name as it may be logged: a bucket's has its caller's key.
    fn shown(&self) -> &str {
        if self.holds == Holds::Bucket { "of a rate limit" } else { &self.name }
    }
}

impl Redis {
    /// Frees a key of ours if something of another type is there.
    pub(super) async fn free(&self, key: &Key) -> Result<(), Outage> {
        let aside = key.name_to_be_set_aside();
        let names: Vec<&str> = [key.name.as_str()].into_iter().chain(aside.as_deref()).collect();
        let free = |client: fred::clients::Client| async move {
            client.eval::<Option<String>, _, _, _>(FREE, names, key.holds.redis_type()).await
        };
        let Some(found) = self.call(Purpose::Remove, free).await? else { return Ok(()) };
        let (key_name, now_at) = (key.shown(), aside.as_deref().unwrap_or("deleted"));
        tracing::warn!(key = key_name, found, now_at, "freed a Redis key that held another program's value");
        self.metrics.freed(key.holds);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_beside_another_is_on_the_same_master() {
        let beside = |name: &str| {
            Key { name: name.to_owned(), holds: Holds::Events }.beside("kept", Holds::EventsKept).name
        };
        assert_eq!(beside("marquee:events:all"), "{marquee:events:all}:kept");
        assert_eq!(beside("{blue}:events:all"), "{blue}:events:all:kept");
    }
}
