//! Tiles by AMX, as assembly.

use std::sync::OnceLock;

use super::{COLUMNS, LINES, Left, Line, ROWS, TILE_INNER, TILE_STEPS, emulated};
use crate::amx::{Leave, Numbers, Session, tile_asm};

/// A processor with AMX for int8, and the system's leave to use it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amx(Leave);

impl Amx {
    /// Asks once a process, for all of its threads.
    ///
    /// # Errors
    /// Why not, as the end of a sentence: what the processor lacks, or that the system refuses.
    pub(super) fn detect() -> Result<Self, &'static str> {
        static ASKED: OnceLock<Result<Amx, &'static str>> = OnceLock::new();
        *ASKED.get_or_init(|| {
            let amx = Amx(Leave::ask(Numbers::Int8)?);
            if multiplies(amx) { Ok(amx) } else { Err("the processor's AMX gives wrong products") }
        })
    }

    pub(super) fn begin(self) -> Session {
        Session::begin(self.0)
    }
}

/// Whether it gives the products of plain loops.
fn multiplies(amx: Amx) -> bool {
    let mut left = Left::zeros(2 * TILE_INNER);
    for row in 0..ROWS {
        left.write_row(row, row as i32 - 5, (0..2 * TILE_INNER).map(|k| (k * 37 + row * 101) as i8));
    }
    let mut right = vec![[Line::filled(0); LINES]; left.steps()];
    for (i, number) in right.iter_mut().flatten().flat_map(|line| &mut line.0).enumerate() {
        *number = (i * 53 % 251) as u8;
    }
    let (mut got, mut expected) = ([[0; COLUMNS]; ROWS], [[0; COLUMNS]; ROWS]);
    products(&amx.begin(), &left, &right, &mut got, || {});
    emulated::products(&left, &right, &mut expected, || {});
    got == expected
}

/// Bytes from a row to the next of a left tile, and of the sums' beginnings.
const ROW: usize = 64;
/// Bytes from a row to the next of a right tile.
const STRIDE: usize = size_of::<[Line; LINES]>();
/// Bytes from a row to the next of the sums.
const SUMS: usize = size_of::<[i32; COLUMNS]>();

/// What [`super::Session::products`] says.
#[inline]
pub(super) fn products(
    _session: &Session,
    left: &Left,
    right: &[[Line; LINES]],
    sums: &mut [[i32; COLUMNS]; ROWS],
    mut between: impl FnMut(),
) {
    // SAFETY of all blocks: the session is the proof that the thread has tiles. Blocks and beginnings are 16 rows of 64
    // bytes, steps 16 rows of four lines, and sums 16 rows of as much.
    unsafe {
        tile_asm!(
            "tileloadd tmm0, [{start} + {row}*1]",
            "tileloadd tmm1, [{start} + {row}*1]",
            "tileloadd tmm2, [{start} + {row}*1]",
            "tileloadd tmm3, [{start} + {row}*1]",
            start = in(reg) &raw const *left.start, row = in(reg) ROW
        );
    }
    for (block, steps) in left.blocks.iter().zip(right.as_chunks::<TILE_STEPS>().0) {
        let (block, steps) = (&raw const *block, &raw const *steps);
        unsafe {
            tile_asm!(
                "tileloadd tmm4, [{block} + {row}*1]",
                "tileloadd tmm5, [{steps} + {stride}*1]",
                "tdpbsud tmm0, tmm4, tmm5",
                block = in(reg) block, row = in(reg) ROW, steps = in(reg) steps, stride = in(reg) STRIDE
            );
            between();
            tile_asm!(
                "tileloadd tmm6, [{steps} + {stride}*1 + 64]",
                "tdpbsud tmm1, tmm4, tmm6",
                steps = in(reg) steps, stride = in(reg) STRIDE
            );
            between();
            tile_asm!(
                "tileloadd tmm7, [{steps} + {stride}*1 + 128]",
                "tdpbsud tmm2, tmm4, tmm7",
                steps = in(reg) steps, stride = in(reg) STRIDE
            );
            between();
            tile_asm!(
                "tileloadd tmm5, [{steps} + {stride}*1 + 192]",
                "tdpbsud tmm3, tmm4, tmm5",
                steps = in(reg) steps, stride = in(reg) STRIDE
            );
            between();
        }
    }
    unsafe {
        tile_asm!(
            "tilestored [{sums} + {stride}*1], tmm0",
            "tilestored [{sums} + {stride}*1 + 64], tmm1",
            "tilestored [{sums} + {stride}*1 + 128], tmm2",
            "tilestored [{sums} + {stride}*1 + 192], tmm3",
            sums = in(reg) &raw mut *sums, stride = in(reg) SUMS
        );
    }
}
