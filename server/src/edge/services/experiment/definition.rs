//! Definitions of experiments, from the wire and to it.

use marquee_core::domain::{Kind, TimeMs};
use marquee_experiments::Target;
use marquee_proto::v1;

use crate::edge::arms::wire_method;
use crate::edge::{ApiError, convert};
use crate::experiments::{
    Arm, DEFAULT_TOP, Definition, Experiment, ExperimentKind, Metric, Overrides, Purpose, Retrieval, Shadow,
    State, What,
};

const DEFAULT_LAYER: &str = "default";
const DEFAULT_ALPHA: f64 = 0.05;
const DEFAULT_MARGIN: f64 = 0.05;
const DEFAULT_WINDOW_DAYS: f64 = 7.0;
const DEFAULT_SHADOW_SHARE: f64 = 0.1;
const DAY_MS: f64 = 24.0 * 60.0 * 60.0 * 1000.0;

/// The definition of a request whose constraints hold.
pub(super) fn definition(experiment: Option<v1::Experiment>) -> Result<Definition, ApiError> {
    let experiment = experiment.ok_or_else(|| ApiError::invalid("experiment", "must be there"))?;
    let equal = 1.0 / experiment.arms.len().max(1) as f64;
    let is_unsaid = experiment.arms.iter().all(|arm| arm.share.is_none());
    let arm = |(place, arm): (usize, v1::Arm)| {
        let missing = || {
            ApiError::invalid(format!("experiment.arms[{place}].share"), "must be there: others say theirs")
        };
        Ok(Arm {
            share: arm.share.or(is_unsaid.then_some(equal)).ok_or_else(missing)?,
            name: arm.name,
            overrides: arm.overrides.map(overrides).unwrap_or_default(),
            user_ids: arm.user_ids,
        })
    };
    let for_purpose =
        |metrics: Vec<v1::Metric>, purpose| metrics.into_iter().map(move |it| metric(it, purpose));
    let kind = match experiment.kind() {
        v1::ExperimentKind::Unspecified | v1::ExperimentKind::Split => ExperimentKind::Split,
        v1::ExperimentKind::Interleaving => ExperimentKind::Interleaving,
    };
    let mut metrics: Vec<Metric> = for_purpose(experiment.goals, Purpose::Goal).collect();
    if metrics.is_empty() {
        metrics.push(match kind {
            ExperimentKind::Split => Metric::conversion(),
            ExperimentKind::Interleaving => Metric::preference(),
        });
    }
    metrics.extend(for_purpose(experiment.guardrails, Purpose::Guardrail));
    metrics.extend(for_purpose(experiment.information, Purpose::Information));
    let window = experiment.window_days.unwrap_or(DEFAULT_WINDOW_DAYS) * DAY_MS;
    let layer = if experiment.layer.is_empty() { DEFAULT_LAYER.to_owned() } else { experiment.layer };
    Ok(Definition {
        name: experiment.name,
        layer,
        description: experiment.description,
        arms: experiment.arms.into_iter().enumerate().map(arm).collect::<Result<_, ApiError>>()?,
        metrics,
        traffic: experiment.traffic.unwrap_or(1.0),
        target: experiment.target.map(target).unwrap_or_default(),
        alpha: experiment.alpha.unwrap_or(DEFAULT_ALPHA),
        window_ms: window as TimeMs,
        shadow: experiment.shadow.map(|shadow| Shadow {
            model_version: shadow.model_version,
            share: shadow.share.unwrap_or(DEFAULT_SHADOW_SHARE),
        }),
        kind,
    })
}

fn overrides(wire: v1::Overrides) -> Overrides {
    let text = |text: String| (!text.is_empty()).then_some(text);
    Overrides {
        method: match wire.method() {
            v1::Method::Unspecified => None,
            v1::Method::Auto => Some(Retrieval::Auto),
            v1::Method::Exact => Some(Retrieval::Exact),
            v1::Method::Ann => Some(Retrieval::Ann),
        },
        model_version: text(wire.model_version),
        k: wire.k,
        preset: text(wire.preset),
        diversity: wire.diversity,
        calibration: wire.calibration,
        popularity_weight: wire.popularity_weight,
        freshness_weight: wire.freshness_weight,
        freshness_half_life: wire.freshness_half_life,
        rating_weight: wire.rating_weight,
        candidates_limit: wire.candidates_limit,
        max_per_genre: wire.max_per_genre,
        first_events_popularity: wire.first_events_popularity,
        new_movie_slots: wire.new_movie_slots,
    }
}

