//! What a job logs: its newest lines, numbered, so that whoever watches asks for those that are new.

use std::collections::VecDeque;

use marquee_core::domain::TimeMs;
use marquee_core::text::printable;
use serde::{Deserialize, Serialize};

/// Lines that are kept.
const MAX_LINES: usize = 100;

/// Characters of a line; the rest is cut off.
const MAX_LINE: usize = 300;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was logged.
    pub time_ms: TimeMs,
    /// What it says, without commands for a terminal.
    pub text: String,
}

/// The newest lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The number of the first line that is kept.
    first: u64,
    lines: VecDeque<Line>,
}

impl Log {
    /// Adds a line.
    pub fn add(&mut self, time_ms: TimeMs, text: &str) {
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
            self.first += 1;
        }
        let text = printable(text).chars().take(MAX_LINE).collect();
        self.lines.push_back(Line { time_ms, text });
    }

    /// The lines from a number on that are kept.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Line> {
        self.lines.iter().skip(number.saturating_sub(self.first) as usize)
    }

    /// The number of the next line.
    pub fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_asked_for_by_number() {
        let mut log = Log::default();
        for number in 0..250 {
            log.add(number, &format!("line {number}"));
        }
        assert_eq!(log.end(), 250);
        let texts = |from| log.from(from).map(|line| line.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(248), ["line 248", "line 249"]);
        assert_eq!(texts(0).first().map(String::as_str), Some("line 150"));
        assert!(texts(250).is_empty());
    }

    #[test]
    fn a_line_is_cut_and_commands_nothing() {
        let mut log = Log::default();
        log.add(1, &format!("\u{1b}[2J{}", "x".repeat(1_000)));
        let line = log.from(0).next().unwrap();
        assert!(line.text.chars().count() == MAX_LINE && !line.text.contains('\u{1b}'), "{line:?}");
    }
}
