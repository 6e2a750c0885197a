//! Experiments, through the socket.

mod common;

use std::collections::HashMap;

use marquee_core::clock::now_ms;
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::access::Keys;
use marquee_server::app;
use marquee_server::config::{StoreUrl, Switch};
use marquee_store::OnDamage;
use std::sync::Arc;
use tonic::{Code, Request};

use common::{TestServer, config, sample_data};

/// Users of the sample.
const USERS: std::ops::RangeInclusive<u64> = 1..=260;

fn arm(name: &str, overrides: Option<v1::Overrides>) -> v1::Arm {
    v1::Arm { name: name.to_owned(), share: Some(0.5), overrides, ..v1::Arm::default() }
}

/// Half of the users get five movies.
fn short_lists(name: &str) -> v1::Experiment {
    let short = v1::Overrides { k: Some(5), ..Default::default() };
    v1::Experiment {
        name: name.to_owned(),
        layer: "lists".to_owned(),
        arms: vec![arm("A", None), arm("B", Some(short))],
        goals: vec![v1::Metric { name: "watched".to_owned(), ..Default::default() }],
        ..Default::default()
    }
}

fn asks(user_id: u64) -> v1::RecommendRequest {
    v1::RecommendRequest { subject: Some(Subject::UserId(user_id)), ..Default::default() }
}

fn adding(experiment: v1::Experiment) -> v1::CreateExperimentRequest {
    v1::CreateExperimentRequest { experiment: Some(experiment), validate_only: None }
}

async fn create(server: &TestServer, experiment: v1::Experiment) {
    let request = adding(experiment);
    server.experiments().create_experiment(request).await.expect("a good experiment");
}

async fn run(server: &TestServer, experiment: v1::Experiment) {
    let request = v1::StartExperimentRequest { name: experiment.name.clone() };
    create(server, experiment).await;
    server.experiments().start_experiment(request).await.expect("it starts");
}

async fn answer(server: &TestServer, request: v1::RecommendRequest) -> v1::RecommendResponse {
    server.recommendation().recommend(request).await.expect("an answer").into_inner()
}

async fn results(server: &TestServer, name: &str) -> v1::GetResultsResponse {
    let request = v1::GetResultsRequest { name: name.to_owned() };
    server.experiments().get_results(request).await.expect("results").into_inner()
}

async fn watch(server: &TestServer, user_id: u64) {
    let request = v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    server.interactions().record_interaction(request).await.expect("an event");
}

/// The arm of a user.
async fn arm_of(server: &TestServer, user_id: u64) -> String {
    answer(server, asks(user_id)).await.experiments[0].arm.clone()
}

#[tokio::test]
async fn answers_are_those_of_the_users_arm_and_say_so() {
    let server = TestServer::start().await;
    assert!(answer(&server, asks(1)).await.experiments.is_empty());
    run(&server, short_lists("short")).await;
    let mut seen = HashMap::new();
    for user_id in 1..=30 {
        let answer = answer(&server, asks(user_id)).await;
        let [applied] = &answer.experiments[..] else { panic!("one experiment, {:?}", answer.experiments) };
        assert_eq!((&*applied.experiment, applied.forced, applied.overruled), ("short", false, false));
        assert_eq!(answer.recommendations.len(), if applied.arm == "B" { 5 } else { 10 });
        assert_eq!(answer.exposure_id.len(), 16);
        *seen.entry(applied.arm.clone()).or_insert(0) += 1;
    }
    assert!(seen["A"] > 5 && seen["B"] > 5, "{seen:?}");
}

#[tokio::test]
async fn what_a_request_says_goes_before_its_arm_and_who_does_not_want_to_takes_no_part() {
    let server = TestServer::start().await;
    run(&server, short_lists("short")).await;
    for user_id in 1..=10 {
        let said = answer(&server, v1::RecommendRequest { k: Some(7), ..asks(user_id) }).await;
        assert_eq!(said.recommendations.len(), 7);
        assert_eq!(said.experiments[0].overruled, said.experiments[0].arm == "B");
        let out = answer(&server, v1::RecommendRequest { experiments: Some(false), ..asks(user_id) }).await;
        assert!(out.experiments.is_empty() && out.exposure_id.is_empty() && out.recommendations.len() == 10);
    }
    let history = Some(Subject::History(v1::History::from(vec![1, 2, 3])));
    let stateless = v1::RecommendRequest { subject: history, ..Default::default() };
    assert!(answer(&server, stateless).await.experiments.is_empty());
}

