//! How alike two ranked lists are.

use std::collections::HashMap;

/// Which share of one list is in the other too; `None` of an empty one.
pub fn overlap(one: &[u32], other: &[u32]) -> Option<f64> {
    let common = one.iter().filter(|item| other.contains(item)).count();
    (!one.is_empty()).then(|| common as f64 / one.len() as f64)
}

/// Kendall's tau of what is in both lists: 1 where all of it has the same order in both, -1 where it has the reverse; `None`
/// of fewer than two.
///
/// ```
/// use marquee_experiments::kendall;
/// assert_eq!(kendall(&[1, 2, 3], &[1, 9, 2, 3]), Some(1.0));
/// assert_eq!(kendall(&[1, 2, 3], &[3, 2, 1]), Some(-1.0));
/// ```
pub fn kendall(one: &[u32], other: &[u32]) -> Option<f64> {
    let places: HashMap<u32, usize> = other.iter().enumerate().map(|(place, item)| (*item, place)).collect();
    let common: Vec<usize> = one.iter().filter_map(|item| places.get(item).copied()).collect();
    let pairs = common.len() * common.len().saturating_sub(1) / 2;
    let in_order =
        |(place, first): (usize, &usize)| common[place + 1..].iter().filter(|next| *next > first).count();
    let concordant: usize = common.iter().enumerate().map(in_order).sum();
    (pairs > 0).then(|| (2.0 * concordant as f64 - pairs as f64) / pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_alike_as_what_they_share_and_its_order() {
        assert_eq!(overlap(&[1, 2, 3, 4], &[4, 9, 1]), Some(0.5));
        assert_eq!(kendall(&[1, 2, 3, 4], &[4, 9, 1]), Some(-1.0));
        assert_eq!(kendall(&[1, 2, 3, 4], &[1, 2, 4, 3]), Some(2.0 / 3.0));
    }

    #[test]
    fn of_too_little_nothing_is_said() {
        assert_eq!(overlap(&[], &[1]), None);
        assert_eq!(kendall(&[1, 2], &[2, 3]), None);
    }
}
