//! The trend of a movie: a sum of moments that each lose half their weight every half-life.
//!
//! What enters such a sum must be able to leave it again, in any order, even when it outweighs all the
//! rest a billionfold: a deleted user of today takes nothing from what others liked years ago. Floating
//! point forgets the small beside the large, so the sum is one wide integer, to which every moment adds
//! a weight that is a function of its time alone. Sums are therefore equal whenever their moments are.

use crate::domain::TimeMs;

/// Words of a sum: 512 bits, in which a weight stands at bit 0 (1970) to [`LAST_HALF_LIFE`].
const WORDS: usize = 8;
/// Bits of a weight below its half-life's own.
const FRACTION_BITS: u32 = 32;
/// Steps of a half-life, each of two minutes, as a power of two.
const STEP_BITS: usize = 16;
/// Above the last one's weight 31 bits are left for the number of users, and one for the sign.
const LAST_HALF_LIFE: i64 = 64 * WORDS as i64 - 1 - 31 - (FRACTION_BITS as i64 + 1);

/// The `i`-th is `2^(2^-(i + 1))` with [`FRACTION_BITS`] bits: the square root of the one before.
const ROOTS: [u64; STEP_BITS] = {
    let mut roots = [0; STEP_BITS];
    let mut power = 2_u64 << FRACTION_BITS;
    let mut i = 0;
    while i < STEP_BITS {
        power = ((power as u128) << FRACTION_BITS).isqrt() as u64;
        roots[i] = power;
        i += 1;
    }
    roots
};

/// A sum of moments, each of which loses half its weight every [`Trend::HALF_LIFE_MS`].
///
/// Weights are relative to 1970, so that sums compare without a clock. Moments before 1970 weigh as
/// those of 1970, and those after 2080 as those of 2080.
///
/// ```
/// use marquee_core::Trend;
///
/// let (years_ago, today) = (946_684_800_000, 1_790_000_000_000);
/// let mut trend = Trend::default();
/// trend.add(years_ago);
/// let before = trend;
/// trend.add(today);
/// trend.remove(today);
/// assert_eq!(trend, before);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    /// Least significant first, in two's complement: what is removed before it is added, as threads may
    /// do, is right in the end.
    words: [u64; WORDS],
}

impl Trend {
    /// 90 days: short enough to follow a season, long enough for a catalogue with few users.
    pub const HALF_LIFE_MS: i64 = 90 * 24 * 3600 * 1000;
    /// Bytes of [`Trend::to_bytes`].
    pub const BYTES: usize = 8 * WORDS;

    /// Adds a moment.
    pub fn add(&mut self, time_ms: TimeMs) {
        self.combine(&Self::of(time_ms), u64::carrying_add);
    }

    /// Takes out a moment that was added, or will be.
    pub fn remove(&mut self, time_ms: TimeMs) {
        self.combine(&Self::of(time_ms), u64::borrowing_sub);
    }

    /// Adds all moments of another sum.
    pub fn merge(&mut self, other: &Self) {
        self.combine(other, u64::carrying_add);
    }

    /// The logarithm to base 2 of the sum, for comparing: one more is a half-life later, or twice as
    /// many moments. Negative infinity for none.
    pub fn score(&self) -> f64 {
        let is_negative = self.words[WORDS - 1] >> 63 == 1;
        let Some(top) = self.words.iter().rposition(|word| *word != 0).filter(|_| !is_negative) else {
            return f64::NEG_INFINITY;
        };
        let below = if top == 0 { 0.0 } else { self.words[top - 1] as f64 };
        (self.words[top] as f64 + below * (-64_f64).exp2()).log2() + 64.0 * top as f64
            - f64::from(FRACTION_BITS)
    }

