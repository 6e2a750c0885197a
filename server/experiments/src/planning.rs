//! How many users it takes to see an effect.

use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::sequence::Sequence;

/// What is to be found, and what is known of the metric.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The metric's mean without the change.
    pub mean: f64,
    /// The variance of one unit's part in it.
    pub variance: f64,
    /// The effect to find, as a share of the mean: 0.03 for 3% more.
    pub relative_effect: f64,
    /// The share of units that the arm has, of the two; the control has the others. Above 0 and below 1.
    pub arm_share: f64,
    /// The chance of finding the effect, if it is that great: 0.8 by custom.
    pub power: f64,
}

/// Units past which no plan goes.
const MOST: f64 = 1e12;

/// How many units, of both arms, an experiment needs that is read by this sequence; `None` when a trillion are too few,
/// or the metric has no mean to speak of.
///
/// The chance is that of finding the effect at this size; who looks earlier too finds it somewhat oftener.
pub fn users_for(plan: &Plan, sequence: &Sequence) -> Option<u64> {
    if plan.mean == 0.0 || plan.relative_effect == 0.0 || plan.variance <= 0.0 {
        return None;
    }
    let z = |units| plan.relative_effect.abs() / plan.standard_error(units);
    fewest(z, plan.power, sequence)
}

/// How many units it takes to see that the mean of one group is not 0, such as the mean preference of
/// [`Credit`](crate::Credit); `None` when a trillion are too few.
pub fn units_for_mean(mean: f64, variance: f64, power: f64, sequence: &Sequence) -> Option<u64> {
    if mean == 0.0 || variance <= 0.0 {
        return None;
    }
    fewest(|units| mean.abs() / (variance / units).sqrt(), power, sequence)
}

/// The fewest units at which an effect of `z` standard errors is found with a chance of `power`.
fn fewest(z: impl Fn(f64) -> f64, power: f64, sequence: &Sequence) -> Option<u64> {
    let wanted = Normal::standard().inverse_cdf(power);
    let suffices = |units: f64| z(units) - sequence.critical(units) >= wanted;
    let (mut few, mut enough) = (2.0, 4.0);
    while !suffices(enough) {
        (few, enough) = (enough, enough * 2.0);
        if enough > MOST {
            return None;
        }
    }
    while enough - few > 1.0 {
        let middle = f64::midpoint(few, enough).floor();
        if suffices(middle) {
            enough = middle;
        } else {
            few = middle;
        }
    }
    Some(enough as u64)
}

impl Plan {
    /// The standard error of the relative effect at this size.
    fn standard_error(&self, units: f64) -> f64 {
        let whole = self.mean.powi(2) * units;
        let arm = self.variance / (whole * self.arm_share);
        let control = self.variance * (1.0 + self.relative_effect).powi(2) / (whole * (1.0 - self.arm_share));
        (arm + control).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { mean: 0.1, variance: 0.09, relative_effect: 0.05, arm_share: 0.5, power: 0.8 };

    #[test]
    fn half_the_effect_needs_about_four_times_the_users() {
        let sequence = Sequence::tightest_at(0.05, 50_000.0);
        let whole = users_for(&PLAN, &sequence).unwrap();
        let half = users_for(&Plan { relative_effect: 0.025, ..PLAN }, &sequence).unwrap();
        let times = half as f64 / whole as f64;
        assert!((3.5..5.0).contains(&times), "{whole} and {half}");
    }

    #[test]
    fn always_valid_costs_more_than_a_fixed_size_and_less_than_three_times_that() {
        let found = users_for(&PLAN, &Sequence::tightest_at(0.05, 100_000.0)).unwrap() as f64;
        // (1.96 + 0.84)^2 * 2 * variance * 2 / effect^2
        let fixed = 7.849 * 4.0 * 0.09 / 0.005_f64.powi(2);
        assert!(found > fixed && found < 3.0 * fixed, "{found} and {fixed}");
    }

    #[test]
    fn what_cannot_be_found_is_not_planned() {
        let sequence = Sequence::new(0.05);
        assert_eq!(users_for(&Plan { mean: 0.0, ..PLAN }, &sequence), None);
        assert_eq!(users_for(&Plan { relative_effect: 1e-9, ..PLAN }, &sequence), None);
    }
}
