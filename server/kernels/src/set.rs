//! Which instructions serve: chosen once, at run time.

use crate::shape::Unfit;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Avx512Bf16};
use crate::simd::{Portable, Simd};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::tiles::Amx;
#[cfg(target_arch = "x86_64")]
use crate::tiles::Dot;
#[cfg(test)]
use crate::tiles::Emulated;

/// An instruction set that the processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Set {
    /// All that this processor has, best first; the last one runs anywhere.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let of_processor =
            [Avx512::detect().map(Self::Avx512), Avx2::detect().map(Self::Avx2)].into_iter().flatten();
        #[cfg(not(target_arch = "x86_64"))]
        let of_processor = std::iter::empty();
        of_processor.chain([Self::Portable(Portable)]).collect()
    }

    /// The best one, if it is better than what a compiler makes of plain loops.
    ///
    /// # Errors
    /// [`Unfit`] where there is none.
    pub(crate) fn best() -> Result<Self, Unfit> {
        let best = Self::available().into_iter().find(|set| !matches!(set, Self::Portable(_)));
        best.ok_or_else(|| Unfit("the processor has neither AVX-512 nor AVX2 with FMA".to_owned()))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            Self::Portable(_) => "portable",
        }
    }

    /// Columns of a tile of accumulators.
    pub(crate) fn width(self) -> usize {
        fn of<S: Simd>(_: S) -> usize {
            S::LANES * S::TILE_VECTORS
        }
        by_set!(self, set => of(set))
    }
}

/// Runs `$body` with the value of the set's own type.
macro_rules! by_set {
    ($set:expr, $s:ident => $body:expr) => {
        match $set {
            #[cfg(target_arch = "x86_64")]
            $crate::set::Set::Avx512($s) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::set::Set::Avx2($s) => $body,
            $crate::set::Set::Portable($s) => $body,
        }
    };
}
pub(crate) use by_set;

/// What multiplies tiles of bf16, with the set for everything else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TileSet {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(Avx512Bf16, Amx),
    #[cfg(target_arch = "x86_64")]
    Dot(Avx512Bf16, Dot),
    #[cfg(all(test, target_arch = "x86_64"))]
    Avx512(Avx512, Emulated),
    #[cfg(all(test, target_arch = "x86_64"))]
    Avx2(Avx2, Emulated),
    #[cfg(test)]
    Portable(Portable, Emulated),
}

impl TileSet {
    /// All that this processor can run, emulations too.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let bf16 = Avx512Bf16::detect();
            #[cfg(target_os = "linux")]
            available.extend(bf16.zip(Amx::detect().ok()).map(|(set, amx)| Self::Amx(set, amx)));
            available.extend(bf16.map(|set| Self::Dot(set, Dot::new(set))));
            available.extend(Avx512::detect().map(|set| Self::Avx512(set, Emulated)));
            available.extend(Avx2::detect().map(|set| Self::Avx2(set, Emulated)));
        }
        available.push(Self::Portable(Portable, Emulated));
        available
    }

    /// The best one that is faster than fp32.
    ///
    /// # Errors
    /// [`Unfit`], which says what the processor lacks or the system refuses.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) fn best() -> Result<Self, Unfit> {
        let set = Avx512Bf16::detect();
        let set = set.ok_or_else(|| Unfit("the processor has no AVX-512 BF16".to_owned()))?;
        match Amx::detect() {
            Ok(amx) => Ok(Self::Amx(set, amx)),
            Err(_) if dot_products_pay(set) => Ok(Self::Dot(set, Dot::new(set))),
            Err(why) => Err(Unfit(format!("{why}, and its AVX-512 BF16 is no faster than its fp32"))),
        }
    }

    /// # Errors
    /// [`Unfit`], always.
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    pub(crate) fn best() -> Result<Self, Unfit> {
        Err(Unfit("bf16 is served by x86-64 under Linux only".to_owned()))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx(..) => "amx-bf16",
            #[cfg(target_arch = "x86_64")]
            Self::Dot(..) => "avx512-bf16",
            #[cfg(test)]
            _ => "emulated",
        }
    }

    /// Columns of a tile of fp32 accumulators, for what is done in fp32.
    pub(crate) fn width(self) -> usize {
        fn of<P: crate::bf16::RunStrip>(_: P) -> usize {
            P::Set::LANES * P::Set::TILE_VECTORS
        }
        by_tiles!(self, pair => of(pair))
    }
}

/// Runs `$body` with the pair's own type.
macro_rules! by_tiles {
    ($tiles:expr, $pair:ident => $body:expr) => {
        match $tiles {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            $crate::set::TileSet::Amx(set, unit) => {
                let $pair = (set, unit);
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::set::TileSet::Dot(set, unit) => {
                let $pair = (set, unit);
                $body
            }
            #[cfg(all(test, target_arch = "x86_64"))]
            $crate::set::TileSet::Avx512(set, unit) => {
                let $pair = (set, unit);
                $body
            }
            #[cfg(all(test, target_arch = "x86_64"))]
            $crate::set::TileSet::Avx2(set, unit) => {
                let $pair = (set, unit);
                $body
            }
            #[cfg(test)]
            $crate::set::TileSet::Portable(set, unit) => {
                let $pair = (set, unit);
                $body
            }
        }
    };
}
pub(crate) use by_tiles;

/// Whether the processor's products of bf16 are faster than those of fp32: some run them at half the rate.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn dot_products_pay(set: Avx512Bf16) -> bool {
    use std::time::{Duration, Instant};

    use crate::entries::Entries as _;
    use crate::kernel::dense::Write;
    use crate::memory::Aligned;
    use crate::panels::Panels;
    use crate::tiles::{PANEL, STEP, TILE, TILE_NUMBERS, Tiles as _};

    const STEPS: usize = 8;
    const K: usize = STEPS * STEP;
    let mut sums = Aligned::<f32>::zeros(2 * TILE * 2 * PANEL);
    let (rows, panel) = (Aligned::zeros(2 * TILE * K), Aligned::zeros(STEPS * 2 * TILE_NUMBERS));
    let wide = Aligned::<f32>::zeros(2 * TILE * K);
    let panels = Panels::<f32>::new(K, 2 * PANEL, 2 * PANEL, |_, _| 0.0);
    let dot = Dot::new(set);
    let fastest = |run: &mut dyn FnMut()| {
        let mut time = || {
            let began = Instant::now();
            run();
            began.elapsed()
        };
        (0..20).map(|_| time()).min().unwrap_or(Duration::MAX)
    };
    // Both make 32 x 64 sums of 256 products.
    // SAFETY: 32 rows of 256 numbers, a panel of as many inputs, and 32 rows of sums.
    let in_bf16 = fastest(&mut || unsafe {
        for _ in 0..2 {
            dot.two_by_one(rows.as_ptr(), 2 * K, panel.as_ptr(), STEPS, sums.as_mut_ptr());
        }
    });
    let mut sums = Aligned::<f32>::zeros(2 * TILE * 2 * PANEL);
    let then = Write { to: sums.as_mut_ptr(), ld: 2 * PANEL };
    // SAFETY: as above.
    let in_fp32 = fastest(&mut || unsafe { set.dense((wide.as_ptr(), K), 2 * TILE, &panels, (0, K), then) });
    in_bf16 < in_fp32 * 3 / 4
}
