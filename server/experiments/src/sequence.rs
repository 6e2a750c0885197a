//! Intervals and p-values that hold however often one looks.
//!
//! A test at a fixed size promises its error for one look. Who looks daily and stops when it looks good finds a
//! difference where there is none several times as often. These intervals are wider, and hold for all looks together.
//!
//! They are the asymptotic confidence sequences of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024, "Time-uniform
//! central limit theory and asymptotic confidence sequences"), the normal mixture of Robbins that Howard, Ramdas,
//! McAuliffe and Sekhon (2021) carry over to what is not normal. Of proportions they are the mixture sequential
//! probability ratio test of Johari, Koomen, Pekelis and Walsh (2017).

use crate::effect::{Effect, Interval};

/// A sequence of intervals, all of which hold the truth at once with a chance of 1 - alpha.
///
/// ```
/// use marquee_experiments::{Effect, Sequence};
/// let effect = Effect { estimate: 0.03, standard_error: 0.004, units: 20_000 };
/// let interval = Sequence::new(0.05).interval(&effect);
/// assert!(interval.lower > 0.0 && interval.upper < 0.06);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequence {
    alpha: f64,
    /// The variance of the mixture, rho squared.
    mixture: f64,
}

/// Units at which intervals are tightest when nothing else is said.
const TIGHTEST_AT: f64 = 5_000.0;

impl Sequence {
    /// The sequence of this error, above 0 and below 1, tightest at 5,000 units.
    pub fn new(alpha: f64) -> Self {
        Self::tightest_at(alpha, TIGHTEST_AT)
    }

    /// The sequence of this error that is tightest at this number of units. It must not be chosen by the results.
    pub fn tightest_at(alpha: f64, units: f64) -> Self {
        let log = -2.0 * alpha.ln();
        Self { alpha, mixture: (log + log.ln_1p()) / units }
    }

    /// The same sequence where so many tests share its error and all are corrected for that, as by Holm at first.
    #[must_use]
    pub fn shared_by(self, tests: usize) -> Self {
        Self { alpha: self.alpha / tests.max(1) as f64, ..self }
    }

    /// Its error.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The interval.
    pub fn interval(&self, effect: &Effect) -> Interval {
        effect.within(self.critical(effect.units as f64))
    }

    /// How many standard errors the interval reaches either way.
    pub(crate) fn critical(&self, units: f64) -> f64 {
        let mixed = units * self.mixture;
        (2.0 * (mixed + 1.0) / mixed * ((mixed + 1.0).sqrt() / self.alpha).ln()).sqrt()
    }

    /// How unlikely it is that the sequence ever shows such evidence against a difference of `from`, if that is the
    /// truth; 1 at most.
    pub fn p_value(&self, effect: &Effect, from: f64) -> f64 {
        let mixed = effect.units as f64 * self.mixture;
        let log_evidence = mixed * effect.z(from).powi(2) / (2.0 * (mixed + 1.0)) - 0.5 * mixed.ln_1p();
        (-log_evidence).exp().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_without_zero_and_a_p_value_below_alpha_say_the_same() {
        let sequence = Sequence::new(0.05);
        for units in [100, 5_000, 1_000_000] {
            for estimate in (-60..=60).map(|tenth| f64::from(tenth) / 10.0) {
                let effect = Effect { estimate, standard_error: 1.0, units };
                let interval = sequence.interval(&effect);
                let excludes = interval.lower > 0.0 || interval.upper < 0.0;
                assert_eq!(excludes, sequence.p_value(&effect, 0.0) < 0.05, "{estimate} at {units}");
            }
        }
    }

    #[test]
    fn a_shared_error_asks_for_as_much_evidence_as_the_correction_of_the_p_value() {
        let sequence = Sequence::new(0.05);
        for estimate in (0..=60).map(|tenth| f64::from(tenth) / 10.0) {
            let effect = Effect { estimate, standard_error: 1.0, units: 8_000 };
            let is_found = sequence.shared_by(4).interval(&effect).lower > 0.0;
            assert_eq!(is_found, 4.0 * sequence.p_value(&effect, 0.0) < 0.05, "{estimate}");
        }
    }

    #[test]
    fn a_sequence_is_tightest_where_it_is_said_to_be() {
        let sequence = Sequence::tightest_at(0.05, 10_000.0);
        let critical = |units| sequence.critical(units);
        assert!(critical(10_000.0) < critical(3_000.0) && critical(10_000.0) < critical(30_000.0));
        assert!(critical(10_000.0) > 1.96);
    }
}
