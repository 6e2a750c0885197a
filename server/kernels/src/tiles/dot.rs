//! Tiles by the dot products of AVX-512 BF16: a row of a tile is a register.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

use half::bf16;

use super::{STEP, TILE, TILE_NUMBERS, Tiles};
use crate::simd::Avx512Bf16;

/// A processor with AVX-512 BF16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dot(());

impl Dot {
    pub(crate) fn new(_proof: Avx512Bf16) -> Self {
        Self(())
    }
}

/// Rows whose sums stay in registers beside four registers of columns.
const ROWS: usize = 4;

/// `c[ROWS][16 x C] = a[ROWS][steps x 32] tiles`, where `tile(step, column)` says which.
///
/// # Safety
/// The processor has AVX-512 BF16; all tiles and rows are there; `lda` is in bytes, `ldc` in floats.
#[inline(always)]
unsafe fn product<const C: usize>(
    (a, lda): (*const bf16, usize),
    tiles: *const bf16,
    steps: usize,
    tile: impl Fn(usize, usize) -> usize,
    (c, ldc): (*mut f32, usize),
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums: [[__m512; C]; ROWS] = [[_mm512_setzero_ps(); C]; ROWS];
        for step in 0..steps {
            for pair in 0..STEP / 2 {
                let mut columns = [_mm512_loadu_si512(tiles.cast()); C];
                for (number, column) in columns.iter_mut().enumerate() {
                    let at = tile(step, number) * TILE_NUMBERS + pair * 2 * TILE;
                    *column = _mm512_loadu_si512(tiles.add(at).cast());
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let pair =
                        a.byte_add(row * lda).add(step * STEP + 2 * pair).cast::<i32>().read_unaligned();
                    let pair = bits(_mm512_set1_epi32(pair));
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpbf16_ps(*sum, pair, bits(column));
                    }
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (column, sum) in sums.into_iter().enumerate() {
                _mm512_storeu_ps(c.add(row * ldc + column * TILE), sum);
            }
        }
    }
}

/// The same bits as numbers.
#[inline(always)]
fn bits(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes that may hold anything.
    unsafe { std::mem::transmute(words) }
}

// SAFETY of all blocks: `Dot` is made of the proof that the processor has the instructions; the rest is the caller's.
impl Tiles for Dot {
    type Session = ();

    fn begin(self) {}

    #[inline(always)]
    unsafe fn two_by_one(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32) {
        for row in (0..2 * TILE).step_by(ROWS) {
            unsafe {
                let (a, c) = ((a.byte_add(row * lda), lda), (c.add(row * 2 * TILE), 2 * TILE));
                product::<2>(a, panel, steps, |step, column| 2 * step + column, c);
            }
        }
    }

    #[inline(always)]
    unsafe fn one_by_two(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32) {
        for row in (0..TILE).step_by(ROWS) {
            unsafe {
                let (a, c) = ((a.byte_add(row * lda), lda), (c.add(row * 4 * TILE), 4 * TILE));
                product::<4>(a, panel, steps, |step, column| (column / 2 * steps + step) * 2 + column % 2, c);
            }
        }
    }

    #[inline(always)]
    unsafe fn scores(
        self,
        (q, ldq): (*const bf16, usize),
        keys: *const bf16,
        steps: usize,
        tiles: usize,
        (s, lds): (*mut f32, usize),
    ) {
        for tile in 0..tiles {
            for row in (0..TILE).step_by(ROWS) {
                unsafe {
                    let (q, s) =
                        ((q.byte_add(row * ldq), ldq), (s.byte_add(row * lds).add(tile * TILE), lds / 4));
                    product::<1>(q, keys, steps, |step, _| tile * steps + step, s);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn weighted(
        self,
        (p, ldp): (*const bf16, usize),
        values: *const bf16,
        pairs: usize,
        columns: usize,
        o: *mut f32,
    ) {
        let ldo = columns * TILE;
        for first in (0..columns).step_by(2) {
            for row in (0..TILE).step_by(ROWS) {
                unsafe {
                    let (p, o) = ((p.byte_add(row * ldp), ldp), (o.add(row * ldo + first * TILE), ldo));
                    product::<2>(p, values, pairs, |pair, column| pair * columns + first + column, o);
                }
            }
        }
    }
}
