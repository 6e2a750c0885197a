//! Products of small integers by tiles, for a scan of codes: 16 rows of signed bytes with 64 columns of unsigned ones,
//! summed in 32 bits. By AMX, and by plain loops that read the same memory, so that packing and tails are held by tests
//! on every machine.
//!
//! The right side lies in [`Line`]s, as a scan wants it that knows nothing of tiles. A line is a row of a tile, and a
//! tile is 16 lines that are [`LINES`] apart, so it is read where it lies.
//!
//! ```
//! use marquee_kernels::int8::{COLUMNS, LINES, Left, Line, ROWS, Unit};
//!
//! // A row of 2, 0, 0, 0, whose sums begin with 1, and 64 columns that begin with 3.
//! let mut left = Left::zeros(4);
//! left.write_row(0, 1, [2, 0, 0, 0]);
//! let right = vec![[Line::filled(3); LINES]; left.steps()];
//! let mut sums = [[0; COLUMNS]; ROWS];
//! Unit::EMULATED.begin().products(&left, &right, &mut sums, || {});
//! assert_eq!(sums[0], [7; COLUMNS]);
//! ```

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod emulated;
#[cfg(test)]
mod tests;

/// Rows of a left side.
pub const ROWS: usize = 16;
/// Numbers of the inner dimension in a step of a right side.
pub const STEP: usize = 4;
/// Columns in a line.
pub const LINE_COLUMNS: usize = 16;
/// Lines in a step, side by side.
pub const LINES: usize = 4;
/// Columns of a right side.
pub const COLUMNS: usize = LINES * LINE_COLUMNS;
/// Steps that are multiplied at once: a right side has a multiple of them.
pub const TILE_STEPS: usize = 16;

/// Numbers of the inner dimension in a tile.
const TILE_INNER: usize = TILE_STEPS * STEP;

/// [`STEP`] neighbours of the inner dimension for [`LINE_COLUMNS`] columns, column by column.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; LINE_COLUMNS * STEP]);

impl Line {
    /// A line of one number.
    #[must_use]
    pub const fn filled(number: u8) -> Self {
        Self([number; LINE_COLUMNS * STEP])
    }
}

/// 64 numbers of the inner dimension of each row: a tile.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Block([[i8; TILE_INNER]; ROWS]);

/// For each row what its sums begin with, in as many columns as a tile has.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Start([[i32; LINE_COLUMNS]; ROWS]);

/// A left side as tiles.
#[derive(Clone, Debug)]
pub struct Left {
    blocks: Vec<Block>,
    start: Box<Start>,
}

impl Left {
    /// 16 rows of `inner` zeros, whose sums begin with 0.
    #[must_use]
    pub fn zeros(inner: usize) -> Self {
        Self {
            blocks: vec![Block([[0; TILE_INNER]; ROWS]); inner.div_ceil(TILE_INNER)],
            start: Box::new(Start([[0; LINE_COLUMNS]; ROWS])),
        }
    }

    /// Writes the first numbers of a row, and what each of its sums begins with.
    ///
    /// # Panics
    /// For another row than 0 to 15.
    pub fn write_row(&mut self, row: usize, start: i32, numbers: impl IntoIterator<Item = i8>) {
        self.start.0[row].fill(start);
        let places = self.blocks.iter_mut().flat_map(|block| &mut block.0[row]);
        for (place, number) in places.zip(numbers) {
            *place = number;
        }
    }

    /// How many steps of a right side are read: whole tiles. Behind the inner dimension they may hold anything, since
    /// they meet zeros.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.blocks.len() * TILE_STEPS
    }

    /// Products of tiles that are made for all columns.
    #[must_use]
    pub fn products(&self) -> usize {
        self.blocks.len() * LINES
    }
}

/// What multiplies tiles of int8.
#[derive(Clone, Copy, Debug)]
pub struct Unit(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(amx::Amx),
    Emulated,
}

impl Unit {
    /// Plain loops, for tests: far slower than a scan without tiles.
    pub const EMULATED: Self = Self(Kind::Emulated);

    /// AMX.
    ///
    /// # Errors
    /// Why not, as the end of a sentence: what the processor lacks, or that the system refuses.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub fn detect() -> Result<Self, &'static str> {
        amx::Amx::detect().map(|amx| Self(Kind::Amx(amx)))
    }

    /// AMX.
    ///
    /// # Errors
    /// Always: the machine is not one that may have it.
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    pub fn detect() -> Result<Self, &'static str> {
        Err("int8 in tiles is served by x86-64 under Linux only")
    }

    /// Makes the thread ready to multiply.
    #[must_use]
    pub fn begin(self) -> Session {
        Session(match self.0 {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Kind::Amx(amx) => Ready::Amx(amx.begin()),
            Kind::Emulated => Ready::Emulated,
        })
    }
}

/// A thread that is ready to multiply. It may have several; while it has one, switching to another thread costs the
/// system a little more.
#[derive(Debug)]
pub struct Session(Ready);

#[derive(Debug)]
enum Ready {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(crate::amx::Session),
    Emulated,
}

impl Session {
    /// `sums[row][column]` becomes what the row begins with and the inner product of the row and the column, modulo 2^32.
    ///
    /// `between` is called after each of [`Left::products`], to ask the memory for what is read next. It may not
    /// multiply itself: it would lose the sums.
    ///
    /// # Panics
    /// Where `right` has fewer than [`Left::steps`].
    #[inline]
    pub fn products(
        &self,
        left: &Left,
        right: &[[Line; LINES]],
        sums: &mut [[i32; COLUMNS]; ROWS],
        between: impl FnMut(),
    ) {
        assert!(right.len() >= left.steps(), "a right side has whole tiles");
        match &self.0 {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Ready::Amx(session) => amx::products(session, left, right, sums, between),
            Ready::Emulated => emulated::products(left, right, sums, between),
        }
    }
}
