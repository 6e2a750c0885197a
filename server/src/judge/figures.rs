//! Figures with their errors, and differences paired by user.

/// A figure, and each user's share in it.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// What each user adds, NaN where it says nothing of a user; the figure is their mean, or has the error of it.
    shares: Vec<f64>,
}

/// A difference between two figures of the same users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The difference.
    pub value: f64,
    /// Where it lies with 95% certainty.
    pub low: f64,
    /// Up to here.
    pub high: f64,
}

impl Figure {
    /// The mean of the users' shares.
    pub(super) fn mean(shares: Vec<f64>) -> Self {
        Self { value: mean(&shares), shares }
    }

    /// A figure that is not a mean, but is as uncertain as that of these shares.
    pub(super) fn of(value: f64, shares: Vec<f64>) -> Self {
        Self { value, shares }
    }

    /// The standard error; NaN of less than two users.
    pub fn error(&self) -> f64 {
        error_of_mean(&self.shares)
    }

    /// The users of whom it says something.
    pub fn users(&self) -> usize {
        said(&self.shares).count()
    }

    /// This figure less another one of the same users.
    pub(super) fn less(&self, other: &Self) -> Difference {
        let differences: Vec<f64> =
            self.shares.iter().zip(&other.shares).map(|(one, other)| one - other).collect();
        let (value, half) = (self.value - other.value, 1.96 * error_of_mean(&differences));
        Difference { value, low: value - half, high: value + half }
    }
}

fn said(shares: &[f64]) -> impl Iterator<Item = f64> + Clone + '_ {
    shares.iter().copied().filter(|share| !share.is_nan())
}

/// NaN of none.
fn mean(shares: &[f64]) -> f64 {
    said(shares).sum::<f64>() / said(shares).count() as f64
}

fn error_of_mean(shares: &[f64]) -> f64 {
    let (mean, count) = (mean(shares), said(shares).count() as f64);
    let squares: f64 = said(shares).map(|share| (share - mean).powi(2)).sum();
    if count > 1.0 { (squares / (count - 1.0) / count).sqrt() } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_paired_by_user() {
        let (one, other) = (Figure::mean(vec![1.0, 2.0, 3.0]), Figure::mean(vec![0.5, 1.5, 2.5]));
        assert_eq!(one.less(&other), Difference { value: 0.5, low: 0.5, high: 0.5 });
        assert!((one.error() - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn users_of_whom_nothing_is_said_do_not_count() {
        let figure = Figure::mean(vec![1.0, f64::NAN, 3.0]);
        assert_eq!((figure.value, figure.users()), (2.0, 2));
        assert!(Figure::mean(vec![1.0]).error().is_nan());
    }
}
