//! How often intervals are wrong when one looks after every 100 users: of arms that are the same, and of arms that
//! differ by a known effect.

use marquee_experiments::{Effect, Sequence, fixed_horizon_p_value};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::users::{Arm, METRICS, Users, read};
use crate::{ALPHA, Figure, Size, USERS_A_LOOK, runs};

/// The effect of which coverage is measured.
const EFFECT: f64 = 0.1;

/// Whether each metric was ever called wrongly in one run.
#[derive(Clone, Copy, Default)]
struct Wrong {
    /// By the sequence.
    always_valid: [bool; METRICS.len()],
    /// By the test at a fixed size, at any look.
    peeking: [bool; METRICS.len()],
    /// By that test, at the last look alone.
    at_the_end: [bool; METRICS.len()],
}

/// How often one of two arms that are the same is called better.
pub(crate) fn false_positives(size: Size) -> Vec<Figure> {
    let runs = runs_of(size, 0.0);
    vec![
        worst("aa_false_positive_rate", "at most 0.05", "of two equal arms one is called better", |metric| {
            runs::share(runs.iter().map(|run| run.always_valid[metric]))
        }),
        worst(
            "aa_false_positive_rate_peeking",
            "",
            "the same by a fixed-horizon test at every look",
            |metric| runs::share(runs.iter().map(|run| run.peeking[metric])),
        ),
        worst(
            "aa_false_positive_rate_once",
            "about 0.05",
            "the same by that test at the end alone",
            |metric| runs::share(runs.iter().map(|run| run.at_the_end[metric])),
        ),
    ]
}

/// How often the truth lies in the intervals of all looks.
pub(crate) fn coverage(size: Size) -> Vec<Figure> {
    let runs = runs_of(Size { seed: size.seed + 1, ..size }, EFFECT);
    let missed =
        worst("coverage", "at least 0.95", "the truth lies in the intervals of all looks", |metric| {
            runs::share(runs.iter().map(|run| run.always_valid[metric]))
        });
    vec![Figure { value: 1.0 - missed.value, ..missed }]
}

fn runs_of(size: Size, effect: f64) -> Vec<Wrong> {
    let users = Users::new();
    runs::of(size.runs, size.seed, |random| run(size.users, effect, &users, random))
}

/// One experiment, looked at as it grows.
fn run(users: u64, effect: f64, of: &Users, random: &mut StdRng) -> Wrong {
    let sequence = Sequence::new(ALPHA);
    let (mut arms, mut wrong) = ([Arm::default(); 2], Wrong::default());
    for user in 1..=users {
        let arm = usize::from(random.random_bool(0.5));
        of.add(&mut arms[arm], if arm == 1 { effect } else { 0.0 }, random);
        if user % USERS_A_LOOK == 0 {
            (0..METRICS.len()).for_each(|metric| look(metric, &arms, effect, &sequence, &mut wrong));
        }
    }
    wrong
}

fn look(metric: usize, arms: &[Arm; 2], truth: f64, sequence: &Sequence, wrong: &mut Wrong) {
    let [control, arm] = read(metric, arms);
    let Some(effect) = Effect::relative(&control, &arm) else { return };
    let interval = sequence.interval(&effect);
    wrong.always_valid[metric] |= truth < interval.lower || truth > interval.upper;
    let called = fixed_horizon_p_value(&effect, &control, &arm) < ALPHA;
    wrong.peeking[metric] |= called;
    wrong.at_the_end[metric] = called;
}

/// The figure of the metric of which it is greatest.
fn worst(name: &'static str, promised: &'static str, what: &str, of: impl Fn(usize) -> f64) -> Figure {
    let rates: Vec<f64> = (0..METRICS.len()).map(of).collect();
    let each: Vec<String> =
        METRICS.iter().zip(&rates).map(|((_, name), rate)| format!("{name} {rate:.4}")).collect();
    let value = rates.into_iter().fold(0.0, f64::max);
    Figure { name, what: format!("{what}; wrong: {}", each.join(", ")), value, promised }
}
