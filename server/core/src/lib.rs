//! The ground that every crate of the server stands on.
//!
//! - [`domain`]: users, movies and what users do with them. [`domain::Interaction`] and [`domain::Profile`] are the
//!   types to begin with.
//! - [`attributes`]: what an owner says of a movie beside what all have.
//! - [`statistics`]: what the events of all users add up to, with [`Trend`] for what is popular lately.
//! - [`duration`]: lengths of time as people write them.
//! - [`clock`] and [`idle`]: the time, as tests can set it, and threads that run only while nothing else does.
//! - `tls`, behind the feature of that name: which authorities an encrypted connection trusts, and what it shows.
//! - `authority`, behind the feature of that name: certificates for development and tests.
//! - [`text`]: how text of others is shown.
//! - `meters`, behind the feature of that name: the one way to make a metric.
//!
//! Nothing here knows how a thing is stored, sent, computed, configured or exported, and nothing here uses
//! another crate of the project.

pub mod attributes;
#[cfg(feature = "authority")]
pub mod authority;
pub mod clock;
pub mod domain;
pub mod duration;
pub mod idle;
#[cfg(feature = "meters")]
pub mod meters;
pub mod statistics;
pub mod text;
#[cfg(feature = "tls")]
pub mod tls;
mod trend;

pub use trend::Trend;
