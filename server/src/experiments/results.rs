//! What the sums of an experiment say, and what follows from it.

use marquee_experiments::{
    Amount, ArmResults, Conclusion, Decision, Effect, GoalResult, GuardrailResult, Interval, Measure,
    Moments, Preference, Problem, Row, SampleRatio, Sequence, Summary, benjamini_hochberg, decide,
    decide_preference, fixed_horizon, fixed_horizon_p_value, holm, summaries,
};

use super::definition::{Definition, Experiment, ExperimentKind, Metric, Purpose, State, What};
use super::preference::{self, PreferenceResults};
use super::shadow::{self, ShadowResults};
use super::tally::Sums;

/// Fewest users of an arm before anything is concluded.
pub(super) const FEWEST_UNITS: u64 = 100;
/// Below which p-value shares are not kept.
const SAMPLE_RATIO_ALARM: f64 = 0.01;
/// From which share of users on it matters that they were in two arms.
const CROSSED_SHARE: f64 = 0.01;
/// The error with which a guardrail stops an experiment, over all of its guardrails and arms.
const GUARDRAIL_ALPHA: f64 = 0.05;

/// What is known of an experiment by now.
#[derive(Clone, Debug)]
pub struct Results {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// What follows.
    pub decision: Decision,
    /// The users of each arm.
    pub units: Vec<(String, u64)>,
    /// What is known of each metric.
    pub metrics: Vec<MetricResults>,
    /// How unlikely the numbers of users are.
    pub sample_ratio_p_value: f64,
    /// Users who were in two arms.
    pub crossed: u64,
    /// Answers that are not recorded.
    pub lost: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// How the model in the shadow compares.
    pub shadow: Option<ShadowResults>,
    /// Which ranking is preferred, of an interleaving.
    pub preference: Option<PreferenceResults>,
}

/// What is known of a metric.
#[derive(Clone, Debug)]
pub struct MetricResults {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The control's figure.
    pub control: f64,
    /// Of each arm but the control.
    pub arms: Vec<ArmEffect>,
}

/// What an arm does to a metric.
#[derive(Clone, Debug)]
pub struct ArmEffect {
    /// The arm's name.
    pub arm: String,
    /// Its figure.
    pub mean: f64,
    /// The relative effect that is likeliest.
    pub estimate: Option<f64>,
    /// Where it is, always valid.
    pub always_valid: Option<Interval>,
    /// How unlikely such evidence is without one.
    pub p_value: f64,
    /// The same, corrected.
    pub corrected_p_value: f64,
    /// What would hold for one planned look, and its p-value.
    pub fixed_horizon: Option<(Interval, f64)>,
}

/// Reads the sums; `lost` answers were not recorded.
pub(super) fn read(experiment: &Experiment, sums: &Sums, lost: u64) -> Results {
    let definition = &experiment.definition;
    if definition.kind == ExperimentKind::Interleaving {
        return merged(experiment, sums, lost);
    }
    let units: Vec<(String, u64)> = definition
        .arms
        .iter()
        .enumerate()
        .map(|(place, arm)| (arm.name.clone(), sums.arms.get(place).map_or(0, |sums| sums.units)))
        .collect();
    let mut metrics: Vec<MetricResults> =
        (0..definition.metrics.len()).map(|place| metric(experiment, sums, place)).collect();
    correct(&mut metrics, Purpose::Goal, holm);
    correct(&mut metrics, Purpose::Information, benjamini_hochberg);
    let sample_ratio_p_value = sample_ratio(experiment, sums);
    let problems = problems(&units, sums, sample_ratio_p_value, lost);
    let arms = arms(experiment, &metrics);
    Results {
        name: experiment.name().to_owned(),
        state: experiment.state,
        decision: decide(&arms, &problems, definition.alpha),
        units,
        metrics,
        sample_ratio_p_value,
        crossed: sums.crossed,
        lost,
        problems,
        shadow: shadow::read(experiment, sums),
        preference: None,
    }
}

/// The same of merged answers: all users are in both arms, which are compared within each.
fn merged(experiment: &Experiment, sums: &Sums, lost: u64) -> Results {
    let definition = &experiment.definition;
    let units: Vec<(String, u64)> =
        definition.arms.iter().map(|arm| (arm.name.clone(), sums.units())).collect();
    let problems = problems(&units, sums, 1.0, lost);
    let preference = preference::read(experiment, sums);
    let read = Preference {
        control: definition.arms[0].name.clone(),
        arm: preference.arm.clone(),
        answers: preference.answers,
        share: preference.always_valid,
    };
    Results {
        name: experiment.name().to_owned(),
        state: experiment.state,
        decision: decide_preference(&read, &problems, definition.alpha),
        units,
        metrics: Vec::new(),
        sample_ratio_p_value: 1.0,
        crossed: sums.crossed,
        lost,
        problems,
        shadow: None,
        preference: Some(preference),
    }
}

impl Results {
    /// Why the experiment is to be stopped at once, if it is.
    pub(super) fn breach(&self) -> Option<&str> {
        (self.decision.conclusion == Conclusion::Breached).then_some(&*self.decision.sentence)
    }
}