fn metric(wire: v1::Metric, purpose: Purpose) -> Metric {
    let what = match wire.measure() {
        v1::Measure::Unspecified | v1::Measure::Conversion => What::Conversion,
        v1::Measure::Count => What::Count,
        v1::Measure::MeanRating => What::MeanRating,
        v1::Measure::Value => What::Value,
        v1::Measure::TimeToFirst => What::TimeToFirst,
        v1::Measure::TakenAtK => What::TakenAtK,
        v1::Measure::AnswerNdcg => What::AnswerNdcg,
        v1::Measure::AnswerMilliseconds => What::AnswerMilliseconds,
        v1::Measure::Answered => What::Answered,
        v1::Measure::Preference => What::Preference,
    };
    let kinds = wire.kinds().map(|kind| convert::kind(kind) as u8).collect();
    let values =
        wire.values.iter().map(|value| (convert::kind(value.kind()) as u8, value.value.unwrap_or(1.0)));
    Metric {
        values: values.collect(),
        name: wire.name,
        purpose,
        what,
        kinds,
        less_is_better: wire.less_is_better.unwrap_or_default(),
        cap: wire.cap,
        margin: wire.margin.unwrap_or(DEFAULT_MARGIN),
        top: wire.k.unwrap_or(DEFAULT_TOP),
    }
}

fn target(wire: v1::Target) -> Target {
    Target {
        labels: wire.labels.into_iter().map(|label| (label.label, label.values)).collect(),
        events_min: wire.events_min,
        events_max: wire.events_max,
    }
}

/// An experiment and where it stands.
pub(super) fn status(experiment: &Experiment) -> v1::ExperimentStatus {
    let time = |time_ms: TimeMs| convert::timestamp(time_ms);
    v1::ExperimentStatus {
        experiment: Some(shown(&experiment.definition)),
        state: state(experiment.state).into(),
        create_time: Some(time(experiment.created_ms)),
        start_time: experiment.started_ms.map(time),
        stop_time: experiment.stopped_ms.map(time),
        stop_reason: experiment.stop_reason.clone().unwrap_or_default(),
    }
}

/// Where an experiment stands.
pub(super) fn state(state: State) -> v1::ExperimentState {
    match state {
        State::Draft => v1::ExperimentState::Draft,
        State::Running => v1::ExperimentState::Running,
        State::Paused => v1::ExperimentState::Paused,
        State::Stopped => v1::ExperimentState::Stopped,
    }
}

fn shown(definition: &Definition) -> v1::Experiment {
    let metrics = |purpose| definition.metrics_for(purpose).map(|(_, metric)| shown_metric(metric)).collect();
    let target = &definition.target;
    let labels = target
        .labels
        .iter()
        .map(|(label, values)| v1::LabelValues { label: label.clone(), values: values.clone() });
    v1::Experiment {
        name: definition.name.clone(),
        layer: definition.layer.clone(),
        arms: definition.arms.iter().map(shown_arm).collect(),
        goals: metrics(Purpose::Goal),
        guardrails: metrics(Purpose::Guardrail),
        information: metrics(Purpose::Information),
        traffic: Some(definition.traffic),
        target: (*target != Target::default()).then(|| v1::Target {
            labels: labels.collect(),
            events_min: target.events_min,
            events_max: target.events_max,
        }),
        description: definition.description.clone(),
        alpha: Some(definition.alpha),
        window_days: Some(definition.window_ms as f64 / DAY_MS),
        shadow: definition.shadow.as_ref().map(|shadow| v1::Shadow {
            model_version: shadow.model_version.clone(),
            share: Some(shadow.share),
        }),
        kind: match definition.kind {
            ExperimentKind::Split => v1::ExperimentKind::Split,
            ExperimentKind::Interleaving => v1::ExperimentKind::Interleaving,
        }
        .into(),
    }
}

fn shown_arm(arm: &Arm) -> v1::Arm {
    let said = &arm.overrides;
    let overrides = v1::Overrides {
        model_version: said.model_version.clone().unwrap_or_default(),
        method: said.method.map_or(v1::Method::Unspecified, wire_method).into(),
        k: said.k,
        preset: said.preset.clone().unwrap_or_default(),
        diversity: said.diversity,
        calibration: said.calibration,
        popularity_weight: said.popularity_weight,
        freshness_weight: said.freshness_weight,
        freshness_half_life: said.freshness_half_life,
        rating_weight: said.rating_weight,
        candidates_limit: said.candidates_limit,
        max_per_genre: said.max_per_genre,
        first_events_popularity: said.first_events_popularity,
        new_movie_slots: said.new_movie_slots,
    };
    v1::Arm {
        name: arm.name.clone(),
        share: Some(arm.share),
        overrides: (!said.said().is_empty()).then_some(overrides),
        user_ids: arm.user_ids.clone(),
        user_keys: Vec::new(),
    }
}

