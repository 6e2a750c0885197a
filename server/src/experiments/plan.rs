//! How great an experiment would have to be, from what users of the store did before.
//!
//! A sample of users is counted as the experiment would count them: the first interaction of the time that is looked at stands
//! for the first answer, and what was done within a window after it is the user's row. What the rows differ by says how
//! many users it takes; when the users of the sample came, how many days.
//!
//! The sample is bounded and the same for the same store: the users whose hashes are smallest.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_core::clock::now_ms;
use marquee_core::domain::{Interaction, MovieId, TimeMs, UserId};
use marquee_experiments::{Moments, Sequence, Subject, Summary, Target, summaries, users_for};
use marquee_store::StoreError;
use rustc_hash::FxHashSet;

use super::definition::{Definition, Metric, Purpose};
use super::results::{FEWEST_UNITS, alpha_of, measure};
use super::row::UserRow;
use super::{EVENTS, ExperimentError, Experiments};

/// Ids of users that are read at most; of more the sample is of these.
const SCANNED: usize = 1_000_000;
/// Ids that are read at once.
const PAGE: usize = 10_000;
/// Users of the sample.
const SAMPLED: usize = 4_000;
/// Users that are read at once.
const AT_ONCE: usize = 32;
const DAY_MS: TimeMs = 24 * 60 * 60 * 1_000;

/// What is to be found, and from what.
#[derive(Clone, Copy, Debug)]
pub struct PlanQuestion {
    /// The smallest effect on a goal that is worth finding, as a share; above 0.
    pub effect: f64,
    /// The chance of finding it.
    pub power: f64,
    /// Days of the past to look at; at least one.
    pub history_days: u32,
}

/// How great an experiment would have to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// All of it in one sentence.
    pub sentence: String,
    /// Users of all arms; `None` where the past tells too little.
    pub users: Option<u64>,
    /// The same by arm.
    pub arms: Vec<(String, u64)>,
    /// Days until so many have been counted.
    pub days: Option<f64>,
    /// What each goal and guardrail needs.
    pub metrics: Vec<MetricPlan>,
    /// Users of the sample who did something in that time.
    pub sampled: u64,
    /// Users of the store who did, as far as the sample tells.
    pub active: u64,
    /// When that time began.
    pub from_ms: TimeMs,
    /// When it ended.
    pub until_ms: TimeMs,
}

/// What a metric needs.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPlan {
    /// The metric.
    pub name: String,
    /// Its figure in the past.
    pub mean: f64,
    /// The variance of one user's part in it.
    pub variance: f64,
    /// The effect that is looked for, as a share.
    pub effect: f64,
    /// Users of all arms that it needs.
    pub users: Option<u64>,
}

impl Experiments {
    /// How many users and days it takes to see an effect. One plan at a time reads the past; nothing is changed.
    ///
    /// # Errors
    /// [`ExperimentError`] when it is no experiment, or the store fails.
    pub async fn plan(
        &self,
        definition: &Definition,
        question: PlanQuestion,
    ) -> Result<Plan, ExperimentError> {
        definition.check()?;
        let _one_at_a_time = self.planning.lock().await;
        let past = self.past(definition, question.history_days).await?;
        Ok(plan(definition, question, &past))
    }

    /// What a sample of users did.
    async fn past(&self, definition: &Definition, days: u32) -> Result<Past, StoreError> {
        let (users, known) = self.sample().await?;
        let read: Vec<(UserId, TimeMs)> = stream::iter(users.iter().copied())
            .map(|user_id| async move {
                let stats = self.store.user_stats(user_id).await?;
                Ok::<_, StoreError>(stats.and_then(|stats| stats.last_ms).map(|last_ms| (user_id, last_ms)))
            })
            .buffer_unordered(AT_ONCE)
            .try_filter_map(|user| std::future::ready(Ok(user)))
            .try_collect()
            .await?;
        let newest_ms = read.iter().map(|(_, last_ms)| *last_ms).max().unwrap_or_default().min(now_ms());
        let until_ms = newest_ms.saturating_add(1).saturating_sub(definition.window_ms);
        let scale = if users.is_empty() { 0.0 } else { known as f64 / users.len() as f64 };
        let mut past = Past::new(definition, until_ms, days, scale);
        let from_ms = past.from_ms;
        let active = read.into_iter().filter(move |(_, last_ms)| *last_ms >= from_ms);
        let mut histories = stream::iter(active)
            .map(|(user_id, _)| self.store.profile(user_id, EVENTS))
            .buffer_unordered(AT_ONCE);
        while let Some(profile) = histories.next().await {
            if let Some(profile) = profile? {
                past.count(definition, &profile.newest);
            }
        }
        Ok(past)
    }

