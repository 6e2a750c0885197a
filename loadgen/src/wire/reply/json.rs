//! Replies in JSON: checked to their last byte, and of them the same fields read as of Protobuf.
//!
//! What is not wanted is stepped over without being kept, as far as JSON allows: each text and number is looked
//! at, which a reply in Protobuf is spared.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Answer, Shape};
use crate::measure::{STAGES, StageTimes};

/// An object, whatever it has.
#[derive(Deserialize)]
struct Object {}

#[derive(Deserialize)]
struct Timed<'a> {
    #[serde(borrow)]
    timings: Option<BTreeMap<&'a str, u32>>,
}

#[derive(Deserialize)]
struct Batch {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    error: Option<IgnoredAny>,
}

/// Reads a reply; `None` when it is no reply of that shape.
pub(super) fn read(shape: Shape, body: &[u8]) -> Option<Answer> {
    let one = Answer { answers: 1, ..Answer::default() };
    match shape {
        Shape::Opaque => Some(one),
        Shape::Unary { timings: None } => serde_json::from_slice(body).ok().map(|Object {}| one),
        Shape::Unary { timings: Some(_) } => {
            let Timed { timings } = serde_json::from_slice(body).ok()?;
            Some(Answer { stages: timings.map(|timings| stage_times(&timings)), ..one })
        }
        Shape::Batch => {
            let Batch { outcomes } = serde_json::from_slice(body).ok()?;
            let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
            Some(Answer { answers: outcomes.len() as u32, failed: failed as u32, stages: None })
        }
        Shape::Stream => None,
    }
}

fn stage_times(timings: &BTreeMap<&str, u32>) -> StageTimes {
    let mut times = StageTimes::default();
    for (name, us) in timings {
        let name = name.strip_suffix("_us").unwrap_or(name);
        if let Some(stage) = STAGES.iter().position(|stage| *stage == name) {
            times.stage_us[stage] = *us;
        } else if name == "total" {
            times.total_us = *us;
        }
    }
    times
}
