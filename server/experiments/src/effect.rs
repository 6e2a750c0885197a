//! How an arm differs from the control, and how well that is known.

use crate::summary::Summary;

/// How many standard errors the control's mean is from 0 before anything is said as a share of it.
const KNOWN_FROM: f64 = 5.0;

/// A difference and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The difference.
    pub estimate: f64,
    /// Its standard error, above 0.
    pub standard_error: f64,
    /// From how many units it is known, of both arms.
    pub units: u64,
}

/// From where to where the truth is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// What is likeliest.
    pub estimate: f64,
    /// The least that it may be.
    pub lower: f64,
    /// The most that it may be.
    pub upper: f64,
}

impl Effect {
    /// The difference in the metric's own unit; `None` while nothing differs, or an arm has fewer than two units.
    pub fn absolute(control: &Summary, arm: &Summary) -> Option<Self> {
        let variance = arm.variance / arm.units as f64 + control.variance / control.units as f64;
        Self::of(arm.mean - control.mean, variance, control, arm)
    }

    /// The difference as a share of the control, 0.03 for 3% more, by the delta method; `None` also while the control's
    /// own mean is hardly known: a share of something that may be next to nothing is anything.
    pub fn relative(control: &Summary, arm: &Summary) -> Option<Self> {
        let whole = control.unadjusted;
        if whole.abs() <= KNOWN_FROM * (control.variance / control.units as f64).sqrt() {
            return None;
        }
        let variance = arm.variance / (whole.powi(2) * arm.units as f64)
            + control.variance * arm.unadjusted.powi(2) / (whole.powi(4) * control.units as f64);
        Self::of((arm.mean - control.mean) / whole, variance, control, arm)
    }

    /// How far the mean of one group is from 0.
    pub fn of_mean(group: &Summary) -> Option<Self> {
        let known = group.units > 1 && group.variance > 0.0;
        let standard_error = (group.variance / group.units as f64).sqrt();
        known.then_some(Self { estimate: group.mean, standard_error, units: group.units })
    }

    fn of(estimate: f64, variance: f64, control: &Summary, arm: &Summary) -> Option<Self> {
        let known = control.units > 1 && arm.units > 1 && variance > 0.0 && variance.is_finite();
        known.then(|| Self { estimate, standard_error: variance.sqrt(), units: control.units + arm.units })
    }

    /// By how many standard errors it differs from `from`.
    pub fn z(&self, from: f64) -> f64 {
        (self.estimate - from) / self.standard_error
    }

    /// What lies within so many standard errors.
    pub(crate) fn within(&self, standard_errors: f64) -> Interval {
        let half = standard_errors * self.standard_error;
        Interval { estimate: self.estimate, lower: self.estimate - half, upper: self.estimate + half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(units: u64, mean: f64, variance: f64) -> Summary {
        Summary { units, mean, unadjusted: mean, variance }
    }

    #[test]
    fn a_difference_is_against_the_control() {
        let (control, arm) = (summary(100, 2.0, 4.0), summary(400, 3.0, 4.0));
        let absolute = Effect::absolute(&control, &arm).unwrap();
        assert_eq!((absolute.estimate, absolute.units), (1.0, 500));
        assert!((absolute.standard_error - 0.05_f64.sqrt()).abs() < 1e-15);
        let relative = Effect::relative(&control, &arm).unwrap();
        assert_eq!(relative.estimate, 0.5);
        // (4 / 400 + 4 * 1.5^2 / 100) / 2^2
        assert!((relative.standard_error - 0.025_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn nothing_is_known_of_arms_in_which_nothing_happened() {
        let (nothing, some) = (summary(100, 0.0, 0.0), summary(100, 1.0, 1.0));
        assert_eq!(Effect::absolute(&nothing, &nothing), None);
        assert_eq!(Effect::relative(&nothing, &some), None);
        let (hardly, well) = (summary(2_400, 0.1, 1.0), summary(2_600, 0.1, 1.0));
        assert_eq!(Effect::relative(&hardly, &some), None);
        assert!(Effect::relative(&well, &some).is_some());
        assert_eq!(Effect::absolute(&summary(0, 0.0, 0.0), &some), None);
        assert_eq!(Effect::of_mean(&nothing), None);
    }
}
