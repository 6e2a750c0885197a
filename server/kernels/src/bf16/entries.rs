//! The strip as a function of an instruction set and a unit of tiles, as [`crate::entries`] has it for fp32.

use super::strip::{self, Batch, Scratch, Strip};
use crate::entries::Entries;
#[cfg(test)]
use crate::simd::Portable;
#[cfg(test)]
use crate::tiles::Emulated;
use crate::tiles::Tiles;

/// A set together with a unit of tiles.
pub(crate) trait RunStrip: Copy + Send + Sync + 'static {
    /// For what is not done by tiles.
    type Set: Entries;
    /// What multiplies.
    type Unit: Tiles;

    /// Both.
    fn parts(self) -> (Self::Set, Self::Unit);

    /// See [`strip::run`].
    unsafe fn run(self, strip: &Strip<'_>, batch: &mut Batch, scratch: &mut Scratch);
}

/// Writes the strip for one pair, and what the compiler may use.
macro_rules! pair {
    ($set:ty, $unit:ty $(, $features:literal)?) => {
        impl RunStrip for ($set, $unit) {
            type Set = $set;
            type Unit = $unit;

            fn parts(self) -> ($set, $unit) {
                self
            }

            unsafe fn run(self, strip: &Strip<'_>, batch: &mut Batch, scratch: &mut Scratch) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run(
                    (set, unit): ($set, $unit),
                    strip: &Strip<'_>,
                    batch: &mut Batch,
                    scratch: &mut Scratch,
                ) {
                    // SAFETY: the caller's.
                    unsafe { strip::run(set, unit, strip, batch, scratch) };
                }
                // SAFETY: the set is the proof that the processor has the features; the rest is the caller's.
                unsafe { run(self, strip, batch, scratch) };
            }
        }
    };
}

#[cfg(test)]
pair!(Portable, Emulated);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Batch, RunStrip, Scratch, Strip, strip};
    use crate::simd::Avx512Bf16;
    #[cfg(test)]
    use crate::simd::{Avx2, Avx512};
    #[cfg(target_os = "linux")]
    use crate::tiles::Amx;
    use crate::tiles::Dot;
    #[cfg(test)]
    use crate::tiles::Emulated;

    #[cfg(test)]
    pair!(Avx2, Emulated, "avx2,fma");
    #[cfg(test)]
    pair!(Avx512, Emulated, "avx512f,avx512bw,avx512dq,avx512vl,fma");
    pair!(Avx512Bf16, Dot, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma");
    #[cfg(target_os = "linux")]
    pair!(Avx512Bf16, Amx, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma");
}
