//! What is asked: requests as a pure function of (seed, number).
//!
//! Request n is the same bytes on every machine and at every rate, so two runs differ in the server alone;
//! and no request is a cheap repetition of an earlier one unless the drawn user or history is.

mod catalogue;
mod draw;
mod form;
mod marquee;
mod population;
mod rpc;
mod template;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

pub use catalogue::Catalogue;
pub(crate) use catalogue::discover;
pub use draw::{Weighted, request_random};
pub use marquee::{FilterSpec, Marquee, MarqueeSettings, Priority, Subject};
pub use population::{Population, UserRange};
pub use rpc::Rpc;
pub use template::Template;
pub use writes::writes;

use crate::wire::reply::Shape;
use crate::wire::{Dialect, Prepared, Route};

/// What is wrong with a workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// A list with weights cannot be read.
    #[error("'{text}': {reason}")]
    Weights {
        /// What was written.
        text: String,
        /// What is wrong and how to write it.
        reason: String,
    },
    /// No such call.
    #[error("'{0}' is no RPC that the generator knows; it knows {known}", known = Rpc::names())]
    Rpc(String),
    /// The text is no range of ids.
    #[error("'{0}' is no range; write 1-600")]
    Range(String),
    /// A number makes no distribution.
    #[error("{what} is {value}; {expected}")]
    Number {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What is accepted.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The calls need movies and none are known.
    #[error(
        "{0} needs movies to draw from: give --popularity FILE, or a server that lists its popular movies"
    )]
    NoMovies(&'static str),
    /// SearchMovies has nothing to search for.
    #[error(
        "SearchMovies needs titles: give --popularity FILE with a title column, or let the server list its movies"
    )]
    NoTitles,
    /// A call writes, and nobody said that it may.
    #[error(
        "{0} changes what the server holds; give --allow-writes if its store may be written to, and leave a live one alone"
    )]
    Writes(String),
    /// A call has no place in a protocol.
    #[error("{rpc} cannot be made by {dialect}: {reason}")]
    Protocol {
        /// The call.
        rpc: &'static str,
        /// What was to carry it.
        dialect: Dialect,
        /// What is missing, and what to do.
        reason: &'static str,
    },
    /// The server cannot be asked for its movies.
    #[error("cannot list the server's popular movies ({0}); give --popularity FILE")]
    Discover(String),
    /// A template is no good.
    #[error("template {path}: {message}")]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// How often and when calls are cancelled on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cancellation {
    /// The share of calls, 0 to 1.
    pub share: f64,
    /// The longest time after which one is cancelled; the times are drawn evenly below it.
    pub within: Duration,
}

impl Cancellation {
    /// The same if its share is one.
    fn checked(self) -> Result<Self, WorkloadError> {
        if (0.0..=1.0).contains(&self.share) {
            return Ok(self);
        }
        Err(WorkloadError::Number {
            what: "the share of cancelled calls",
            value: self.share,
            expected: "0 to 1 is accepted",
        })
    }
}

/// A source of requests.
pub enum Workload {
    /// Calls of `marquee.v1`.
    Marquee(Box<Marquee>),
    /// Any call of any server, from a template.
    Template(Box<Template>),
    /// The first requests of another workload, again and again.
    Preencoded(Box<Preencoded>),
}

/// Requests that were prepared before the load, so that drawing them takes no processor time from a server on
/// the same machine. Only for servers that remember nothing: every request comes again.
pub struct Preencoded {
    of: Workload,
    requests: Vec<Prepared>,
}

impl Preencoded {
    /// The first `count` requests of a workload, at least one.
    pub fn new(of: Workload, count: u64) -> Self {
        let requests = (0..count.max(1)).map(|index| of.prepare(index)).collect();
        Self { of, requests }
    }

    fn prepare(&self, index: u64) -> Prepared {
        self.requests[(index % self.requests.len() as u64) as usize].clone()
    }
}

impl Workload {
    /// Request number `index`.
    pub fn prepare(&self, index: u64) -> Prepared {
        match self {
            Self::Marquee(workload) => workload.prepare(index),
            Self::Template(workload) => workload.prepare(index),
            Self::Preencoded(workload) => workload.prepare(index),
        }
    }

    /// The names of the calls in the mix.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Marquee(workload) => workload.names(),
            Self::Template(workload) => vec![workload.name().to_owned()],
            Self::Preencoded(workload) => workload.of.names(),
        }
    }

    /// The route of each call in the mix.
    pub fn routes(&self) -> Vec<Route> {
        match self {
            Self::Marquee(workload) => workload.routes(),
            Self::Template(workload) => vec![workload.route()],
            Self::Preencoded(workload) => workload.of.routes(),
        }
    }

    /// How the replies to each call in the mix look.
    pub fn shapes(&self) -> Vec<Shape> {
        match self {
            Self::Marquee(workload) => workload.shapes(),
            Self::Template(_) => vec![Shape::Opaque],
            Self::Preencoded(workload) => workload.of.shapes(),
        }
    }

    /// How the server is spoken to.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Marquee(workload) => workload.dialect(),
            Self::Template(workload) => workload.dialect(),
            Self::Preencoded(workload) => workload.of.dialect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preencoded_workload_goes_round() {
        let settings = || marquee::tests::settings("Recommend", Subject::Users);
        let plain = Marquee::new(settings()).unwrap();
        let of = Workload::Marquee(Box::new(Marquee::new(settings()).unwrap()));
        let preencoded = Workload::Preencoded(Box::new(Preencoded::new(of, 3)));
        for index in 0..7 {
            assert_eq!(preencoded.prepare(index).body, plain.prepare(index % 3).body);
        }
        assert_eq!(preencoded.names(), ["Recommend"]);
    }
}
