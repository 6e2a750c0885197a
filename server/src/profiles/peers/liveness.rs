//! May this node believe what it remembers?
//!
//! A pure state machine: messages and the clock go in, actions come out. Every node numbers its
//! messages, sends one at least every [`HEARTBEAT_INTERVAL`], and hears its own. So a node knows that it hears
//! everything as long as every node it knows, itself included, was heard within [`LEASE`] and without a
//! gap. Else it believes nothing it remembers until it hears everything again.
//!
//! What is remembered belongs to a *generation*. A node that may have failed to announce a write, or
//! may have been away from Redis, begins a new one; the shared entries of older ones are never read again, even
//! if Redis restores them from a backup. Nodes agree on the highest generation that they hear of.

use std::collections::HashMap;
use std::time::Duration;

use marquee_core::domain::TimeMs;
use tokio::time::Instant;

use super::message::{Body, Message, NodeId};

/// How often a node is heard at least.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);

/// A node that is silent for longer may have written without being heard.
pub(super) const LEASE: Duration = Duration::from_secs(1);

/// A node that is silent for so long is taken for dead.
const TAKEN_FOR_DEAD: Duration = Duration::from_secs(5);

/// What to do with what is remembered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum CacheAction {
    /// Nothing was missed.
    Keep,
    /// Something may have been missed.
    Flush,
}

/// What one node knows of itself and the others.
pub(super) struct PeerLiveness {
    me: NodeId,
    generation: u64,
    sent: u64,
    heard: HashMap<NodeId, Heard>,
}

struct Heard {
    number: u64,
    at: Instant,
}

impl PeerLiveness {
    /// A node that has heard nothing yet, not even itself.
    pub(super) fn new(me: NodeId, now_ms: TimeMs) -> Self {
        Self { me, generation: now_ms.max(0).cast_unsigned(), sent: 0, heard: HashMap::new() }
    }

