//! Which places belong to whom: an experiment's part of its layer, an arm's part of its experiment.
//!
//! What grows keeps what it has and takes what is free, so that nobody who is in an arm leaves it for another.

use serde::{Deserialize, Serialize};

use crate::place::{PARTS, Place};

/// Places that belong to one owner, in the order in which they were taken; no two ranges overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(Place, Place)>);

impl Ranges {
    /// Whether the place belongs to it.
    pub fn contains(&self, place: Place) -> bool {
        self.0.iter().any(|(start, end)| (*start..*end).contains(&place))
    }

    /// How many places there are.
    pub fn parts(&self) -> u32 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// The same owner with `parts` places: more are taken from what nobody owns, fewer are left by giving back those
    /// that were taken last. `None` when the `others` leave too little.
    ///
    /// ```
    /// use marquee_experiments::{PARTS, Ranges};
    /// let one = Ranges::default().resized(PARTS / 2, &[]).unwrap();
    /// let other = Ranges::default().resized(PARTS / 4, &[&one]).unwrap();
    /// assert!(one.resized(PARTS * 3 / 4 + 1, &[&other]).is_none());
    /// ```
    pub fn resized(&self, parts: u32, others: &[&Self]) -> Option<Self> {
        let mut resized = self.clone();
        resized.shrink(parts);
        let mut missing = parts - resized.parts();
        for (start, end) in free(others.iter().copied().chain([&resized])) {
            let taken = missing.min(end - start);
            resized.take(start, start + taken);
            missing -= taken;
        }
        (missing == 0).then_some(resized)
    }

    fn shrink(&mut self, parts: u32) {
        let mut surplus = self.parts().saturating_sub(parts);
        while let Some((start, end)) = self.0.last_mut().filter(|_| surplus > 0) {
            let given = surplus.min(*end - *start);
            *end -= given;
            surplus -= given;
            if start == end {
                self.0.pop();
            }
        }
    }

    fn take(&mut self, start: Place, end: Place) {
        match self.0.last_mut() {
            _ if start == end => {}
            Some(last) if last.1 == start => last.1 = end,
            _ => self.0.push((start, end)),
        }
    }
}

/// The places that nobody owns, ascending.
fn free<'a>(owners: impl Iterator<Item = &'a Ranges>) -> Vec<(Place, Place)> {
    let mut owned: Vec<_> = owners.flat_map(|ranges| ranges.0.iter().copied()).collect();
    owned.sort_unstable();
    let mut free = Vec::new();
    let mut from = 0;
    for (start, end) in owned.into_iter().chain([(PARTS, PARTS)]) {
        if from < start {
            free.push((from, start));
        }
        from = from.max(end);
    }
    free
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whose a place is.
    fn owner(arms: &[Ranges], place: Place) -> Option<usize> {
        let mut owners = (0..arms.len()).filter(|arm| arms[*arm].contains(place));
        let owner = owners.next();
        assert_eq!(owners.next(), None, "two own place {place}");
        owner
    }

    /// Gives an arm a share of what the others leave; whether there was enough.
    fn resize(arms: &mut [Ranges], arm: usize, parts: u32) -> bool {
        let others: Vec<&Ranges> =
            arms.iter().enumerate().filter(|(other, _)| *other != arm).map(|(_, ranges)| ranges).collect();
        let resized = arms[arm].resized(parts, &others);
        let enough = resized.is_some();
        if let Some(resized) = resized {
            arms[arm] = resized;
        }
        enough
    }

    proptest! {
        #[test]
        fn while_shares_grow_units_only_move_from_none_into_an_arm(
            steps in proptest::collection::vec((0..4_usize, 0..200_000_u32), 1..30),
        ) {
            let mut arms = vec![Ranges::default(); 4];
            for (arm, more) in steps {
                let before = arms.clone();
                let wanted = arms[arm].parts() + more;
                if resize(&mut arms, arm, wanted) {
                    prop_assert_eq!(arms[arm].parts(), wanted);
                }
                for place in (0..PARTS).step_by(997) {
                    let (was, is) = (owner(&before, place), owner(&arms, place));
                    prop_assert!(was == is || (was.is_none() && is == Some(arm)));
                }
            }
        }

        #[test]
        fn while_a_share_shrinks_units_only_leave_it_for_none(first in 1..PARTS, then in 0..PARTS) {
            let before = Ranges::default().resized(first.max(then), &[]).unwrap();
            let after = before.resized(first.min(then), &[]).unwrap();
            prop_assert_eq!(after.parts(), first.min(then));
            for place in (0..PARTS).step_by(997) {
                prop_assert!(before.contains(place) || !after.contains(place));
            }
        }
    }

    #[test]
    fn more_than_there_is_is_refused() {
        let half = Ranges::default().resized(PARTS / 2, &[]).unwrap();
        assert_eq!(Ranges::default().resized(PARTS / 2 + 1, &[&half]), None);
        assert_eq!(Ranges::default().resized(PARTS / 2, &[&half]).unwrap().parts(), PARTS / 2);
    }

    #[test]
    fn what_is_freed_in_the_middle_is_taken_again() {
        let [one, two, three] = [0, 1, 2].map(|third| Ranges(vec![(third * 300_000, (third + 1) * 300_000)]));
        drop(two);
        let grown = three.resized(700_000, &[&one]).unwrap();
        assert_eq!(grown, Ranges(vec![(600_000, 900_000), (300_000, 600_000), (900_000, 1_000_000)]));
    }
}