#[tokio::test]
async fn the_better_arm_is_found_and_the_experiment_stopped() {
    let server = TestServer::start().await;
    run(&server, short_lists("short")).await;
    for user_id in USERS {
        // Whoever gets a short list watches something, and of the others one in three.
        if arm_of(&server, user_id).await == "B" || user_id % 3 == 0 {
            watch(&server, user_id).await;
        }
    }
    let found = results(&server, "short").await;
    assert_eq!(found.conclusion(), v1::Conclusion::Better, "{}", found.decision);
    assert_eq!((&*found.arm, found.goals[0].name.as_str()), ("B", "watched"));
    let effect = &found.goals[0].arms[0];
    let (estimate, lower, upper) =
        (effect.estimate.expect("one"), effect.lower.expect("one"), effect.upper.expect("one"));
    assert!(0.0 < lower && lower < estimate && estimate < upper, "{effect:?}");
    assert_eq!(found.arms.iter().map(|arm| arm.units).sum::<u64>(), 260);
    assert!(found.health.expect("health").sample_ratio_p_value > 0.01);

    let stop = v1::StopExperimentRequest { name: "short".to_owned() };
    let stopped = server.experiments().stop_experiment(stop).await.expect("it stops").into_inner();
    assert_eq!(stopped.status.expect("a status").state(), v1::ExperimentState::Stopped);
    assert!(answer(&server, asks(1)).await.experiments.is_empty());
    assert_eq!(results(&server, "short").await.goals, found.goals);
}

#[tokio::test]
async fn a_deleted_user_is_in_no_result() {
    let server = TestServer::start().await;
    run(&server, short_lists("short")).await;
    for user_id in [1, 2] {
        answer(&server, asks(user_id)).await;
        watch(&server, user_id).await;
    }
    let units = async || results(&server, "short").await.arms.iter().map(|arm| arm.units).sum::<u64>();
    assert_eq!(units().await, 2);
    let request = v1::DeleteUserRequest { user: Some(2.into()) };
    server.users().delete_user(request).await.expect("a deletion");
    assert_eq!(units().await, 1);
}

#[tokio::test]
async fn experiments_are_for_those_whose_labels_fit() {
    let server = TestServer::start().await;
    let label = v1::LabelValues { label: "country".to_owned(), values: vec!["DE".to_owned()] };
    let target = Some(v1::Target { labels: vec![label], ..Default::default() });
    run(&server, v1::Experiment { target, ..short_lists("short") }).await;
    let from = |country: &str| {
        let labels = HashMap::from([("country".to_owned(), country.to_owned())]);
        v1::RecommendRequest { labels, ..asks(1) }
    };
    assert_eq!(answer(&server, from("DE")).await.experiments.len(), 1);
    assert!(answer(&server, from("FR")).await.experiments.is_empty());
    let refused = server.recommendation().recommend(from(&"x".repeat(65))).await.expect_err("too long");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let server = TestServer::start().await;
    create(&server, short_lists("short")).await;
    let again = adding(short_lists("short"));
    let taken = server.experiments().create_experiment(again).await.expect_err("a name that is taken");
    assert_eq!(taken.code(), Code::AlreadyExists);
    let alone = v1::Experiment { arms: vec![arm("A", None)], ..short_lists("alone") };
    let alone = adding(alone);
    let refused = server.experiments().create_experiment(alone).await.expect_err("nothing to compare");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("experiment.arms"), "{}", refused.message());
    let unknown = v1::GetResultsRequest { name: "other".to_owned() };
    let unknown = server.experiments().get_results(unknown).await.expect_err("no such experiment");
    assert_eq!(unknown.code(), Code::NotFound);
    let pause = v1::PauseExperimentRequest { name: "short".to_owned() };
    let early = server.experiments().pause_experiment(pause).await.expect_err("it does not run");
    assert_eq!(early.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn experiments_are_listed_in_pages_by_name() {
    let server = TestServer::start().await;
    for name in ["c", "a", "b"] {
        create(&server, short_lists(name)).await;
    }
    let mut request = v1::ListExperimentsRequest { page_size: Some(2), page_token: String::new() };
    let first = server.experiments().list_experiments(request.clone()).await.expect("a page").into_inner();
    request.page_token = first.next_page_token.clone();
    let last = server.experiments().list_experiments(request).await.expect("a page").into_inner();
    let names = first.experiments.iter().chain(&last.experiments);
    let names: Vec<_> = names.map(|status| status.experiment.clone().expect("it").name).collect();
    assert_eq!((names, &*last.next_page_token), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], ""));
}

