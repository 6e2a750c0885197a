//! What all results mean, in one sentence: stop, and why, or what is missing for that.

use std::fmt;

use crate::effect::Interval;

/// What is known of a goal in one arm, against the control.
#[derive(Clone, Debug)]
pub struct GoalResult {
    /// The goal's name.
    pub goal: String,
    /// The relative effect, always valid; `None` while nothing is known.
    pub effect: Option<Interval>,
    /// The p-value of no effect, corrected for all goals and arms.
    pub p_value: f64,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

/// What is known of a guardrail in one arm, against the control.
#[derive(Clone, Debug)]
pub struct GuardrailResult {
    /// Its name.
    pub guardrail: String,
    /// The relative effect, always valid; `None` while nothing is known.
    pub effect: Option<Interval>,
    /// How much worse it may become, as a share: 0.05 for 5%.
    pub margin: f64,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

/// The results of one arm that is not the control.
#[derive(Clone, Debug)]
pub struct ArmResults {
    /// The arm's name.
    pub arm: String,
    /// Of each goal.
    pub goals: Vec<GoalResult>,
    /// Of each guardrail.
    pub guardrails: Vec<GuardrailResult>,
}

/// Why results are not to be read as they are.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// An arm has so few units that intervals do not hold yet.
    FewUnits {
        /// The arm.
        arm: String,
        /// How many it has.
        units: u64,
        /// How many it needs.
        needed: u64,
    },
    /// Arms have units in other shares than they should.
    SampleRatio {
        /// How unlikely that is.
        p_value: f64,
    },
    /// Units were in more than one arm.
    Crossed {
        /// How many of all.
        share: f64,
    },
    /// Exposures are missing.
    Lost {
        /// How many at least.
        exposures: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewUnits { arm, units, needed } => {
                write!(text, "arm {arm} has {units} users of the {needed} that it takes at least")
            }
            Self::SampleRatio { p_value } => {
                write!(
                    text,
                    "arms do not have the users that their shares should give them (p {p_value:.1e})"
                )
            }
            Self::Crossed { share } => {
                write!(text, "{:.1}% of the users were in more than one arm", share * 100.0)
            }
            Self::Lost { exposures } => write!(text, "{exposures} exposures at least are lost"),
        }
    }
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Something must be put right before the results say anything.
    Unhealthy,
    /// An arm harms what must not be harmed.
    Breached,
    /// An arm is better, and nothing speaks against it.
    Better,
    /// All arms are worse.
    Worse,
    /// More users are needed.
    Undecided,
}

/// What follows, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What follows.
    pub conclusion: Conclusion,
    /// The arm that it is about: the one that is better or does harm.
    pub arm: Option<String>,
    /// Why, in one sentence that names the numbers.
    pub sentence: String,
}

/// What the results of the arms, read with this error, mean.
pub fn decide(arms: &[ArmResults], problems: &[Problem], alpha: f64) -> Decision {
    unhealthy(problems)
        .or_else(|| arms.iter().find_map(breached))
        .or_else(|| better(arms, alpha))
        .or_else(|| worse(arms, alpha))
        .unwrap_or_else(|| undecided(arms, alpha))
}

/// Which of two rankings is preferred, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// The first ranking.
    pub control: String,
    /// The second.
    pub arm: String,
    /// Answers of which something was taken.
    pub answers: u64,
    /// The share of them that the second won, always valid; `None` while nothing is known.
    pub share: Option<Interval>,
}

/// Fewest answers of which something was taken before a ranking is preferred.
const FEWEST_ANSWERS: u64 = 100;

/// What a preference, read with this error, means.
pub fn decide_preference(preference: &Preference, problems: &[Problem], alpha: f64) -> Decision {
    unhealthy(problems).unwrap_or_else(|| preferred(preference, alpha))
}

