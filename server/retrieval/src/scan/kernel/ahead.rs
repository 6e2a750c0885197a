//! What the memory is asked for while a tile is worked on: the tile that is read next.
//!
//! A table that is in no cache is read as fast as the memory is asked for it, and a server's never is: whatever runs
//! between two passes takes the caches. Processors ask ahead themselves, for lines of the same page, so of
//! several pages at once they ask for more. Lines are therefore taken from each quarter of the tile in turn, which
//! with 256 coordinates is a page, and at an even pace over all steps of all groups, those of multiplying and those of
//! looking at the sums: what is asked for at once has to wait for room.

use super::{Line, Steps, TILE_LINES};

/// The lines of the next tile, in the order in which they are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead<'a> {
    lines: &'a [Line],
    asked: usize,
    /// More than zero.
    steps: usize,
    /// What the steps so far have earned: a line costs `steps`, and each step earns as much as there are lines.
    earned: usize,
}

impl<'a> Ahead<'a> {
    /// All lines of `next` within so many steps.
    pub(crate) fn new(next: &'a Steps, steps: usize) -> Self {
        Self { lines: next.as_flattened(), asked: 0, steps: steps.max(1), earned: 0 }
    }

    /// Nothing to ask for.
    pub(crate) fn nothing() -> Self {
        Self::new(&[], 1)
    }

    /// Calls `ask_for` with each line that is due in so many steps.
    #[inline]
    pub(super) fn steps(&mut self, steps: usize, mut ask_for: impl FnMut(&Line)) {
        self.earned += steps * self.lines.len();
        while self.earned >= self.steps {
            self.earned -= self.steps;
            let quarter = self.lines.len() / TILE_LINES;
            if let Some(line) = self.lines.get(self.asked % TILE_LINES * quarter + self.asked / TILE_LINES) {
                ask_for(line);
            }
            self.asked += 1;
        }
    }
}

/// Asks the memory for a line, where Rust has an instruction for it: on x86-64. It comes into the second level: there is
/// more room on the way to it than to the first.
#[inline]
pub(super) fn ask_for(line: &Line) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, which reads nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(line.0.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the lines that each step asks for.
    fn asked(tile_steps: usize, steps: usize) -> Vec<Vec<usize>> {
        let tile = vec![[Line::filled(0); TILE_LINES]; tile_steps];
        let number =
            |line: &Line| (std::ptr::from_ref(line).addr() - tile.as_ptr().addr()) / size_of::<Line>();
        let mut ahead = Ahead::new(&tile, steps);
        (0..steps)
            .map(|_| {
                let mut lines = Vec::new();
                ahead.steps(1, |line| lines.push(number(line)));
                lines
            })
            .collect()
    }

    #[test]
    fn every_line_is_asked_for_once() {
        for (tile_steps, steps) in [(1, 1), (2, 5), (25, 75), (64, 64), (64, 192), (64, 512)] {
            let mut all = asked(tile_steps, steps).concat();
            all.sort_unstable();
            assert_eq!(all, (0..TILE_LINES * tile_steps).collect::<Vec<_>>(), "{tile_steps} in {steps}");
        }
    }

    #[test]
    fn lines_come_at_an_even_pace_and_from_each_quarter_in_turn() {
        assert_eq!(asked(3, 4), [[0, 3, 6], [9, 1, 4], [7, 10, 2], [5, 8, 11]]);
        assert!(asked(64, 192).iter().all(|lines| (1..=2).contains(&lines.len())));
    }

    #[test]
    fn after_the_last_tile_nothing_is_asked_for() {
        Ahead::nothing().steps(1, |_| panic!("asked for a line"));
    }
}
