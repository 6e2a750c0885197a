//! Whether one call more can be answered in time.
//!
//! Calls are counted while they are in flight, and [`Capacity`] says how fast they leave, so the time that a new
//! one will take is known before anything is done for it. One that would not be answered with some [`RESERVE`] in
//! the time that its caller gives is refused: then those that are let in are answered in time, and the server
//! does nothing for those that are not. The time that it has waited already counts: it is the runtime's lateness.
//!
//! Who waits for an answer goes first: what nobody waits for stands behind all calls, a call that somebody waits
//! for only behind its own kind, as in the engine.
//!
//! On a call's way there are a few atomics; every [`LOOK`] one of the callers takes stock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marquee_engine::Priority;
use tokio::time::Instant;

use super::capacity::{Capacity, Ended};

/// The part of a call's time that is kept for what is not foreseen, and for the way back: half of it, and no more
/// than this. On a processor that many threads share each of them waits for some milliseconds now and then.
const RESERVE: Duration = Duration::from_millis(30);
/// The time of a call whose caller gives none.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many calls are always let in, unless calls come too late behind the gate: with few, a prediction says little,
/// and refusing saves nothing.
const FEW: u64 = 16;
/// How often stock is taken.
const LOOK: Duration = Duration::from_millis(5);

/// A call at the gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// When its bytes could be read.
    pub(super) at: Instant,
    /// The time that its caller gives; none was named when `None`.
    pub(super) timeout: Option<Duration>,
    pub(super) priority: Priority,
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its time was over before the server came to it.
    Late,
    /// It would not be answered in time: the calls before it take so long.
    Overloaded(Duration),
}

/// What was known of a call that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foresight {
    /// It would be answered in time.
    InTime,
    /// Nothing: it has hardly any time, or the server was not busy lately.
    None,
}

/// What one call knows of the whole server.
#[derive(Debug)]
pub(super) struct Gate {
    made: Instant,
    in_flight: [AtomicU64; 2],
    refused: [AtomicU64; 2],
    ended: AtomicU64,
    took_us: AtomicU64,
    in_vain: AtomicU64,
    /// Nanoseconds that a new call is to reckon with for each that is before it; 0 when that is not known.
    each_ns: AtomicU64,
    /// How many calls are few now.
    few: AtomicU64,
    /// Microseconds after `made`.
    next_look_us: AtomicU64,
    capacity: Mutex<Capacity>,
}

