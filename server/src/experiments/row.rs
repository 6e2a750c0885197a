//! What is counted of one user in one experiment: a function of the user's own history, and of the answers that are
//! recorded of it where a metric is made of these.
//!
//! The row is computed anew from both whenever the user did something or was answered, so that what is seen twice counts
//! once and what was missed is made up for.

use std::collections::BTreeSet;

use marquee_core::domain::{Interaction, Kind, TimeMs};
use marquee_experiments::{Amount, Row as Values};
use serde::{Deserialize, Serialize};

use super::definition::{Definition, Metric, What};
use super::interleaving;
use super::records::{Answer, BUCKET_MS, Compared, Records};

/// The row of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UserRow {
    /// The place of the arm of the first answer.
    pub(super) arm: usize,
    /// When that was.
    pub(super) first_ms: TimeMs,
    /// By which shares the user was divided.
    pub(super) phase: u32,
    /// Whether there was an answer of another arm later.
    #[serde(default)]
    pub(super) crossed: bool,
    /// For each metric, what the user counts for, and what is beside that; then the same of the model in the shadow.
    pub(super) values: Vec<(Amount, Amount)>,
}

impl UserRow {
    /// The row of a user with a first answer, before anything is counted.
    pub(super) fn new(arm: usize, first_ms: TimeMs, phase: u32) -> Self {
        Self { arm, first_ms, phase, crossed: false, values: Vec::new() }
    }

    /// Counts what the user did, before the first answer and since. Without the answers, which are kept for a time only, what
    /// is made of them stays as it was.
    pub(super) fn count(
        &mut self,
        definition: &Definition,
        events: &[Interaction],
        records: Option<&Records>,
    ) {
        let window = definition.window_ms;
        let within = |from: TimeMs, until: TimeMs| {
            events.iter().filter(move |event| (from..until).contains(&event.time_ms))
        };
        let first = self.first_ms;
        let values = definition.metrics.iter().enumerate().map(|(place, metric)| {
            let after = within(first, first.saturating_add(window));
            if metric.what.is_of_answers() {
                let kept = || self.values.get(place).copied().unwrap_or_default();
                return records.map_or_else(kept, |records| metric.of_answers(after, &records.answers));
            }
            if metric.what == What::TimeToFirst {
                return (metric.time_to_first(after, first, window), Amount::ZERO);
            }
            let before = within(first.saturating_sub(window), first);
            metric.of(after, before)
        });
        let mut values: Vec<_> = values.collect();
        if definition.shadow.is_some() {
            match records {
                Some(records) => values.extend(Compared::sums(&records.compared)),
                None => values.extend(self.values.get(values.len()..).unwrap_or_default()),
            }
        }
        self.values = values;
    }

    /// What the user adds to the sums of each metric.
    pub(super) fn values(&self) -> impl Iterator<Item = Values> {
        self.values.iter().map(|(value, other)| Values { value: *value, other: *other })
    }
}

