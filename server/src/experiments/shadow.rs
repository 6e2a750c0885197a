//! What is known of a model that answers unseen, beside the arms.

use marquee_experiments::Moments;

use super::definition::Experiment;
use super::tally::Sums;

/// What is known of the model in the shadow.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowResults {
    /// The model.
    pub model_version: String,
    /// Answers that it was compared with.
    pub answers: u64,
    /// How many it did not give.
    pub failures: u64,
    /// The mean share of an answer that it answers too.
    pub overlap: Option<f64>,
    /// The mean of Kendall's tau.
    pub rank_correlation: Option<f64>,
    /// The mean of how long it took.
    pub milliseconds: Option<f64>,
    /// The mean of how long the answers took.
    pub answer_milliseconds: Option<f64>,
}

/// Reads what the sums say of the model in the shadow; `None` where there is none.
pub(super) fn read(experiment: &Experiment, sums: &Sums) -> Option<ShadowResults> {
    let definition = &experiment.definition;
    let shadow = definition.shadow.as_ref()?;
    let of = |place: usize| {
        let mut all = Moments::default();
        for arm in &sums.arms {
            all += arm.metrics.get(definition.metrics.len() + place).copied().unwrap_or_default();
        }
        (all.sum(), all.other_sum())
    };
    let mean = |place: usize| {
        let (sum, count) = of(place);
        (count > 0.0).then(|| sum / count)
    };
    let (failures, answers) = of(4);
    Some(ShadowResults {
        model_version: shadow.model_version.clone(),
        answers: answers.round() as u64,
        failures: failures.round() as u64,
        overlap: mean(0),
        rank_correlation: mean(1),
        milliseconds: mean(2),
        answer_milliseconds: mean(3),
    })
}