fn metric(experiment: &Experiment, sums: &Sums, place: usize) -> MetricResults {
    let definition = &experiment.definition;
    let metric = &definition.metrics[place];
    let of_arm = |arm: usize| {
        let found = sums.arms.get(arm).and_then(|arm| arm.metrics.get(place));
        found.copied().unwrap_or_default()
    };
    let mut moments: Vec<Moments> = (0..definition.arms.len()).map(of_arm).collect();
    if metric.what == What::Answered {
        // An arm of which all or none failed has a variance too.
        let hour = |value| Row { value, other: Amount::ONE };
        for sums in &mut moments {
            *sums += Moments::of([Amount::ZERO, Amount::ONE].map(hour));
        }
    }
    let read = summaries(measure(metric), &moments);
    let alpha = alpha_of(definition, metric);
    let arms = definition.arms.iter().zip(&read).skip(1);
    MetricResults {
        name: metric.name.clone(),
        purpose: metric.purpose,
        control: read[0].unadjusted,
        arms: arms.map(|(arm, summary)| effect(&arm.name, &read[0], summary, alpha)).collect(),
    }
}

/// The error of a metric's intervals: guardrails share a budget of their own.
pub(super) fn alpha_of(definition: &Definition, metric: &Metric) -> f64 {
    match metric.purpose {
        Purpose::Goal | Purpose::Information => definition.alpha,
        Purpose::Guardrail => {
            let guardrails = definition.metrics_for(Purpose::Guardrail).count();
            GUARDRAIL_ALPHA / (guardrails * (definition.arms.len() - 1)).max(1) as f64
        }
    }
}

/// How a metric is computed from its sums.
pub(super) fn measure(metric: &Metric) -> Measure {
    match metric.what {
        What::Conversion | What::TakenAtK => Measure::Proportion,
        What::Count | What::Value => Measure::Adjusted,
        What::TimeToFirst => Measure::Mean,
        What::MeanRating
        | What::AnswerNdcg
        | What::AnswerMilliseconds
        | What::Answered
        | What::Preference => Measure::Ratio,
    }
}

fn effect(arm: &str, control: &Summary, summary: &Summary, alpha: f64) -> ArmEffect {
    let sequence = Sequence::new(alpha);
    let relative = Effect::relative(control, summary);
    let raw = (summary.mean - control.mean) / control.unadjusted;
    let p_value = relative.map_or(1.0, |effect| sequence.p_value(&effect, 0.0));
    ArmEffect {
        arm: arm.to_owned(),
        mean: summary.unadjusted,
        estimate: raw.is_finite().then_some(raw),
        always_valid: relative.map(|effect| sequence.interval(&effect)),
        p_value,
        corrected_p_value: p_value,
        fixed_horizon: relative.map(|effect| {
            let interval = fixed_horizon(&effect, control, summary, alpha);
            (interval, fixed_horizon_p_value(&effect, control, summary))
        }),
    }
}

/// Corrects the p-values of all metrics for a purpose, and all arms, together.
fn correct(metrics: &mut [MetricResults], purpose: Purpose, by: impl Fn(&[f64]) -> Vec<f64>) {
    let mut effects: Vec<&mut ArmEffect> = metrics
        .iter_mut()
        .filter(|metric| metric.purpose == purpose)
        .flat_map(|metric| &mut metric.arms)
        .collect();
    let p_values: Vec<f64> = effects.iter().map(|effect| effect.p_value).collect();
    for (effect, corrected) in effects.iter_mut().zip(by(&p_values)) {
        effect.corrected_p_value = corrected;
    }
}

/// Whether users who came since the shares were changed last are divided by them.
fn sample_ratio(experiment: &Experiment, sums: &Sums) -> f64 {
    let shares: Vec<f64> = experiment.places.arms.iter().map(|arm| f64::from(arm.parts())).collect();
    if shares.iter().filter(|share| **share > 0.0).count() < 2 {
        return 1.0;
    }
    let of_phase = |arm: usize| {
        let found = sums.arms.get(arm).and_then(|arm| arm.by_phase.get(experiment.phase as usize));
        found.copied().unwrap_or_default()
    };
    SampleRatio::new(&shares).p_value(&(0..shares.len()).map(of_phase).collect::<Vec<_>>())
}

fn problems(units: &[(String, u64)], sums: &Sums, sample_ratio: f64, lost: u64) -> Vec<Problem> {
    let few = units.iter().filter(|(_, units)| *units < FEWEST_UNITS).map(|(arm, units)| Problem::FewUnits {
        arm: arm.clone(),
        units: *units,
        needed: FEWEST_UNITS,
    });
    let all = sums.crossed + sums.units();
    let crossed = sums.crossed as f64 / all.max(1) as f64;
    let mismatch =
        (sample_ratio < SAMPLE_RATIO_ALARM).then_some(Problem::SampleRatio { p_value: sample_ratio });
    let crossed = (crossed > CROSSED_SHARE).then_some(Problem::Crossed { share: crossed });
    let lost =
        (lost as f64 > CROSSED_SHARE * all as f64 && lost > 0).then_some(Problem::Lost { exposures: lost });
    mismatch.into_iter().chain(crossed).chain(lost).chain(few).collect()
}

/// The results by arm, for the decision.
fn arms(experiment: &Experiment, metrics: &[MetricResults]) -> Vec<ArmResults> {
    let definition = &experiment.definition;
    let of_arm = |(place, arm): (usize, &super::definition::Arm)| ArmResults {
        arm: arm.name.clone(),
        goals: definition
            .metrics_for(Purpose::Goal)
            .map(|(number, metric)| GoalResult {
                goal: metric.name.clone(),
                effect: metrics[number].arms[place].always_valid,
                p_value: metrics[number].arms[place].corrected_p_value,
                more_is_better: !metric.less_is_better,
            })
            .collect(),
        guardrails: definition
            .metrics_for(Purpose::Guardrail)
            .map(|(number, metric)| GuardrailResult {
                guardrail: metric.name.clone(),
                effect: metrics[number].arms[place].always_valid,
                margin: metric.margin,
                more_is_better: !metric.less_is_better,
            })
            .collect(),
    };
    definition.arms.iter().skip(1).enumerate().map(of_arm).collect()
}