impl Metric {
    /// What a user counts for, and what is beside that: what was done before, or the number of ratings.
    fn of<'a>(
        &self,
        after: impl Iterator<Item = &'a Interaction>,
        before: impl Iterator<Item = &'a Interaction>,
    ) -> (Amount, Amount) {
        match self.what {
            What::Conversion => {
                let did = after.into_iter().any(|event| self.counts(event.kind));
                (if did { Amount::ONE } else { Amount::ZERO }, Amount::ZERO)
            }
            What::Count | What::Value => (self.capped(self.worth(after)), self.capped(self.worth(before))),
            What::MeanRating => {
                let ratings = after.filter(|event| event.kind == Kind::Rating);
                let stars = ratings.filter_map(|event| Some(event.rating?.stars()));
                let sums = stars.fold((0.0, 0.0), |(sum, count), stars| (sum + stars, count + 1.0));
                (Amount::new(sums.0), Amount::new(sums.1))
            }
            What::TimeToFirst
            | What::TakenAtK
            | What::AnswerNdcg
            | What::AnswerMilliseconds
            | What::Answered
            | What::Preference => (Amount::ZERO, Amount::ZERO),
        }
    }

    /// Seconds from the first answer to the first of it; the whole window where there is none.
    fn time_to_first<'a>(
        &self,
        after: impl Iterator<Item = &'a Interaction>,
        first: TimeMs,
        window: TimeMs,
    ) -> Amount {
        let times = after.filter(|event| self.counts(event.kind)).map(|event| event.time_ms - first);
        self.capped(times.min().unwrap_or(window) as f64 / 1_000.0)
    }

    /// What a user counts for by the answers, and of how many that is.
    fn of_answers<'a>(
        &self,
        after: impl Iterator<Item = &'a Interaction>,
        answers: &[Answer],
    ) -> (Amount, Amount) {
        let events: Vec<&Interaction> = after.filter(|event| self.counts(event.kind)).collect();
        let came = || answers.iter().filter(|answer| !answer.failed);
        match self.what {
            What::TakenAtK => {
                let did = came().any(|answer| self.taken(answer, &events).next().is_some());
                (if did { Amount::ONE } else { Amount::ZERO }, Amount::ZERO)
            }
            What::AnswerNdcg => {
                let sum = came().map(|answer| ndcg(self.taken(answer, &events))).sum();
                (Amount::new(sum), Amount::new(came().count() as f64))
            }
            What::AnswerMilliseconds => {
                let took = || came().filter_map(|answer| answer.took_us);
                let capped = |took_us: u64| self.capped(took_us as f64 / 1_000.0).value();
                (Amount::new(took().map(capped).sum()), Amount::new(took().count() as f64))
            }
            What::Preference => interleaving::won(&events, answers),
            _ => {
                let hours = |failed: bool| -> BTreeSet<TimeMs> {
                    let those = answers.iter().filter(|answer| answer.failed || !failed);
                    those.map(|answer| answer.time_ms / BUCKET_MS).collect()
                };
                let (all, lost) = (hours(false).len(), hours(true).len());
                (Amount::new((all - lost) as f64), Amount::new(all as f64))
            }
        }
    }

    /// The places, from 0, of an answer's first movies that were taken after it.
    fn taken(&self, answer: &Answer, events: &[&Interaction]) -> impl Iterator<Item = usize> {
        let is_taken = move |movie_id: u32| {
            events.iter().any(|event| event.movie_id == movie_id && event.time_ms >= answer.time_ms)
        };
        let first = answer.items.iter().take(self.top as usize).enumerate();
        first.filter(move |(_, (movie_id, _))| is_taken(*movie_id)).map(|(place, _)| place)
    }

    fn worth<'a>(&self, events: impl Iterator<Item = &'a Interaction>) -> f64 {
        let counted = events.filter(|event| self.counts(event.kind));
        match self.what {
            What::Value => counted.map(|event| self.value_of(event.kind)).sum(),
            _ => counted.count() as f64,
        }
    }

    fn capped(&self, value: f64) -> Amount {
        Amount::new(self.cap.map_or(value, |cap| value.min(cap)))
    }
}

