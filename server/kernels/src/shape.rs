//! How large a network is, and how its rows lie in memory.

use thiserror::Error;

/// The shape of a gSASRec encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Numbers in an embedding.
    pub dimension: usize,
    /// Heads of attention, which divide the dimension.
    pub heads: usize,
    /// Blocks, the last of which attends from the newest position only.
    pub blocks: usize,
    /// The most items of a sequence.
    pub longest: usize,
}

/// Why these kernels cannot run a network. The message is a whole sentence.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unfit(pub String);

/// The widest embedding.
pub const DIMENSION_MAX: usize = 512;
/// The most heads.
pub const HEADS_MAX: usize = 16;
/// The widest head.
pub const HEAD_DIMENSION_MAX: usize = 128;
/// The longest sequence.
pub const LONGEST_MAX: usize = 512;

/// What rows are padded to: a panel of the widest vectors, two steps of the tiles.
const ROW: usize = 64;

impl Shape {
    /// Whether these kernels can run it.
    ///
    /// # Errors
    /// [`Unfit`], which says what is too large or does not divide.
    pub fn check(&self) -> Result<(), Unfit> {
        let Self { dimension, heads, blocks, longest } = *self;
        let limits = [
            ("dimension", dimension, DIMENSION_MAX),
            ("number of heads", heads, HEADS_MAX),
            ("number of blocks", blocks, usize::MAX),
            ("maximum length", longest, LONGEST_MAX),
        ];
        for (what, value, most) in limits {
            if value == 0 || value > most {
                return Err(Unfit(format!("the {what} {value} is not in 1 to {most}")));
            }
        }
        if !dimension.is_multiple_of(heads) {
            return Err(Unfit(format!("{heads} heads do not divide the dimension {dimension}")));
        }
        if dimension / heads > HEAD_DIMENSION_MAX {
            let head = dimension / heads;
            return Err(Unfit(format!("the dimension {head} of a head is over {HEAD_DIMENSION_MAX}")));
        }
        Ok(())
    }

    /// Numbers in a head.
    pub(crate) fn head(&self) -> usize {
        self.dimension / self.heads
    }

    /// Numbers in a row of embeddings; those behind the dimension are zeros.
    pub(crate) fn row(&self) -> usize {
        self.dimension.next_multiple_of(ROW)
    }
}

/// Where the heads stand in a row of queries, keys or values: each begins at a multiple of the widest vector or
/// tile, with zeros behind its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) count: usize,
    /// Numbers of a head.
    pub(crate) dimension: usize,
    /// Numbers from one head to the next.
    pub(crate) step: usize,
}

impl Heads {
    /// The heads of `shape`, each padded to a multiple of `unit`.
    pub(crate) fn new(shape: &Shape, unit: usize) -> Self {
        let dimension = shape.head();
        Self { count: shape.heads, dimension, step: dimension.next_multiple_of(unit) }
    }

    /// Numbers in a row of all heads.
    pub(crate) fn row(&self) -> usize {
        (self.count * self.step).next_multiple_of(ROW)
    }

    /// Where number `index` of the unpadded row stands.
    pub(crate) fn place(&self, index: usize) -> usize {
        index / self.dimension * self.step + index % self.dimension
    }

    /// Which number of the unpadded row stands at each place.
    pub(crate) fn places(&self) -> Vec<Option<usize>> {
        let mut places = vec![None; self.row()];
        for index in 0..self.count * self.dimension {
            places[self.place(index)] = Some(index);
        }
        places
    }

    /// What queries are multiplied by, so that their products with keys are exponents of 2.
    pub(crate) fn logit_scale(&self) -> f32 {
        std::f32::consts::LOG2_E / (self.dimension as f32).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let fits = Shape { dimension: 256, heads: 8, blocks: 4, longest: 200 };
        assert_eq!(fits.check(), Ok(()));
        let cases = [
            (Shape { dimension: 513, ..fits }, "dimension 513 is not in"),
            (Shape { heads: 17, ..fits }, "number of heads 17"),
            (Shape { longest: 513, ..fits }, "maximum length 513"),
            (Shape { blocks: 0, ..fits }, "number of blocks 0"),
            (Shape { heads: 7, ..fits }, "7 heads do not divide"),
            (Shape { heads: 1, ..fits }, "dimension 256 of a head"),
        ];
        for (shape, why) in cases {
            assert!(shape.check().is_err_and(|error| error.to_string().contains(why)), "{shape:?}");
        }
    }
}