#[tokio::test]
async fn results_come_as_they_change_until_the_experiment_stops() {
    let server = TestServer::start().await;
    run(&server, short_lists("short")).await;
    let request = v1::WatchResultsRequest { name: "short".to_owned(), every: Some(1) };
    let mut watched = server.experiments().watch_results(request).await.expect("a stream").into_inner();
    let first = watched.message().await.expect("no error").expect("results").results.expect("results");
    assert_eq!(first.state(), v1::ExperimentState::Running);
    let stop = v1::StopExperimentRequest { name: "short".to_owned() };
    server.experiments().stop_experiment(stop).await.expect("it stops");
    let last = watched.message().await.expect("no error").expect("results").results.expect("results");
    assert_eq!(last.state(), v1::ExperimentState::Stopped);
    assert!(watched.message().await.expect("no error").is_none());
}

#[tokio::test]
async fn an_arm_is_tried_out_by_those_who_may_change_experiments() {
    let data = sample_data().await;
    let mut config = config(&data);
    config.security.auth = Switch::On;
    let roles = Arc::new(config.security.roles.with_built_in());
    let store =
        app::open_store(&StoreUrl::redb(), data.path(), OnDamage::Refuse).await.expect("the store opens");
    let keys = Arc::new(Keys::open(store, roles).await.expect("there are no keys yet"));
    let make = async |role: &str| {
        keys.create(role.to_owned(), role.to_owned(), None, now_ms()).await.expect("the key is made").text
    };
    let (operator, recommender) = (make("operator").await, make("recommender").await);
    drop(keys);
    let server = TestServer::start_with(config, data).await;
    let create = adding(short_lists("short"));
    let refused = server.experiments().create_experiment(by(&recommender, create.clone())).await;
    assert_eq!(refused.expect_err("no right").code(), Code::PermissionDenied);
    server.experiments().create_experiment(by(&operator, create)).await.expect("an experiment");
    let forced = v1::ForcedArm { experiment: "short".to_owned(), arm: "B".to_owned() };
    let request = v1::RecommendRequest { forced_arm: Some(forced), ..asks(1) };
    let refused = server.recommendation().recommend(by(&recommender, request.clone())).await;
    assert_eq!(refused.expect_err("no right").code(), Code::PermissionDenied);
    let tried =
        server.recommendation().recommend(by(&operator, request)).await.expect("an answer").into_inner();
    assert!(tried.experiments[0].forced && tried.recommendations.len() == 5, "{:?}", tried.experiments);
}

/// A request by a key.
fn by<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-api-key", key.parse().expect("a header"));
    request
}