fn shown_metric(metric: &Metric) -> v1::Metric {
    let kind = |number: &u8| {
        Kind::from_number(*number).map_or(v1::InteractionKind::Unspecified, convert::shown_kind)
    };
    let measure = match metric.what {
        What::Conversion => v1::Measure::Conversion,
        What::Count => v1::Measure::Count,
        What::MeanRating => v1::Measure::MeanRating,
        What::Value => v1::Measure::Value,
        What::TimeToFirst => v1::Measure::TimeToFirst,
        What::TakenAtK => v1::Measure::TakenAtK,
        What::AnswerNdcg => v1::Measure::AnswerNdcg,
        What::AnswerMilliseconds => v1::Measure::AnswerMilliseconds,
        What::Answered => v1::Measure::Answered,
        What::Preference => v1::Measure::Preference,
    };
    let value =
        |(number, value): &(u8, f64)| v1::KindValue { kind: kind(number).into(), value: Some(*value) };
    v1::Metric {
        name: metric.name.clone(),
        measure: measure.into(),
        kinds: metric.kinds.iter().map(|number| kind(number).into()).collect(),
        values: metric.values.iter().map(value).collect(),
        less_is_better: Some(metric.less_is_better),
        cap: metric.cap,
        margin: (metric.purpose == Purpose::Guardrail).then_some(metric.margin),
        k: matches!(metric.what, What::TakenAtK | What::AnswerNdcg).then_some(metric.top),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(name: &str, share: Option<f64>) -> v1::Arm {
        v1::Arm { name: name.to_owned(), share, ..Default::default() }
    }

    #[test]
    fn a_definition_is_shown_as_it_was_made() {
        let made = v1::Experiment {
            name: "lists".to_owned(),
            layer: "ranking".to_owned(),
            arms: vec![
                v1::Arm { user_ids: vec![7], ..arm("A", Some(0.5)) },
                v1::Arm {
                    overrides: Some(v1::Overrides {
                        model_version: "m@2".to_owned(),
                        method: v1::Method::Exact.into(),
                        k: Some(20),
                        calibration: Some(0.5),
                        ..Default::default()
                    }),
                    ..arm("B", Some(0.25))
                },
            ],
            goals: vec![v1::Metric {
                name: "worth".to_owned(),
                measure: v1::Measure::Value.into(),
                kinds: vec![v1::InteractionKind::Like.into()],
                values: vec![v1::KindValue { kind: v1::InteractionKind::Like.into(), value: Some(3.0) }],
                less_is_better: Some(false),
                cap: Some(10.0),
                ..Default::default()
            }],
            guardrails: vec![v1::Metric {
                name: "rating".to_owned(),
                measure: v1::Measure::MeanRating.into(),
                less_is_better: Some(false),
                margin: Some(0.02),
                ..Default::default()
            }],
            information: vec![v1::Metric {
                name: "taken".to_owned(),
                measure: v1::Measure::TakenAtK.into(),
                less_is_better: Some(false),
                k: Some(5),
                ..Default::default()
            }],
            traffic: Some(0.5),
            target: Some(v1::Target {
                labels: vec![v1::LabelValues { label: "country".to_owned(), values: vec!["DE".to_owned()] }],
                events_min: Some(5),
                events_max: None,
            }),
            description: "Why".to_owned(),
            alpha: Some(0.01),
            window_days: Some(3.0),
            shadow: Some(v1::Shadow { model_version: "m@3".to_owned(), share: Some(0.2) }),
            kind: v1::ExperimentKind::Split.into(),
        };
        assert_eq!(shown(&definition(Some(made.clone())).unwrap()), made);
    }

    #[test]
    fn what_is_not_said_is_by_default() {
        let made = v1::Experiment {
            name: "lists".to_owned(),
            arms: vec![arm("A", None), arm("B", None)],
            ..Default::default()
        };
        let definition = definition(Some(made)).unwrap();
        let shares: Vec<f64> = definition.arms.iter().map(|arm| arm.share).collect();
        assert_eq!((&*definition.layer, shares), ("default", vec![0.5, 0.5]));
        assert_eq!(definition.metrics, [Metric::conversion()]);
        assert_eq!(definition.window_ms, 7 * 24 * 60 * 60 * 1000);
    }

    #[test]
    fn shares_are_said_of_all_arms_or_of_none() {
        let made = v1::Experiment { arms: vec![arm("A", Some(0.1)), arm("B", None)], ..Default::default() };
        let refused = definition(Some(made)).unwrap_err().to_string();
        assert_eq!(refused, "experiment.arms[1].share must be there: others say theirs");
    }
}