    /// The users of the sample, and how many the store has.
    async fn sample(&self) -> Result<(Vec<UserId>, u64), StoreError> {
        let (mut smallest, mut scanned, mut after) = (BinaryHeap::new(), 0, None);
        loop {
            let page = self.store.users(after, PAGE).await?;
            scanned += page.len();
            after = page.last().copied();
            for user_id in page {
                smallest.push((xxhash_rust::xxh3::xxh3_64(&user_id.to_le_bytes()), user_id));
                if smallest.len() > SAMPLED {
                    smallest.pop();
                }
            }
            let is_last = scanned % PAGE != 0 || after.is_none();
            if is_last || scanned >= SCANNED {
                let known = if is_last { scanned as u64 } else { self.store.stats().await?.users };
                return Ok((smallest.into_iter().map(|(_, user_id)| user_id).collect(), known));
            }
        }
    }
}

/// What a sample of users did in some days.
struct Past {
    from_ms: TimeMs,
    until_ms: TimeMs,
    /// How many users of the store one of the sample stands for.
    scale: f64,
    /// Users by the day of their first interaction.
    arrived: Vec<u64>,
    /// Of each metric.
    sums: Vec<Moments>,
}

impl Past {
    fn new(definition: &Definition, until_ms: TimeMs, days: u32, scale: f64) -> Self {
        Self {
            from_ms: until_ms.saturating_sub(TimeMs::from(days) * DAY_MS),
            until_ms,
            scale,
            arrived: vec![0; days as usize],
            sums: vec![Moments::default(); definition.metrics.len()],
        }
    }

    /// Counts a user, whose events are the oldest first.
    fn count(&mut self, definition: &Definition, events: &[Interaction]) {
        let in_time = self.from_ms..self.until_ms;
        let Some(first) = events.iter().position(|event| in_time.contains(&event.time_ms)) else { return };
        let seen: FxHashSet<MovieId> = events[..first].iter().map(|event| event.movie_id).collect();
        // What requests will say of themselves nobody knows.
        let (labels, events_before) = (HashMap::new(), seen.len() as u64);
        let target = Target { labels: BTreeMap::new(), ..definition.target.clone() };
        let subject = Subject { labels: &labels, events: events_before };
        if !target.holds(&subject) {
            return;
        }
        let first_ms = events[first].time_ms;
        let day = ((first_ms - self.from_ms) / DAY_MS) as usize;
        if let Some(arrived) = self.arrived.get_mut(day) {
            *arrived += 1;
        }
        let mut row = UserRow::new(0, first_ms + 1, 0);
        row.count(definition, events, None);
        for (sums, values) in self.sums.iter_mut().zip(row.values()) {
            *sums += values;
        }
    }

    fn users(&self) -> u64 {
        self.arrived.iter().sum()
    }

    /// Days until so many users have come.
    fn days_until(&self, needed: f64) -> Option<f64> {
        let mut come = 0.0;
        for (day, arrived) in self.arrived.iter().enumerate() {
            let more = *arrived as f64 * self.scale;
            if come + more >= needed {
                return Some(day as f64 + (needed - come) / more);
            }
            come += more;
        }
        // Days to come bring as many who were not there before as those of the later half did.
        let later = &self.arrived[self.arrived.len() / 2..];
        let a_day = later.iter().sum::<u64>() as f64 * self.scale / later.len() as f64;
        (a_day > 0.0).then(|| self.arrived.len() as f64 + (needed - come) / a_day)
    }
}

fn plan(definition: &Definition, question: PlanQuestion, past: &Past) -> Plan {
    let metrics: Vec<(Purpose, MetricPlan)> = definition
        .metrics
        .iter()
        .zip(&past.sums)
        // What was answered in the past is not recorded.
        .filter(|(metric, _)| metric.purpose != Purpose::Information && !metric.what.is_of_answers())
        .map(|(metric, sums)| (metric.purpose, metric_plan(definition, metric, sums, question)))
        .collect();
    let least = definition.arms.iter().map(|arm| arm.share).fold(f64::INFINITY, f64::min);
    let fewest = (FEWEST_UNITS as f64 / least).ceil();
    let users = metrics.iter().try_fold(fewest, |most, (_, metric)| Some(most.max(metric.users? as f64)));
    let has_goal = metrics.iter().any(|(purpose, _)| *purpose == Purpose::Goal);
    let users = users.filter(|users| has_goal && users.is_finite());
    let come = users.and_then(|users| past.days_until(users / definition.traffic));
    let days = come.map(|days| days + definition.window_ms as f64 / DAY_MS as f64);
    let arm_units = |users: f64| {
        let whole: f64 = definition.arms.iter().map(|arm| arm.share).sum();
        let of_arm = move |share: f64| (users * share / whole).ceil() as u64;
        definition.arms.iter().map(|arm| (arm.name.clone(), of_arm(arm.share))).collect()
    };
    Plan {
        sentence: sentence(definition, question, &metrics, users, days),
        users: users.map(|users| users as u64),
        arms: users.map(arm_units).unwrap_or_default(),
        days,
        metrics: metrics.into_iter().map(|(_, metric)| metric).collect(),
        sampled: past.users(),
        active: (past.users() as f64 * past.scale).round() as u64,
        from_ms: past.from_ms,
        until_ms: past.until_ms,
    }
}