/// How high the taken places of a list are, as a share of how high they could be; 0 of none.
fn ndcg(taken: impl Iterator<Item = usize>) -> f64 {
    let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let (found, sum) = taken.fold((0, 0.0), |(found, sum), place| (found + 1, sum + gain(place)));
    if found == 0 { 0.0 } else { sum / (0..found).map(gain).sum::<f64>() }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::Rating;

    use super::super::definition::{ExperimentKind, Purpose};
    use super::*;

    const HOUR: TimeMs = BUCKET_MS;

    fn metric(what: What) -> Metric {
        Metric { what, purpose: Purpose::Information, ..Metric::conversion() }
    }

    fn view(movie_id: u32, time_ms: TimeMs) -> Interaction {
        Interaction { user_id: 1, movie_id, time_ms, kind: Kind::View, rating: None }
    }

    fn answer(time_ms: TimeMs, movies: &[u32]) -> Answer {
        let items = movies.iter().map(|movie_id| (*movie_id, None)).collect();
        Answer { time_ms, items, arms: Vec::new(), took_us: Some(4_000), failed: false }
    }

    fn failed(time_ms: TimeMs) -> Answer {
        Answer { failed: true, took_us: None, ..answer(time_ms, &[]) }
    }

    /// What a metric makes of a user: the value, and what is beside it.
    fn counted(metric: &Metric, events: &[Interaction], answers: &[Answer]) -> (f64, f64) {
        let (value, other) = metric.of_answers(events.iter(), answers);
        (value.value(), other.value())
    }

    #[test]
    fn the_time_to_the_first_event_is_in_seconds_and_without_one_the_window() {
        let metric = metric(What::TimeToFirst);
        let time = |events: &[Interaction]| metric.time_to_first(events.iter(), 1_000, 60_000);
        assert_eq!(time(&[view(1, 31_000), view(2, 3_500)]), Amount::new(2.5));
        assert_eq!(time(&[]), Amount::new(60.0));
        let capped = Metric { cap: Some(20.0), ..metric };
        assert_eq!(capped.time_to_first([].iter(), 1_000, 60_000), Amount::new(20.0));
    }

    #[test]
    fn what_was_shown_high_enough_and_done_after_it_is_taken() {
        let taken = Metric { top: 2, ..metric(What::TakenAtK) };
        let shown = [answer(1_000, &[7, 8, 9])];
        assert_eq!(counted(&taken, &[view(8, 2_000)], &shown), (1.0, 0.0));
        assert_eq!(counted(&taken, &[view(9, 2_000)], &shown), (0.0, 0.0));
        assert_eq!(counted(&taken, &[view(8, 500)], &shown), (0.0, 0.0));
        let stars = Rating::from_stars(4.0);
        let rated = Interaction { kind: Kind::Rating, rating: stars, ..view(8, 2_000) };
        let views = Metric { kinds: vec![Kind::View as u8], ..taken };
        assert_eq!(counted(&views, &[rated], &shown), (0.0, 0.0));
    }

    #[test]
    fn an_answer_is_worth_more_the_higher_that_stood_which_was_taken() {
        let ndcg = metric(What::AnswerNdcg);
        let shown = [answer(1_000, &[7, 8, 9])];
        assert_eq!(counted(&ndcg, &[view(7, 2_000)], &shown), (1.0, 1.0));
        let third = counted(&ndcg, &[view(9, 2_000)], &shown).0;
        assert!((third - 0.5).abs() < 1e-6, "1 / log2(4) is {third}");
        let both = counted(&ndcg, &[view(7, 2_000), view(9, 2_000)], &shown).0;
        assert!((both - 1.5 / (1.0 + 1.0 / 3_f64.log2())).abs() < 1e-6, "{both}");
        assert_eq!(counted(&ndcg, &[], &[answer(1_000, &[7]), answer(HOUR, &[8])]), (0.0, 2.0));
    }

    #[test]
    fn an_hour_in_which_an_answer_failed_is_lost_whatever_else_came() {
        let answered = metric(What::Answered);
        let answers = [answer(1, &[7]), failed(2), answer(HOUR, &[7]), failed(2 * HOUR)];
        assert_eq!(counted(&answered, &[], &answers), (1.0, 3.0));
    }

    #[test]
    fn answers_that_failed_have_no_time() {
        let took = metric(What::AnswerMilliseconds);
        assert_eq!(counted(&took, &[], &[answer(1, &[7]), failed(2)]), (4.0, 1.0));
    }

    #[test]
    fn without_the_answers_what_was_made_of_them_stays() {
        let metrics = vec![metric(What::AnswerMilliseconds), metric(What::Conversion)];
        let definition = Definition {
            name: "lists".to_owned(),
            layer: "ranking".to_owned(),
            description: String::new(),
            arms: Vec::new(),
            metrics,
            traffic: 1.0,
            target: marquee_experiments::Target::default(),
            alpha: 0.05,
            window_ms: HOUR,
            shadow: None,
            kind: ExperimentKind::Split,
        };
        let mut row = UserRow::new(0, 0, 0);
        let records = Records { answers: vec![answer(1, &[7])], compared: Vec::new() };
        row.count(&definition, &[], Some(&records));
        row.count(&definition, &[view(1, 2)], None);
        let values: Vec<Amount> = row.values().map(|row| row.value).collect();
        assert_eq!(values, [4.0, 1.0].map(Amount::new));
    }
}
