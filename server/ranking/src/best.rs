//! The best of many, in their order.

use std::cmp::Ordering;

/// Leaves the `most` best, best first. `best_first` orders all items: those that it calls equal may change places.
///
/// ```
/// let mut scores = vec![2, 7, 1, 9];
/// marquee_ranking::keep_best(&mut scores, 2, |one, other| other.cmp(one));
/// assert_eq!(scores, [9, 7]);
/// ```
pub fn keep_best<T>(items: &mut Vec<T>, most: usize, mut best_first: impl FnMut(&T, &T) -> Ordering) {
    if most == 0 {
        items.clear();
    }
    if items.len() > most {
        items.select_nth_unstable_by(most - 1, &mut best_first);
        items.truncate(most);
    }
    items.sort_unstable_by(best_first);
}
