//! What is known of two rankings that are merged in one answer: which is preferred.

use marquee_experiments::{Amount, Effect, Interval, Measure, Moments, Row, Sequence, summaries};

use super::definition::Experiment;
use super::tally::Sums;

/// Which of two rankings is preferred.
#[derive(Clone, Debug, PartialEq)]
pub struct PreferenceResults {
    /// The goal.
    pub name: String,
    /// The second arm.
    pub arm: String,
    /// Answers of which something was taken.
    pub answers: u64,
    /// The share of them that the second arm won.
    pub share: f64,
    /// Where that is, always valid.
    pub always_valid: Option<Interval>,
    /// How unlikely such evidence is where none is preferred.
    pub p_value: f64,
}

/// Reads the sums of merged answers, whose users are all counted in the first arm.
pub(super) fn read(experiment: &Experiment, sums: &Sums) -> PreferenceResults {
    let definition = &experiment.definition;
    let counted = sums.arms.first().and_then(|arm| arm.metrics.first());
    let mut moments: Moments = counted.copied().unwrap_or_default();
    let answers = moments.other_sum().round() as u64;
    // Where one arm won all there is a variance too.
    let answer = |value| Row { value, other: Amount::ONE };
    moments += Moments::of([Amount::ZERO, Amount::ONE].map(answer));
    let summary = summaries(Measure::Ratio, &[moments])[0];
    let (sequence, effect) = (Sequence::new(definition.alpha), Effect::of_mean(&summary));
    let bounded = |Interval { estimate, lower, upper }| Interval {
        estimate,
        lower: lower.max(0.0),
        upper: upper.min(1.0),
    };
    PreferenceResults {
        name: definition.metrics.first().map(|metric| metric.name.clone()).unwrap_or_default(),
        arm: definition.arms[1].name.clone(),
        answers,
        share: summary.mean,
        always_valid: effect.map(|effect| bounded(sequence.interval(&effect))),
        p_value: effect.map_or(1.0, |effect| sequence.p_value(&effect, 0.5)),
    }
}
