//! The encoder with bf16 factors: tiles multiply, everything else is fp32.

mod encoder;
mod entries;
mod pack;
mod strip;

pub(crate) use encoder::{Model, Workspace};
pub(crate) use entries::RunStrip;
