//! Every unit multiplies as the definition says: small integers, of which all products and sums are exact.

use half::bf16;

use super::*;

/// Whole numbers up to 4 either way.
fn whole(seed: u64, count: usize) -> Vec<f32> {
    crate::test_kit::numbers(seed, count, 4.0).into_iter().map(f32::round).collect()
}

fn rounded(values: &[f32]) -> Vec<bf16> {
    values.iter().copied().map(bf16::from_f32).collect()
}

/// A right side of `inner` x `columns` by tiles, where `tile(step, column tile)` says which one.
fn packed(b: &[f32], inner: usize, columns: usize, tile: impl Fn(usize, usize) -> usize) -> Vec<bf16> {
    let mut packed = vec![bf16::ZERO; inner * columns];
    for k in 0..inner {
        for column in 0..columns {
            let at = tile(k / STEP, column / TILE) * TILE_NUMBERS + place_in_tile(k % STEP, column % TILE);
            packed[at] = bf16::from_f32(b[k * columns + column]);
        }
    }
    packed
}

fn product(a: &[f32], b: &[f32], rows: usize, inner: usize, columns: usize) -> Vec<f32> {
    let mut c = vec![0.0; rows * columns];
    for (at, c) in c.iter_mut().enumerate() {
        let (row, column) = (at / columns, at % columns);
        *c = (0..inner).map(|k| a[row * inner + k] * b[k * columns + column]).sum();
    }
    c
}

fn multiplies<T: Tiles>(unit: T) {
    let _session = unit.begin();
    for steps in [1, 2, 3, 8, 16] {
        let inner = steps * STEP;
        let a = whole(steps as u64, 32 * inner);
        let (narrow, wide) = (whole(7, inner * 32), whole(8, inner * 64));
        let (mut c, mut d) = (vec![0.0; 32 * 32], vec![0.0; 16 * 64]);
        let panel = packed(&narrow, inner, 32, |step, column| 2 * step + column);
        let panels = packed(&wide, inner, 64, |step, column| (column / 2 * steps + step) * 2 + column % 2);
        let rows = rounded(&a);
        // SAFETY: the thread was made ready, and all are of the sizes that are named.
        unsafe {
            unit.two_by_one(rows.as_ptr(), inner * 2, panel.as_ptr(), steps, c.as_mut_ptr());
            unit.one_by_two(rows.as_ptr(), inner * 2, panels.as_ptr(), steps, d.as_mut_ptr());
        }
        assert_eq!(c, product(&a, &narrow, 32, inner, 32));
        assert_eq!(d, product(&a[..16 * inner], &wide, 16, inner, 64));
    }
    for steps in 1..=4 {
        for tiles in 1..=5 {
            let (inner, columns) = (steps * STEP, tiles * TILE);
            let (q, k) = (whole(steps as u64, 16 * inner), whole(9, inner * columns));
            let (rows, keys) = (rounded(&q), packed(&k, inner, columns, |step, tile| tile * steps + step));
            let mut s = vec![0.0; 16 * columns];
            // SAFETY: as above.
            unsafe {
                unit.scores(
                    (rows.as_ptr(), inner * 2),
                    keys.as_ptr(),
                    steps,
                    tiles,
                    (s.as_mut_ptr(), columns * 4),
                );
            }
            assert_eq!(s, product(&q, &k, 16, inner, columns));
        }
    }
    for columns in [2, 4, 6, 8] {
        for pairs in 1..=3 {
            let (inner, width) = (pairs * STEP, columns * TILE);
            let (p, v) = (whole(columns as u64, 16 * inner), whole(10, inner * width));
            let (rows, values) =
                (rounded(&p), packed(&v, inner, width, |pair, column| pair * columns + column));
            let mut o = vec![0.0; 16 * width];
            // SAFETY: as above.
            unsafe {
                unit.weighted((rows.as_ptr(), inner * 2), values.as_ptr(), pairs, columns, o.as_mut_ptr());
            };
            assert_eq!(o, product(&p, &v, 16, inner, width));
        }
    }
}

#[test]
fn loops_multiply() {
    multiplies(Emulated);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn dot_products_multiply() {
    let Some(proof) = crate::simd::Avx512Bf16::detect() else {
        eprintln!("not on this machine: the processor has no AVX-512 BF16");
        return;
    };
    multiplies(Dot::new(proof));
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn amx_multiplies() {
    match Amx::detect() {
        Ok(amx) => multiplies(amx),
        Err(why) => eprintln!("not on this machine: {why}"),
    }
}
