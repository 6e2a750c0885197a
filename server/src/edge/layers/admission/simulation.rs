//! A server in simulated time behind the gate: what of its capacity is left when more calls come than it can answer.

use std::collections::VecDeque;
use std::time::Duration;

use marquee_engine::Priority;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::gate::{Arrived, Gate, Ticket};

/// The time that is simulated; what is answered in the first half of it is not counted.
const TIME: Duration = Duration::from_secs(3);

/// A server that answers one call after another, and who calls it.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// How long an answer takes.
    work: Duration,
    /// How much more comes than can be answered.
    times: f64,
    deadline: Duration,
    seed: u64,
}

/// What became of the calls of the second half.
#[derive(Debug, Default)]
struct Outcome {
    sent: u32,
    in_time: u32,
    late: u32,
}

impl Load {
    /// What the server could answer in the second half.
    fn capacity(self) -> f64 {
        TIME.as_secs_f64() / 2.0 / self.work.as_secs_f64()
    }

    fn run(self) -> Outcome {
        let (began, mut random) = (Instant::now(), StdRng::seed_from_u64(self.seed));
        let gate = Gate::new(began);
        let mut outcome = Outcome::default();
        let mut line: VecDeque<(Ticket, Instant)> = VecDeque::new();
        let (mut now, mut free) = (began, began);
        while now < began + TIME {
            while let Some((ticket, came)) = line.pop_front_if(|(_, came)| free.max(*came) + self.work <= now)
            {
                free = free.max(came) + self.work;
                ticket.answered(free);
                if free >= began + TIME / 2 {
                    let in_time = free <= came + self.deadline;
                    *(if in_time { &mut outcome.in_time } else { &mut outcome.late }) += 1;
                }
            }
            outcome.sent += u32::from(now >= began + TIME / 2);
            let call = Arrived { at: now, timeout: Some(self.deadline), priority: Priority::Interactive };
            line.extend(gate.enter(now, call).ok().map(|ticket| (ticket, now)));
            let gap = -random.random::<f64>().max(f64::MIN_POSITIVE).ln();
            now += self.work.mul_f64(gap / self.times);
        }
        outcome
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn most_of_the_capacity_is_left_however_many_calls_come(
        work_us in 200_u64..2000, times in 1.5..20.0, deadlines in 60_u32..400, seed: u64,
    ) {
        let work = Duration::from_micros(work_us);
        let load = Load { work, times, deadline: deadlines * work, seed };
        let outcome = load.run();
        prop_assert!(f64::from(outcome.in_time) >= 0.9 * load.capacity(), "{load:?}: {outcome:?}");
        prop_assert!(f64::from(outcome.late) <= 0.01 * load.capacity(), "{load:?}: {outcome:?}");
    }

    #[test]
    fn a_server_that_can_answer_them_refuses_none(
        work_us in 200_u64..2000, times in 0.05..0.8, deadlines in 120_u32..400, seed: u64,
    ) {
        let work = Duration::from_micros(work_us);
        let outcome = Load { work, times, deadline: deadlines * work, seed }.run();
        prop_assert!(outcome.in_time + 100 >= outcome.sent && outcome.late == 0, "{outcome:?}");
    }
}
