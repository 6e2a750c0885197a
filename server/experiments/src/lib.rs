//! The arithmetic of experiments: who is in which arm, and when a result may be believed.
//!
//! - Assignment: [`Salt`] and [`Unit`] give a [`Place`], [`Ranges`] say whose it is, [`Target`] who takes part.
//! - What is measured: [`Moments`], sums over units that are kept by delta and taken back exactly, [`Summary`] of an
//!   arm and [`Effect`] of an arm against another.
//! - What may be concluded: [`Sequence`], whose intervals hold however often one looks, [`fixed_horizon`], whose hold
//!   at one look that was planned, [`SampleRatio`], [`holm`] and [`benjamini_hochberg`], [`Plan`].
//! - [`team_draft`] merges two rankings in one answer; [`overlap`] and [`kendall`] say how alike two are.
//! - [`decide`] and [`decide_preference`] say in one sentence what all of it means.
//!
//! `STATISTICS.md` beside this crate explains each statistic in three sentences. Nothing here knows a clock, a store or
//! a request.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare figures that are exact"))]

mod corrections;
mod decision;
mod effect;
mod horizon;
mod interleaving;
mod lists;
mod moments;
mod place;
mod planning;
mod ranges;
mod sample_ratio;
mod sequence;
mod summary;
mod target;

pub use corrections::{benjamini_hochberg, holm};
pub use decision::{
    ArmResults, Conclusion, Decision, GoalResult, GuardrailResult, Preference, Problem, decide,
    decide_preference,
};
pub use effect::{Effect, Interval};
pub use horizon::{fixed_horizon, fixed_horizon_p_value};
pub use interleaving::{Credit, Draft, Team, team_draft};
pub use lists::{kendall, overlap};
pub use moments::{Amount, Moments, Row, cap_at};
pub use place::{PARTS, Place, Salt, Unit, parts_of};
pub use planning::{Plan, units_for_mean, users_for};
pub use ranges::Ranges;
pub use sample_ratio::SampleRatio;
pub use sequence::Sequence;
pub use summary::{Measure, Summary, summaries};
pub use target::{Subject, Target};