    /// The sum as bytes, for a store.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.words) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// The sum that was these bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self { words }
    }

    /// One moment: `2^(time / half-life)`.
    fn of(time_ms: TimeMs) -> Self {
        let time_ms = time_ms.clamp(0, LAST_HALF_LIFE * Self::HALF_LIFE_MS);
        let half_lives = time_ms / Self::HALF_LIFE_MS;
        let step = ((time_ms % Self::HALF_LIFE_MS) << STEP_BITS) / Self::HALF_LIFE_MS;
        let weight = (0..STEP_BITS).fold(1 << FRACTION_BITS, |weight, i| {
            let is_in = step >> (STEP_BITS - 1 - i) & 1 == 1;
            if is_in { (weight * u128::from(ROOTS[i])) >> FRACTION_BITS } else { weight }
        });
        let (word, bit) = (half_lives as usize / 64, half_lives as u32 % 64);
        let shifted = weight << bit;
        let mut words = [0; WORDS];
        words[word] = shifted as u64;
        if let Some(above) = words.get_mut(word + 1) {
            *above = (shifted >> 64) as u64;
        }
        Self { words }
    }

    fn combine(&mut self, other: &Self, step: fn(u64, u64, bool) -> (u64, bool)) {
        let mut carry = false;
        for (word, other) in self.words.iter_mut().zip(other.words) {
            (*word, carry) = step(*word, other, carry);
        }
    }
}

impl FromIterator<TimeMs> for Trend {
    fn from_iter<I: IntoIterator<Item = TimeMs>>(times: I) -> Self {
        let mut trend = Self::default();
        for time_ms in times {
            trend.add(time_ms);
        }
        trend
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: TimeMs = 1_700_000_000_000;

    fn trend_of(times: &[TimeMs]) -> Trend {
        times.iter().copied().collect()
    }

    /// How many moments of `time_ms` it is worth.
    fn worth(trend: &Trend, time_ms: TimeMs) -> f64 {
        (trend.score() - trend_of(&[time_ms]).score()).exp2()
    }

    #[test]
    fn a_moment_loses_half_its_weight_in_a_half_life() {
        let trend = trend_of(&[NOW]);
        assert!((worth(&trend, NOW + Trend::HALF_LIFE_MS) - 0.5).abs() < 1e-9);
        assert!((worth(&trend, NOW + Trend::HALF_LIFE_MS / 3) - (-1.0_f64 / 3.0).exp2()).abs() < 1e-4);
    }

    #[test]
    fn a_moment_of_today_leaves_those_of_a_century_ago_as_they_were() {
        let mut trend = trend_of(&[0, 1, 946_684_800_000]);
        let before = trend;
        let last = LAST_HALF_LIFE * Trend::HALF_LIFE_MS - 1;
        trend.add(last);
        trend.remove(last);
        assert_eq!(trend, before);
    }

    #[test]
    fn what_is_removed_before_it_is_added_is_right_in_the_end() {
        let mut trend = trend_of(&[NOW]);
        trend.remove(NOW + 1_000_000_000);
        assert!(trend.score() < 0.0 && trend.score().is_infinite());
        trend.add(NOW + 1_000_000_000);
        assert_eq!(trend, trend_of(&[NOW]));
    }

    #[test]
    fn moments_out_of_range_weigh_as_those_at_its_ends() {
        assert_eq!(trend_of(&[TimeMs::MIN]), trend_of(&[0]));
        assert_eq!(trend_of(&[TimeMs::MAX]), trend_of(&[LAST_HALF_LIFE * Trend::HALF_LIFE_MS]));
        assert!(Trend::default().score() < trend_of(&[0]).score());
    }

    #[test]
    fn as_many_users_as_an_id_has_numbers_do_not_reach_the_sign() {
        let mut trend = trend_of(&[TimeMs::MAX]);
        for _ in 0..31 {
            trend.merge(&trend.clone());
        }
        assert!((trend.score() - trend_of(&[TimeMs::MAX]).score() - 31.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_later_moment_never_weighs_less(time in 0..NOW, later in 0..Trend::HALF_LIFE_MS) {
            prop_assert!(trend_of(&[time]).score() <= trend_of(&[time + later]).score());
        }

        #[test]
        fn sums_are_those_of_their_moments_in_any_order(
            kept in prop::collection::vec(0..2 * NOW, 0..20),
            gone in prop::collection::vec(0..2 * NOW, 0..20),
        ) {
            let mut trend = trend_of(&[&gone[..], &kept].concat());
            for time in gone.iter().rev() {
                trend.remove(*time);
            }
            prop_assert_eq!(trend, trend_of(&kept));
            prop_assert_eq!(Trend::from_bytes(trend.to_bytes()), trend);
        }
    }
}
