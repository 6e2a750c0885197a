//! Queries that go through a kernel together, as it reads them.

use marquee_kernels::int8::{Left, ROWS, Session, Unit};

use super::ahead::{Ahead, ask_for};
use super::{STEP, Steps, Sums};

/// The most queries that go through a kernel together: the rows of a tile.
pub(crate) const GROUP_MAX: usize = ROWS;
/// The most queries of a group in words.
pub(super) const WORDS_MAX: usize = 4;

/// How many steps of [`Ahead`] a query is worth when its sums are looked at. Products wait for lines on their way to the
/// first level and leave little room for others; sums are there.
pub(super) const STEPS_A_QUERY: usize = 4;

/// How wide the codes of queries are. Wider ones make fewer candidates; narrower ones go faster where
/// the processor has an instruction for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeWidth {
    /// 8 bits: four codes in a word.
    Byte,
    /// 16 bits: two codes in a word, first those of coordinates 0 and 2, then those of 1 and 3.
    Short,
}

impl CodeWidth {
    /// The greatest magnitude of a query's code with which no sum leaves i32.
    pub(crate) fn greatest_code(self, steps: usize) -> i32 {
        let widest = match self {
            Self::Byte => i32::from(i8::MAX),
            Self::Short => i32::from(i16::MAX),
        };
        widest.min((i32::MAX as usize / (usize::from(u8::MAX) * steps * STEP)) as i32)
    }

    /// Words in a step of one query.
    pub(super) const fn words(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Short => 2,
        }
    }

    fn pack(self, codes: &[i32; STEP], words: &mut Vec<i32>) {
        let [a, b, c, d] = *codes;
        match self {
            Self::Byte => words.push(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8])),
            Self::Short => words.extend([pair(a, c), pair(b, d)]),
        }
    }
}

/// Two 16-bit codes as a word, `low` in the low half.
fn pair(low: i32, high: i32) -> i32 {
    (low & 0xffff) | (high << 16)
}

/// A group of queries. It stays with the thread that made it.
#[derive(Debug)]
pub(crate) enum Group {
    /// For vectors.
    Words(PackedQueries),
    /// For tiles.
    Tiles(TiledQueries),
}

impl Group {
    pub(crate) fn queries(&self) -> usize {
        match self {
            Self::Words(group) => group.queries,
            Self::Tiles(group) => group.queries,
        }
    }

    /// The steps of [`Ahead`] while the group is shown a tile of so many steps: while it is multiplied, and when the sums
    /// are looked at.
    pub(crate) fn steps_ahead(&self, steps: usize) -> usize {
        let while_multiplied = match self {
            Self::Words(_) => steps,
            Self::Tiles(group) => group.left.products(),
        };
        while_multiplied + STEPS_A_QUERY * self.queries()
    }
}

/// 1, 2 or 4 queries in words: `steps x queries` of a step's words each.
#[derive(Debug)]
pub(crate) struct PackedQueries {
    pub(super) words: Vec<i32>,
    pub(super) queries: usize,
    /// What the bias of the rows' codes adds to each query's sums.
    pub(super) bias: [i32; WORDS_MAX],
}

impl PackedQueries {
    /// Each query's codes are whole steps long.
    pub(super) fn new(codes: &[Vec<i32>], width: CodeWidth) -> Self {
        debug_assert!(codes.len().is_power_of_two() && codes.len() <= WORDS_MAX);
        let mut words = Vec::with_capacity(codes.len() * codes[0].len() / STEP * width.words());
        for step in 0..codes[0].len() / STEP {
            for query in codes {
                width.pack(&query.as_chunks().0[step], &mut words);
            }
        }
        let mut bias = [0; WORDS_MAX];
        for (bias, codes) in bias.iter_mut().zip(codes) {
            *bias = bias_of(codes);
        }
        Self { words, queries: codes.len(), bias }
    }
}

/// Up to 16 queries as rows of tiles, and the thread's leave to multiply them.
#[derive(Debug)]
pub(crate) struct TiledQueries {
    left: Left,
    queries: usize,
    session: Session,
}

impl TiledQueries {
    /// Codes fit 8 bits.
    pub(super) fn new(codes: &[Vec<i32>], unit: Unit) -> Self {
        let mut left = Left::zeros(codes[0].len());
        for (row, codes) in codes.iter().enumerate() {
            left.write_row(row, -bias_of(codes), codes.iter().map(|code| *code as i8));
        }
        Self { left, queries: codes.len(), session: unit.begin() }
    }

    /// `sums[q][row]` becomes the inner product of the codes of query `q` and the row. `tile` goes on behind the tile's
    /// steps up to whole ones of the unit.
    pub(super) fn products(&self, tile: &Steps, sums: &mut [Sums; GROUP_MAX], ahead: &mut Ahead<'_>) {
        self.session.products(&self.left, tile, sums, || ahead.steps(1, ask_for));
    }
}

/// What the bias of the rows' codes adds to a query's sums.
fn bias_of(codes: &[i32]) -> i32 {
    128 * codes.iter().sum::<i32>()
}
