//! `marquee-loadgen`: load, and the truth about what came of it.
//!
//! The way of a run: a [`workload`] makes requests, a [`schedule`] says when they are due, [`drive`] sends
//! them over the connections of [`wire`], [`measure`] counts, [`report`] tells. [`search`] looks for the highest
//! rate that keeps an objective, [`page`] shows both with [`plot`]s, [`metrics`] reads the server's own counters,
//! [`cli`] joins it all. Beside that, [`simulate`] has people who watch what they like.
//!
//! Begin with [`workload::Workload`] and [`report::Report`]. The library serves the program and the benches; it drives
//! any gRPC or HTTP server, and of the project's crates it uses the API's alone, and core's to show text of others and to trust servers.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare figures that are exact"))]

pub mod cli;
pub mod drive;
pub mod measure;
pub mod metrics;
pub mod page;
pub mod plot;
pub mod report;
pub mod schedule;
pub mod search;
pub mod simulate;
pub mod wire;
pub mod workload;
