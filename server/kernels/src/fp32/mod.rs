//! The encoder in fp32: exact up to the order of sums.

mod encoder;
pub(crate) mod newest;

pub(crate) use encoder::{Model, Workspace};
