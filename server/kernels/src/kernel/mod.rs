//! Kernels, each written once for all instruction sets, as functions that are always inlined.

pub(crate) mod attention;
pub(crate) mod biases;
pub(crate) mod dense;
pub(crate) mod newest;
pub(crate) mod norm;
pub(crate) mod tile;

/// Rows of one stride.
#[derive(Clone, Copy)]
pub(crate) struct Rows<P> {
    pub(crate) at: P,
    pub(crate) ld: usize,
}