fn metric_plan(
    definition: &Definition,
    metric: &Metric,
    sums: &Moments,
    question: PlanQuestion,
) -> MetricPlan {
    let summary = summaries(measure(metric), &[*sums])[0];
    let sequence = Sequence::new(alpha_of(definition, metric));
    let (effect, sequence) = match metric.purpose {
        Purpose::Guardrail => (metric.margin, sequence),
        Purpose::Goal | Purpose::Information => {
            let goals = definition.metrics_for(Purpose::Goal).count();
            let better = if metric.less_is_better { -question.effect } else { question.effect };
            (better, sequence.shared_by(goals * (definition.arms.len() - 1)))
        }
    };
    MetricPlan {
        name: metric.name.clone(),
        mean: summary.unadjusted,
        variance: summary.variance,
        effect,
        users: users(definition, &summary, effect, question.power, &sequence),
    }
}

/// Users of all arms until the effect is found in each.
fn users(
    definition: &Definition,
    summary: &Summary,
    effect: f64,
    power: f64,
    sequence: &Sequence,
) -> Option<u64> {
    let whole: f64 = definition.arms.iter().map(|arm| arm.share).sum();
    let (control, arms) = definition.arms.split_first()?;
    let needed = arms.iter().map(|arm| {
        let pair = arm.share + control.share;
        if arm.share <= 0.0 || control.share <= 0.0 {
            return None;
        }
        let plan = marquee_experiments::Plan {
            mean: summary.unadjusted,
            variance: summary.variance,
            relative_effect: effect,
            arm_share: arm.share / pair,
            power,
        };
        Some((users_for(&plan, sequence)? as f64 * whole / pair).ceil() as u64)
    });
    needed.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

fn sentence(
    definition: &Definition,
    question: PlanQuestion,
    metrics: &[(Purpose, MetricPlan)],
    users: Option<f64>,
    days: Option<f64>,
) -> String {
    let name = &definition.name;
    if let Some((_, metric)) = metrics.iter().find(|(_, metric)| metric.users.is_none()) {
        return format!(
            "{name} cannot be planned: of {} the past tells too little, or a trillion users would be too few",
            metric.name
        );
    }
    let (Some(users), Some((purpose, hardest))) =
        (users, metrics.iter().max_by_key(|(_, metric)| metric.users))
    else {
        return format!(
            "{name} cannot be planned: an arm has no share, or its goals are all of answers, of which the past says nothing"
        );
    };
    let aim = match purpose {
        Purpose::Guardrail => format!("to rule out that {} is harmed by", hardest.name),
        Purpose::Goal | Purpose::Information => format!("to find an effect on {} of", hardest.name),
    };
    let effect = hardest.effect.abs() * 100.0;
    let chance = question.power * 100.0;
    let time = days.map_or("nobody came in the time that was looked at".to_owned(), |days| {
        format!("about {:.0} days, at the pace of the past", days.ceil())
    });
    format!("{name} needs {users:.0} users {aim} {effect:.2}% with a chance of {chance:.0}%: {time}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(arrived: &[u64]) -> Past {
        let (from_ms, until_ms) = (0, arrived.len() as TimeMs * DAY_MS);
        Past { from_ms, until_ms, scale: 10.0, arrived: arrived.to_vec(), sums: Vec::new() }
    }

    #[test]
    fn users_come_as_they_came_and_then_as_in_the_later_half() {
        let past = past(&[8, 4, 2, 2]);
        assert_eq!(past.days_until(40.0), Some(0.5));
        assert_eq!(past.days_until(120.0), Some(2.0));
        assert_eq!(past.days_until(200.0), Some(6.0));
    }

    #[test]
    fn of_days_on_which_nobody_came_nothing_follows() {
        assert_eq!(past(&[0, 0]).days_until(1.0), None);
        assert_eq!(past(&[3, 0]).days_until(31.0), None);
    }
}
