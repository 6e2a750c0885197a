//! How many calls a second the server ends while it is busy: what tells how long one call more will take.
//!
//! Whatever is scarce, the engine, the runtime, the processors that others use too, calls leave the server at some
//! pace. By Little's law a call that finds n others takes n times the time between two ends. The pace is learnt
//! only while many calls are in flight, since an idle server ends few calls and could end more; and it is
//! forgotten when that was long ago. Nothing is tuned to a machine, a model or a kind of call.
//!
//! Where calls that were let in come too late nevertheless, as where the engine works on many at once and
//! knows better, they are reckoned to take longer, until hardly any does.
//!
//! This is a pure state machine: the time is told, never read.

use std::time::Duration;

use tokio::time::Instant;

/// Mean calls in flight from which the server counts as busy.
const BUSY: f64 = 8.0;
/// The time in which the pace follows most of a change.
const MEMORY: Duration = Duration::from_millis(100);
/// How long a pace holds after the server was busy last.
const HOLDS: Duration = Duration::from_secs(1);
/// The share of calls in vain that is borne.
const BORNE: f64 = 0.05;
/// How much longer calls are reckoned to take after a look at too many in vain, after one at few, and at most.
const LONGER: f64 = 1.05;
const SHORTER: f64 = 0.995;
const LONGEST: f64 = 4.0;

/// What became of calls between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The calls that were answered; refused ones cost nothing that others wait for.
    pub(super) calls: u64,
    /// How long they were in flight, all together.
    pub(super) took: Duration,
    /// Calls that were to be answered in time and were not.
    pub(super) in_vain: u64,
}

/// What a new call is to reckon with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reckoning {
    /// The time for each call that is before it.
    pub(super) each: Duration,
    /// How much longer that is than the pace alone says.
    pub(super) stretch: f64,
}

/// The pace at which a busy server answers.
#[derive(Debug)]
pub(super) struct Capacity {
    looked: Instant,
    /// Calls a second, and when they were seen; `None` when it is not known how many can be answered.
    busy: Option<(f64, Instant)>,
    /// How much longer than by the pace calls are reckoned to take.
    stretch: f64,
}

impl Capacity {
    /// Nothing is known at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { looked: now, busy: None, stretch: 1.0 }
    }

    /// Calls a second while the server is busy; `None` when that is not known.
    pub(super) fn pace(&self) -> Option<f64> {
        self.busy.map(|(pace, _)| pace)
    }

    /// Takes in what ended since the last look; `now` never goes back. `None` when the pace is not known.
    pub(super) fn look(&mut self, now: Instant, ended: Ended) -> Option<Reckoning> {
        let time = now.saturating_duration_since(self.looked).as_secs_f64();
        self.looked = now;
        if time > 0.0 && ended.took.as_secs_f64() / time >= BUSY {
            let seen = ended.calls as f64 / time;
            let weight = time / (time + MEMORY.as_secs_f64());
            let pace = self.busy.map_or(seen, |(before, _)| before + weight * (seen - before));
            self.busy = Some((pace, now));
        }
        self.busy = self.busy.filter(|(_, when)| now.saturating_duration_since(*when) <= HOLDS);
        let is_borne = ended.in_vain as f64 <= BORNE * ended.calls as f64;
        self.stretch = (self.stretch * if is_borne { SHORTER } else { LONGER }).clamp(1.0, LONGEST);
        let stretch = self.stretch;
        self.pace().map(|pace| Reckoning { each: Duration::from_secs_f64(stretch / pace.max(1e-3)), stretch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The time for each call after looks every 20 ms at so many calls, so many of them in flight.
    fn after(
        capacity: &mut Capacity,
        from: Instant,
        looks: u32,
        calls: u64,
        in_flight: u32,
    ) -> Option<Duration> {
        (1..=looks)
            .map(|look| {
                let ended = Ended { calls, took: in_flight * 20 * MS, in_vain: 0 };
                capacity.look(from + look * 20 * MS, ended).map(|reckoning| reckoning.each)
            })
            .last()
            .flatten()
    }

    #[test]
    fn a_busy_server_shows_its_pace() {
        let now = Instant::now();
        assert_eq!(after(&mut Capacity::new(now), now, 3, 20, 64), Some(MS));
    }

    #[test]
    fn an_idle_server_shows_none() {
        let now = Instant::now();
        assert_eq!(after(&mut Capacity::new(now), now, 3, 20, 2), None);
    }

    #[test]
    fn a_change_is_followed_within_a_few_looks() {
        let now = Instant::now();
        let mut capacity = Capacity::new(now);
        after(&mut capacity, now, 20, 20, 64);
        let slower = after(&mut capacity, now + 400 * MS, 20, 5, 64).unwrap();
        assert!(slower > 350 * MS / 100 && slower <= 4 * MS, "{slower:?}");
    }

    #[test]
    fn a_pace_of_long_ago_is_forgotten() {
        let now = Instant::now();
        let mut capacity = Capacity::new(now);
        after(&mut capacity, now, 1, 20, 64);
        assert_eq!(after(&mut capacity, now + 20 * MS, 50, 1, 1), Some(MS));
        assert_eq!(after(&mut capacity, now + 1020 * MS, 1, 1, 1), None);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "the bounds are met exactly")]
    fn calls_in_vain_make_it_careful_and_are_forgotten_slowly() {
        let now = Instant::now();
        let mut capacity = Capacity::new(now);
        let mut look = |look: u32, in_vain| {
            let ended = Ended { calls: 20, took: 64 * 20 * MS, in_vain };
            capacity.look(now + look * 20 * MS, ended).unwrap().stretch
        };
        let mut after =
            |looks: std::ops::Range<u32>, in_vain| looks.map(|n| look(n, in_vain)).last().unwrap();
        let (borne, many) = (after(1..50, 1), after(50..100, 2));
        let (soon, later) = (after(100..110, 0), after(110..600, 0));
        assert!(borne == 1.0 && many == 4.0 && soon > 3.0 && soon < 4.0 && later == 1.0);
    }
}
