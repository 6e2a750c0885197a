//! What a network adds to the logits of its attention, by how far a position lies before the one that attends.

use crate::memory::Aligned;
use crate::shape::Shape;
use crate::simd::Simd;

/// The biases of a block as attention reads them: a row a head, from the farthest position to the position itself, so
/// that what one position adds to those up to it is the end of the row.
pub(crate) struct Distances {
    rows: Aligned<f32>,
    longest: usize,
}

impl Distances {
    /// Packs `heads x longest` numbers, a head's from distance 0 on, as exponents of 2.
    pub(crate) fn new(by_distance: &[f32], shape: &Shape) -> Self {
        let mut rows = Aligned::zeros(by_distance.len());
        let of_heads = by_distance.chunks_exact(shape.longest);
        for (from, to) in of_heads.zip(rows.chunks_exact_mut(shape.longest)) {
            for (to, from) in to.iter_mut().rev().zip(from) {
                *to = from * std::f32::consts::LOG2_E;
            }
        }
        Self { rows, longest: shape.longest }
    }

    /// How attention reads them.
    pub(crate) fn biases(&self) -> Biases {
        let at = self.rows[self.longest - 1..].as_ptr();
        Biases { at, by_head: self.longest, by_row: -1, scale: 1.0 }
    }
}

/// Rows of numbers that are added to logits: of each head and position that attends, one for each position up to it.
#[derive(Clone, Copy)]
pub(crate) struct Biases {
    /// Of the first head and position.
    at: *const f32,
    /// Numbers from one head to the next.
    by_head: usize,
    /// Numbers from one position that attends to the next.
    by_row: isize,
    /// What they are multiplied by to be exponents of 2.
    scale: f32,
}

impl Biases {
    /// Of a matrix a head, `length x length`, a row for each position that attends.
    pub(crate) fn of_matrices(matrices: &[f32], length: usize) -> Self {
        let (by_head, by_row) = (length * length, length.cast_signed());
        Self { at: matrices.as_ptr(), by_head, by_row, scale: std::f32::consts::LOG2_E }
    }

    /// Adds the row of a head and position to its logits of all positions up to it.
    ///
    /// # Safety
    /// There are biases for the head and the position, and logits for the positions.
    #[inline(always)]
    pub(crate) unsafe fn add<S: Simd>(self, s: S, head: usize, position: usize, logits: *mut f32) {
        let seen = position + 1;
        let whole = seen / S::LANES * S::LANES;
        let scale = s.splat(self.scale);
        // SAFETY: the caller's.
        unsafe {
            let biases = self.at.add(head * self.by_head).offset(position.cast_signed() * self.by_row);
            for at in (0..whole).step_by(S::LANES) {
                let to = logits.add(at);
                s.store(to, s.fma(s.load(biases.add(at)), scale, s.load(to)));
            }
            if whole < seen {
                let (rest, to) = (seen - whole, logits.add(whole));
                let sums = s.fma(s.load_first(biases.add(whole), rest), scale, s.load_first(to, rest));
                s.store_first(to, sums, rest);
            }
        }
    }
}
