//! How often an effect is found by an experiment of the size that was planned for it.

use marquee_experiments::{Amount, Effect, Measure, Moments, Plan, Row, Sequence, summaries, users_for};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::users::CONVERSION;
use crate::{ALPHA, Figure, Size, USERS_A_LOOK, runs};

/// A tenth more users do it.
const EFFECT: f64 = 0.1;
/// Of how many runs one is done: these are longer.
const FEWER: u64 = 4;

/// How often a tenth more conversions are found.
pub(crate) fn power(size: Size) -> Vec<Figure> {
    let sequence = Sequence::new(ALPHA);
    let variance = CONVERSION * (1.0 - CONVERSION);
    let plan = Plan { mean: CONVERSION, variance, relative_effect: EFFECT, arm_share: 0.5, power: 0.8 };
    let Some(users) = users_for(&plan, &sequence) else { return Vec::new() };
    let found: Vec<Option<u64>> =
        runs::of(size.runs / FEWER, size.seed + 2, |random| found_after(users, &sequence, random));
    let mut after: Vec<u64> = found.iter().copied().flatten().collect();
    after.sort_unstable();
    let median = after.get(after.len() / 2).copied().unwrap_or(users);
    let what = format!(
        "a tenth more than {CONVERSION} is found within the planned {users} users, mostly by {median}"
    );
    let value = runs::share(found.iter().map(Option::is_some));
    vec![
        Figure { name: "power", what, value, promised: "at least 0.8" },
        Figure {
            name: "planned_users",
            what: "users planned for that".to_owned(),
            value: users as f64,
            promised: "",
        },
    ]
}

/// After how many users the arm is called better.
fn found_after(users: u64, sequence: &Sequence, random: &mut StdRng) -> Option<u64> {
    let mut arms = [Moments::default(); 2];
    for user in 1..=users {
        let arm = usize::from(random.random_bool(0.5));
        let chance = if arm == 1 { CONVERSION * (1.0 + EFFECT) } else { CONVERSION };
        let converted = Amount::new(f64::from(random.random_bool(chance)));
        arms[arm] += Row { value: converted, other: Amount::ZERO };
        let is_look = user % USERS_A_LOOK == 0 || user == users;
        if is_look && is_better(&arms, sequence) {
            return Some(user);
        }
    }
    None
}

fn is_better(arms: &[Moments; 2], sequence: &Sequence) -> bool {
    let read = summaries(Measure::Proportion, arms);
    Effect::relative(&read[0], &read[1]).is_some_and(|effect| sequence.interval(&effect).lower > 0.0)
}
