//! What the measurements share: tables like those of trained models, and a clock that other processes
//! do not disturb much.

pub mod clock;
pub mod tables;
