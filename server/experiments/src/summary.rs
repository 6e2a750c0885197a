//! What is known of one arm: its mean, and how much units differ.

use serde::{Deserialize, Serialize};

use crate::moments::Moments;

/// How a metric is computed from its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The share of units that did something: values are 0 or 1.
    Proportion,
    /// The mean of what units did.
    Mean,
    /// The same, less what their behaviour before tells of it (CUPED).
    Adjusted,
    /// The sum of one thing over the sum of another, such as the mean rating; its variance is by the delta method,
    /// since a unit's ratings are not independent of each other.
    Ratio,
}

/// What is known of one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many units there are.
    pub units: u64,
    /// The metric.
    pub mean: f64,
    /// The metric as it is without an adjustment; of a relative effect this is the whole.
    pub unadjusted: f64,
    /// The variance of one unit's part in it: over the units it is the metric's own.
    pub variance: f64,
}

/// The summaries of arms, the adjustment being the same for all.
///
/// Units of all arms say together how what is done before tells of what is done after, so that arms stay comparable.
pub fn summaries(measure: Measure, arms: &[Moments]) -> Vec<Summary> {
    let slope = match measure {
        Measure::Adjusted => slope(arms),
        Measure::Proportion | Measure::Mean | Measure::Ratio => 0.0,
    };
    arms.iter().map(|arm| summary(measure, arm, slope)).collect()
}

/// By how much the value rises with what was done before.
fn slope(arms: &[Moments]) -> f64 {
    let mut all = Moments::default();
    for arm in arms {
        all += *arm;
    }
    let before = all.other_variance();
    if before > 0.0 && all.variance() > 0.0 { all.covariance() / before } else { 0.0 }
}

fn summary(measure: Measure, sums: &Moments, slope: f64) -> Summary {
    let (mean, other) = (sums.mean(), sums.other_mean());
    let (metric, variance) = match measure {
        Measure::Proportion => (mean, mean * (1.0 - mean)),
        Measure::Mean => (mean, sums.variance()),
        Measure::Adjusted => (
            mean - slope * other,
            sums.variance() + slope.powi(2) * sums.other_variance() - 2.0 * slope * sums.covariance(),
        ),
        Measure::Ratio if other == 0.0 => (0.0, 0.0),
        Measure::Ratio => {
            let ratio = mean / other;
            let residual =
                sums.variance() - 2.0 * ratio * sums.covariance() + ratio.powi(2) * sums.other_variance();
            (ratio, residual / other.powi(2))
        }
    };
    let unadjusted = if measure == Measure::Adjusted { mean } else { metric };
    Summary { units: sums.units(), mean: metric, unadjusted, variance: variance.max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::{Amount, Row};

    fn rows(pairs: &[(f64, f64)]) -> Moments {
        Moments::of(
            pairs.iter().map(|(value, other)| Row { value: Amount::new(*value), other: Amount::new(*other) }),
        )
    }

    #[test]
    fn behaviour_before_that_tells_everything_leaves_the_effect_alone() {
        let control = rows(&[(1.0, 1.0), (5.0, 5.0), (9.0, 9.0), (2.0, 2.0)]);
        let arm = rows(&[(3.0, 1.0), (9.0, 7.0), (5.0, 3.0), (10.0, 8.0)]);
        let raw = summaries(Measure::Mean, &[control, arm]);
        let adjusted = summaries(Measure::Adjusted, &[control, arm]);
        assert!(adjusted[0].variance < raw[0].variance / 10.0);
        let effect = adjusted[1].mean - adjusted[0].mean;
        assert!((effect - 2.0).abs() < 0.2, "{effect}");
    }

    #[test]
    fn a_mean_rating_is_over_ratings_and_not_over_users() {
        let summary = summaries(Measure::Ratio, &[rows(&[(10.0, 2.0), (3.0, 1.0), (20.0, 5.0)])])[0];
        assert_eq!((summary.units, summary.mean), (3, 33.0 / 8.0));
    }

    #[test]
    fn arms_without_units_or_denominators_have_no_variance() {
        for measure in [Measure::Proportion, Measure::Mean, Measure::Adjusted, Measure::Ratio] {
            let empty = summaries(measure, &[Moments::default(), rows(&[(0.0, 0.0), (0.0, 0.0)])]);
            assert!(empty.iter().all(|arm| arm.mean == 0.0 && arm.variance == 0.0));
        }
    }
}
