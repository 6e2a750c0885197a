//! Where a unit stands in a layer, or within an experiment: a number that every node computes alike.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How many parts a whole has: the finest share is a millionth.
pub const PARTS: u32 = 1_000_000;

/// Where a unit stands, 0 to [`PARTS`] - 1.
pub type Place = u32;

/// The share as a number of parts, to the nearest; `share` is 0 to 1.
pub fn parts_of(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(PARTS)).round() as u32
}

/// Who is assigned: a user, or whatever a caller without users counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit<'a> {
    /// A user, by id.
    User(u64),
    /// A caller's own key, such as a session.
    Key(&'a str),
}

/// What makes places of one thing independent of those of another: a unit's places under two salts have nothing to do
/// with each other.
///
/// ```
/// use marquee_experiments::{Salt, Unit};
/// let layer = Salt::new("layer", "ranking");
/// assert_eq!(layer.place(Unit::User(7)), layer.place(Unit::User(7)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    /// The salt of a thing of this kind and name.
    pub fn new(kind: &str, name: &str) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), xxh3_64(kind.as_bytes())))
    }

    /// Where the unit stands.
    pub fn place(self, unit: Unit<'_>) -> Place {
        let hash = match unit {
            Unit::User(id) => xxh3_64_with_seed(&id.to_le_bytes(), self.0),
            // Another seed, so that no key of eight bytes is taken for a user.
            Unit::Key(key) => xxh3_64_with_seed(key.as_bytes(), !self.0),
        };
        ((u128::from(hash) * u128::from(PARTS)) >> 64) as Place
    }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ChiSquared, ContinuousCDF as _};

    use super::*;

    const CELLS: usize = 100;

    /// The chance of a chi-square statistic at least as great, for counts that should be equal.
    fn p_of_uniform(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let chi_square: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
        ChiSquared::new((counts.len() - 1) as f64).unwrap().sf(chi_square)
    }

    fn cell(place: Place, cells: usize) -> usize {
        place as usize * cells / PARTS as usize
    }

    #[test]
    fn a_million_users_are_spread_evenly() {
        let mut counts = [0; CELLS];
        let salt = Salt::new("layer", "ranking");
        (0..1_000_000).for_each(|id| counts[cell(salt.place(Unit::User(id)), CELLS)] += 1);
        let p = p_of_uniform(&counts);
        assert!(p > 0.001, "{p}");
    }

    #[test]
    fn a_million_keys_are_spread_evenly() {
        let mut counts = [0; CELLS];
        let salt = Salt::new("layer", "ranking");
        (0..1_000_000).for_each(|id| counts[cell(salt.place(Unit::Key(&id.to_string())), CELLS)] += 1);
        let p = p_of_uniform(&counts);
        assert!(p > 0.001, "{p}");
    }

    #[test]
    fn places_in_two_layers_have_nothing_to_do_with_each_other() {
        let (one, other) = (Salt::new("layer", "ranking"), Salt::new("layer", "models"));
        let mut counts = [0; CELLS];
        for id in 0..1_000_000 {
            let (row, column) = (one.place(Unit::User(id)), other.place(Unit::User(id)));
            counts[cell(row, 10) * 10 + cell(column, 10)] += 1;
        }
        // Of both even and independent, all hundred cells have the same chance.
        let p = p_of_uniform(&counts);
        assert!(p > 0.001, "{p}");
    }

    #[test]
    fn places_never_change() {
        let salt = Salt::new("layer", "ranking");
        let places =
            [Unit::User(1), Unit::User(u64::MAX), Unit::Key("session-1")].map(|unit| salt.place(unit));
        assert_eq!(places, [983_664, 867_404, 159_749]);
    }

    #[test]
    fn a_kind_and_a_name_make_a_salt_together() {
        assert_ne!(Salt::new("layer", "a"), Salt::new("experiment", "a"));
        assert_ne!(Salt::new("layer", "a"), Salt::new("layer", "b"));
    }
}
