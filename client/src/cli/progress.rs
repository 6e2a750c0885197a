//! How far a stream came before it failed.

use std::fmt;

/// How far a stream came before it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Messages that were handed to the connection.
    pub(super) sent: u64,
    /// The line of the last one, from 1.
    pub(super) last_line: usize,
    pub(super) answer: Answer,
}

/// What came back for the messages that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The one reply of a call that has one.
    Whole,
    /// So many replies.
    Replies(u64),
    /// Nothing, where one reply was to come.
    Nothing,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, last_line, answer } = self;
        let messages = if *sent == 1 { "1 message was".to_owned() } else { format!("{sent} messages were") };
        write!(f, "{messages} sent, up to line {last_line}; ")?;
        match answer {
            Answer::Whole => f.write_str("the reply says what became of them"),
            Answer::Replies(1) => f.write_str("1 reply came"),
            Answer::Replies(replies) => write!(f, "{replies} replies came"),
            Answer::Nothing => {
                f.write_str("the server acknowledged none of them and may have kept those that it read")
            }
        }
    }
}