fn preferred(preference: &Preference, alpha: f64) -> Decision {
    let Preference { control, arm, answers, share } = preference;
    let undecided = |missing: String| Decision {
        conclusion: Conclusion::Undecided,
        arm: None,
        sentence: format!("no decision yet: {missing}"),
    };
    let Some(share) = share.filter(|_| *answers >= FEWEST_ANSWERS) else {
        return undecided(format!(
            "of {answers} answers something was taken, and it takes {FEWEST_ANSWERS} at least"
        ));
    };
    let won = format!(
        "{arm} won {:.1}% ({:.0}% always valid: {:.1} to {:.1}) of {answers} answers of which something was taken",
        share.estimate * 100.0,
        (1.0 - alpha) * 100.0,
        share.lower * 100.0,
        share.upper * 100.0,
    );
    if share.lower > 0.5 {
        let sentence = format!("arm {arm} is preferred to {control}: {won}: you may stop now");
        return Decision { conclusion: Conclusion::Better, arm: Some(arm.clone()), sentence };
    }
    if share.upper < 0.5 {
        let sentence =
            format!("arm {control} is preferred to {arm}: {won}: you may stop now and keep the control");
        return Decision { conclusion: Conclusion::Worse, arm: None, sentence };
    }
    undecided(won)
}

/// Whether an effect is on the good side for sure, or on the bad one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Good,
    Bad,
    Unknown,
}

impl GoalResult {
    fn side(&self, alpha: f64) -> Side {
        match self.effect.filter(|_| self.p_value <= alpha).map(|effect| effect.estimate > 0.0) {
            Some(is_more) if is_more == self.more_is_better => Side::Good,
            Some(_) => Side::Bad,
            None => Side::Unknown,
        }
    }
}

impl GuardrailResult {
    /// Whether it holds for sure, or is breached for sure.
    fn side(&self) -> Side {
        // How much better it is, at most and at least.
        let gain = self.effect.map(|effect| {
            if self.more_is_better { (effect.lower, effect.upper) } else { (-effect.upper, -effect.lower) }
        });
        match gain {
            Some((least, _)) if least > -self.margin => Side::Good,
            Some((_, most)) if most < -self.margin => Side::Bad,
            _ => Side::Unknown,
        }
    }
}

impl ArmResults {
    fn on(&self, side: Side, alpha: f64) -> Vec<&GoalResult> {
        self.goals.iter().filter(|goal| goal.side(alpha) == side).collect()
    }
}

fn unhealthy(problems: &[Problem]) -> Option<Decision> {
    let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let waits = problems.iter().all(|problem| matches!(problem, Problem::FewUnits { .. }));
    let sentence =
        if waits { format!("no decision yet: {said}") } else { format!("do not trust the results: {said}") };
    let conclusion = if waits { Conclusion::Undecided } else { Conclusion::Unhealthy };
    (!problems.is_empty()).then_some(Decision { conclusion, arm: None, sentence })
}

fn breached(arm: &ArmResults) -> Option<Decision> {
    let guardrail = arm.guardrails.iter().find(|guardrail| guardrail.side() == Side::Bad)?;
    let effect = guardrail.effect?;
    let sentence = format!(
        "arm {} breaches the guardrail {}: {} where {} is allowed: stop it now",
        arm.arm,
        guardrail.guardrail,
        interval(&effect),
        percent(if guardrail.more_is_better { -guardrail.margin } else { guardrail.margin }),
    );
    Some(Decision { conclusion: Conclusion::Breached, arm: Some(arm.arm.clone()), sentence })
}

/// The arm with the greatest effect on the first goal that it is better on, of those that nothing speaks against.
fn better(arms: &[ArmResults], alpha: f64) -> Option<Decision> {
    let stands = |arm: &&ArmResults| {
        !arm.on(Side::Good, alpha).is_empty()
            && arm.on(Side::Bad, alpha).is_empty()
            && arm.guardrails.iter().all(|guardrail| guardrail.side() == Side::Good)
    };
    let gain =
        |arm: &ArmResults| arm.on(Side::Good, alpha)[0].effect.map_or(0.0, |effect| effect.estimate.abs());
    let best = arms.iter().filter(stands).max_by(|one, other| gain(one).total_cmp(&gain(other)))?;
    let guardrails = if best.guardrails.is_empty() { "" } else { "guardrails hold, " };
    let sentence = format!(
        "arm {} is better on {}, {guardrails}health is good: you may stop now",
        best.arm,
        effects(&best.on(Side::Good, alpha), alpha)
    );
    Some(Decision { conclusion: Conclusion::Better, arm: Some(best.arm.clone()), sentence })
}

