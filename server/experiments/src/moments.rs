//! Sums over units of values, squares and products, from which every result is computed.
//!
//! They are whole numbers: a unit's row is taken out and put in again with what it says now, in any order and as often
//! as there is news, and the sums are those of the rows, to the last digit. Sums of floating point would drift, and
//! what is left of a user who was deleted would stay in them.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

/// Of how many parts 1 is made.
const SCALE: i64 = 1_000_000;
/// The greatest amount, either way, so that sums of squares of a hundred million units have room.
const MAX: i64 = 1_000_000;

/// A value in millionths, -1,000,000 to 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(SCALE);

    /// The value to the nearest millionth, and the nearest that there is of what is out of range. No number is 0.
    pub fn new(value: f64) -> Self {
        Self((value * SCALE as f64).round().clamp((-MAX * SCALE) as f64, (MAX * SCALE) as f64) as i64)
    }

    /// The sum, as far as there is room.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self((self.0 + other.0).clamp(-MAX * SCALE, MAX * SCALE))
    }

    /// The value.
    pub fn value(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }
}

/// What one unit adds to the sums of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What it did since it was exposed; the numerator of a ratio.
    pub value: Amount,
    /// What it did before, or the denominator of a ratio.
    pub other: Amount,
}

/// Sums over the rows of an arm.
///
/// ```
/// use marquee_experiments::{Amount, Moments, Row};
/// let row = |value| Row { value: Amount::new(value), other: Amount::ONE };
/// let mut sums = Moments::default();
/// sums += row(0.1);
/// sums += row(0.3);
/// sums -= row(0.1);
/// assert_eq!(sums, Moments::of([row(0.3)]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    units: i64,
    value: i128,
    value_value: i128,
    other: i128,
    other_other: i128,
    value_other: i128,
}

impl AddAssign<Row> for Moments {
    fn add_assign(&mut self, row: Row) {
        self.add(row, 1);
    }
}

impl SubAssign<Row> for Moments {
    fn sub_assign(&mut self, row: Row) {
        self.add(row, -1);
    }
}

impl AddAssign for Moments {
    fn add_assign(&mut self, sums: Self) {
        self.units += sums.units;
        self.value += sums.value;
        self.value_value += sums.value_value;
        self.other += sums.other;
        self.other_other += sums.other_other;
        self.value_other += sums.value_other;
    }
}

impl Moments {
    /// The sums of these rows.
    pub fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut sums = Self::default();
        rows.into_iter().for_each(|row| sums += row);
        sums
    }

    fn add(&mut self, row: Row, times: i64) {
        let (value, other, sign) = (i128::from(row.value.0), i128::from(row.other.0), i128::from(times));
        self.units += times;
        self.value += sign * value;
        self.value_value += sign * value * value;
        self.other += sign * other;
        self.other_other += sign * other * other;
        self.value_other += sign * value * other;
    }

    /// How many units there are.
    pub fn units(&self) -> u64 {
        self.units.max(0) as u64
    }

    /// The sum of the values.
    pub fn sum(&self) -> f64 {
        self.value as f64 / SCALE as f64
    }

    /// The sum of what is beside the values.
    pub fn other_sum(&self) -> f64 {
        self.other as f64 / SCALE as f64
    }

    /// The mean value; 0 of no units.
    pub fn mean(&self) -> f64 {
        self.mean_of(self.value)
    }

    /// The mean of what is beside the value.
    pub fn other_mean(&self) -> f64 {
        self.mean_of(self.other)
    }

    /// The sample variance of the values; 0 of fewer than two units.
    pub fn variance(&self) -> f64 {
        self.covariance_of(self.value_value, self.value, self.value)
    }

    /// The sample variance of what is beside the values.
    pub fn other_variance(&self) -> f64 {
        self.covariance_of(self.other_other, self.other, self.other)
    }

    /// The sample covariance of the two.
    pub fn covariance(&self) -> f64 {
        self.covariance_of(self.value_other, self.value, self.other)
    }

    fn mean_of(&self, sum: i128) -> f64 {
        if self.units < 1 { 0.0 } else { sum as f64 / self.units as f64 / SCALE as f64 }
    }

    fn covariance_of(&self, products: i128, one: i128, other: i128) -> f64 {
        if self.units < 2 {
            return 0.0;
        }
        let units = self.units as f64;
        // Exact before it is divided: of great values that differ little, all else is lost to rounding.
        let exact = products.checked_mul(i128::from(self.units)).zip(one.checked_mul(other));
        let centred = exact.and_then(|(products, means)| products.checked_sub(means)).map_or_else(
            || products as f64 - one as f64 * (other as f64 / units),
            |centred| centred as f64 / units,
        );
        centred / (units - 1.0) / (SCALE as f64 * SCALE as f64)
    }
}

