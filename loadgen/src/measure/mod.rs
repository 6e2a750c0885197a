//! What is counted while a run goes on, and what may be said of it afterwards.

pub mod histogram;
pub mod paired;
mod recorder;
mod verdict;

pub use recorder::{
    CallStats, Failure, Outcome, Recorder, STAGES, Settings, StageStats, StageTimes, StageWindow, Window,
};
pub(crate) use verdict::judge;
pub use verdict::{Evidence, Loop, Verdict};
