//! Tiles by AMX, as assembly.

use std::sync::OnceLock;

use half::bf16;

use super::{Emulated, STEP, TILE, TILE_NUMBERS, Tiles};
use crate::amx::{Leave, Numbers, Session, tile_asm};

/// A processor with AMX for bf16, and the system's leave to use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(Leave);

impl Amx {
    /// Asks once a process, for all of its threads.
    ///
    /// # Errors
    /// Why not, as the end of a sentence: what the processor lacks, or that the system refuses.
    pub(crate) fn detect() -> Result<Self, &'static str> {
        static ASKED: OnceLock<Result<Amx, &'static str>> = OnceLock::new();
        *ASKED.get_or_init(|| {
            let amx = Amx(Leave::ask(Numbers::Bf16)?);
            if multiplies(amx) { Ok(amx) } else { Err("the processor's AMX gives wrong products") }
        })
    }
}

/// Whether a product of small integers comes out exactly.
fn multiplies(amx: Amx) -> bool {
    let number = |i: usize, of: usize| bf16::from_f32((i * 7 % of) as f32 - 3.0);
    let a: Vec<bf16> = (0..2 * TILE * STEP).map(|i| number(i, 11)).collect();
    let panel: Vec<bf16> = (0..2 * TILE_NUMBERS).map(|i| number(i, 13)).collect();
    let (mut got, mut expected) = (vec![0.0; 4 * TILE * TILE], vec![0.0; 4 * TILE * TILE]);
    let _session = amx.begin();
    // SAFETY: 32 rows of 32 numbers, one step of a panel, 32 x 32 sums.
    unsafe {
        amx.two_by_one(a.as_ptr(), STEP * size_of::<bf16>(), panel.as_ptr(), 1, got.as_mut_ptr());
        Emulated.two_by_one(a.as_ptr(), STEP * size_of::<bf16>(), panel.as_ptr(), 1, expected.as_mut_ptr());
    }
    got == expected
}