/// When all arms are worse on a goal and better on none.
fn worse(arms: &[ArmResults], alpha: f64) -> Option<Decision> {
    let is_worse =
        |arm: &ArmResults| !arm.on(Side::Bad, alpha).is_empty() && arm.on(Side::Good, alpha).is_empty();
    if arms.is_empty() || !arms.iter().all(is_worse) {
        return None;
    }
    let said = arms
        .iter()
        .map(|arm| format!("arm {} is worse on {}", arm.arm, effects(&arm.on(Side::Bad, alpha), alpha)))
        .collect::<Vec<_>>()
        .join("; ");
    let sentence = format!("{said}, health is good: you may stop now and keep the control");
    Some(Decision { conclusion: Conclusion::Worse, arm: None, sentence })
}

fn undecided(arms: &[ArmResults], alpha: f64) -> Decision {
    let said = arms.iter().map(|arm| missing(arm, alpha)).collect::<Vec<_>>().join("; ");
    Decision {
        conclusion: Conclusion::Undecided,
        arm: None,
        sentence: format!("no decision yet: {said}: keep it running"),
    }
}

/// What an arm lacks for a decision.
fn missing(arm: &ArmResults, alpha: f64) -> String {
    let (good, bad) = (arm.on(Side::Good, alpha), arm.on(Side::Bad, alpha));
    let open: Vec<_> = arm.guardrails.iter().filter(|guardrail| guardrail.side() == Side::Unknown).collect();
    if !good.is_empty() && !bad.is_empty() {
        let (good, bad) = (effects(&good, alpha), effects(&bad, alpha));
        return format!("arm {} is better on {good} and worse on {bad}, which to weigh is yours", arm.arm);
    }
    if !good.is_empty() && !open.is_empty() {
        let names = open.iter().map(|guardrail| &*guardrail.guardrail).collect::<Vec<_>>().join(", ");
        return format!(
            "arm {} is better on {}, but it is not known yet whether {names} is harmed",
            arm.arm,
            effects(&good, alpha)
        );
    }
    let all: Vec<_> = arm.goals.iter().collect();
    format!("arm {} may be as good as the control on {}", arm.arm, effects(&all, alpha))
}

/// "taken by +3.1% (95% always valid: +0.9 to +5.4)", for each.
fn effects(goals: &[&GoalResult], alpha: f64) -> String {
    let level = (1.0 - alpha) * 100.0;
    let effect = |goal: &&GoalResult| match goal.effect {
        None => format!("{} (nothing is known yet)", goal.goal),
        Some(effect) => format!(
            "{} by {} ({level:.0}% always valid: {:+.1} to {:+.1})",
            goal.goal,
            percent(effect.estimate),
            effect.lower * 100.0,
            effect.upper * 100.0
        ),
    };
    goals.iter().map(effect).collect::<Vec<_>>().join(" and ")
}

fn interval(effect: &Interval) -> String {
    format!("{} ({:+.1} to {:+.1})", percent(effect.estimate), effect.lower * 100.0, effect.upper * 100.0)
}

