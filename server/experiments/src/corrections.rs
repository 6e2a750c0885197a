//! What looking at several arms and metrics costs.

/// P-values that may be compared with alpha together: the chance that any of them is wrong is alpha (Holm).
///
/// ```
/// assert_eq!(marquee_experiments::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let mut adjusted = vec![0.0; count];
    let mut most: f64 = 0.0;
    for (rank, index) in ascending(p_values).into_iter().enumerate() {
        most = most.max(p_values[index] * (count - rank) as f64);
        adjusted[index] = most.min(1.0);
    }
    adjusted
}

/// P-values that may be compared with alpha together: of those below it, a share of alpha is wrong (Benjamini and
/// Hochberg). It promises less than [`holm`], and finds more.
///
/// ```
/// assert_eq!(marquee_experiments::benjamini_hochberg(&[0.01, 0.04, 0.03]), [0.03, 0.04, 0.04]);
/// ```
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let mut adjusted = vec![0.0; count];
    let mut least: f64 = 1.0;
    for (rank, index) in ascending(p_values).into_iter().enumerate().rev() {
        least = least.min(p_values[index] * count as f64 / (rank + 1) as f64);
        adjusted[index] = least;
    }
    adjusted
}

/// The places of the values, least first.
fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_needs_no_correction() {
        assert_eq!((holm(&[0.04]), benjamini_hochberg(&[0.04])), (vec![0.04], vec![0.04]));
        assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    fn a_corrected_value_is_never_above_one() {
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(benjamini_hochberg(&[0.9, 0.8]), [0.9, 0.9]);
    }
}
