//! Counts the messages of a stream as its bytes pass, compressed or not.

use super::framing::Heads;

/// Where in a stream of messages the bytes stand.
#[derive(Debug, Default)]
pub(super) struct MessageCount(Heads);

impl MessageCount {
    /// The messages whose prefix ends within these bytes, the next ones of the stream.
    pub(super) fn begun(&mut self, mut bytes: &[u8]) -> u32 {
        let mut begun = 0;
        while self.0.next(&mut bytes).is_some() {
            begun += 1;
        }
        begun
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
