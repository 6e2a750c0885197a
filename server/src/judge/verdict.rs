//! Whether a version may take the place of the one in service.
//!
//! It need not be better: a version that was trained on newer events is wanted even where the difference cannot be seen.
//! It must not be worse by more than a margin, with 95% certainty, so that too few users are a reason to refuse and not to
//! accept; nor narrower, slower or larger by more than is said. One in service that answers nobody, as the bundled model
//! does over a catalogue of one's own, is no measure of time and memory, and neither is asked for then.

use std::time::Duration;

use super::models::Comparison;

/// The figures of which the margin is asked.
const ACCURACY: [&str; 2] = ["ndcg@10", "recall@10"];

/// What a version may be at the most and at the least, in percent of what the one in service is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// By how much nDCG@10 and recall@10 may be lower.
    pub margin: f64,
    /// The least coverage of the catalogue.
    pub least_coverage: f64,
    /// The most that 95 of 100 answers may take.
    pub most_latency: f64,
    /// The most memory.
    pub most_memory: f64,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether it may take the place.
    pub accepted: bool,
    /// Why not, a sentence each; what it is at least or at most, where it may.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Of a comparison, and the bytes that the version in service and the candidate take.
    pub fn of(found: &Comparison, memory: [u64; 2], bounds: &Bounds) -> Self {
        let accuracy = ACCURACY.into_iter().map(|name| accuracy(found, name, bounds.margin));
        let coverage = found.figure("coverage@10").map_or(Ok(String::new()), |(old, new, _)| {
            at_least("coverage@10", new, old, bounds.least_coverage)
        });
        let costs = match found.latency {
            [Some(old), Some(new)] => costs([old, new], memory, bounds).to_vec(),
            _ => Vec::new(),
        };
        let all: Vec<Result<String, String>> = accuracy.chain([coverage]).chain(costs).collect();
        let refusals: Vec<String> = all.iter().filter_map(|one| one.clone().err()).collect();
        if refusals.is_empty() {
            let kept = all.into_iter().filter_map(Result::ok).filter(|text| !text.is_empty());
            return Self { accepted: true, reasons: kept.collect() };
        }
        Self { accepted: false, reasons: refusals }
    }
}

/// Whether a figure is certainly not lower by more than the margin.
fn accuracy(found: &Comparison, name: &str, margin: f64) -> Result<String, String> {
    let Some((old, new, difference)) = found.figure(name) else {
        return Err(format!("{name} is not known"));
    };
    let most = old * margin / 100.0;
    let said = format!(
        "{name} is {new:.4} where that in service has {old:.4}, a difference of {:+.4} ({:+.4} to {:+.4})",
        difference.value, difference.low, difference.high
    );
    if difference.low >= -most {
        return Ok(said);
    }
    // NaN, as of one user, is no interval that a margin holds in.
    if difference.high < -most {
        return Err(format!("{said}: worse by more than the margin of {most:.4}"));
    }
    Err(format!(
        "{said}: it cannot be told to be within the margin of {most:.4}; judge more users, or allow more"
    ))
}

/// Whether a version is neither too slow nor too large; of the one in service and of the candidate.
fn costs(latency: [Duration; 2], memory: [u64; 2], bounds: &Bounds) -> [Result<String, String>; 2] {
    let [old_latency, new_latency] = latency.map(|latency| latency.as_secs_f64() * 1e3);
    let [old_memory, new_memory] = memory.map(|bytes| bytes as f64 / f64::from(1 << 20));
    [
        at_most("the latency (ms at p95)", new_latency, old_latency, bounds.most_latency),
        at_most("the memory (MiB)", new_memory, old_memory, bounds.most_memory),
    ]
}

fn at_least(what: &str, new: f64, old: f64, percent: f64) -> Result<String, String> {
    let said = format!("{what} is {new:.4} where that in service has {old:.4}");
    if new >= old * percent / 100.0 { Ok(said) } else { Err(format!("{said}: less than {percent}% of it")) }
}

