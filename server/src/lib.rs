//! The Marquee platform as a library; the binary is a thin shell around it.
//!
//! Imports go down and never back up: [`commands`] -> [`app`] -> [`config`] -> [`edge`] -> [`jobs`] -> [`activation`] ->
//! [`recommend`], [`import`], [`registry`], `users`, [`writes`] -> [`experiments`], [`rules`] -> [`catalog`], [`profiles`],
//! [`similar`] -> [`shared`] -> [`telemetry`], which `.ci/direction` sees to.
//! [`app`] wires them together as [`config`] says, and [`commands`] is what the binary does. What they stand on are
//! crates of their own, which know neither protobuf nor settings nor exporters: `marquee-engine` and `marquee-store` on
//! `marquee-retrieval` and `marquee-core`. `server/ARCHITECTURE.md` is the map.
//!
//! The library serves the binary, tests and benches: what is public here is what these use, and no promise to others.

pub mod access;
pub mod activation;
pub mod app;
pub mod catalog;
pub mod commands;
pub mod config;
pub mod edge;
pub mod experiments;
pub mod export;
pub mod import;
pub mod jobs;
pub mod judge;
pub mod keys;
pub mod profiles;
pub mod recommend;
pub mod registry;
pub mod rules;
pub mod shared;
pub mod similar;
pub mod telemetry;
mod users;
pub mod writes;
