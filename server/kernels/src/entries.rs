//! The kernels as functions of an instruction set: what is written once for all sets becomes a function for each,
//! in which the compiler may use what the set has.

use crate::kernel::attention::{self, Attention};
use crate::kernel::biases::Biases;
use crate::kernel::dense::{self, Epilogue};
use crate::kernel::{Rows, newest, norm};
use crate::panels::{PackedNorm, Panels};
use crate::shape::Heads;
use crate::simd::{Portable, Simd, Stored};

/// The kernels of an instruction set. Each says in its own module what must hold.
pub(crate) trait Entries: Simd {
    /// `to = a + b`, as far as the shortest goes.
    fn add_rows(self, a: &[f32], b: &[f32], to: &mut [f32]);
    /// See [`norm::norm_rows`].
    unsafe fn norm_rows(self, from: *const f32, to: *mut f32, size: (usize, usize, usize), norm: &PackedNorm);
    /// See [`dense::dense`].
    unsafe fn dense<W: Stored, E: Epilogue<Self>>(
        self,
        a: (*const f32, usize),
        rows: usize,
        w: &Panels<W>,
        inputs: (usize, usize),
        epilogue: E,
    );
    /// See [`attention::causal`].
    unsafe fn causal(self, attention: &Attention, heads: &Heads, scratch: &mut attention::Scratch);
    /// See [`newest::attend_once`].
    unsafe fn attend_once(
        self,
        sought: Rows<*const f32>,
        x: Rows<*const f32>,
        biases: Option<Biases>,
        size: (usize, usize),
        logits: Rows<*mut f32>,
        to: Rows<*mut f32>,
    );
    /// See [`newest::value_once`].
    unsafe fn value_once<W: Stored>(
        self,
        heads: &Heads,
        mixed: (Rows<*const f32>, usize),
        size: (usize, usize),
        value: &Panels<W>,
        to: Rows<*mut f32>,
    );
}

/// Writes the kernels of one set: the type, its [`Simd::TILE_VECTORS`], and what the compiler may use.
macro_rules! entries {
    ($set:ty, $vectors:literal $(, $features:literal)?) => {
        // SAFETY of all blocks: a value of the set is the proof that the processor has the features; the rest is the
        // caller's.
        impl Entries for $set {
            fn add_rows(self, a: &[f32], b: &[f32], to: &mut [f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run(a: &[f32], b: &[f32], to: &mut [f32]) {
                    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
                        *to = a + b;
                    }
                }
                unsafe { run(a, b, to) };
            }

            unsafe fn norm_rows(
                self,
                from: *const f32,
                to: *mut f32,
                size: (usize, usize, usize),
                norm: &PackedNorm,
            ) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run(
                    set: $set,
                    from: *const f32,
                    to: *mut f32,
                    size: (usize, usize, usize),
                    norm: &PackedNorm,
                ) {
                    unsafe { norm::norm_rows(set, from, to, size, norm) };
                }
                unsafe { run(self, from, to, size, norm) };
            }

            unsafe fn dense<W: Stored, E: Epilogue<Self>>(
                self,
                a: (*const f32, usize),
                rows: usize,
                w: &Panels<W>,
                inputs: (usize, usize),
                epilogue: E,
            ) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run<W: Stored, E: Epilogue<$set>>(
                    set: $set,
                    a: (*const f32, usize),
                    rows: usize,
                    w: &Panels<W>,
                    inputs: (usize, usize),
                    epilogue: E,
                ) {
                    unsafe { dense::dense::<$set, W, $vectors, E>(set, a, rows, w, inputs, epilogue) };
                }
                unsafe { run(self, a, rows, w, inputs, epilogue) };
            }

            unsafe fn causal(self, attention: &Attention, heads: &Heads, scratch: &mut attention::Scratch) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run(
                    set: $set,
                    attention: &Attention,
                    heads: &Heads,
                    scratch: &mut attention::Scratch,
                ) {
                    unsafe { attention::causal::<$set, $vectors>(set, attention, heads, scratch) };
                }
                unsafe { run(self, attention, heads, scratch) };
            }

            unsafe fn attend_once(
                self,
                sought: Rows<*const f32>,
                x: Rows<*const f32>,
                biases: Option<Biases>,
                size: (usize, usize),
                logits: Rows<*mut f32>,
                to: Rows<*mut f32>,
            ) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run(
                    set: $set,
                    sought: Rows<*const f32>,
                    x: Rows<*const f32>,
                    biases: Option<Biases>,
                    size: (usize, usize),
                    logits: Rows<*mut f32>,
                    to: Rows<*mut f32>,
                ) {
                    unsafe { newest::attend_once::<$set, $vectors>(set, sought, x, biases, size, logits, to) };
                }
                unsafe { run(self, sought, x, biases, size, logits, to) };
            }

            unsafe fn value_once<W: Stored>(
                self,
                heads: &Heads,
                mixed: (Rows<*const f32>, usize),
                size: (usize, usize),
                value: &Panels<W>,
                to: Rows<*mut f32>,
            ) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run<W: Stored>(
                    set: $set,
                    heads: &Heads,
                    mixed: (Rows<*const f32>, usize),
                    size: (usize, usize),
                    value: &Panels<W>,
                    to: Rows<*mut f32>,
                ) {
                    unsafe { newest::value_once(set, heads, mixed, size, value, to) };
                }
                unsafe { run(self, heads, mixed, size, value, to) };
            }
        }
    };
}

entries!(Portable, 2);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{
        Attention, Biases, Entries, Epilogue, Heads, PackedNorm, Panels, Rows, Stored, attention, dense,
        newest, norm,
    };
    use crate::simd::{Avx2, Avx512, Avx512Bf16};

    entries!(Avx2, 2, "avx2,fma");
    entries!(Avx512, 4, "avx512f,avx512bw,avx512dq,avx512vl,fma");
    entries!(Avx512Bf16, 4, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma");
}
