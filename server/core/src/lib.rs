//! The ground that every part of the server stands on: the [words](domain) that all share and what
//! [the events of all users add up to](statistics), [the clock](clock) and [idle time](idle), whom an
//! encrypted connection trusts (`tls`, behind the feature of that name), how [durations are counted](meters), and how [text of others](text) is shown.
//!
//! Nothing here knows how a thing is stored, sent, computed, configured or exported, and nothing here uses
//! another crate of the project.

pub mod clock;
pub mod domain;
pub mod idle;
pub mod meters;
pub mod statistics;
pub mod text;
#[cfg(feature = "tls")]
pub mod tls;
mod trend;

pub use trend::Trend;