/// Four sums of zero.
#[inline(always)]
unsafe fn zero() {
    // SAFETY: the caller's thread has tiles.
    unsafe { tile_asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3") };
}

// SAFETY of all blocks: the session is the proof that the thread has tiles; the rest is the caller's.
impl Tiles for Amx {
    type Session = Session;

    #[inline(always)]
    fn begin(self) -> Session {
        Session::begin(self.0)
    }

    #[inline(always)]
    unsafe fn two_by_one(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32) {
        unsafe {
            zero();
            let (mut a, mut b) = (a, panel);
            for _ in 0..steps {
                tile_asm!(
                    "tileloadd tmm4, [{a} + {lda}*1]",
                    "tileloadd tmm6, [{b} + {line}*1]",
                    "tileloadd tmm5, [{lower} + {lda}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    a = in(reg) a, lower = in(reg) a.byte_add(TILE * lda), lda = in(reg) lda, b = in(reg) b,
                    line = in(reg) 64_usize
                );
                a = a.add(STEP);
                b = b.add(2 * TILE_NUMBERS);
            }
            tile_asm!(
                "tilestored [{c} + {ldc}*1], tmm0",
                "tilestored [{c} + {ldc}*1 + 64], tmm1",
                "tilestored [{lower} + {ldc}*1], tmm2",
                "tilestored [{lower} + {ldc}*1 + 64], tmm3",
                c = in(reg) c, lower = in(reg) c.add(TILE * 2 * TILE), ldc = in(reg) 128_usize
            );
        }
    }

    #[inline(always)]
    unsafe fn one_by_two(self, a: *const bf16, lda: usize, panel: *const bf16, steps: usize, c: *mut f32) {
        unsafe {
            zero();
            let (mut a, mut b, mut next) = (a, panel, panel.add(2 * steps * TILE_NUMBERS));
            for _ in 0..steps {
                tile_asm!(
                    "tileloadd tmm4, [{a} + {lda}*1]",
                    "tileloadd tmm5, [{b} + {line}*1]",
                    "tileloadd tmm6, [{b} + {line}*1 + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm5",
                    "tileloadd tmm7, [{next} + {line}*1]",
                    "tdpbf16ps tmm1, tmm4, tmm6",
                    "tileloadd tmm5, [{next} + {line}*1 + 1024]",
                    "tdpbf16ps tmm2, tmm4, tmm7",
                    "tdpbf16ps tmm3, tmm4, tmm5",
                    a = in(reg) a, lda = in(reg) lda, b = in(reg) b, next = in(reg) next, line = in(reg) 64_usize
                );
                a = a.add(STEP);
                b = b.add(2 * TILE_NUMBERS);
                next = next.add(2 * TILE_NUMBERS);
            }
            tile_asm!(
                "tilestored [{c} + {ldc}*1], tmm0",
                "tilestored [{c} + {ldc}*1 + 64], tmm1",
                "tilestored [{c} + {ldc}*1 + 128], tmm2",
                "tilestored [{c} + {ldc}*1 + 192], tmm3",
                c = in(reg) c, ldc = in(reg) 256_usize
            );
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
        unsafe {
            let (mut keys, mut s, mut left) = (keys, s, tiles);
            let tile = steps * TILE_NUMBERS;
            while left > 0 {
                let two = left > 1;
                tile_asm!("tilezero tmm0", "tilezero tmm1");
                for step in 0..steps {
                    let first = keys.add(step * TILE_NUMBERS);
                    // Without a second tile the first is multiplied twice, and stored once.
                    let second = if two { first.add(tile) } else { first };
                    tile_asm!(
                        "tileloadd tmm4, [{q} + {ldq}*1]",
                        "tileloadd tmm5, [{first} + {line}*1]",
                        "tdpbf16ps tmm0, tmm4, tmm5",
                        "tileloadd tmm6, [{second} + {line}*1]",
                        "tdpbf16ps tmm1, tmm4, tmm6",
                        q = in(reg) q.add(step * STEP), ldq = in(reg) ldq, first = in(reg) first,
                        second = in(reg) second, line = in(reg) 64_usize
                    );
                }
                tile_asm!("tilestored [{s} + {lds}*1], tmm0", s = in(reg) s, lds = in(reg) lds);
                if two {
                    tile_asm!("tilestored [{s} + {lds}*1 + 64], tmm1", s = in(reg) s, lds = in(reg) lds);
                }
                keys = keys.add(2 * tile);
                s = s.add(2 * TILE);
                left = left.saturating_sub(2);
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
        let ldo = columns * TILE * size_of::<f32>();
        let mut column = 0;
        while column < columns {
            let four = columns - column >= 4;
            unsafe {
                zero();
                for pair in 0..pairs {
                    let values = values.add((pair * columns + column) * TILE_NUMBERS);
                    tile_asm!(
                        "tileloadd tmm4, [{p} + {ldp}*1]",
                        "tileloadd tmm5, [{v} + {line}*1]",
                        "tileloadd tmm6, [{v} + {line}*1 + 1024]",
                        "tdpbf16ps tmm0, tmm4, tmm5",
                        "tdpbf16ps tmm1, tmm4, tmm6",
                        p = in(reg) p.add(pair * STEP), ldp = in(reg) ldp, v = in(reg) values,
                        line = in(reg) 64_usize
                    );
                    if four {
                        tile_asm!(
                            "tileloadd tmm5, [{v} + {line}*1 + 2048]",
                            "tileloadd tmm6, [{v} + {line}*1 + 3072]",
                            "tdpbf16ps tmm2, tmm4, tmm5",
                            "tdpbf16ps tmm3, tmm4, tmm6",
                            v = in(reg) values, line = in(reg) 64_usize
                        );
                    }
                }
                let o = o.add(column * TILE);
                tile_asm!(
                    "tilestored [{o} + {ldo}*1], tmm0",
                    "tilestored [{o} + {ldo}*1 + 64], tmm1",
                    o = in(reg) o, ldo = in(reg) ldo
                );
                if four {
                    tile_asm!(
                        "tilestored [{o} + {ldo}*1 + 128], tmm2",
                        "tilestored [{o} + {ldo}*1 + 192], tmm3",
                        o = in(reg) o, ldo = in(reg) ldo
                    );
                }
            }
            column += if four { 4 } else { 2 };
        }
    }
}
