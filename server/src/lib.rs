//! The Marquee platform as a library; the binary is a thin shell around it.
//!
//! Calls go down and never back up: [`edge`] -> [`recommend`], [`writes`], [`import`] -> [`catalog`],
//! [`profiles`] -> [`shared`] -> [`telemetry`]. [`app`] wires them together as [`config`] says, and [`commands`]
//! is what the binary does. What they stand on are crates of their own, which know neither protobuf nor settings
//! nor exporters: `marquee-engine` and `marquee-store` on `marquee-retrieval` and `marquee-core`.

pub mod app;
mod brief;
pub mod catalog;
pub mod commands;
pub mod config;
pub mod edge;
pub mod import;
pub mod profiles;
pub mod recommend;
pub mod shared;
pub mod telemetry;
pub mod writes;
