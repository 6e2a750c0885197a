//! Counts the messages of a stream as its bytes pass, compressed or not.

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Where in a stream of messages the bytes stand.
#[derive(Debug, Default)]
pub(super) struct MessageCount {
    /// Bytes of a prefix that have passed.
    prefix: usize,
    length: u32,
    /// Bytes of a message that are still to pass.
    left: usize,
}

impl MessageCount {
    /// The messages whose prefix ends within these bytes, the next ones of the stream.
    pub(super) fn begun(&mut self, mut bytes: &[u8]) -> u32 {
        let mut begun = 0;
        loop {
            bytes = &bytes[self.skip(bytes.len())..];
            let Some((byte, rest)) = bytes.split_first() else { return begun };
            bytes = rest;
            if self.prefix > 0 {
                self.length = self.length << 8 | u32::from(*byte);
            }
            self.prefix += 1;
            if self.prefix == PREFIX {
                *self = Self { left: self.length as usize, ..Self::default() };
                begun += 1;
            }
        }
    }

    /// How many of the next bytes are a message's own.
    fn skip(&mut self, bytes: usize) -> usize {
        let skipped = self.left.min(bytes);
        self.left -= skipped;
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(lengths: &[u32]) -> Vec<u8> {
        let framed = |length: &u32| {
            let prefix = [&[1], &length.to_be_bytes()[..]].concat();
            [prefix, vec![7; *length as usize]].concat()
        };
        lengths.iter().flat_map(framed).collect()
    }

    #[test]
    fn messages_are_counted_wherever_the_frames_cut_them() {
        let bytes = messages(&[0, 3, 300, 0, 70_000, 1]);
        for size in [1, 2, 5, 7, 1000, bytes.len()] {
            let mut count = MessageCount::default();
            let counted: u32 = bytes.chunks(size).map(|frame| count.begun(frame)).sum();
            assert_eq!(counted, 6, "{size}");
        }
    }

    #[test]
    fn a_message_counts_once_its_length_is_known() {
        let mut count = MessageCount::default();
        assert_eq!(count.begun(&[0, 0, 0, 0]), 0);
        assert_eq!(count.begun(&[2]), 1);
        assert_eq!(count.begun(&[9, 9, 0, 0, 0, 0, 0]), 1);
    }
}
