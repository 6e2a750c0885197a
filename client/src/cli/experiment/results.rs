//! Results on a terminal: the decision first, then what it is made of.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::StreamExt as _;
use marquee_core::text::printable;
use marquee_proto::dynamic::Api;
use marquee_proto::v1;

use super::super::columns::{self, Column, Content};
use super::super::exit::Failure;
use super::super::layout::{cells, wrap};
use super::super::output::{self, Format};
use super::chart::{Effect, Scale, percent, sparkline};
use super::file::dynamic;
use crate::Client;

/// Cells of a chart at most: a wider one says no more.
const CHART: usize = 60;
/// Results that a sparkline shows at most, the newest.
const STEPS: usize = 40;

/// All results, in lines of `width` cells.
pub(super) fn shown(results: &v1::GetResultsResponse, width: usize) -> String {
    let sections = [
        ("goals", &results.goals),
        ("guardrails", &results.guardrails),
        ("information", &results.information),
    ];
    let mut parts = vec![wrap(&printable(&results.decision), width).join("\n"), units(results)];
    parts
        .extend(results.preference.as_ref().map(|preference| wrap(&preferred(preference), width).join("\n")));
    for (name, metrics) in sections {
        if !metrics.is_empty() {
            parts.push([table(name, metrics, width), chart(metrics, width)].concat());
        }
    }
    parts.extend(results.shadow.as_ref().map(shadow));
    parts.extend(results.health.as_ref().map(health));
    parts.join("\n\n")
}

fn units(results: &v1::GetResultsResponse) -> String {
    let state = results.state().as_str_name().trim_start_matches("EXPERIMENT_STATE_").to_lowercase();
    let arms: Vec<String> =
        results.arms.iter().map(|arm| format!("{} {}", printable(&arm.arm), arm.units)).collect();
    format!("{} is {state}; users: {}", printable(&results.name), arms.join(", "))
}

fn table(name: &str, metrics: &[v1::MetricResults], width: usize) -> String {
    let rows: Vec<(&v1::MetricResults, &v1::ArmEffect)> =
        metrics.iter().flat_map(|metric| metric.arms.iter().map(move |arm| (metric, arm))).collect();
    let column = |name: &str, content, cell: &dyn Fn(&v1::MetricResults, &v1::ArmEffect) -> String| Column {
        name: name.to_owned(),
        content,
        cells: rows.iter().map(|(metric, arm)| cell(metric, arm)).collect(),
    };
    let share = |share: Option<f64>| share.map_or("unknown".to_owned(), percent);
    columns::draw(
        &[
            column(name, Content::Word, &|metric, _| printable(&metric.name).into_owned()),
            column("arm", Content::Word, &|_, arm| printable(&arm.arm).into_owned()),
            column("control", Content::Number, &|metric, _| format!("{:.4}", metric.control)),
            column("figure", Content::Number, &|_, arm| format!("{:.4}", arm.mean)),
            column("effect", Content::Number, &|_, arm| share(arm.estimate)),
            column("least", Content::Number, &|_, arm| share(arm.lower)),
            column("most", Content::Number, &|_, arm| share(arm.upper)),
            column("p", Content::Number, &|_, arm| format!("{:.2e}", arm.corrected_p_value)),
        ],
        width,
    )
}

/// The effects of all that are known, on one scale; empty where none is.
fn chart(metrics: &[v1::MetricResults], width: usize) -> String {
    let rows: Vec<(String, Effect)> = metrics
        .iter()
        .flat_map(|metric| metric.arms.iter().map(move |arm| (label(metric, arm), arm)))
        .filter_map(|(label, arm)| Some((label, effect(arm)?)))
        .collect();
    let labels = rows.iter().map(|(label, _)| cells(label)).max().unwrap_or(0);
    let room = width.saturating_sub(labels + 2).min(CHART);
    let Some(scale) = Scale::of(rows.iter().map(|(_, effect)| *effect), room) else { return String::new() };
    let mut text = "\n".to_owned();
    for (label, effect) in &rows {
        let gap = " ".repeat(labels - cells(label) + 2);
        let _ = write!(text, "\n{label}{gap}{}", scale.draw(*effect));
    }
    let _ = write!(text, "\n{:labels$}  {}", "", scale.axis());
    text
}