fn at_most(what: &str, new: f64, old: f64, percent: f64) -> Result<String, String> {
    let said = format!("{what} is {new:.2} where that in service has {old:.2}");
    if new <= old * percent / 100.0 { Ok(said) } else { Err(format!("{said}: more than {percent}% of it")) }
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::super::figures::Figure;
    use super::*;

    const BOUNDS: Bounds =
        Bounds { margin: 10.0, least_coverage: 50.0, most_latency: 200.0, most_memory: 150.0 };

    /// Of users whose gain is `old`, and of `users` of a hundred `new`.
    fn comparison(old: f64, new: f64, users: usize, coverage: [f64; 2]) -> Comparison {
        let row = |name, old: Vec<f64>, new: Vec<f64>| {
            let (plain, chosen) = (Figure::mean(old), Figure::mean(new));
            Row { name, difference: chosen.less(&plain), plain, chosen }
        };
        let gains = || {
            let changed = (0..100).map(|user| if user < users { new } else { old }).collect();
            (vec![old; 100], changed)
        };
        let (ndcg, recall) = (gains(), gains());
        let rows = vec![
            row("ndcg@10", ndcg.0, ndcg.1),
            row("recall@10", recall.0, recall.1),
            row("coverage@10", vec![coverage[0]; 2], vec![coverage[1]; 2]),
        ];
        Comparison { users: 100, rows, overlap: 0.5, latency: [Some(Duration::from_millis(2)); 2] }
    }

    #[track_caller]
    fn assert_refused(found: &Comparison, memory: [u64; 2], words: &[&str]) {
        let Verdict { accepted, reasons } = Verdict::of(found, memory, &BOUNDS);
        assert!(!accepted);
        assert_eq!(reasons.len(), words.len(), "{reasons:?}");
        for (reason, words) in reasons.iter().zip(words) {
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn a_version_that_is_as_good_is_accepted_and_says_by_what() {
        let same = Verdict::of(&comparison(0.2, 0.2, 0, [0.4, 0.4]), [10 << 20, 15 << 20], &BOUNDS);
        assert!(same.accepted, "{same:?}");
        assert!(same.reasons[0].starts_with("ndcg@10 is 0.2000"), "{same:?}");
        assert!(Verdict::of(&comparison(0.2, 0.19, 100, [0.4, 0.2]), [1, 1], &BOUNDS).accepted);
        assert!(Verdict::of(&comparison(0.2, 0.9, 50, [0.4, 0.9]), [1, 1], &BOUNDS).accepted);
    }

    #[test]
    fn one_that_is_worse_by_more_than_the_margin_is_refused() {
        let worse = comparison(0.2, 0.17, 100, [0.4, 0.4]);
        assert_refused(&worse, [1, 1], &["worse by more than the margin", "worse by more than the margin"]);
    }

    #[test]
    fn one_of_which_too_little_is_known_is_refused() {
        let unclear = comparison(0.2, 0.0, 8, [0.4, 0.4]);
        assert_refused(&unclear, [1, 1], &["cannot be told", "cannot be told"]);
        let mut single = comparison(0.2, 0.2, 0, [0.4, 0.4]);
        single.rows[0].difference.low = f64::NAN;
        single.rows[0].difference.high = f64::NAN;
        assert_refused(&single, [1, 1], &["cannot be told"]);
    }

    #[test]
    fn what_one_that_answers_nobody_takes_is_no_measure() {
        let mut first = comparison(0.0, 0.2, 100, [0.0, 0.4]);
        first.latency[0] = None;
        let verdict = Verdict::of(&first, [1 << 20, 9 << 20], &BOUNDS);
        assert!(verdict.accepted, "{verdict:?}");
        assert!(verdict.reasons.iter().all(|reason| !reason.contains("memory")), "{verdict:?}");
    }

    #[test]
    fn one_that_answers_nobody_is_refused() {
        let mut silent = comparison(0.2, 0.0, 100, [0.4, 0.0]);
        silent.latency[1] = None;
        let words = ["worse by more", "worse by more", "less than 50% of it"];
        assert_refused(&silent, [1, 1], &words);
    }

    #[test]
    fn one_that_is_narrower_slower_or_larger_than_it_may_be_is_refused() {
        let mut narrow = comparison(0.2, 0.2, 0, [0.4, 0.19]);
        narrow.latency[1] = Some(Duration::from_millis(5));
        let words = ["less than 50% of it", "more than 200% of it", "more than 150% of it"];
        assert_refused(&narrow, [2 << 20, 4 << 20], &words);
    }
}
