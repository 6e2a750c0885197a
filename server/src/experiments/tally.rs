//! The sums of an experiment, in memory beside its rows in the store.
//!
//! They are kept by what each change of a row takes out and puts in, and counted from the rows when a node starts or
//! others who share the store may have changed some. Counting goes on beside changes, a part of the rows at a time: a
//! change of a row that is counted already is made in the new count too.

use std::sync::{Mutex, MutexGuard, PoisonError};

use marquee_core::domain::UserId;
use marquee_experiments::Moments;
use tokio::sync::RwLock;

use super::row::UserRow;

/// Parts that the rows of an experiment are in. Parts of a few thousand users are written as fast as small ones.
pub(super) const SHARDS: u32 = 1024;

/// The part that a user's row is in.
pub(super) fn shard_of(user_id: UserId) -> u32 {
    // Ids in a row are in different parts.
    (user_id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as u32 % SHARDS
}

/// The sums over the users of each arm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// In the order of the arms.
    pub(super) arms: Vec<ArmSums>,
    /// Users who were in more than one arm, and are in none of these.
    pub(super) crossed: u64,
}

/// The sums over the users of an arm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ArmSums {
    /// How many there are.
    pub(super) units: u64,
    /// How many of each phase.
    pub(super) by_phase: Vec<u64>,
    /// Of each metric.
    pub(super) metrics: Vec<Moments>,
}

impl Sums {
    pub(super) fn add(&mut self, row: &UserRow) {
        self.change(row, true);
    }

    pub(super) fn remove(&mut self, row: &UserRow) {
        self.change(row, false);
    }

    fn change(&mut self, row: &UserRow, comes: bool) {
        let step = |count: &mut u64| *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        if row.crossed {
            return step(&mut self.crossed);
        }
        let arm = at(&mut self.arms, row.arm);
        step(&mut arm.units);
        step(at(&mut arm.by_phase, row.phase as usize));
        for (place, values) in row.values().enumerate() {
            let sums = at(&mut arm.metrics, place);
            if comes {
                *sums += values;
            } else {
                *sums -= values;
            }
        }
    }

    /// The users of all arms.
    pub(super) fn units(&self) -> u64 {
        self.arms.iter().map(|arm| arm.units).sum()
    }
}

/// The element at a place, which is made if it is not there.
fn at<T: Default>(list: &mut Vec<T>, place: usize) -> &mut T {
    if list.len() <= place {
        list.resize_with(place + 1, T::default);
    }
    &mut list[place]
}

/// The sums of an experiment, and what keeps them right.
#[derive(Default)]
pub(super) struct Tally {
    /// Held for reading while a row is changed, for writing while a part of the rows is counted.
    pub(super) rows: RwLock<()>,
    /// Held while all rows are counted.
    pub(super) counting: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sums: Sums,
    /// Whether all rows have been counted.
    is_whole: bool,
    /// A count that goes on: of the parts before this one.
    recount: Option<(u32, Sums)>,
}

impl Tally {
    /// The sums; `None` before all rows have been counted.
    pub(super) fn sums(&self) -> Option<Sums> {
        let kept = self.kept();
        kept.is_whole.then(|| kept.sums.clone())
    }

    /// Takes a user's row out and puts another one in.
    pub(super) fn change(&self, user_id: UserId, before: Option<&UserRow>, after: Option<&UserRow>) {
        let mut kept = self.kept();
        let Kept { sums, recount, .. } = &mut *kept;
        let recounted = recount.as_mut().filter(|(next, _)| shard_of(user_id) < *next).map(|(_, sums)| sums);
        for sums in [sums].into_iter().chain(recounted) {
            if let Some(before) = before {
                sums.remove(before);
            }
            if let Some(after) = after {
                sums.add(after);
            }
        }
    }

    /// Begins to count all rows.
    pub(super) fn begin(&self) {
        self.kept().recount = Some((0, Sums::default()));
    }

