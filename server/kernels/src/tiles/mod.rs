//! Products of bf16 matrices tile by tile, summed in fp32: by AMX, by AVX-512 BF16, and by plain loops that read the
//! same memory, so that packing, masks and tails are held by tests on every machine.
//!
//! A tile of a right side is 16 rows of 64 bytes. Each row has two neighbours of the inner dimension for 16 columns,
//! pair by pair, as AMX wants them: number `(k, column)` of a tile stands at `k / 2 * 32 + column * 2 + k % 2`.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod dot;
mod emulated;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use amx::Amx;
#[cfg(target_arch = "x86_64")]
pub(crate) use dot::Dot;
pub(crate) use emulated::Emulated;

use half::bf16;

/// Rows of a tile, and its columns of 32 bits.
pub(crate) const TILE: usize = 16;
/// Numbers of the inner dimension in a tile.
pub(crate) const STEP: usize = 32;
/// Numbers in a tile.
pub(crate) const TILE_NUMBERS: usize = TILE * STEP;
/// Columns of a panel of a dense layer: two tiles side by side.
pub(crate) const PANEL: usize = 2 * TILE;

/// Where `(k, column)` stands in a tile.
pub(crate) fn place_in_tile(k: usize, column: usize) -> usize {
    k / 2 * 2 * TILE + column * 2 + k % 2
}

/// What multiplies tiles.
pub(crate) trait Tiles: Copy + Send + Sync + 'static {
    /// What must live while a thread multiplies.
    type Session;

    /// Makes the thread ready.
    fn begin(self) -> Self::Session;

    /// `c[32][32] = a[32][steps x 32] panel`, where a panel is for each step two tiles, side by side in its columns.
    ///
    /// # Safety
    /// The thread was made ready; `a` has 32 rows, `lda` bytes apart, `panel` its steps, `c` 32 rows of 32 floats.
    unsafe fn two_by_one(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32);

    /// `c[16][64] = a[16][steps x 32] (panel, next panel)`.
    ///
    /// # Safety
    /// As [`Tiles::two_by_one`], with 16 rows of `a`, two panels one behind the other, and 16 rows of 64 floats.
    unsafe fn one_by_two(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32);

    /// `s[16][16 x tiles] = q[16][steps x 32] keys`: keys are tile after tile, each with all its steps, 1 to 4.
    ///
    /// # Safety
    /// As above; `q` has 16 rows `ldq` bytes apart, `s` 16 rows `lds` bytes apart.
    unsafe fn scores(
        self,
        q: (*const bf16, usize),
        keys: *const bf16,
        steps: usize,
        tiles: usize,
        s: (*mut f32, usize),
    );

    /// `o[16][16 x columns] = p[16][32 x pairs] values`: values are for each 32 rows `columns` tiles, an even number.
    ///
    /// # Safety
    /// As above; `p` has 16 rows `ldp` bytes apart, `o` 16 rows of `16 x columns` floats.
    unsafe fn weighted(
        self,
        p: (*const bf16, usize),
        values: *const bf16,
        pairs: usize,
        columns: usize,
        o: *mut f32,
    );
}

#[cfg(test)]
mod tests;