fn label(metric: &v1::MetricResults, arm: &v1::ArmEffect) -> String {
    format!("{} {}", printable(&metric.name), printable(&arm.arm))
}

fn effect(arm: &v1::ArmEffect) -> Option<Effect> {
    Some(Effect { estimate: arm.estimate?, lower: arm.lower?, upper: arm.upper? })
}

fn preferred(preference: &v1::PreferenceResults) -> String {
    let share =
        |share: Option<f64>| share.map_or("unknown".to_owned(), |share| format!("{:.1}%", share * 100.0));
    format!(
        "{}: {} won {} ({} to {}) of {} answers of which something was taken, p {:.2e}",
        printable(&preference.name),
        printable(&preference.arm),
        share(Some(preference.share)),
        share(preference.lower),
        share(preference.upper),
        preference.answers,
        preference.p_value,
    )
}

fn shadow(shadow: &v1::ShadowResults) -> String {
    let said = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.3}"));
    format!(
        "{} in the shadow of {} answers: overlap {}, rank correlation {}, {} ms for {} ms, {} failed",
        printable(&shadow.model_version),
        shadow.answers,
        said(shadow.overlap),
        said(shadow.rank_correlation),
        said(shadow.milliseconds),
        said(shadow.answer_milliseconds),
        shadow.failures,
    )
}

fn health(health: &v1::ExperimentHealth) -> String {
    let v1::ExperimentHealth { sample_ratio_p_value, crossed_units, lost_exposures, problems } = health;
    let figures = format!(
        "shares are kept with p {sample_ratio_p_value:.2}, {crossed_units} users in two arms, {lost_exposures} answers lost"
    );
    if problems.is_empty() {
        return format!("health is good: {figures}");
    }
    let problems: Vec<String> =
        problems.iter().map(|problem| format!("\n  {}", printable(problem))).collect();
    format!("health: {figures}{}", problems.concat())
}

/// Shows the results whenever there are others, and how the effects went, until the experiment is stopped.
///
/// # Errors
/// [`Failure`] when the server ends the stream with an error.
pub(super) async fn watch(
    client: &Client,
    name: String,
    every: Option<u32>,
    format: Format,
    api: &Api,
) -> Result<(), Failure> {
    let mut replies = client.watch_results(v1::WatchResultsRequest { name, every }).await?;
    let mut course = Course::default();
    while let Some(reply) = replies.next().await {
        let Some(results) = reply?.results else { continue };
        if format == Format::Table {
            output::write_line(&course.next(&results))?;
        } else {
            output::write(&dynamic("GetResultsResponse", &results, api), None, format)?;
        }
    }
    Ok(())
}

/// How the effects on goals went.
#[derive(Default)]
struct Course {
    decision: String,
    estimates: BTreeMap<String, Vec<f64>>,
}

