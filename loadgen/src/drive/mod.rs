//! Making the load: worker threads that own their connections, callers and counts.
//!
//! Each worker is one thread with a runtime, connections and counters of its own; nothing on a request's
//! way crosses a thread. The schedule is one for all: worker `w` of `n` takes every n-th arrival.

mod pacer;
mod progress;
mod run;
mod shard;

pub use pacer::Pacer;
pub use progress::{Progress, Tick};
pub use run::{RunOutput, run, run_paced};

use std::sync::Arc;
use std::time::Duration;

use crate::measure::{Loop, Settings};
use crate::schedule::{Arrivals, Profile, Spacing};
use crate::wire::{Target, WireError};
use crate::workload::Workload;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A connection could not be opened.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The system refused a thread, a timer or a runtime.
    #[error("the system refused what a worker needs: {0}")]
    System(#[from] std::io::Error),
    /// A worker thread ended without its counts.
    #[error("a worker thread failed: {0}; this is a fault of the generator, please report it")]
    Worker(String),
}

/// How load is made.
#[derive(Clone, Debug)]
pub enum Load {
    /// Callers that each wait for their answer; the profile says how many.
    Closed(Profile),
    /// Requests at their times; the profile's levels are requests a second.
    Open(Profile, Spacing),
    /// Requests at recorded times, which count from the beginning of the warm-up.
    Replay(Arc<Vec<Duration>>),
}

impl Load {
    /// Closed or open.
    pub fn kind(&self) -> Loop {
        match self {
            Self::Closed(_) => Loop::Closed,
            Self::Open(..) | Self::Replay(_) => Loop::Open,
        }
    }

    fn with_warmup(&self, warmup: Duration) -> Self {
        match self {
            Self::Closed(profile) => Self::Closed(profile.clone().with_warmup(warmup)),
            Self::Open(profile, spacing) => Self::Open(profile.clone().with_warmup(warmup), *spacing),
            Self::Replay(offsets) => Self::Replay(offsets.clone()),
        }
    }

    fn arrivals(&self, seed: u64) -> Arrivals {
        match self {
            Self::Open(profile, spacing) => Arrivals::new(profile.clone(), *spacing, seed),
            Self::Replay(offsets) => Arrivals::replayed(offsets.to_vec()),
            Self::Closed(_) => Arrivals::replayed(Vec::new()),
        }
    }
}

/// One run, complete.
#[derive(Clone)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// What is asked.
    pub workload: Arc<Workload>,
    /// When it is asked; without the warm-up.
    pub load: Load,
    /// Connections, spread over the workers.
    pub connections: usize,
    /// Worker threads.
    pub threads: usize,
    /// Time before the measurement.
    pub warmup: Duration,
    /// Time of the measurement.
    pub duration: Duration,
    /// Most measured requests.
    pub count: Option<u64>,
    /// How long answers are waited for after the end.
    pub drain: Duration,
    /// What each call is given.
    pub deadline: Option<Duration>,
    /// Most calls in flight in an open loop.
    pub max_in_flight: usize,
    /// The seed of the arrivals.
    pub seed: u64,
    /// Which part of the requests this machine makes, from 0, and of how many.
    pub part: (u64, u64),
}

impl Plan {
    /// The end of the measured time, from the beginning of the warm-up.
    pub fn end(&self) -> Duration {
        self.warmup + self.duration
    }

    /// The width of a window: a second, or more where the run is long.
    pub fn window(&self) -> Duration {
        const MAX_WINDOWS: f64 = 600.0;
        Duration::from_secs_f64((self.duration.as_secs_f64() / MAX_WINDOWS).ceil().max(1.0))
    }

    fn settings(&self) -> Settings {
        Settings { calls: self.workload.names(), warmup: self.warmup, end: self.end(), window: self.window() }
    }

    /// The number of the n-th request of this machine.
    fn request_index(&self, n: u64) -> u64 {
        n * self.part.1 + self.part.0
    }
}