    /// Counts the rows of the next part.
    pub(super) fn count<'a>(&self, rows: impl Iterator<Item = &'a UserRow>) {
        if let Some((next, sums)) = &mut self.kept().recount {
            rows.for_each(|row| sums.add(row));
            *next += 1;
        }
    }

    /// Takes the new count over; whether it is what the sums were.
    pub(super) fn end(&self) -> bool {
        let mut kept = self.kept();
        let Some((_, sums)) = kept.recount.take() else { return true };
        let agrees = !kept.is_whole || same(&kept.sums, &sums);
        (kept.sums, kept.is_whole) = (sums, true);
        agrees
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether sums are the same; arms and metrics that nobody is in may be there or not.
fn same(one: &Sums, other: &Sums) -> bool {
    let trimmed = |sums: &Sums| {
        let mut sums = sums.clone();
        while sums.arms.last().is_some_and(|arm| arm.units == 0) {
            sums.arms.pop();
        }
        for arm in &mut sums.arms {
            while arm.by_phase.last() == Some(&0) {
                arm.by_phase.pop();
            }
            if arm.units == 0 {
                arm.metrics.clear();
            }
        }
        sums
    };
    trimmed(one) == trimmed(other)
}

#[cfg(test)]
mod tests {
    use marquee_experiments::Amount;
    use proptest::prelude::*;

    use super::*;

    fn row(arm: usize, value: f64, crossed: bool) -> UserRow {
        let values = vec![(Amount::new(value), Amount::ONE)];
        UserRow { crossed, values, ..UserRow::new(arm, 0, 0) }
    }

    proptest! {
        #[test]
        fn sums_by_delta_are_those_that_are_counted(
            changes in proptest::collection::vec((0..40_u64, 0..3_usize, -9.0..9.0_f64, 0..10_u8), 0..200),
            recount_at in 0..200_usize,
        ) {
            let (tally, mut rows) = (Tally::default(), std::collections::BTreeMap::new());
            tally.begin();
            (0..SHARDS).for_each(|_| tally.count(std::iter::empty()));
            prop_assert!(tally.end());
            for (number, (user_id, arm, value, what)) in changes.into_iter().enumerate() {
                if number == recount_at {
                    // Half of the parts are counted, and then rows change.
                    tally.begin();
                    for shard in 0..SHARDS / 2 {
                        let of_shard = |(id, _): &(&u64, &UserRow)| shard_of(**id) == shard;
                        tally.count(rows.iter().filter(of_shard).map(|(_, row)| row));
                    }
                }
                let before = rows.get(&user_id).cloned();
                let after = (what > 1).then(|| row(arm, value, what == 9));
                tally.change(user_id, before.as_ref(), after.as_ref());
                match after {
                    Some(after) => _ = rows.insert(user_id, after),
                    None => _ = rows.remove(&user_id),
                }
            }
            let begun = tally.kept().recount.as_ref().map(|(next, _)| *next);
            for shard in begun.unwrap_or(SHARDS)..SHARDS {
                tally.count(rows.iter().filter(|(id, _)| shard_of(**id) == shard).map(|(_, row)| row));
            }
            prop_assert!(tally.end());
            let mut counted = Sums::default();
            for row in rows.values() {
                counted.add(row);
            }
            prop_assert!(same(&tally.sums().unwrap(), &counted));
        }
    }

    #[test]
    fn a_count_that_differs_is_said_and_taken_over() {
        let tally = Tally::default();
        tally.begin();
        tally.end();
        tally.change(1, None, Some(&row(0, 1.0, false)));
        tally.begin();
        (0..SHARDS).for_each(|_| tally.count(std::iter::empty()));
        assert!(!tally.end());
        assert_eq!(tally.sums().unwrap().units(), 0);
    }

    #[test]
    fn users_who_were_in_two_arms_are_in_no_sum() {
        let mut sums = Sums::default();
        sums.add(&row(1, 2.0, true));
        assert_eq!((sums.units(), sums.crossed), (0, 1));
        sums.remove(&row(1, 2.0, true));
        assert_eq!(sums, Sums::default());
    }
}
