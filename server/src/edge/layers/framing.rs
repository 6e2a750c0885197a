//! The heads of gRPC's messages, found in a body's bytes as they pass, wherever frames cut them.

/// Bytes before a message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

/// What the bytes before a message say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether the message claims to be compressed, by whatever flag.
    pub(super) is_compressed: bool,
    /// Its bytes.
    pub(super) length: usize,
}

/// Where in a sequence of messages a body stands.
#[derive(Debug, Default)]
pub(super) struct Heads {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are there.
    known: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Heads {
    /// Takes bytes off the piece until the next prefix is whole; `None` when the piece ends before.
    pub(super) fn next(&mut self, piece: &mut &[u8]) -> Option<Head> {
        let skipped = self.left.min(piece.len());
        self.left -= skipped;
        let taken = (piece.len() - skipped).min(PREFIX_BYTES - self.known);
        let (passed, rest) = piece.split_at(skipped + taken);
        self.prefix[self.known..self.known + taken].copy_from_slice(&passed[skipped..]);
        self.known += taken;
        *piece = rest;
        if self.known < PREFIX_BYTES {
            return None;
        }
        let [flag, length @ ..] = self.prefix;
        self.known = 0;
        self.left = u32::from_be_bytes(length) as usize;
        Some(Head { is_compressed: flag != 0, length: self.left })
    }
}
