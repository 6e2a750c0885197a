//! The Marquee platform as a library; the binary is a thin shell around it.
//!
//! Calls go down and never back up: `api -> recommend -> {engine, catalog, profile, store, cache}`. The lower
//! rooms do not know each other or the protobuf types; the engine gets retrieval as a trait object.

pub mod app;
pub mod brief;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod edge;
pub mod events;
pub mod import;
pub mod ledger;
pub mod limit;
pub mod profile;
pub mod recommend;
pub mod redis;
pub mod telemetry;
