//! The same intervals and p-values as implementations that are not ours: GrowthBook's gbstats, savvi and SciPy, from
//! the cases that they wrote (`.ci/experiments`).

use marquee_experiments::{
    Amount, Effect, Interval, Measure, Moments, Row, SampleRatio, Sequence, Summary, benjamini_hochberg,
    fixed_horizon, fixed_horizon_p_value, summaries,
};
use serde::Deserialize;

const CASES: &str = include_str!("reference.json");
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Cases {
    effects: Vec<TwoArms>,
    sample_ratios: Vec<Split>,
    corrections: Vec<Several>,
}

/// Rows of an arm are value, other and the units that share them; results are lower, upper and p-value.
#[derive(Deserialize)]
struct TwoArms {
    measure: Measure,
    difference: String,
    alpha: f64,
    tightest_at: f64,
    control: Vec<(f64, f64, u64)>,
    arm: Vec<(f64, f64, u64)>,
    estimate: f64,
    always_valid: [f64; 3],
    fixed_horizon: [f64; 3],
}

#[derive(Deserialize)]
struct Split {
    shares: Vec<f64>,
    concentration: f64,
    counts: Vec<u64>,
    p_value: f64,
}

#[derive(Deserialize)]
struct Several {
    p_values: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
}

fn cases() -> Cases {
    serde_json::from_str(CASES).expect("the cases are JSON")
}

impl TwoArms {
    fn summaries(&self) -> [Summary; 2] {
        let read = summaries(self.measure, &[sums(&self.control), sums(&self.arm)]);
        [read[0], read[1]]
    }

    fn effect(&self) -> Effect {
        let [control, arm] = self.summaries();
        let effect = match &*self.difference {
            "relative" => Effect::relative(&control, &arm),
            _ => Effect::absolute(&control, &arm),
        };
        effect.expect("the cases have effects")
    }
}

fn sums(rows: &[(f64, f64, u64)]) -> Moments {
    let units = rows.iter().flat_map(|(value, other, units)| {
        let row = Row { value: Amount::new(*value), other: Amount::new(*other) };
        std::iter::repeat_n(row, *units as usize)
    });
    Moments::of(units)
}

fn assert_same(case: usize, found: f64, expected: f64) {
    assert!((found - expected).abs() <= TOLERANCE, "case {case}: {found} instead of {expected}");
}

fn assert_result(case: usize, interval: Interval, p_value: f64, expected: [f64; 3]) {
    let found = [interval.lower, interval.upper, p_value];
    for (found, expected) in found.into_iter().zip(expected) {
        assert_same(case, found, expected);
    }
}

#[test]
fn confidence_sequences_are_those_of_gbstats() {
    for (number, case) in cases().effects.iter().enumerate() {
        let (effect, sequence) = (case.effect(), Sequence::tightest_at(case.alpha, case.tightest_at));
        assert_same(number, effect.estimate, case.estimate);
        assert_result(number, sequence.interval(&effect), sequence.p_value(&effect, 0.0), case.always_valid);
    }
}

#[test]
fn intervals_at_a_fixed_size_are_those_of_gbstats() {
    for (number, case) in cases().effects.iter().enumerate() {
        let (effect, [control, arm]) = (case.effect(), case.summaries());
        let interval = fixed_horizon(&effect, &control, &arm, case.alpha);
        let p_value = fixed_horizon_p_value(&effect, &control, &arm);
        assert_result(number, interval, p_value, case.fixed_horizon);
    }
}

#[test]
fn the_test_of_the_sample_ratio_is_that_of_savvi() {
    for (number, case) in cases().sample_ratios.iter().enumerate() {
        let found = SampleRatio::concentrated(&case.shares, case.concentration).p_value(&case.counts);
        assert_same(number, found, case.p_value);
        // Small ones in proportion, too.
        assert_same(number, found / case.p_value, 1.0);
    }
}

#[test]
fn benjamini_and_hochbergs_correction_is_that_of_scipy() {
    for (number, case) in cases().corrections.iter().enumerate() {
        for (found, expected) in benjamini_hochberg(&case.p_values).into_iter().zip(&case.benjamini_hochberg)
        {
            assert_same(number, found, *expected);
        }
    }
}
