//! What is known of experiments, and what is to be expected of them, on the wire.

use marquee_experiments::Conclusion;
use marquee_proto::v1;

use super::definition::state;
use crate::edge::convert;
use crate::experiments::{
    ArmEffect, MetricPlan, MetricResults, Plan, PreferenceResults, Purpose, Results, ShadowResults,
};

/// Results.
pub(super) fn shown_results(results: &Results) -> v1::GetResultsResponse {
    let metrics = |purpose| {
        let of_purpose = results.metrics.iter().filter(|metric| metric.purpose == purpose);
        of_purpose.map(shown_metric_results).collect()
    };
    v1::GetResultsResponse {
        name: results.name.clone(),
        state: state(results.state).into(),
        decision: results.decision.sentence.clone(),
        conclusion: conclusion(results.decision.conclusion).into(),
        arm: results.decision.arm.clone().unwrap_or_default(),
        arms: results
            .units
            .iter()
            .map(|(arm, units)| v1::ArmUnits { arm: arm.clone(), units: *units })
            .collect(),
        goals: metrics(Purpose::Goal),
        guardrails: metrics(Purpose::Guardrail),
        information: metrics(Purpose::Information),
        health: Some(v1::ExperimentHealth {
            sample_ratio_p_value: results.sample_ratio_p_value,
            crossed_units: results.crossed,
            lost_exposures: results.lost,
            problems: results.problems.iter().map(ToString::to_string).collect(),
        }),
        shadow: results.shadow.as_ref().map(shown_shadow),
        preference: results.preference.as_ref().map(shown_preference),
    }
}

fn shown_preference(preference: &PreferenceResults) -> v1::PreferenceResults {
    v1::PreferenceResults {
        name: preference.name.clone(),
        arm: preference.arm.clone(),
        answers: preference.answers,
        share: preference.share,
        lower: preference.always_valid.map(|interval| interval.lower),
        upper: preference.always_valid.map(|interval| interval.upper),
        p_value: preference.p_value,
    }
}

fn shown_shadow(shadow: &ShadowResults) -> v1::ShadowResults {
    v1::ShadowResults {
        model_version: shadow.model_version.clone(),
        answers: shadow.answers,
        failures: shadow.failures,
        overlap: shadow.overlap,
        rank_correlation: shadow.rank_correlation,
        milliseconds: shadow.milliseconds,
        answer_milliseconds: shadow.answer_milliseconds,
    }
}

fn shown_metric_results(metric: &MetricResults) -> v1::MetricResults {
    v1::MetricResults {
        name: metric.name.clone(),
        control: metric.control,
        arms: metric.arms.iter().map(shown_effect).collect(),
    }
}

fn shown_effect(effect: &ArmEffect) -> v1::ArmEffect {
    v1::ArmEffect {
        arm: effect.arm.clone(),
        mean: effect.mean,
        estimate: effect.estimate,
        lower: effect.always_valid.map(|interval| interval.lower),
        upper: effect.always_valid.map(|interval| interval.upper),
        p_value: effect.p_value,
        corrected_p_value: effect.corrected_p_value,
        fixed_horizon: effect.fixed_horizon.map(|(interval, p_value)| v1::FixedHorizon {
            lower: interval.lower,
            upper: interval.upper,
            p_value,
        }),
    }
}

fn conclusion(conclusion: Conclusion) -> v1::Conclusion {
    match conclusion {
        Conclusion::Unhealthy => v1::Conclusion::Unhealthy,
        Conclusion::Breached => v1::Conclusion::Breached,
        Conclusion::Better => v1::Conclusion::Better,
        Conclusion::Worse => v1::Conclusion::Worse,
        Conclusion::Undecided => v1::Conclusion::Undecided,
    }
}

/// A plan.
pub(super) fn shown_plan(plan: &Plan) -> v1::PlanExperimentResponse {
    v1::PlanExperimentResponse {
        sentence: plan.sentence.clone(),
        users: plan.users,
        arms: plan.arms.iter().map(|(arm, units)| v1::ArmUnits { arm: arm.clone(), units: *units }).collect(),
        days: plan.days,
        metrics: plan.metrics.iter().map(shown_metric_plan).collect(),
        sampled_users: plan.sampled,
        active_users: plan.active,
        history_start: Some(convert::timestamp(plan.from_ms)),
        history_end: Some(convert::timestamp(plan.until_ms)),
    }
}

fn shown_metric_plan(metric: &MetricPlan) -> v1::MetricPlan {
    v1::MetricPlan {
        name: metric.name.clone(),
        mean: metric.mean,
        variance: metric.variance,
        effect: metric.effect,
        users: metric.users,
    }
}
