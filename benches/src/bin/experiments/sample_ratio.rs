//! How often arms of the right sizes raise an alarm, and how soon arms of wrong ones do.

use marquee_experiments::SampleRatio;
use rand::rngs::StdRng;
use rand_distr::{Binomial, Distribution as _};

use crate::{Figure, Size, USERS_A_LOOK, runs};

/// Below which p-value it is an alarm.
const ALARM: f64 = 0.01;
/// Users past which nobody looks.
const USERS: u64 = 200_000;

/// False alarms of halves, and alarms of 51 to 49.
pub(crate) fn alarms(size: Size) -> Vec<Figure> {
    let of = |share: f64, seed| runs::of(size.runs, seed, |random| alarm_after(share, random));
    let (right, wrong) = (of(0.5, size.seed + 3), of(0.51, size.seed + 4));
    let mut after: Vec<u64> = wrong.iter().copied().flatten().collect();
    after.sort_unstable();
    let median = after.get(wrong.len() / 2).copied().unwrap_or(USERS);
    let figure = |name, what: String, value, promised| Figure { name, what, value, promised };
    vec![
        figure(
            "srm_false_alarm_rate",
            format!("halves raise an alarm within {USERS} users"),
            runs::share(right.iter().map(Option::is_some)),
            "at most 0.01",
        ),
        figure(
            "srm_detection_rate_51_49",
            format!("51 to 49 raises an alarm within {USERS} users"),
            runs::share(wrong.iter().map(Option::is_some)),
            "",
        ),
        figure("srm_detection_users_51_49", "users until half of these have".to_owned(), median as f64, ""),
    ]
}

/// After how many users there is an alarm, when one arm gets this share of them instead of half.
fn alarm_after(share: f64, random: &mut StdRng) -> Option<u64> {
    let test = SampleRatio::new(&[0.5, 0.5]);
    let of_a_look = Binomial::new(USERS_A_LOOK, share).expect("the share is between 0 and 1");
    let mut counts = [0; 2];
    (1..=USERS / USERS_A_LOOK).map(|look| look * USERS_A_LOOK).find(|users| {
        counts[0] += of_a_look.sample(random);
        counts[1] = users - counts[0];
        test.p_value(&counts) < ALARM
    })
}
