//! The encoder's arithmetic on a CPU, with what the processor has: AVX-512 or AVX2 in fp32, AMX tiles in bf16.
//!
//! ONNX through ONNX Runtime is the contract and the reference: what is here gives the same vectors, exact up to
//! the order of sums in fp32 and as near as bf16 is in bf16, at a fraction of the time. [`CausalAttention`] is one
//! operator of a graph; [`NativeEncoder`] is all of a graph. Both say before they are made whether they fit. The scan of
//! retrieval has its integer products of many queries from here too ([`int8`]).
//!
//! All `unsafe` arithmetic of the encoder is in this crate, and all that speaks to tiles. What holds it: kernels are written once over vectors
//! (`simd`) and tiles (`tiles`), and the same code runs on a portable implementation of either, against which every test
//! holds those of the processor.

#![allow(
    clippy::inline_always,
    reason = "what is written once for all instruction sets must become part of the function that names one"
)]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod bf16;
mod causal_attention;
mod entries;
mod fp32;
pub mod int8;
mod kernel;
mod memory;
mod native;
mod packed;
mod panels;
mod prefetch;
mod set;
mod shape;
mod simd;
mod tables;
#[cfg(test)]
mod test_kit;
mod tiles;
mod weights;

pub use causal_attention::CausalAttention;
pub use native::{NativeEncoder, NativeModel, Precision};
pub use prefetch::ask_for;
pub use shape::{DIMENSION_MAX, HEAD_DIMENSION_MAX, HEADS_MAX, LONGEST_MAX, Shape, Unfit};
pub use tables::{Numbers, Tables};
pub use weights::{Block, Norm, Weights};
