//! Whether arms have the units that their shares should give them.
//!
//! When they have not, something loses units of one arm more than of another, such as answers of one arm that fail,
//! and whatever the metrics say is about different people.

use statrs::function::gamma::ln_gamma;

/// The sequential test of Lindon and Malek (2022), "Anytime-valid inference for multinomial count data": a chi-square
/// test that holds however often one looks, exactly and at any size.
///
/// ```
/// use marquee_experiments::SampleRatio;
/// let halves = SampleRatio::new(&[0.5, 0.5]);
/// assert!(halves.p_value(&[5_050, 4_950]) > 0.5);
/// assert!(halves.p_value(&[51_000, 49_000]) < 0.01);
/// ```
#[derive(Clone, Debug)]
pub struct SampleRatio {
    expected: Vec<f64>,
    concentration: f64,
}

/// How near to the expected shares the wrong ones are supposed to be: about half a percent, where small losses are.
/// Greater ones are found by their size.
const CONCENTRATION: f64 = 10_000.0;

impl SampleRatio {
    /// The test of arms of these shares, which need not add up to 1; those of arms without a share are left out.
    pub fn new(shares: &[f64]) -> Self {
        Self::concentrated(shares, CONCENTRATION)
    }

    /// The same for shares that are supposed to be wrong by about `concentration.sqrt().recip()`.
    pub fn concentrated(shares: &[f64], concentration: f64) -> Self {
        let whole: f64 = shares.iter().sum();
        Self { expected: shares.iter().map(|share| share / whole).collect(), concentration }
    }

    /// How unlikely it is that such counts are ever seen while the shares are right; 1 at most. One for each arm, in the
    /// order of the shares.
    pub fn p_value(&self, counts: &[u64]) -> f64 {
        (-self.log_evidence(counts)).exp().min(1.0)
    }

    /// The logarithm of how many times likelier the counts are under wrong shares than under the expected ones.
    fn log_evidence(&self, counts: &[u64]) -> f64 {
        let arms = || self.expected.iter().zip(counts).filter(|(share, _)| **share > 0.0);
        let log_beta = |with_counts: f64| {
            let weights =
                || arms().map(|(share, count)| self.concentration * share + with_counts * *count as f64);
            weights().map(ln_gamma).sum::<f64>() - ln_gamma(weights().sum())
        };
        let under_expected: f64 = arms().map(|(share, count)| *count as f64 * share.ln()).sum();
        log_beta(1.0) - log_beta(0.0) - under_expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_are_kept_are_no_alarm_and_others_are() {
        let thirds = SampleRatio::new(&[1.0, 1.0, 1.0]);
        assert_eq!(thirds.p_value(&[0, 0, 0]), 1.0);
        assert!(thirds.p_value(&[10_020, 9_990, 9_990]) > 0.9);
        assert!(thirds.p_value(&[10_500, 9_750, 9_750]) < 0.001);
    }

    #[test]
    fn an_arm_without_a_share_has_no_part_in_it() {
        let with = SampleRatio::new(&[0.5, 0.0, 0.5]).p_value(&[5_300, 17, 4_700]);
        assert_eq!(with, SampleRatio::new(&[0.5, 0.5]).p_value(&[5_300, 4_700]));
    }
}