    /// The generation that counts.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether everything was heard until now.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.hears_itself() && self.heard.values().all(|heard| now - heard.at < LEASE)
    }

    /// Whether this node's own messages come back.
    pub(super) fn hears_itself(&self) -> bool {
        self.heard.contains_key(&self.me)
    }

    /// This node's next message.
    pub(super) fn next(&mut self, body: Body) -> Message {
        self.sent += 1;
        Message { node: self.me, number: self.sent, generation: self.generation, body }
    }

    /// This node may have missed something, or failed to tell something: nothing that is remembered
    /// counts any more, anywhere.
    pub(super) fn renew(&mut self, now_ms: TimeMs) {
        self.generation = now_ms.max(0).cast_unsigned().max(self.generation + 1);
        self.heard.remove(&self.me);
    }

    /// A message arrived.
    pub(super) fn hear(&mut self, message: &Message, now: Instant, now_ms: TimeMs) -> CacheAction {
        let is_new = message.generation > self.generation;
        self.generation = self.generation.max(message.generation);
        let action = if message.node == self.me {
            self.hear_myself(message, now, now_ms)
        } else {
            self.hear_another(message, now)
        };
        if is_new { CacheAction::Flush } else { action }
    }

    fn hear_myself(&mut self, message: &Message, now: Instant, now_ms: TimeMs) -> CacheAction {
        let heard = Heard { number: message.number, at: now };
        match self.heard.get_mut(&self.me) {
            Some(last) if message.number > last.number + 1 => {
                self.renew(now_ms);
                return CacheAction::Flush;
            }
            Some(last) if message.number > last.number => *last = heard,
            None if message.generation == self.generation => {
                self.heard.insert(self.me, heard);
            }
            Some(_) | None => {}
        }
        CacheAction::Keep
    }

    fn hear_another(&mut self, message: &Message, now: Instant) -> CacheAction {
        let last = self.heard.get(&message.node).map(|last| last.number);
        if last.is_some_and(|last| message.number <= last) {
            return CacheAction::Keep;
        }
        if message.body == Body::Goodbye {
            self.heard.remove(&message.node);
        } else {
            self.heard.insert(message.node, Heard { number: message.number, at: now });
        }
        if last.is_some_and(|last| message.number == last + 1) {
            CacheAction::Keep
        } else {
            CacheAction::Flush
        }
    }

    /// Time passed: looks for the silent.
    pub(super) fn tick(&mut self, now: Instant, now_ms: TimeMs) -> CacheAction {
        let silent = |node: &NodeId, heard: &Heard, me: NodeId| {
            now - heard.at >= if *node == me { LEASE } else { TAKEN_FOR_DEAD }
        };
        let me = self.me;
        let before = self.heard.len();
        self.heard.retain(|node, heard| !silent(node, heard, me));
        if self.heard.len() == before {
            return CacheAction::Keep;
        }
        self.renew(now_ms);
        CacheAction::Flush
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn message(node: NodeId, number: u64, generation: u64) -> Message {
        Message { node, number, generation, body: Body::Heartbeat }
    }

    /// A node at generation 100 that heard itself and another node (its message 7).
    fn trusting(now: Instant) -> PeerLiveness {
        let mut liveness = PeerLiveness::new(ME, 100);
        let own = liveness.next(Body::Heartbeat);
        assert_eq!(liveness.hear(&own, now, 100), CacheAction::Keep);
        assert_eq!(liveness.hear(&message(OTHER, 7, 100), now, 100), CacheAction::Flush);
        assert!(liveness.holds(now));
        liveness
    }

    #[test]
    fn a_node_that_never_heard_itself_trusts_nothing() {
        let now = Instant::now();
        let mut liveness = PeerLiveness::new(ME, 100);
        assert!(!liveness.holds(now));
        let _first = liveness.hear(&message(OTHER, 1, 50), now, 100);
        assert!(!liveness.holds(now));
    }

    #[test]
    fn messages_without_a_gap_keep_what_is_remembered() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        assert_eq!(liveness.hear(&message(OTHER, 8, 100), now, 100), CacheAction::Keep);
        assert_eq!(liveness.hear(&message(OTHER, 9, 100), now, 100), CacheAction::Keep);
        assert_eq!(liveness.generation(), 100);
    }

    #[test]
    fn a_gap_in_anothers_messages_flushes() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        assert_eq!(liveness.hear(&message(OTHER, 9, 100), now, 100), CacheAction::Flush);
        assert!(liveness.holds(now));
        assert_eq!(liveness.generation(), 100);
    }

    #[test]
    fn a_late_message_changes_nothing() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        let _gap = liveness.hear(&message(OTHER, 9, 100), now, 100);
        assert_eq!(liveness.hear(&message(OTHER, 8, 100), now, 100), CacheAction::Keep);
        assert_eq!(liveness.hear(&message(OTHER, 10, 100), now, 100), CacheAction::Keep);
    }

    #[test]
    fn a_gap_in_its_own_messages_begins_a_new_generation() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        let _lost = liveness.next(Body::Heartbeat);
        let own = liveness.next(Body::Heartbeat);
        assert_eq!(liveness.hear(&own, now, 50), CacheAction::Flush);
        assert_eq!(liveness.generation(), 101);
        assert!(!liveness.holds(now));
    }

    #[test]
    fn after_a_renewal_only_its_own_new_generation_brings_trust_back() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        let old = liveness.next(Body::Heartbeat);
        liveness.renew(200);
        let _old = liveness.hear(&old, now, 200);
        assert!(!liveness.holds(now));
        let new = liveness.next(Body::Heartbeat);
        assert_eq!(new.generation, 200);
        let _new = liveness.hear(&new, now, 200);
        assert!(liveness.holds(now));
    }

    #[test]
    fn a_higher_generation_of_another_is_taken_over() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        assert_eq!(liveness.hear(&message(OTHER, 8, 300), now, 100), CacheAction::Flush);
        assert_eq!(liveness.generation(), 300);
        assert!(liveness.holds(now));
    }

    #[test]
    fn the_silence_of_another_is_waited_out_and_then_forgotten() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        let mut later = now;
        while later < now + TAKEN_FOR_DEAD {
            assert_eq!(liveness.tick(later, 100), CacheAction::Keep);
            let own = liveness.next(Body::Heartbeat);
            let _own = liveness.hear(&own, later, 100);
            assert_eq!(liveness.holds(later), later < now + LEASE);
            later += HEARTBEAT_INTERVAL;
        }
        assert_eq!(liveness.tick(later, 100), CacheAction::Flush);
        let own = liveness.next(Body::Heartbeat);
        let _own = liveness.hear(&own, later, 100);
        assert!(liveness.holds(later));
    }

    #[test]
    fn its_own_silence_begins_a_new_generation() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        assert_eq!(liveness.tick(now + LEASE, 100), CacheAction::Flush);
        assert_eq!(liveness.generation(), 101);
        assert!(!liveness.holds(now + LEASE));
    }

    #[test]
    fn a_clock_that_is_set_neither_ends_trust_nor_brings_an_old_generation_back() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        let hour_ms = 3_600_000;
        for now_ms in [100 + hour_ms, 100 - hour_ms, 100] {
            assert_eq!(liveness.tick(now, now_ms), CacheAction::Keep);
            assert!(liveness.holds(now));
        }
        let mut before = liveness.generation();
        for now_ms in [100 + hour_ms, 100 - hour_ms, 100] {
            liveness.renew(now_ms);
            assert!(liveness.generation() > before);
            before = liveness.generation();
        }
    }

    #[test]
    fn who_says_goodbye_is_not_waited_for() {
        let now = Instant::now();
        let mut liveness = trusting(now);
        let goodbye = Message { body: Body::Goodbye, ..message(OTHER, 8, 100) };
        assert_eq!(liveness.hear(&goodbye, now, 100), CacheAction::Keep);
        let later = now + LEASE - HEARTBEAT_INTERVAL;
        let own = liveness.next(Body::Heartbeat);
        let _own = liveness.hear(&own, later, 100);
        assert!(liveness.holds(now + LEASE));
    }
}