/// The value at this quantile of `values`, 0 to 1, above which a metric may be cut off (winsorised) so that a few
/// extreme units do not decide; `None` of no values.
pub fn cap_at(quantile: f64, values: &mut [Amount]) -> Option<Amount> {
    let last = values.len().checked_sub(1)?;
    let rank = (quantile.clamp(0.0, 1.0) * last as f64).ceil() as usize;
    Some(*values.select_nth_unstable(rank).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row((value, other): (f64, f64)) -> Row {
        Row { value: Amount::new(value), other: Amount::new(other) }
    }

    proptest! {
        #[test]
        fn sums_by_delta_are_those_that_are_computed_anew(
            rows in proptest::collection::vec((-1e6..1e6_f64, -1e3..1e3_f64), 1..50),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), -1e6..1e6_f64), 0..200),
            deleted in any::<proptest::sample::Index>(),
        ) {
            let mut rows: Vec<Row> = rows.into_iter().map(row).collect();
            let count = rows.len();
            let mut sums = Moments::of(rows.iter().copied());
            for (index, value) in changes {
                let changed = &mut rows[index.index(count)];
                sums -= *changed;
                changed.value = Amount::new(value);
                sums += *changed;
            }
            sums -= rows.swap_remove(deleted.index(rows.len()));
            prop_assert_eq!(sums, Moments::of(rows));
        }
    }

    #[test]
    fn nothing_is_left_of_a_unit_that_is_taken_back() {
        let mut sums = Moments::of([(0.1, 7.0), (1e6, -3.0)].map(row));
        sums -= row((1e6, -3.0));
        sums -= row((0.1, 7.0));
        assert_eq!(sums, Moments::default());
        assert_eq!((sums.mean(), sums.variance(), sums.covariance()), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_small_variance_beside_a_great_mean_is_not_lost() {
        let sums = Moments::of((0..1_000).map(|unit| row((900_000.0 + 1e-3 * f64::from(unit % 2), 0.0))));
        let variance = 0.25e-6 * 1_000.0 / 999.0;
        assert!((sums.variance() / variance - 1.0).abs() < 1e-12, "{}", sums.variance());
    }

    #[test]
    fn moments_are_those_of_the_field() {
        let sums = Moments::of([(1.0, 2.0), (2.0, 4.0), (6.0, 3.0)].map(row));
        assert_eq!((sums.units(), sums.mean(), sums.other_mean()), (3, 3.0, 3.0));
        assert_eq!((sums.sum(), sums.other_sum()), (9.0, 9.0));
        assert_eq!((sums.variance(), sums.other_variance(), sums.covariance()), (7.0, 1.0, 0.5));
    }

    #[test]
    fn an_amount_has_bounds_and_no_number_is_nothing() {
        let amounts = [f64::NAN, f64::INFINITY, -1e30, 0.000_000_6].map(|value| Amount::new(value).value());
        assert_eq!(amounts, [0.0, 1e6, -1e6, 0.000_001]);
        assert_eq!(Amount::new(9e5).plus(Amount::new(9e5)).value(), 1e6);
    }

    #[test]
    fn a_cap_is_the_value_at_its_quantile() {
        let mut values: Vec<Amount> = (0..=100).rev().map(f64::from).map(Amount::new).collect();
        assert_eq!(cap_at(0.99, &mut values), Some(Amount::new(99.0)));
        assert_eq!(cap_at(1.0, &mut values), Some(Amount::new(100.0)));
        assert_eq!(cap_at(0.5, &mut []), None);
    }
}
