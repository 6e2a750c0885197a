//! Histograms of times in microseconds: how they are made, written and read.
//!
//! Merging percentiles of several machines is impossible; merging their histograms is exact. So every
//! result carries its histograms, in the standard compressed HDR form that other HDR tools read too.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Deserializer as SerdeDeserializer, Serialize, Serializer};

/// The longest time that is told apart: ten minutes. Longer ones count as this.
const LONGEST_US: u64 = 600_000_000;

/// An empty histogram with three significant digits, for totals.
///
/// # Panics
/// Never: the bounds are constants in range.
pub fn precise() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("constant bounds are in range")
}

/// An empty histogram with two significant digits, for the many windows of a run.
///
/// # Panics
/// Never: the bounds are constants in range.
pub(crate) fn coarse() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 2).expect("constant bounds are in range")
}

/// Counts one time.
pub fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(time.as_micros().min(u128::from(LONGEST_US)) as u64);
}

/// The quantile in milliseconds; 0 when nothing was counted.
pub fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    if histogram.is_empty() { 0.0 } else { histogram.value_at_quantile(quantile) as f64 / 1e3 }
}

/// Adds `other`, which must come from here too.
///
/// # Panics
/// When `other` has wider bounds.
pub fn add(histogram: &mut Histogram<u64>, other: &Histogram<u64>) {
    histogram.add(other).expect("all histograms here have the same bounds");
}

/// A histogram as serde sees it: base64 of the compressed V2 form.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded(pub Histogram<u64>);

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: SerdeDeserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        let mut reader = bytes.as_slice();
        Deserializer::new().deserialize(&mut reader).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_its_written_form() {
        let mut histogram = precise();
        for time in [1, 900, 1_000, 70_000_000] {
            record(&mut histogram, Duration::from_micros(time));
        }
        let text = serde_json::to_string(&Encoded(histogram.clone())).unwrap();
        let back: Encoded = serde_json::from_str(&text).unwrap();
        assert_eq!(back.0, histogram);
    }

    #[test]
    fn a_time_beyond_the_bounds_counts_as_the_longest() {
        let mut histogram = coarse();
        record(&mut histogram, Duration::from_hours(24));
        assert_eq!(histogram.len(), 1);
        assert!(quantile_ms(&histogram, 1.0) >= 600_000.0);
    }

    #[test]
    fn the_quantile_of_nothing_is_zero() {
        assert_eq!(quantile_ms(&precise(), 0.99), 0.0);
    }
}
