//! What a node says to all nodes, and its form on the wire.
//!
//! A byte of version, a byte of kind, then node, number and generation, then the users: all
//! little-endian u64.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use marquee_core::domain::UserId;

const FORM: u8 = 1;
const HEAD_BYTES: usize = 2 + 3 * 8;

/// A node of one run, by a number drawn at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodeId(pub(super) u64);

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Who says it.
    pub(super) node: NodeId,
    /// Its place among the messages of this node, from 1.
    pub(super) number: u64,
    /// The generation that the node is in.
    pub(super) generation: u64,
    /// What it says.
    pub(super) body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Only that the node lives.
    Heartbeat,
    /// These users' profiles changed.
    Written(Vec<UserId>),
    /// The node ends and will write no more.
    Goodbye,
}

impl Message {
    pub(super) fn encode(&self) -> Bytes {
        let (kind, users): (u8, &[UserId]) = match &self.body {
            Body::Heartbeat => (0, &[]),
            Body::Written(users) => (1, users),
            Body::Goodbye => (2, &[]),
        };
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + 8 * users.len());
        bytes.put_u8(FORM);
        bytes.put_u8(kind);
        for number in [self.node.0, self.number, self.generation].iter().chain(users) {
            bytes.put_u64_le(*number);
        }
        bytes.freeze()
    }

    /// The message; `None` for what another version of the program says.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEAD_BYTES || bytes.get_u8() != FORM {
            return None;
        }
        let kind = bytes.get_u8();
        let (node, number, generation) = (NodeId(bytes.get_u64_le()), bytes.get_u64_le(), bytes.get_u64_le());
        let (users, []) = bytes.as_chunks::<8>() else { return None };
        let body = match kind {
            0 => Body::Heartbeat,
            1 => Body::Written(users.iter().map(|user| u64::from_le_bytes(*user)).collect()),
            2 => Body::Goodbye,
            _ => return None,
        };
        Some(Self { node, number, generation, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        for body in [Body::Heartbeat, Body::Goodbye, Body::Written(vec![1, u64::MAX])] {
            let message = Message { node: NodeId(7), number: 8, generation: 9, body };
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn what_another_version_says_is_not_read() {
        let message = Message { node: NodeId(7), number: 8, generation: 9, body: Body::Written(vec![1]) };
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Message::decode(&bytes[..HEAD_BYTES - 1]), None);
        let mut newer = bytes.to_vec();
        newer[0] = FORM + 1;
        assert_eq!(Message::decode(&newer), None);
    }
}