#[tokio::test]
async fn an_experiment_is_planned_from_the_past_of_the_store() {
    let server = TestServer::start().await;
    let watched = v1::Metric {
        name: "watched".to_owned(),
        measure: v1::Measure::Count.into(),
        cap: Some(50.0),
        ..Default::default()
    };
    let plan = v1::PlanExperimentRequest {
        experiment: Some(v1::Experiment { goals: vec![watched], ..short_lists("short") }),
        effect: Some(0.1),
        history_days: Some(3650),
        ..Default::default()
    };
    let planned = server.experiments().plan_experiment(plan.clone()).await.expect("a plan").into_inner();
    assert!(planned.sentence.starts_with("short needs "), "{}", planned.sentence);
    assert!(planned.users.is_some() && planned.days.is_some() && planned.sampled_users > 100, "{planned:?}");
    assert_eq!((planned.arms.len(), &*planned.metrics[0].name), (2, "watched"));
    let small = v1::PlanExperimentRequest { effect: None, ..plan.clone() };
    let refused = server.experiments().plan_experiment(small).await.expect_err("no effect");
    assert_eq!((refused.code(), refused.message().contains("effect")), (Code::InvalidArgument, true));
    let alone = v1::Experiment { arms: vec![arm("A", None)], ..short_lists("alone") };
    let alone = v1::PlanExperimentRequest { experiment: Some(alone), ..plan };
    let refused = server.experiments().plan_experiment(alone).await.expect_err("nothing to compare");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_only_validated_is_answered_as_it_would_be_and_not_stored() {
    let server = TestServer::start().await;
    let request = v1::CreateExperimentRequest { validate_only: Some(true), ..adding(short_lists("short")) };
    let shown = server.experiments().create_experiment(request).await.expect("a good one").into_inner();
    assert_eq!(shown.status.and_then(|status| status.experiment).map(|it| it.traffic), Some(Some(1.0)));
    let unknown = v1::GetExperimentRequest { name: "short".to_owned() };
    let unknown = server.experiments().get_experiment(unknown).await.expect_err("it is not stored");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_canary_whose_answers_fail_stops_by_itself_and_all_are_answered_again() {
    let server = TestServer::start().await;
    let missing = v1::Overrides { model_version: "missing@1".to_owned(), ..Default::default() };
    let answered = v1::Metric {
        name: "answered".to_owned(),
        measure: v1::Measure::Answered.into(),
        margin: Some(0.05),
        ..Default::default()
    };
    let canary = v1::Experiment {
        name: "canary".to_owned(),
        arms: vec![arm("old", None), arm("new", Some(missing))],
        guardrails: vec![answered],
        ..Default::default()
    };
    run(&server, canary).await;
    let mut failed = 0;
    for user_id in USERS {
        failed += u32::from(server.recommendation().recommend(asks(user_id)).await.is_err());
    }
    assert!(failed > 50, "{failed} answers failed");
    results(&server, "canary").await;
    let request = v1::GetExperimentRequest { name: "canary".to_owned() };
    let found = server.experiments().get_experiment(request).await.expect("it is there").into_inner();
    let status = found.status.expect("a status");
    assert_eq!(status.state(), v1::ExperimentState::Stopped);
    assert!(
        status.stop_reason.starts_with("arm new breaches the guardrail answered"),
        "{}",
        status.stop_reason
    );
    for user_id in USERS.take(20) {
        assert!(answer(&server, asks(user_id)).await.experiments.is_empty());
    }
}

#[tokio::test]
async fn a_model_in_the_shadow_is_compared_with_what_is_answered() {
    let server = TestServer::start().await;
    let shadow = Some(v1::Shadow { model_version: "tiny@1".to_owned(), share: Some(1.0) });
    run(&server, v1::Experiment { shadow, ..short_lists("short") }).await;
    let of_results = async || results(&server, "short").await.shadow.expect("a shadow");
    assert_eq!(of_results().await.answers, 0);
    answer(&server, asks(1)).await;
    let found = loop {
        // It answers when the answer is out.
        let found = of_results().await;
        if found.answers > 0 {
            break found;
        }
    };
    // It is the same model.
    assert_eq!((found.overlap, found.rank_correlation, found.failures), (Some(1.0), Some(1.0), 0));
}

/// Two rankings in one answer: by what is popular, and away from it.
fn interleaved(name: &str) -> v1::Experiment {
    let of = |name: &str, weight| v1::Arm {
        share: None,
        ..arm(name, Some(v1::Overrides { popularity_weight: Some(weight), ..Default::default() }))
    };
    v1::Experiment {
        name: name.to_owned(),
        arms: vec![of("A", -1.0), of("B", 1.0)],
        kind: v1::ExperimentKind::Interleaving.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn users_who_take_what_one_ranking_gives_show_that_it_is_preferred() {
    let server = TestServer::start().await;
    run(&server, interleaved("merged")).await;
    for user_id in USERS {
        let answer = answer(&server, asks(user_id)).await;
        let [applied] = &answer.experiments[..] else { panic!("one experiment, {:?}", answer.experiments) };
        assert_eq!((&*applied.experiment, &*applied.arm, applied.overruled), ("merged", "", false));
        assert_eq!((answer.recommendations.len(), applied.place_arms.len()), (10, 10));
        // Four users in five take the first movie of B, and one that of A.
        let liked = if user_id % 5 == 0 { "A" } else { "B" };
        let place = applied.place_arms.iter().position(|arm| arm == liked).expect("both have movies");
        let request = v1::RecordInteractionRequest {
            user: Some(user_id.into()),
            movie: Some(answer.recommendations[place].movie_id.into()),
            kind: v1::InteractionKind::View.into(),
            ..Default::default()
        };
        server.interactions().record_interaction(request).await.expect("an event");
    }
    let found = results(&server, "merged").await;
    assert_eq!((found.conclusion(), &*found.arm), (v1::Conclusion::Better, "B"), "{}", found.decision);
    let preference = found.preference.expect("a preference");
    assert_eq!((&*preference.arm, preference.answers), ("B", 260));
    assert!(preference.lower.expect("one") > 0.5 && found.goals.is_empty(), "{preference:?}");
}

#[tokio::test]
async fn what_a_request_says_goes_before_both_of_its_merged_arms() {
    let server = TestServer::start().await;
    run(&server, interleaved("merged")).await;
    let said = v1::RecommendRequest { popularity_weight: Some(0.5), k: Some(4), ..asks(1) };
    let merged = answer(&server, said.clone()).await;
    assert!(merged.experiments[0].overruled);
    let alone = answer(&server, v1::RecommendRequest { experiments: Some(false), ..said }).await;
    let ids = |answer: &v1::RecommendResponse| -> Vec<u32> {
        answer.recommendations.iter().map(|movie| movie.movie_id).collect()
    };
    assert_eq!(ids(&merged), ids(&alone));
}

/// Asks with a history, for whoever the caller knows by this key.
fn stateless(unit_key: &str) -> v1::RecommendRequest {
    let subject = Some(Subject::History(v1::History::from(vec![1, 2, 3])));
    v1::RecommendRequest { subject, unit_key: unit_key.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_history_takes_part_by_the_callers_key_and_what_is_recorded_by_that_counts() {
    let server = TestServer::start().await;
    run(&server, short_lists("short")).await;
    let first = answer(&server, stateless("session-1")).await;
    assert_eq!(first.experiments, answer(&server, stateless("session-1")).await.experiments);
    assert_eq!(first.exposure_id.len(), 16);
    let mut arms = HashMap::new();
    for session in 2..=30 {
        let answer = answer(&server, stateless(&format!("session-{session}"))).await;
        *arms.entry(answer.experiments[0].arm.clone()).or_insert(0) += 1;
    }
    assert!(arms["A"] > 5 && arms["B"] > 5, "{arms:?}");
    let watched = v1::RecordInteractionRequest {
        user: Some(v1::record_interaction_request::User::UserKey("session-1".to_owned())),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    server.interactions().record_interaction(watched).await.expect("an event");
    let found = results(&server, "short").await;
    assert_eq!(found.arms.iter().map(|arm| arm.units).sum::<u64>(), 30);
    let figures = [found.goals[0].control, found.goals[0].arms[0].mean];
    assert_eq!(figures.iter().filter(|figure| **figure > 0.0).count(), 1, "{figures:?}");
}

#[tokio::test]
async fn a_unit_key_that_is_none_or_beside_a_user_is_refused() {
    let server = TestServer::start().await;
    let long = "é".repeat(200);
    for request in [stateless(&long), v1::RecommendRequest { unit_key: "session".to_owned(), ..asks(1) }] {
        let refused = server.recommendation().recommend(request).await.expect_err("no unit");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("unit_key "), "{}", refused.message());
    }
}