impl Course {
    /// The lines of the next results: a decision that is another one, and a line for each goal and arm.
    fn next(&mut self, results: &v1::GetResultsResponse) -> String {
        let mut lines = Vec::new();
        if self.decision != results.decision {
            lines.push(printable(&results.decision).into_owned());
            self.decision.clone_from(&results.decision);
        }
        let users: u64 = results.arms.iter().map(|arm| arm.units).sum();
        for metric in &results.goals {
            for arm in &metric.arms {
                let label = label(metric, arm);
                let estimates = self.estimates.entry(label.clone()).or_default();
                estimates.extend(arm.estimate);
                estimates.drain(..estimates.len().saturating_sub(STEPS));
                let now = effect(arm).map_or("nothing is known yet".to_owned(), |effect| {
                    let Effect { estimate, lower, upper } = effect;
                    format!("{} ({} to {})", percent(estimate), percent(lower), percent(upper))
                });
                lines.push(format!("{users:>9} users  {label}  {}  {now}", sparkline(estimates)));
            }
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> v1::GetResultsResponse {
        let arm = v1::ArmEffect {
            arm: "B".to_owned(),
            mean: 0.25,
            estimate: Some(0.25),
            lower: Some(0.05),
            upper: Some(0.45),
            corrected_p_value: 0.001,
            ..Default::default()
        };
        let units = |arm: &str, units| v1::ArmUnits { arm: arm.to_owned(), units };
        v1::GetResultsResponse {
            name: "lists".to_owned(),
            state: v1::ExperimentState::Running.into(),
            decision: "arm B is better on watched by +25.0%".to_owned(),
            arms: vec![units("A", 1200), units("B", 1191)],
            goals: vec![v1::MetricResults { name: "watched".to_owned(), control: 0.2, arms: vec![arm] }],
            health: Some(v1::ExperimentHealth { sample_ratio_p_value: 0.85, ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn results_begin_with_the_decision_and_draw_what_it_is_made_of() {
        let shown = shown(&results(), 80);
        let (gap, half) = (" ".repeat(6), "─".repeat(26));
        let expected = format!(
            "\
arm B is better on watched by +25.0%

lists is running; users: A 1200, B 1191

GOALS    ARM  CONTROL  FIGURE  EFFECT  LEAST    MOST        P
watched  B     0.2000  0.2500  +25.0%  +5.0%  +45.0%  1.00e-3

watched B  │{gap}{half}●{half}
           0{:>59}

health is good: shares are kept with p 0.85, 0 users in two arms, 0 answers lost",
            "+45.0%"
        );
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_model_in_the_shadow_has_a_line() {
        let shadow = v1::ShadowResults {
            model_version: "b@1".to_owned(),
            answers: 12,
            failures: 1,
            overlap: Some(0.25),
            milliseconds: Some(3.0),
            answer_milliseconds: Some(2.0),
            ..Default::default()
        };
        let shown = shown(&v1::GetResultsResponse { shadow: Some(shadow), ..results() }, 80);
        let line = "b@1 in the shadow of 12 answers: overlap 0.250, rank correlation unknown, 3.000 ms for 2.000 ms, 1 failed";
        assert!(shown.contains(line), "{shown}");
    }

    #[test]
    fn a_preference_has_a_line() {
        let preference = v1::PreferenceResults {
            name: "preference".to_owned(),
            arm: "B".to_owned(),
            answers: 300,
            share: 0.7,
            lower: Some(0.6),
            upper: Some(0.8),
            p_value: 0.001,
        };
        let shown = shown(&v1::GetResultsResponse { preference: Some(preference), ..results() }, 100);
        let line =
            "preference: B won 70.0% (60.0% to 80.0%) of 300 answers of which something was taken, p 1.00e-3";
        assert!(shown.contains(line), "{shown}");
    }

    #[test]
    fn what_is_not_known_is_not_drawn() {
        let mut results = results();
        results.goals[0].arms[0].lower = None;
        let shown = shown(&results, 80);
        assert!(shown.contains("unknown") && !shown.contains('●'), "{shown}");
    }

    #[test]
    fn the_course_of_an_effect_is_a_line_and_a_decision_is_said_once() {
        let (mut course, mut results) = (Course::default(), results());
        results.decision = "no decision yet".to_owned();
        results.goals[0].arms[0].estimate = Some(-0.1);
        assert_eq!(
            course.next(&results),
            "no decision yet\n     2391 users  watched B  ▅  -10.0% (+5.0% to +45.0%)"
        );
        results.goals[0].arms[0].estimate = Some(0.2);
        assert_eq!(course.next(&results), "     2391 users  watched B  ▁█  +20.0% (+5.0% to +45.0%)");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let mut results = results();
        results.goals[0].name = "\u{1b}[31m".to_owned();
        assert!(!shown(&results, 80).contains('\u{1b}'));
    }
}
