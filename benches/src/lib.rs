//! What the measurements share: tables like those of trained models, a clock that other processes do not
//! disturb much, the contestants of the end-to-end measurement, and the figures of one and many nodes.

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