fn percent(share: f64) -> String {
    format!("{:+.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(effect: (f64, f64, f64), p_value: f64) -> GoalResult {
        let (lower, estimate, upper) = effect;
        let effect = Some(Interval { estimate, lower, upper });
        GoalResult { goal: "taken".to_owned(), effect, p_value, more_is_better: true }
    }

    fn guardrail(lower: f64, upper: f64) -> GuardrailResult {
        let effect = Some(Interval { estimate: f64::midpoint(lower, upper), lower, upper });
        GuardrailResult { guardrail: "rating".to_owned(), effect, margin: 0.02, more_is_better: true }
    }

    fn arm(goals: Vec<GoalResult>, guardrails: Vec<GuardrailResult>) -> ArmResults {
        ArmResults { arm: "B".to_owned(), goals, guardrails }
    }

    fn said(arm: ArmResults) -> (Conclusion, String) {
        let decision = decide(&[arm], &[], 0.05);
        (decision.conclusion, decision.sentence)
    }

    #[test]
    fn a_ranking_is_preferred_when_its_share_is_a_half_for_sure_no_more() {
        let said = |lower, estimate, upper, answers| {
            let share = Some(Interval { estimate, lower, upper });
            let preference = Preference { control: "A".to_owned(), arm: "B".to_owned(), answers, share };
            decide_preference(&preference, &[], 0.05)
        };
        let better = said(0.521, 0.563, 0.605, 1_234);
        assert_eq!((better.conclusion, better.arm.as_deref()), (Conclusion::Better, Some("B")));
        assert_eq!(
            better.sentence,
            "arm B is preferred to A: B won 56.3% (95% always valid: 52.1 to 60.5) of 1234 answers of which something was \
             taken: you may stop now"
        );
        assert_eq!(said(0.4, 0.45, 0.49, 1_234).conclusion, Conclusion::Worse);
        assert_eq!(said(0.45, 0.55, 0.65, 1_234).conclusion, Conclusion::Undecided);
        assert_eq!(
            said(0.6, 0.9, 1.0, 99).sentence,
            "no decision yet: of 99 answers something was taken, and it takes 100 at least"
        );
    }

    #[test]
    fn an_arm_that_is_better_and_harms_nothing_may_win() {
        let decision =
            decide(&[arm(vec![goal((0.009, 0.031, 0.054), 0.001)], vec![guardrail(-0.01, 0.02)])], &[], 0.05);
        assert_eq!((decision.conclusion, decision.arm.as_deref()), (Conclusion::Better, Some("B")));
        assert_eq!(
            decision.sentence,
            "arm B is better on taken by +3.1% (95% always valid: +0.9 to +5.4), guardrails hold, health is good: \
             you may stop now"
        );
    }

    #[test]
    fn a_goal_of_which_less_is_better_is_read_the_other_way_round() {
        let worse = GoalResult { more_is_better: false, ..goal((0.009, 0.031, 0.054), 0.001) };
        let (conclusion, sentence) = said(arm(vec![worse], vec![]));
        assert_eq!(conclusion, Conclusion::Worse);
        assert!(sentence.ends_with("you may stop now and keep the control"), "{sentence}");
    }

    #[test]
    fn a_guardrail_that_is_breached_goes_before_a_goal_that_is_reached() {
        let (conclusion, sentence) =
            said(arm(vec![goal((0.009, 0.031, 0.054), 0.001)], vec![guardrail(-0.1, -0.03)]));
        assert_eq!(conclusion, Conclusion::Breached);
        assert_eq!(
            sentence,
            "arm B breaches the guardrail rating: -6.5% (-10.0 to -3.0) where -2.0% is allowed: stop it now"
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let found = goal((0.009, 0.031, 0.054), 0.001);
        let open = said(arm(vec![found.clone()], vec![guardrail(-0.1, 0.1)]));
        assert_eq!(open.0, Conclusion::Undecided);
        assert!(open.1.contains("it is not known yet whether rating is harmed"), "{}", open.1);
        let unsure = said(arm(vec![goal((-0.01, 0.01, 0.03), 0.6)], vec![]));
        assert_eq!(
            unsure.1,
            "no decision yet: arm B may be as good as the control on taken by +1.0% (95% always valid: -1.0 to +3.0): \
             keep it running"
        );
        let corrected = said(arm(vec![GoalResult { p_value: 0.06, ..found }], vec![]));
        assert_eq!(corrected.0, Conclusion::Undecided);
    }

    #[test]
    fn unhealthy_results_decide_nothing() {
        let better = arm(vec![goal((0.009, 0.031, 0.054), 0.001)], vec![]);
        let mismatch =
            decide(std::slice::from_ref(&better), &[Problem::SampleRatio { p_value: 0.000_2 }], 0.05);
        assert_eq!(mismatch.conclusion, Conclusion::Unhealthy);
        assert!(mismatch.sentence.starts_with("do not trust the results: "), "{}", mismatch.sentence);
        let few = Problem::FewUnits { arm: "B".to_owned(), units: 40, needed: 100 };
        let few = decide(&[better], &[few], 0.05);
        assert_eq!(few.conclusion, Conclusion::Undecided);
        assert_eq!(few.sentence, "no decision yet: arm B has 40 users of the 100 that it takes at least");
    }

    #[test]
    fn of_several_arms_the_best_wins() {
        let of = |name: &str, estimate: f64| ArmResults {
            arm: name.to_owned(),
            ..arm(vec![goal((0.001, estimate, 0.9), 0.01)], vec![])
        };
        let decision = decide(&[of("B", 0.02), of("C", 0.05), of("D", 0.03)], &[], 0.05);
        assert_eq!(decision.arm.as_deref(), Some("C"));
    }
}
