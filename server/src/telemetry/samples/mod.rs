//! What the server did lately, for people who look at it without a Prometheus.
//!
//! Nothing is counted for this: the metrics are read every five seconds, as Prometheus would read them, and the
//! [readings](reading) of the last quarter of an hour are kept. What happened in a time is the difference of the
//! readings at its ends.

mod figures;
mod reading;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

pub(crate) use figures::{Calls, Figures};
use reading::Reading;
#[cfg(test)]
pub(crate) use reading::SAMPLED;

/// How long a period is.
const PERIOD: Duration = Duration::from_secs(5);

/// How much of the past is kept.
pub(crate) const PAST: Duration = Duration::from_mins(15);

/// One more than there are periods, as a period lies between two readings.
const READINGS: usize = (PAST.as_secs() / PERIOD.as_secs()) as usize + 1;

/// The readings of the last quarter of an hour.
pub(crate) struct Samples {
    registry: prometheus::Registry,
    /// The methods whose calls last as long as their callers want.
    streams: HashSet<&'static str>,
    kept: Mutex<VecDeque<Arc<Reading>>>,
    /// How many readings there were.
    count: watch::Sender<u64>,
}

#[cfg(test)]
impl Default for Samples {
    /// Of no metrics.
    fn default() -> Self {
        Self::new(prometheus::Registry::new(), HashSet::new())
    }
}

/// What the calls of a method were like over some windows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MethodCalls {
    /// The method; `None` for all together.
    pub(crate) method: Option<String>,
    /// One a window.
    pub(crate) windows: Vec<Calls>,
}

impl Samples {
    /// None yet; `streams` are methods with streams, whose durations say nothing.
    pub(crate) fn new(registry: prometheus::Registry, streams: HashSet<&'static str>) -> Self {
        let kept = Mutex::new(VecDeque::with_capacity(READINGS));
        let samples = Self { registry, streams, kept, count: watch::Sender::new(0) };
        samples.take();
        samples
    }

    /// Reads the metrics until it is aborted.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.take();
        }
    }

    fn take(&self) {
        let reading = Arc::new(self.read());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == READINGS {
            kept.pop_front();
        }
        kept.push_back(reading);
        self.count.send_modify(|count| *count += 1);
    }

    fn read(&self) -> Reading {
        Reading::of(&self.registry.gather(), &self.streams)
    }

    /// What calls were like over these windows, which end now: of all methods, then of each that was called, by name.
    pub(crate) fn methods(&self, windows: &[Duration]) -> Vec<MethodCalls> {
        let now = self.read();
        let begins: Vec<Arc<Reading>> = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            windows.iter().filter_map(|window| begin_of(&kept, &now, *window)).collect()
        };
        let of = |method: Option<&String>| MethodCalls {
            method: method.cloned(),
            windows: begins
                .iter()
                .map(|begin| Calls::between(begin, &now, method.map(String::as_str)))
                .collect(),
        };
        let called = now.methods().map(|method| of(Some(method)));
        let called = called.filter(|method| method.windows.iter().any(|calls| calls.count() > 0));
        [of(None)].into_iter().chain(called).collect()
    }

    /// The periods that ended after the first `after` readings, oldest first, and how many readings there are now.
    pub(crate) fn since(&self, after: u64) -> (Vec<Figures>, u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let count = *self.count.borrow();
        let new = count.saturating_sub(after) as usize;
        // A period needs the reading before it too.
        let first = kept.len().saturating_sub(new + 1);
        let readings: Vec<_> = kept.iter().skip(first).cloned().collect();
        drop(kept);
        let periods = readings.windows(2).map(|pair| Figures::between(&pair[0], &pair[1]));
        (periods.collect(), count)
    }

    /// How many readings there were before those of the last `past`, and what says when there are more.
    pub(crate) fn from(&self, past: Duration) -> (u64, watch::Receiver<u64>) {
        let periods = past.as_secs() / PERIOD.as_secs();
        let count = self.count.subscribe();
        let newest = *count.borrow();
        (newest.saturating_sub(periods), count)
    }
}

/// The newest reading that lies at least so long before, or the oldest.
fn begin_of(kept: &VecDeque<Arc<Reading>>, now: &Reading, window: Duration) -> Option<Arc<Reading>> {
    let before = kept.iter().rev().find(|reading| now.at.saturating_duration_since(reading.at) >= window);
    before.or(kept.front()).cloned()
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, Registry};

    use super::reading::CALLS;
    use super::*;

    /// A registry and what counts into it.
    fn registry() -> (Registry, HistogramVec) {
        let options = HistogramOpts::new(CALLS, "how long calls take").buckets(vec![0.001, 0.01, 0.1]);
        let calls = HistogramVec::new(options, &["rpc_method", "rpc_response_status_code"]).unwrap();
        let registry = Registry::new();
        registry.register(Box::new(calls.clone())).unwrap();
        (registry, calls)
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_has_the_calls_that_ended_in_it() {
        let (registry, calls) = registry();
        let samples = Samples::new(registry, HashSet::from(["A/Watch"]));
        for _ in 0..100 {
            calls.with_label_values(&["A/Get", "OK"]).observe(0.005);
        }
        calls.with_label_values(&["A/Get", "NOT_FOUND"]).observe(0.05);
        calls.with_label_values(&["A/Watch", "CANCELLED"]).observe(60.0);
        tokio::time::advance(PERIOD * 2).await;
        samples.take();
        tokio::time::advance(PERIOD).await;
        calls.with_label_values(&["A/Get", "OK"]).observe(0.0005);

        let methods = samples.methods(&[PERIOD, PAST]);
        let names: Vec<_> = methods.iter().map(|method| method.method.as_deref()).collect();
        assert_eq!(names, [None, Some("A/Get"), Some("A/Watch")]);
        let [lately, all] = &methods[0].windows[..] else { panic!("two windows") };
        assert_eq!((lately.count(), lately.seconds), (1, 5.0));
        assert_eq!((all.count(), all.seconds), (103, 15.0));
        assert_eq!(all.by_code["OK"], 101);
        // 101 of the 102 that are no streams lie below 0.01, the first of them below 0.001.
        let latencies = all.latencies.unwrap();
        assert!((0.001..0.01).contains(&latencies.p50) && latencies.p99 < 0.01, "{latencies:?}");
        assert_eq!(methods[2].windows[1].latencies, None, "how long one watches says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn periods_are_told_once_and_in_order() {
        let (registry, calls) = registry();
        let samples = Samples::new(registry, HashSet::new());
        for count in 1..=3 {
            for _ in 0..count {
                calls.with_label_values(&["A/Get", "OK"]).observe(0.005);
            }
            tokio::time::advance(PERIOD).await;
            samples.take();
        }
        let counts = |figures: &[Figures]| figures.iter().map(|it| it.calls.count()).collect::<Vec<_>>();
        let (from, _) = samples.from(PAST);
        let (periods, seen) = samples.since(from);
        assert_eq!(counts(&periods), [1, 2, 3]);
        assert_eq!(counts(&samples.since(seen).0), [0; 0]);
        let (from, _) = samples.from(PERIOD);
        assert_eq!(counts(&samples.since(from).0), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_kept_than_a_quarter_of_an_hour() {
        let (registry, _) = registry();
        let samples = Samples::new(registry, HashSet::new());
        for _ in 0..2 * READINGS {
            tokio::time::advance(PERIOD).await;
            samples.take();
        }
        assert_eq!(samples.since(0).0.len(), READINGS - 1);
    }
}
