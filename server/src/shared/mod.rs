//! What nodes share: the [link to Redis](redis) and what lives on it, each with a part of its own that serves
//! a node without one.

pub mod cache;
pub mod events;
pub mod limit;
pub mod redis;
