//! Experiments over a store of their own, without a network.

use std::collections::HashMap;
use std::sync::Arc;

use marquee_core::domain::{Interaction, Kind, TimeMs, UserId};
use marquee_experiments::{Conclusion, Target};
use marquee_store::{RedbStore, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;

const DAY_MS: TimeMs = 24 * 60 * 60 * 1_000;

struct Lab {
    experiments: Arc<Experiments>,
    store: Arc<dyn Store>,
    folder: TempDir,
    stop: CancellationToken,
}

impl Lab {
    async fn open(folder: TempDir) -> Self {
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
        Self::over(store, folder, 0.0).await
    }

    async fn over(store: Arc<dyn Store>, folder: TempDir, holdout: f64) -> Self {
        let (experiments, recorder) = Experiments::open(Arc::clone(&store), holdout).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(recorder.run(stop.clone()));
        Self { experiments, store, folder, stop }
    }

    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    /// An experiment that runs.
    async fn running(definition: Definition) -> Self {
        let lab = Self::new().await;
        lab.run(definition).await;
        lab
    }

    async fn run(&self, definition: Definition) {
        let name = definition.name.clone();
        self.experiments.create(definition, Written::All).await.unwrap();
        self.experiments.start(name).await.unwrap();
    }

    async fn arms_of(&self, user_id: UserId) -> Vec<(String, usize)> {
        let labels = HashMap::new();
        let applied =
            self.experiments.applied(Asked { user_id, labels: &labels, events: None }).await.unwrap();
        applied.iter().map(|applied| (applied.experiment.name().to_owned(), applied.arm)).collect()
    }

    async fn arm_of(&self, user_id: UserId) -> Option<usize> {
        self.arms_of(user_id).await.first().map(|(_, arm)| *arm)
    }

    /// Answers a user.
    async fn answer(&self, user_id: UserId, time_ms: TimeMs) -> Option<usize> {
        let labels = HashMap::new();
        let applied =
            self.experiments.applied(Asked { user_id, labels: &labels, events: None }).await.unwrap();
        let arm = applied.first()?.arm;
        let (exposure_id, items) = ("1".to_owned(), vec![(1, None)]);
        self.experiments.exposed(Exposure {
            exposure_id,
            user_id,
            time_ms,
            applied,
            overruled: false,
            items,
            arms: Vec::new(),
            took_us: Some(4_000),
        });
        Some(arm)
    }

    /// Records what a user did, as writes do.
    async fn did(&self, user_id: UserId, movie_id: u32, time_ms: TimeMs) {
        let event = Interaction { user_id, movie_id, time_ms, kind: Kind::View, rating: None };
        self.store.record(&[event], time_ms).await.unwrap();
        self.experiments.touched([user_id].into_iter());
    }

    async fn results(&self) -> Results {
        self.experiments.results("lists").await.unwrap()
    }

    async fn units(&self) -> Vec<u64> {
        self.results().await.units.into_iter().map(|(_, units)| units).collect()
    }

    /// The sums, and those that are counted anew.
    async fn sums(&self) -> (tally::Sums, tally::Sums) {
        self.results().await;
        let tally = self.experiments.tally("lists");
        let by_delta = tally.sums().unwrap();
        self.experiments.recount(&self.experiments.get("lists").unwrap()).await.unwrap();
        (by_delta, tally.sums().unwrap())
    }
}

impl Lab {
    /// Fails to answer a user.
    async fn fail(&self, user_id: UserId, time_ms: TimeMs) {
        let labels = HashMap::new();
        let applied =
            self.experiments.applied(Asked { user_id, labels: &labels, events: None }).await.unwrap();
        let exposure_id = "f".to_owned();
        self.experiments.exposed(Exposure {
            exposure_id,
            user_id,
            time_ms,
            applied,
            overruled: false,
            items: Vec::new(),
            arms: Vec::new(),
            took_us: None,
        });
    }
}

fn arm(name: &str, share: f64) -> Arm {
    Arm { name: name.to_owned(), share, overrides: Overrides::default(), user_ids: Vec::new() }
}

fn halves() -> Definition {
    Definition {
        name: "lists".to_owned(),
        layer: "ranking".to_owned(),
        description: String::new(),
        arms: vec![arm("A", 0.5), arm("B", 0.5)],
        metrics: vec![Metric::conversion()],
        traffic: 1.0,
        target: Target::default(),
        alpha: 0.05,
        window_ms: 7 * DAY_MS,
        shadow: None,
        kind: ExperimentKind::Split,
    }
}

fn metric(name: &str, what: What, purpose: Purpose) -> Metric {
    Metric { name: name.to_owned(), what, purpose, margin: 0.05, ..Metric::conversion() }
}

#[tokio::test]
async fn a_user_is_in_an_arm_while_the_experiment_runs() {
    let lab = Lab::new().await;
    lab.experiments.create(halves(), Written::All).await.unwrap();
    assert_eq!(lab.arm_of(1).await, None);
    lab.experiments.start("lists".to_owned()).await.unwrap();
    let before = lab.arm_of(1).await;
    assert!(before.is_some());
    lab.experiments.pause("lists".to_owned()).await.unwrap();
    assert_eq!(lab.arm_of(1).await, None);
    lab.experiments.start("lists".to_owned()).await.unwrap();
    assert_eq!(lab.arm_of(1).await, before);
    lab.experiments.stop("lists".to_owned(), None).await.unwrap();
    assert_eq!(lab.arm_of(1).await, None);
    let refused = lab.experiments.start("lists".to_owned()).await.unwrap_err();
    assert!(matches!(refused, ExperimentError::NotNow(_)), "{refused}");
}

#[tokio::test]
async fn a_restart_leaves_every_user_in_the_same_arm() {
    let lab = Lab::running(halves()).await;
    let mut before = Vec::new();
    for user_id in 1..200 {
        before.push(lab.arm_of(user_id).await);
    }
    let Lab { experiments, store, folder, stop } = lab;
    stop.cancel();
    drop((experiments, store));
    let (experiments, _recorder) = loop {
        // The recorder lets go of the store when it ends.
        match RedbStore::open(folder.path()) {
            Ok(store) => break Experiments::open(Arc::new(store), 0.0).await.unwrap(),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let labels = HashMap::new();
    for (user_id, before) in (1..200).zip(before) {
        let applied = experiments.applied(Asked { user_id, labels: &labels, events: None }).await.unwrap();
        assert_eq!(applied.first().map(|applied| applied.arm), before);
    }
}

#[tokio::test]
async fn shares_grow_without_moving_a_user_from_arm_to_arm_and_do_not_shrink() {
    let small = Definition { arms: vec![arm("A", 0.1), arm("B", 0.1)], ..halves() };
    let lab = Lab::running(small.clone()).await;
    let mut before = Vec::new();
    for user_id in 0..500 {
        before.push(lab.arm_of(user_id).await);
    }
    let grown = Definition { arms: vec![arm("A", 0.1), arm("B", 0.4)], ..halves() };
    assert_eq!(lab.experiments.update(grown, Written::All).await.unwrap().phase, 1);
    let mut joined = 0;
    for (user_id, before) in (0..500).zip(before) {
        let after = lab.arm_of(user_id).await;
        assert!(after == before || (before.is_none() && after == Some(1)));
        joined += u32::from(after != before);
    }
    assert!((100..200).contains(&joined), "{joined} of 500 joined a further three tenths");
    let refused = lab.experiments.update(small, Written::All).await.unwrap_err().to_string();
    assert!(refused.contains("can only grow"), "{refused}");
}

#[tokio::test]
async fn experiments_of_a_layer_have_no_user_in_common_and_must_fit() {
    let part = |name: &str, traffic| Definition { name: name.to_owned(), traffic, ..halves() };
    let lab = Lab::running(part("one", 0.4)).await;
    lab.run(part("two", 0.6)).await;
    for user_id in 0..300 {
        assert_eq!(lab.arms_of(user_id).await.len(), 1);
    }
    lab.experiments.create(part("three", 0.1), Written::All).await.unwrap();
    let refused = lab.experiments.start("three".to_owned()).await.unwrap_err().to_string();
    assert!(refused.contains("has no room for it"), "{refused}");
    lab.experiments.stop("one".to_owned(), None).await.unwrap();
    lab.experiments.start("three".to_owned()).await.unwrap();
}

#[tokio::test]
async fn experiments_of_two_layers_must_not_override_the_same() {
    let of = |name: &str, layer: &str, diversity| {
        let overrides = Overrides { diversity, ..Overrides::default() };
        let arms = vec![arm("A", 0.5), Arm { overrides, ..arm("B", 0.5) }];
        Definition { name: name.to_owned(), layer: layer.to_owned(), arms, ..halves() }
    };
    let lab = Lab::running(of("one", "ranking", Some(0.5))).await;
    lab.run(of("two", "models", None)).await;
    assert_eq!(lab.arms_of(1).await.len(), 2);
    lab.experiments.create(of("three", "lists", Some(0.1)), Written::All).await.unwrap();
    let refused = lab.experiments.start("three".to_owned()).await.unwrap_err().to_string();
    assert!(refused.contains("overrides diversity too"), "{refused}");
}

#[tokio::test]
async fn those_are_left_out_whom_it_is_not_for() {
    let labels = |country: &str| HashMap::from([("country".to_owned(), country.to_owned())]);
    let target = Target {
        labels: [("country".to_owned(), vec!["DE".to_owned()])].into(),
        events_max: Some(1),
        ..Target::default()
    };
    let lab = Lab::running(Definition { target, ..halves() }).await;
    let takes_part = async |country: &str| {
        let asked = Asked { user_id: 1, labels: &labels(country), events: None };
        !lab.experiments.applied(asked).await.unwrap().is_empty()
    };
    assert!(takes_part("DE").await && !takes_part("FR").await);
    lab.did(1, 1, 1).await;
    lab.did(1, 2, 2).await;
    assert!(!takes_part("DE").await);
}

#[tokio::test]
async fn a_held_out_user_takes_part_in_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
    let lab = Lab::over(store, folder, 0.5).await;
    lab.run(halves()).await;
    let mut out = 0;
    for user_id in 0..400 {
        out += u32::from(lab.arm_of(user_id).await.is_none());
    }
    assert!((150..250).contains(&out), "{out} of 400 are held out");
}

#[tokio::test]
async fn a_named_user_is_always_in_the_arm_and_in_no_result() {
    let arms = vec![arm("A", 0.5), Arm { user_ids: vec![7], ..arm("B", 0.0) }];
    let lab = Lab::running(Definition { arms, ..halves() }).await;
    assert_eq!(lab.answer(7, 1_000).await, Some(1));
    assert_eq!(lab.units().await, [0, 0]);
}

#[tokio::test]
async fn a_user_counts_once_however_often_answered() {
    let lab = Lab::running(halves()).await;
    let arm = lab.answer(1, 1_000).await.unwrap();
    for hour in 0..3 {
        lab.answer(1, 1_000 + hour * 60 * 60 * 1_000).await;
    }
    assert_eq!(lab.units().await.iter().sum::<u64>(), 1);
    assert_eq!(lab.units().await[arm], 1);
}

#[tokio::test]
async fn what_is_done_within_the_window_counts_and_nothing_else_does() {
    let metrics = vec![metric("seen", What::Count, Purpose::Goal)];
    let lab = Lab::running(Definition { metrics, ..halves() }).await;
    let first = 100 * DAY_MS;
    let arm = lab.answer(1, first).await.unwrap();
    lab.did(1, 1, first - 1).await;
    assert_eq!(lab.results().await.units[arm].1, 1);
    for (movie_id, time_ms) in [(2, first), (3, first + 7 * DAY_MS - 1), (4, first + 7 * DAY_MS)] {
        lab.did(1, movie_id, time_ms).await;
        lab.did(1, movie_id, time_ms).await;
    }
    let (by_delta, counted) = lab.sums().await;
    assert_eq!(by_delta, counted);
    let seen = &by_delta.arms[arm].metrics[0];
    assert!((seen.mean() - 2.0).abs() < 1e-9 && (seen.other_mean() - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_deleted_user_is_taken_out_of_the_sums_exactly() {
    let lab = Lab::running(halves()).await;
    for user_id in 1..=20 {
        lab.answer(user_id, 1_000).await;
        lab.did(user_id, 1, 2_000).await;
    }
    let (before, _) = lab.sums().await;
    lab.answer(99, 1_000).await;
    lab.did(99, 1, 2_000).await;
    assert_eq!(lab.sums().await.0.units(), 21);
    lab.store.delete_user(99).await.unwrap();
    lab.experiments.forget(99, 3_000).await.unwrap();
    assert_eq!(lab.sums().await, (before.clone(), before));
    let kept = lab.store.documents().list(DocumentKind::Exposure, "99", None, 10, 3_000).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn a_user_of_two_arms_is_said_and_left_out() {
    let lab = Lab::running(halves()).await;
    let arm = lab.answer(1, 1_000).await.unwrap();
    let experiment = lab.experiments.get("lists").unwrap();
    let applied = vec![Applied { experiment, arm: 1 - arm, forced: false }];
    let (exposure_id, items) = ("2".to_owned(), Vec::new());
    let took_us = Some(4_000);
    let exposure = Exposure {
        exposure_id,
        user_id: 1,
        time_ms: 2_000,
        applied,
        overruled: false,
        items,
        arms: Vec::new(),
        took_us,
    };
    lab.experiments.exposed(exposure);
    let results = lab.results().await;
    assert_eq!((results.crossed, results.units[0].1 + results.units[1].1), (1, 0));
}

/// A thousand users in each arm, of whom more of B than of A do something.
async fn with_a_better_b(definition: Definition) -> Lab {
    let lab = Lab::running(definition).await;
    let mut events = Vec::new();
    for user_id in 0..2_000 {
        let arm = lab.answer(user_id, 1_000).await.unwrap();
        if user_id % 10 < if arm == 1 { 6 } else { 3 } {
            events.push(Interaction { user_id, movie_id: 1, time_ms: 2_000, kind: Kind::View, rating: None });
        }
    }
    lab.store.record(&events, 2_000).await.unwrap();
    lab.experiments.touched(events.iter().map(|event| event.user_id));
    lab
}

#[tokio::test]
async fn the_better_arm_wins() {
    let lab = with_a_better_b(halves()).await;
    let results = lab.results().await;
    assert_eq!(results.decision.conclusion, Conclusion::Better, "{}", results.decision.sentence);
    assert_eq!(results.decision.arm.as_deref(), Some("B"));
    assert!(results.decision.sentence.ends_with("health is good: you may stop now"));
    let effect = &results.metrics[0].arms[0];
    let interval = effect.always_valid.unwrap();
    assert!(interval.lower > 0.0 && interval.lower < 1.0 && interval.upper > 1.0, "{interval:?}");
}

#[tokio::test]
async fn a_breached_guardrail_stops_the_experiment() {
    let worse = Metric { less_is_better: true, ..metric("done", What::Conversion, Purpose::Guardrail) };
    let metrics = vec![metric("goal", What::Count, Purpose::Goal), worse];
    let lab = with_a_better_b(Definition { metrics, ..halves() }).await;
    lab.results().await;
    let experiment = lab.experiments.get("lists").unwrap();
    assert_eq!(experiment.state, State::Stopped);
    let reason = experiment.stop_reason.as_deref().unwrap();
    assert!(reason.starts_with("arm B breaches the guardrail done"), "{reason}");
}

#[tokio::test]
async fn what_another_node_changes_is_read() {
    let lab = Lab::running(halves()).await;
    let (other, _recorder) = Experiments::open(Arc::clone(&lab.store), 0.0).await.unwrap();
    other.pause("lists".to_owned()).await.unwrap();
    let mut seen = None;
    lab.experiments.step(&mut seen).await.unwrap();
    assert_eq!(lab.experiments.get("lists").unwrap().state, State::Paused);
}

#[tokio::test]
async fn names_are_taken_once_and_definitions_checked() {
    let lab = Lab::running(halves()).await;
    let taken = lab.experiments.create(halves(), Written::All).await.unwrap_err();
    assert!(matches!(taken, ExperimentError::Taken(_)), "{taken}");
    let unknown = lab.experiments.results("other").await.unwrap_err();
    assert!(matches!(unknown, ExperimentError::Unknown(_)), "{unknown}");
    for (definition, field) in [
        (Definition { name: "a/b".to_owned(), ..halves() }, "experiment.name"),
        (Definition { arms: vec![arm("A", 1.0)], ..halves() }, "experiment.arms"),
        (Definition { arms: vec![arm("A", 0.7), arm("B", 0.7)], ..halves() }, "experiment.arms"),
        (Definition { arms: vec![arm("A", 0.5), arm("A", 0.5)], ..halves() }, "experiment.arms"),
        (Definition { metrics: vec![Metric::conversion(); 2], ..halves() }, "experiment.goals"),
    ] {
        let refused = lab.experiments.create(definition, Written::All).await.unwrap_err();
        assert!(matches!(&refused, ExperimentError::Fault(fault) if fault.field == field), "{refused}");
    }
    let changed = Definition { alpha: 0.1, ..halves() };
    let refused = lab.experiments.update(changed, Written::All).await.unwrap_err().to_string();
    assert!(refused.starts_with("alpha of an experiment that was started cannot change"), "{refused}");
}

/// Days of a past: on each a user comes, of whom every second one does something else a day later.
async fn lab_with_a_past() -> Lab {
    let lab = Lab::new().await;
    let did = |user_id: UserId, movie_id, time_ms| Interaction {
        user_id,
        movie_id,
        time_ms,
        kind: Kind::View,
        rating: None,
    };
    let mut events = Vec::new();
    for user_id in 0..400 {
        let came_ms = (1_000 + user_id as TimeMs % 28) * DAY_MS;
        events.push(did(user_id, 1, came_ms));
        if user_id / 28 % 2 == 0 {
            events.push(did(user_id, 2, came_ms + DAY_MS / 2));
        }
    }
    lab.store.record(&events, 1_100 * DAY_MS).await.unwrap();
    lab
}

const QUESTION: PlanQuestion = PlanQuestion { effect: 0.1, power: 0.8, history_days: 28 };

#[tokio::test]
async fn a_plan_is_of_what_users_did_and_of_when_they_came() {
    let lab = lab_with_a_past().await;
    let plan = lab.experiments.plan(&halves(), QUESTION).await.unwrap();
    // Of 28 days the newest 7 are those in which the others are counted.
    assert!((295..=305).contains(&plan.active), "{plan:?}");
    let metric = &plan.metrics[0];
    assert!((0.45..0.56).contains(&metric.mean), "{plan:?}");
    let expected = marquee_experiments::users_for(
        &marquee_experiments::Plan {
            mean: metric.mean,
            variance: metric.mean * (1.0 - metric.mean),
            relative_effect: 0.1,
            arm_share: 0.5,
            power: 0.8,
        },
        &marquee_experiments::Sequence::new(0.05),
    );
    assert_eq!((metric.users, plan.users), (expected, expected));
    let users = plan.users.unwrap();
    assert_eq!(plan.arms, [("A".to_owned(), users.div_ceil(2)), ("B".to_owned(), users.div_ceil(2))]);
    // Fourteen or fifteen users come a day, and the last one is counted for a week.
    let days = plan.days.unwrap();
    assert!((days - 7.0 - users as f64 / 14.3).abs() < 0.1 * days, "{plan:?}");
    assert!(plan.sentence.starts_with(&format!("lists needs {users} users to find")), "{}", plan.sentence);
}

#[tokio::test]
async fn a_plan_of_a_metric_that_nobody_did_says_so() {
    let lab = lab_with_a_past().await;
    let metrics = vec![metric("stars", What::MeanRating, Purpose::Goal)];
    let plan = lab.experiments.plan(&Definition { metrics, ..halves() }, QUESTION).await.unwrap();
    assert_eq!((plan.users, plan.days), (None, None));
    assert!(plan.sentence.contains("of stars the past tells too little"), "{}", plan.sentence);
    let plan = Lab::new().await.experiments.plan(&halves(), QUESTION).await.unwrap();
    assert_eq!((plan.users, plan.sampled), (None, 0));
}

#[tokio::test]
async fn a_plan_is_of_those_whom_the_experiment_is_for_and_of_its_traffic() {
    let lab = lab_with_a_past().await;
    let all = lab.experiments.plan(&halves(), QUESTION).await.unwrap();
    let tenth = lab.experiments.plan(&Definition { traffic: 0.1, ..halves() }, QUESTION).await.unwrap();
    assert_eq!(tenth.users, all.users);
    assert!(tenth.days.unwrap() > 5.0 * all.days.unwrap(), "{tenth:?} and {all:?}");
    let target = Target { events_min: Some(1), ..Target::default() };
    let known = lab.experiments.plan(&Definition { target, ..halves() }, QUESTION).await.unwrap();
    assert_eq!(known.sampled, 0, "nobody had seen anything before");
}

#[tokio::test]
async fn what_is_only_asked_for_is_not_stored_and_what_stays_the_same_is_no_change() {
    let lab = Lab::new().await;
    lab.experiments.create(halves(), Written::Nothing).await.unwrap();
    assert!(lab.experiments.get("lists").is_none());
    lab.run(halves()).await;
    let grown = Definition { traffic: 0.5, ..halves() };
    let refused = lab.experiments.update(grown, Written::Nothing).await.unwrap_err();
    assert!(matches!(refused, ExperimentError::NotNow(_)), "{refused}");
    let told = Definition { description: "Why".to_owned(), ..halves() };
    assert_eq!(lab.experiments.update(told.clone(), Written::Nothing).await.unwrap().definition, told);
    assert_eq!(lab.experiments.get("lists").unwrap().definition, halves());
    lab.experiments.stop("lists".to_owned(), None).await.unwrap();
    lab.experiments.update(halves(), Written::All).await.unwrap();
}

#[tokio::test]
async fn what_is_made_of_answers_is_counted_from_what_is_recorded_of_them() {
    let metrics = vec![
        metric("taken", What::TakenAtK, Purpose::Goal),
        metric("took", What::AnswerMilliseconds, Purpose::Information),
        metric("answered", What::Answered, Purpose::Guardrail),
        metric("waited", What::TimeToFirst, Purpose::Information),
    ];
    let lab = Lab::running(Definition { metrics, ..halves() }).await;
    let first = now_ms() - DAY_MS;
    let arm = lab.answer(1, first).await.unwrap();
    lab.fail(1, first + 2 * 60 * 60 * 1_000).await;
    lab.did(1, 1, first + 5_000).await;
    let (by_delta, counted) = lab.sums().await;
    assert_eq!(by_delta, counted);
    let figures = |sums: &tally::Sums| -> Vec<(f64, f64)> {
        sums.arms[arm].metrics.iter().map(|sums| (sums.mean(), sums.other_mean())).collect()
    };
    assert_eq!(figures(&by_delta), [(1.0, 0.0), (4.0, 1.0), (1.0, 2.0), (5.0, 0.0)]);
    lab.store.delete_user(1).await.unwrap();
    lab.experiments.forget(1, now_ms()).await.unwrap();
    assert_eq!(lab.sums().await.0.units(), 0);
}

#[tokio::test]
async fn an_arm_that_fails_is_stopped_even_where_it_never_answers_and_the_control_always_does() {
    let metrics = vec![
        metric("goal", What::Conversion, Purpose::Goal),
        metric("answered", What::Answered, Purpose::Guardrail),
    ];
    let lab = Lab::running(Definition { metrics, ..halves() }).await;
    for user_id in 0..400 {
        if lab.arm_of(user_id).await == Some(1) {
            lab.fail(user_id, now_ms()).await;
        } else {
            lab.answer(user_id, now_ms()).await;
        }
    }
    lab.results().await;
    let experiment = lab.experiments.get("lists").unwrap();
    let reason = experiment.stop_reason.as_deref().unwrap();
    assert!(reason.starts_with("arm B breaches the guardrail answered"), "{reason}");
}

#[tokio::test]
async fn a_time_that_is_longer_than_an_amount_may_be_is_refused() {
    let metrics = vec![metric("waited", What::TimeToFirst, Purpose::Goal)];
    let long = Definition { metrics, window_ms: 30 * DAY_MS, ..halves() };
    let refused = long.check().unwrap_err();
    assert_eq!(refused.field, "experiment.goals.cap");
    let capped = Metric { cap: Some(86_400.0), ..metric("waited", What::TimeToFirst, Purpose::Goal) };
    Definition { metrics: vec![capped], ..long }.check().unwrap();
}

#[tokio::test]
async fn a_model_in_the_shadow_is_compared_and_taken_back_with_its_user() {
    let shadow = Some(Shadow { model_version: "b@1".to_owned(), share: 1.0 });
    let lab = Lab::running(Definition { shadow, ..halves() }).await;
    let time_ms = now_ms();
    let said = |user_id, movies: Option<&[u32]>| Shadowed {
        experiment: "lists".to_owned(),
        user_id,
        time_ms,
        answer: vec![1, 2, 3, 4],
        answer_us: 2_000,
        shadow: movies.map(|movies| (movies.to_vec(), 6_000)),
    };
    for (user_id, movies) in [(1, Some(&[4, 1][..])), (2, Some(&[1, 2, 3, 4][..])), (3, None)] {
        lab.answer(user_id, time_ms).await;
        lab.experiments.shadowed(said(user_id, movies));
    }
    // The first of an hour counts.
    lab.experiments.shadowed(said(1, Some(&[9])));
    let expected = ShadowResults {
        model_version: "b@1".to_owned(),
        answers: 3,
        failures: 1,
        overlap: Some(0.75),
        rank_correlation: Some(0.0),
        milliseconds: Some(6.0),
        answer_milliseconds: Some(2.0),
    };
    assert_eq!(lab.results().await.shadow, Some(expected));
    let (by_delta, counted) = lab.sums().await;
    assert_eq!(by_delta, counted);
    lab.store.delete_user(1).await.unwrap();
    lab.experiments.forget(1, now_ms()).await.unwrap();
    let shadow = lab.results().await.shadow.unwrap();
    assert_eq!((shadow.answers, shadow.overlap, shadow.rank_correlation), (2, Some(1.0), Some(1.0)));
    // What was under way is not recorded of who is gone.
    lab.experiments.shadowed(said(1, Some(&[9])));
    assert_eq!(lab.results().await.shadow.unwrap().answers, 2);
    let kept = lab.store.documents().list(DocumentKind::Exposure, "1", None, 10, time_ms).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn what_an_older_version_stored_is_written_as_it_was() {
    // A change expects the very bytes that are stored.
    let stored = serde_json::to_string(&halves()).unwrap();
    assert!(!stored.contains("shadow") && !stored.contains("top"), "{stored}");
    assert_eq!(serde_json::from_str::<Definition>(&stored).unwrap(), halves());
}

/// Two rankings in one answer, of which the second has a diversity of its own.
fn interleaved() -> Definition {
    let overrides = Overrides { diversity: Some(0.5), ..Overrides::default() };
    Definition {
        arms: vec![arm("A", 0.5), Arm { overrides, ..arm("B", 0.5) }],
        metrics: vec![Metric::preference()],
        kind: ExperimentKind::Interleaving,
        ..halves()
    }
}

/// Answers a user by both arms, and has the user take a movie of B with this chance in ten, of A otherwise.
async fn answer_and_take(lab: &Lab, user_id: UserId, in_ten: u64) {
    let (labels, time_ms) = (HashMap::new(), now_ms() - 1_000);
    let applied = lab.experiments.applied(Asked { user_id, labels: &labels, events: None }).await.unwrap();
    assert!(applied[0].interleaves() && applied[0].arm == 0);
    lab.experiments.exposed(Exposure {
        exposure_id: user_id.to_string(),
        user_id,
        time_ms,
        applied,
        overruled: false,
        items: vec![(1, None), (2, None)],
        arms: vec![Some(0), Some(1)],
        took_us: Some(4_000),
    });
    lab.did(user_id, if user_id % 10 < in_ten { 2 } else { 1 }, time_ms + 1).await;
}

#[tokio::test]
async fn the_ranking_whose_movies_are_taken_more_is_preferred() {
    let lab = Lab::running(interleaved()).await;
    for user_id in 0..300 {
        answer_and_take(&lab, user_id, 7).await;
    }
    let results = lab.results().await;
    assert_eq!(results.decision.conclusion, Conclusion::Better, "{}", results.decision.sentence);
    assert_eq!(results.decision.arm.as_deref(), Some("B"));
    let preference = results.preference.unwrap();
    assert_eq!(preference.answers, 300);
    assert!((preference.share - 211.0 / 302.0).abs() < 1e-6, "{}", preference.share);
    assert!(preference.always_valid.unwrap().lower > 0.5 && preference.p_value < 0.05);
    assert_eq!(lab.units().await, [300, 300]);
    let (by_delta, counted) = lab.sums().await;
    assert_eq!(by_delta, counted);
}

#[tokio::test]
async fn rankings_that_are_liked_alike_are_not_told_apart_and_who_is_deleted_counts_no_more() {
    let lab = Lab::running(interleaved()).await;
    for user_id in 0..200 {
        answer_and_take(&lab, user_id, 5).await;
    }
    let results = lab.results().await;
    assert_eq!(results.decision.conclusion, Conclusion::Undecided, "{}", results.decision.sentence);
    lab.store.delete_user(7).await.unwrap();
    lab.experiments.forget(7, 3_000).await.unwrap();
    assert_eq!(lab.results().await.preference.unwrap().answers, 199);
}

#[test]
fn an_interleaving_that_is_none_is_refused_with_the_field_named() {
    let field = |definition: Definition| definition.check().unwrap_err().field;
    interleaved().check().unwrap();
    let with = |overrides: Overrides| {
        let mut definition = interleaved();
        definition.arms[1].overrides = overrides;
        field(definition)
    };
    assert_eq!(with(Overrides { k: Some(5), ..Overrides::default() }), "experiment.arms[1].overrides.k");
    assert_eq!(with(Overrides::default()), "experiment.arms");
    let third = [interleaved().arms, vec![arm("C", 0.0)]].concat();
    assert_eq!(field(Definition { arms: third, ..interleaved() }), "experiment.arms");
    let mut uneven = interleaved();
    uneven.arms[1].share = 0.1;
    assert_eq!(field(uneven), "experiment.arms[1].share");
    let rating = metric("rating", What::MeanRating, Purpose::Guardrail);
    let metrics = vec![Metric::preference(), rating];
    assert_eq!(field(Definition { metrics, ..interleaved() }), "experiment.guardrails");
    let metrics = vec![Metric::preference()];
    assert_eq!(field(Definition { metrics, ..halves() }), "experiment.goals.measure");
}

#[tokio::test]
async fn two_experiments_do_not_merge_one_answer() {
    let lab = Lab::running(interleaved()).await;
    let overrides = Overrides { popularity_weight: Some(0.5), ..Overrides::default() };
    let arms = vec![arm("A", 0.5), Arm { overrides, ..arm("B", 0.5) }];
    let (name, layer) = ("two".to_owned(), "other".to_owned());
    lab.experiments.create(Definition { name, layer, arms, ..interleaved() }, Written::All).await.unwrap();
    let refused = lab.experiments.start("two".to_owned()).await.unwrap_err().to_string();
    assert!(refused.contains("overrides the order of answers too"), "{refused}");
}
