//! The Marquee platform as a library; the binary is a thin shell around it.
//!
//! Calls go down and never back up: `api -> recommend -> {engine, catalog, profile, store, cache}`. The lower
//! rooms do not know each other or the protobuf types; the engine gets retrieval as a trait object.

pub mod app;
pub mod brief;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod edge;
pub mod import;
pub mod profiles;
pub mod recommend;
pub mod shared;
pub mod telemetry;
pub mod writes;
