//! Which requests a model has answered since it was loaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_engine::Model;

/// What a model answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// What to watch next.
    Recommendation,
    /// Movies like a movie.
    SimilarMovies,
    /// A user vector.
    Encoding,
}

/// The counts of one model, which are kept with it.
#[derive(Debug, Default)]
pub struct Usage {
    recommendations: AtomicU64,
    similar_movies: AtomicU64,
    encodings: AtomicU64,
    pinned: AtomicU64,
    /// 0 before the first.
    last_ms: AtomicI64,
}

/// [`Usage`] at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageCounts {
    /// Recommendations.
    pub recommendations: u64,
    /// Lists of similar movies.
    pub similar_movies: u64,
    /// User vectors.
    pub encodings: u64,
    /// Of all these, those that pinned the model's version.
    pub pinned: u64,
    /// When the last one was answered.
    pub last_ms: Option<TimeMs>,
}

impl Usage {
    /// That of a model.
    pub fn of(model: &Model) -> Arc<Self> {
        model.extension(Self::default)
    }

    /// Counts an answer to a request that pinned this version, or none.
    pub(super) fn count(&self, served: Served, pinned: Option<&str>) {
        let count = match served {
            Served::Recommendation => &self.recommendations,
            Served::SimilarMovies => &self.similar_movies,
            Served::Encoding => &self.encodings,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if pinned.is_some() {
            self.pinned.fetch_add(1, Ordering::Relaxed);
        }
        self.last_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn counts(&self) -> UsageCounts {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        UsageCounts {
            recommendations: self.recommendations.load(Ordering::Relaxed),
            similar_movies: self.similar_movies.load(Ordering::Relaxed),
            encodings: self.encodings.load(Ordering::Relaxed),
            pinned: self.pinned.load(Ordering::Relaxed),
            last_ms: (last_ms != 0).then_some(last_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_kind_and_pinned_ones_apart() {
        let usage = Usage::default();
        assert_eq!(usage.counts(), UsageCounts::default());
        usage.count(Served::Recommendation, None);
        usage.count(Served::Recommendation, Some("tiny@1"));
        usage.count(Served::SimilarMovies, None);
        usage.count(Served::Encoding, Some("tiny@1"));
        let counts = usage.counts();
        assert!(counts.last_ms.is_some());
        let expected = UsageCounts {
            recommendations: 2,
            similar_movies: 1,
            encodings: 1,
            pinned: 2,
            last_ms: counts.last_ms,
        };
        assert_eq!(counts, expected);
    }
}
