//! Tiles by plain loops: the meaning of the layouts, for any processor.

use half::bf16;

use super::{STEP, TILE, TILE_NUMBERS, Tiles, place_in_tile};

/// Any processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Emulated;

/// Adds a tile's product: `c[16][16] += a[16][32] tile`.
///
/// # Safety
/// All three are there; `lda` is in bytes, `ldc` in floats.
unsafe fn add_product(
    rows: usize,
    (a, lda): (*const bf16, usize),
    tile: *const bf16,
    (c, ldc): (*mut f32, usize),
) {
    for row in 0..rows {
        for column in 0..TILE {
            // SAFETY: the caller's.
            unsafe {
                let sum = c.add(row * ldc + column);
                for k in 0..STEP {
                    let a = f32::from(*a.byte_add(row * lda).add(k));
                    *sum = a.mul_add(f32::from(*tile.add(place_in_tile(k, column))), *sum);
                }
            }
        }
    }
}

/// Writes zeros to `rows` rows of `columns`.
unsafe fn clear(rows: usize, columns: usize, (c, ldc): (*mut f32, usize)) {
    for row in 0..rows {
        // SAFETY: the caller's.
        unsafe { c.add(row * ldc).write_bytes(0, columns) };
    }
}

// SAFETY of all blocks: the caller's.
impl Tiles for Emulated {
    type Session = ();

    fn begin(self) {}

    unsafe fn two_by_one(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32) {
        unsafe {
            clear(2 * TILE, 2 * TILE, (c, 2 * TILE));
            for step in 0..steps {
                for half in 0..2 {
                    let tile = panel.add((2 * step + half) * TILE_NUMBERS);
                    add_product(2 * TILE, (a.add(step * STEP), lda), tile, (c.add(half * TILE), 2 * TILE));
                }
            }
        }
    }

    unsafe fn one_by_two(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32) {
        unsafe {
            clear(TILE, 4 * TILE, (c, 4 * TILE));
            for step in 0..steps {
                for quarter in 0..4 {
                    let tile = (quarter / 2 * steps + step) * 2 + quarter % 2;
                    let tile = panel.add(tile * TILE_NUMBERS);
                    add_product(TILE, (a.add(step * STEP), lda), tile, (c.add(quarter * TILE), 4 * TILE));
                }
            }
        }
    }

    unsafe fn scores(
        self,
        (q, ldq): (*const bf16, usize),
        keys: *const bf16,
        steps: usize,
        tiles: usize,
        (s, lds): (*mut f32, usize),
    ) {
        let lds = lds / size_of::<f32>();
        unsafe {
            clear(TILE, tiles * TILE, (s, lds));
            for tile in 0..tiles {
                for step in 0..steps {
                    let keys = keys.add((tile * steps + step) * TILE_NUMBERS);
                    add_product(TILE, (q.add(step * STEP), ldq), keys, (s.add(tile * TILE), lds));
                }
            }
        }
    }

    unsafe fn weighted(
        self,
        (p, ldp): (*const bf16, usize),
        values: *const bf16,
        pairs: usize,
        columns: usize,
        o: *mut f32,
    ) {
        let ldo = columns * TILE;
        unsafe {
            clear(TILE, ldo, (o, ldo));
            for pair in 0..pairs {
                for column in 0..columns {
                    let values = values.add((pair * columns + column) * TILE_NUMBERS);
                    add_product(TILE, (p.add(pair * STEP), ldp), values, (o.add(column * TILE), ldo));
                }
            }
        }
    }
}
