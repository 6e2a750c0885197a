//! What the measurements share; the measurements are the programs in `src/bin` and the micro-benchmarks in
//! `benches`, and README.md says which is for what.
//!
//! - Input: [`tables`] like those of trained models, [`synthetic`] histories, [`requests`], a [`bundle`].
//! - Contestants: [`loops`] around the bare runtime, and [`served`], a server in its own [`process`].
//! - Figures: a [`clock`] that other processes do not disturb much, [`curve`]s, the [`machine`], [`report`].
//! - Whole measurements: [`faults`] and [`many_nodes`].

pub mod arguments;
pub mod bundle;
pub mod clock;
pub mod curve;
pub mod faults;
pub mod figures;
pub mod loops;
pub mod machine;
pub mod many_nodes;
pub mod process;
pub mod report;
pub mod requests;
pub mod served;
pub mod stress;
pub mod synthetic;
pub mod tables;
