//! What holds at one look that was planned beforehand, and only there.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::effect::{Effect, Interval};
use crate::summary::Summary;

/// Welch's interval of a difference between two arms, which holds for one look at a size that was fixed beforehand.
pub fn fixed_horizon(effect: &Effect, control: &Summary, arm: &Summary, alpha: f64) -> Interval {
    effect.within(student(control, arm).inverse_cdf(1.0 - alpha / 2.0))
}

/// The chance of a difference at least as great where there is none, at such a look.
pub fn fixed_horizon_p_value(effect: &Effect, control: &Summary, arm: &Summary) -> f64 {
    2.0 * student(control, arm).sf(effect.z(0.0).abs())
}

/// Student's distribution of Welch and Satterthwaite's degrees of freedom.
fn student(control: &Summary, arm: &Summary) -> StudentsT {
    let part = |of: &Summary| of.variance / of.units as f64;
    let spread = |of: &Summary| part(of).powi(2) / (of.units as f64 - 1.0);
    let freedom = (part(control) + part(arm)).powi(2) / (spread(control) + spread(arm));
    // Without two units in each arm there is no effect to come here with.
    let freedom = if freedom.is_finite() && freedom > 0.0 { freedom } else { 1.0 };
    StudentsT::new(0.0, 1.0, freedom).expect("the degrees of freedom are above 0")
}