impl Gate {
    /// A gate that lets all in until it knows better.
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            made: now,
            in_flight: Default::default(),
            refused: Default::default(),
            ended: AtomicU64::new(0),
            took_us: AtomicU64::new(0),
            in_vain: AtomicU64::new(0),
            each_ns: AtomicU64::new(0),
            few: AtomicU64::new(FEW),
            next_look_us: AtomicU64::new(LOOK.as_micros() as u64),
            capacity: Mutex::new(Capacity::new(now)),
        })
    }

    /// Lets a call in, or says why not.
    pub(super) fn enter(self: &Arc<Self>, now: Instant, call: Arrived) -> Result<Ticket, Refusal> {
        let foresight = self.admit(now, call)?;
        self.in_flight(call.priority).fetch_add(1, Ordering::Relaxed);
        let priority = AtomicU8::new(class(call.priority) as u8);
        Ok(Ticket { gate: Arc::clone(self), entered: now, call, foresight, priority })
    }

    fn admit(&self, now: Instant, call: Arrived) -> Result<Foresight, Refusal> {
        self.foresee(now, call).inspect_err(|refusal| self.refused(*refusal))
    }

    fn foresee(&self, now: Instant, call: Arrived) -> Result<Foresight, Refusal> {
        let waited = now.saturating_duration_since(call.at);
        let timeout = call.timeout.unwrap_or(PATIENCE);
        if waited >= timeout {
            return Err(Refusal::Late);
        }
        let (ahead, each_ns) = (self.ahead(call.priority), self.each_ns.load(Ordering::Relaxed));
        let expected = Duration::from_nanos(each_ns.saturating_mul(ahead));
        let is_late = waited + expected + RESERVE.min(timeout / 2) > timeout;
        if is_late && ahead >= self.few.load(Ordering::Relaxed) {
            return Err(Refusal::Overloaded(expected));
        }
        // Of a caller in great haste nothing is learnt.
        let has_time = each_ns > 0 && timeout >= Duration::from_nanos(each_ns.saturating_mul(FEW));
        Ok(if has_time { Foresight::InTime } else { Foresight::None })
    }

    /// The calls that go before a new one.
    fn ahead(&self, priority: Priority) -> u64 {
        let interactive = self.calls(Priority::Interactive);
        match priority {
            Priority::Interactive => interactive,
            Priority::Bulk => interactive + self.calls(Priority::Bulk),
        }
    }

    /// The calls in flight.
    pub(super) fn calls(&self, priority: Priority) -> u64 {
        self.in_flight(priority).load(Ordering::Relaxed)
    }

    /// The calls a second that the server answers when it is busy; `None` when that is not known.
    pub(super) fn capacity(&self) -> Option<f64> {
        self.capacity.lock().unwrap_or_else(PoisonError::into_inner).pace()
    }

    /// The calls that were refused because they came too late, and because too many were before them.
    pub(super) fn refusals(&self) -> [u64; 2] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn refused(&self, refusal: Refusal) {
        let count = match refusal {
            Refusal::Late => &self.refused[0],
            Refusal::Overloaded(_) => &self.refused[1],
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn in_flight(&self, priority: Priority) -> &AtomicU64 {
        &self.in_flight[class(priority)]
    }

    fn answered(&self, now: Instant, took: Duration) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.took_us.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.take_stock(now);
    }

    fn in_vain(&self, now: Instant) {
        self.in_vain.fetch_add(1, Ordering::Relaxed);
        self.take_stock(now);
    }

    /// Looks at what ended, if it is time and nobody else does.
    fn take_stock(&self, now: Instant) {
        let now_us = now.saturating_duration_since(self.made).as_micros() as u64;
        let due_us = self.next_look_us.load(Ordering::Relaxed);
        let next_us = now_us + LOOK.as_micros() as u64;
        let turn = |from| {
            self.next_look_us.compare_exchange(from, next_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if now_us >= due_us && turn(due_us) {
            self.look(now);
        }
    }

    fn look(&self, now: Instant) {
        let mut capacity = self.capacity.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = self.ended.swap(0, Ordering::Relaxed);
        let took = Duration::from_micros(self.took_us.swap(0, Ordering::Relaxed));
        let in_vain = self.in_vain.swap(0, Ordering::Relaxed);
        let reckoning = capacity.look(now, Ended { calls, took, in_vain });
        let each_ns = reckoning.map_or(0, |reckoning| reckoning.each.as_nanos() as u64);
        let few = reckoning.map_or(FEW, |reckoning| (FEW as f64 / reckoning.stretch) as u64);
        self.each_ns.store(each_ns, Ordering::Relaxed);
        self.few.store(few, Ordering::Relaxed);
    }
}

/// A call in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    entered: Instant,
    call: Arrived,
    foresight: Foresight,
    priority: AtomicU8,
}

impl Ticket {
    /// The call has been answered.
    pub(super) fn answered(&self, now: Instant) {
        self.gate.answered(now, now.saturating_duration_since(self.entered));
    }

    /// The call has not been answered in time.
    pub(super) fn in_vain(&self, now: Instant) {
        match self.foresight {
            Foresight::InTime => self.gate.in_vain(now),
            Foresight::None => {}
        }
    }

    /// Nobody waits for the call's answer: it stands behind all others from here on, or is let in no longer.
    pub(super) fn is_bulk(&self, now: Instant) -> Result<(), Refusal> {
        let (bulk, gate) = (Arrived { priority: Priority::Bulk, ..self.call }, &self.gate);
        let before = self.priority.swap(class(Priority::Bulk) as u8, Ordering::Relaxed);
        if usize::from(before) == class(Priority::Bulk) {
            return Ok(());
        }
        gate.in_flight(Priority::Interactive).fetch_sub(1, Ordering::Relaxed);
        let admitted = gate.admit(now, bulk).map(|_| ());
        gate.in_flight(Priority::Bulk).fetch_add(1, Ordering::Relaxed);
        admitted
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.in_flight[usize::from(*self.priority.get_mut())].fetch_sub(1, Ordering::Relaxed);
    }
}

fn class(priority: Priority) -> usize {
    match priority {
        Priority::Interactive => 0,
        Priority::Bulk => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A gate that has seen a busy server answer one call in a millisecond, and the time.
    fn busy() -> (Arc<Gate>, Instant) {
        let made = Instant::now();
        let gate = Gate::new(made);
        (0..100).for_each(|_| gate.answered(made, 20 * MS));
        let now = made + 100 * MS;
        gate.look(now);
        assert_eq!(gate.capacity().map(f64::round), Some(1000.0));
        (gate, now)
    }

    fn call(at: Instant, timeout: Option<Duration>, priority: Priority) -> Arrived {
        Arrived { at, timeout, priority }
    }

    /// Lets in so many calls of this priority that have time.
    fn enter(gate: &Arc<Gate>, now: Instant, priority: Priority, calls: usize) -> Vec<Ticket> {
        (0..calls).map(|_| gate.enter(now, call(now, None, priority)).unwrap()).collect()
    }

    fn verdict(gate: &Arc<Gate>, now: Instant, call: Arrived) -> Option<Refusal> {
        gate.enter(now, call).err()
    }

    #[test]
    fn a_call_that_would_be_answered_too_late_is_refused() {
        let (gate, now) = busy();
        let _in_flight = enter(&gate, now, Priority::Interactive, 60);
        let with = |timeout| verdict(&gate, now, call(now, Some(timeout), Priority::Interactive));
        assert_eq!(with(89 * MS), Some(Refusal::Overloaded(60 * MS)));
        assert_eq!(with(90 * MS), None);
    }

    #[test]
    fn half_of_a_short_time_is_enough() {
        let (gate, now) = busy();
        let _in_flight = enter(&gate, now, Priority::Interactive, 20);
        let with = |timeout| verdict(&gate, now, call(now, Some(timeout), Priority::Interactive));
        assert_eq!(with(39 * MS), Some(Refusal::Overloaded(20 * MS)));
        assert_eq!(with(40 * MS), None);
    }

    #[test]
    fn the_time_that_a_call_has_waited_counts() {
        let (gate, now) = busy();
        let _in_flight = enter(&gate, now, Priority::Interactive, 60);
        let waited = |wait| verdict(&gate, now + wait, call(now, Some(100 * MS), Priority::Interactive));
        assert_eq!(waited(10 * MS), None);
        assert_eq!(waited(11 * MS), Some(Refusal::Overloaded(60 * MS)));
    }

    #[test]
    fn a_call_whose_time_is_over_is_refused_even_by_an_idle_server() {
        let now = Instant::now();
        let late = call(now, Some(50 * MS), Priority::Interactive);
        assert_eq!(verdict(&Gate::new(now), now + 50 * MS, late), Some(Refusal::Late));
    }

    #[test]
    fn a_few_calls_are_always_let_in() {
        let (gate, now) = busy();
        let hasty = call(now, Some(2 * MS), Priority::Interactive);
        let mut in_flight = enter(&gate, now, Priority::Interactive, FEW as usize - 1);
        in_flight.push(gate.enter(now, hasty).unwrap());
        assert_eq!(verdict(&gate, now, hasty), Some(Refusal::Overloaded(FEW as u32 * MS)));
    }

    #[test]
    fn fewer_are_let_in_when_calls_come_too_late_behind_the_gate() {
        let (gate, now) = busy();
        let in_flight = enter(&gate, now, Priority::Interactive, FEW as usize - 1);
        let brief = call(now, Some(20 * MS), Priority::Interactive);
        assert_eq!(verdict(&gate, now, brief), None);
        for look in 1..100 {
            for ticket in &in_flight {
                ticket.answered(now + 20 * MS);
            }
            for ticket in &in_flight {
                ticket.in_vain(now + 20 * MS);
            }
            gate.look(now + 20 * look * MS);
        }
        let later = now + 1980 * MS;
        assert!(verdict(&gate, later, call(later, Some(20 * MS), Priority::Interactive)).is_some());
    }

    #[test]
    fn a_server_that_was_never_busy_lets_all_in() {
        let now = Instant::now();
        let gate = Gate::new(now);
        let _in_flight = enter(&gate, now, Priority::Interactive, 5000);
        assert_eq!(verdict(&gate, now, call(now, Some(MS), Priority::Interactive)), None);
    }

    #[test]
    fn a_call_is_in_flight_until_its_ticket_is_dropped() {
        let (gate, now) = busy();
        let in_flight = enter(&gate, now, Priority::Interactive, 60);
        assert_eq!(gate.calls(Priority::Interactive), 60);
        drop(in_flight);
        assert_eq!(gate.calls(Priority::Interactive), 0);
    }

    #[test]
    fn calls_that_nobody_waits_for_do_not_hold_up_those_that_somebody_does() {
        let (gate, now) = busy();
        let _in_flight = enter(&gate, now, Priority::Bulk, 500);
        assert_eq!(verdict(&gate, now, call(now, Some(50 * MS), Priority::Interactive)), None);
        let bulk = verdict(&gate, now, call(now, Some(50 * MS), Priority::Bulk));
        assert_eq!(bulk, Some(Refusal::Overloaded(500 * MS)));
    }

    #[test]
    fn a_call_that_turns_out_to_be_bulk_goes_to_the_end_of_the_line() {
        let (gate, now) = busy();
        let _in_flight = enter(&gate, now, Priority::Bulk, 500);
        let ticket = gate.enter(now, call(now, Some(50 * MS), Priority::Interactive)).unwrap();
        assert_eq!(ticket.is_bulk(now), Err(Refusal::Overloaded(500 * MS)));
        assert_eq!((gate.calls(Priority::Interactive), gate.calls(Priority::Bulk)), (0, 501));
        assert_eq!(ticket.is_bulk(now), Ok(()));
        drop(ticket);
        assert_eq!((gate.calls(Priority::Interactive), gate.calls(Priority::Bulk)), (0, 500));
        assert_eq!(gate.refusals(), [0, 1]);
    }
}
