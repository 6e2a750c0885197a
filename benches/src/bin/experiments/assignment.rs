//! What it costs to say in which arm a user is.

use std::hint::black_box;
use std::time::Instant;

use marquee_experiments::{PARTS, Ranges, Salt, Unit};

use crate::Figure;

/// Experiments that run at once, each in a layer of its own.
const EXPERIMENTS: usize = 50;
const USERS: u64 = 1_000;
/// Rounds of which the fastest counts: in the others something else ran.
const ROUNDS: usize = 200;

/// An experiment of two arms.
struct Dividing {
    layer: Salt,
    experiment: Salt,
    arms: [Ranges; 2],
}

/// The time of one request with so many experiments, by the clock.
pub(crate) fn cost() -> Vec<Figure> {
    let half = |others: &[&Ranges]| Ranges::default().resized(PARTS / 2, others).unwrap_or_default();
    let first = half(&[]);
    let second = half(&[&first]);
    let dividing = |number: usize| Dividing {
        layer: Salt::new("layer", &number.to_string()),
        experiment: Salt::new("experiment", &number.to_string()),
        arms: [first.clone(), second.clone()],
    };
    let experiments: Vec<Dividing> = (0..EXPERIMENTS).map(dividing).collect();
    let round = |_| {
        let began = Instant::now();
        (0..USERS).for_each(|user_id| find(&experiments, user_id));
        began.elapsed()
    };
    let fastest = (0..ROUNDS).map(round).min().unwrap_or_default();
    let each = fastest.as_secs_f64() * 1e6 / USERS as f64;
    let what = format!(
        "microseconds to find a user's arms in {EXPERIMENTS} experiments, each in a layer of its own"
    );
    vec![Figure { name: "assignment_us", what, value: each, promised: "at most 2" }]
}

fn find(experiments: &[Dividing], user_id: u64) {
    let unit = Unit::User(user_id);
    for it in experiments {
        black_box(it.layer.place(unit));
        let place = it.experiment.place(unit);
        black_box(it.arms.iter().position(|arm| arm.contains(place)));
    }
}
