//! Business rules, through the socket.

mod common;

use std::time::Duration;

use futures::{StreamExt as _, stream};
use marquee_core::clock;
use marquee_proto::v1;
use marquee_proto::v1::bury::How;
use marquee_proto::v1::put_rule_request::Action;
use marquee_proto::v1::recommend_outcome::Outcome;
use marquee_proto::v1::recommend_request::Subject;
use prost_types::Timestamp;
use tonic::Code;
use tonic_types::StatusExt as _;

use common::cql::{new_keyspace, shared_cql};
use common::nodes::{PATIENCE, until};
use common::{TestServer, config};

/// Two users: one of the sample, of whose movies the fixture's model knows twenty, and one whom nobody knows.
const KNOWN: u64 = 2;
const UNKNOWN: u64 = 987_654_321;

/// Users with taste, with preferences alone, and with nothing.
const SOURCES: [v1::Source; 3] = [v1::Source::Model, v1::Source::Preferences, v1::Source::Popularity];

fn pin(movie_ids: &[u32]) -> Action {
    Action::Pin(v1::Pin { movie_ids: movie_ids.to_vec(), ..v1::Pin::default() })
}

fn boost(movie_ids: &[u32], weight: f64) -> Action {
    Action::Boost(v1::Boost { movie_ids: movie_ids.to_vec(), weight: Some(weight), ..v1::Boost::default() })
}

fn bury(movie_ids: &[u32], how: How) -> Action {
    Action::Bury(v1::Bury { movie_ids: movie_ids.to_vec(), how: Some(how), ..v1::Bury::default() })
}

fn rule(rule_id: &str, action: Action) -> v1::PutRuleRequest {
    let reason = format!("Reason of {rule_id}");
    v1::PutRuleRequest { rule_id: rule_id.to_owned(), reason, action: Some(action), ..Default::default() }
}

fn asks(user_id: u64) -> v1::RecommendRequest {
    v1::RecommendRequest { subject: Some(Subject::UserId(user_id)), ..Default::default() }
}

async fn put(server: &TestServer, rule: v1::PutRuleRequest) -> v1::PutRuleResponse {
    server.rules().put_rule(rule).await.expect("a good rule").into_inner()
}

async fn delete(server: &TestServer, rule_id: &str) -> bool {
    let request = v1::DeleteRuleRequest { rule_id: rule_id.to_owned() };
    server.rules().delete_rule(request).await.expect("a deletion").into_inner().deleted
}

async fn answer(server: &TestServer, request: v1::RecommendRequest) -> Vec<v1::Recommendation> {
    let answer = server.recommendation().recommend(request).await.expect("an answer");
    answer.into_inner().recommendations
}

/// Why a movie is answered to the known user, or is not.
async fn verdict(server: &TestServer, movie_id: u32, context: &str) -> v1::ExplainRecommendationResponse {
    let request = v1::ExplainRecommendationRequest {
        subject: Some(v1::explain_recommendation_request::Subject::UserId(KNOWN)),
        movie: Some(movie_id.into()),
        context: context.to_owned(),
        ..Default::default()
    };
    server.recommendation().explain_recommendation(request).await.expect("a verdict").into_inner()
}

fn ids(movies: &[v1::Recommendation]) -> Vec<u32> {
    movies.iter().map(|movie| movie.movie_id).collect()
}

fn rule_ids(movies: &[v1::Recommendation]) -> Vec<&str> {
    movies.iter().map(|movie| &*movie.rule_id).collect()
}

fn assert_parts_sum_to_the_scores(movies: &[v1::Recommendation]) {
    for movie in movies.iter().filter(|movie| movie.source() != v1::Source::Rule) {
        let v1::ScoreParts { log_probability, popularity, freshness, rating, told_genres, rules } =
            movie.score_parts.expect("rules change values");
        let sum = log_probability + popularity + freshness + rating + told_genres + rules;
        assert!((sum as f32 - movie.score).abs() < f32::EPSILON * 100.0, "{movie:?}");
    }
}

/// The users of [`SOURCES`] in their order.
async fn users(server: &TestServer) -> [u64; 3] {
    let preferences = v1::Preferences { genres: vec!["Comedy".to_owned()], ..Default::default() };
    let told = v1::SetPreferencesRequest { user: Some(5_000_000.into()), preferences: Some(preferences) };
    server.users().set_preferences(told).await.expect("a write");
    [KNOWN, 5_000_000, UNKNOWN]
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_pin_lift_bury_and_remove_whichever_path_answers_and_leave_no_trace() {
    let server = TestServer::start().await;
    for (user_id, source) in users(&server).await.into_iter().zip(SOURCES) {
        let request = || v1::RecommendRequest { explain: Some(true), ..asks(user_id) };
        let plain = answer(&server, request()).await;
        assert_eq!(plain[0].source(), source);
        assert!(plain.iter().all(|movie| movie.score_parts.is_none() && movie.rule_id.is_empty()));
        let far = answer(&server, v1::RecommendRequest { k: Some(120), ..asks(user_id) }).await;
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|place| plain[place].movie_id);
        let [pinned, lifted] = [far[100].movie_id, far[119].movie_id];

        put(&server, rule("pin", pin(&[pinned, fourth]))).await;
        let shown = answer(&server, request()).await;
        let expected: Vec<u32> =
            [pinned, fourth].into_iter().chain(ids(&plain).into_iter().filter(|id| *id != fourth)).collect();
        assert_eq!(ids(&shown), expected[..10], "{source:?}");
        assert!(
            shown[..2].iter().all(|movie| movie.source() == v1::Source::Rule && movie.score.abs() < 1e-9)
        );
        assert_eq!(shown[0].reason, "rule: Reason of pin");
        let facts =
            |movie: &v1::Recommendation| (movie.score.to_bits(), movie.source(), movie.reason.clone());
        assert_eq!(facts(&shown[2]), facts(&plain[0]), "the others are as they were");

        put(&server, rule("lift", boost(&[lifted], 100.0))).await;
        put(&server, rule("bury", bury(&[second], How::Penalty(100.0)))).await;
        put(&server, rule("remove", bury(&[first], How::Remove(true)))).await;
        let shown = answer(&server, request()).await;
        assert_eq!(ids(&shown)[..4], [pinned, fourth, lifted, third], "{source:?}");
        assert_eq!(rule_ids(&shown)[..4], ["pin", "pin", "lift", ""]);
        assert_eq!(shown[2].reason, "rule: Reason of lift");
        assert!(shown.iter().all(|movie| movie.movie_id != first && movie.movie_id != second));
        assert_parts_sum_to_the_scores(&shown);

        for rule_id in ["pin", "lift", "bury", "remove"] {
            assert!(delete(&server, rule_id).await && !delete(&server, rule_id).await);
        }
        assert_eq!(answer(&server, request()).await, plain, "bitwise as before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_a_stream_are_under_the_same_rules() {
    let server = TestServer::start().await;
    let plain = answer(&server, asks(KNOWN)).await;
    put(&server, rule("pin", pin(&[plain[7].movie_id]))).await;
    put(&server, rule("lift", boost(&[plain[5].movie_id], 9.0))).await;
    let single = answer(&server, asks(KNOWN)).await;
    assert_eq!(rule_ids(&single)[..3], ["pin", "lift", ""]);
    let batch = v1::RecommendBatchRequest { requests: vec![asks(KNOWN); 2] };
    let batch = server.recommendation().recommend_batch(batch).await.unwrap().into_inner().outcomes;
    let request = v1::RecommendStreamRequest { request: Some(asks(KNOWN)) };
    let mut stream =
        server.recommendation().recommend_stream(stream::iter([request])).await.unwrap().into_inner();
    let streamed = stream.next().await.unwrap().unwrap().outcome.unwrap();
    for outcome in batch.into_iter().chain([streamed]) {
        let Some(Outcome::Response(response)) = outcome.outcome else { panic!("no answer: {outcome:?}") };
        assert_eq!(response.recommendations, single);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pinned_that_the_history_or_the_filter_keeps_out() {
    let server = TestServer::start().await;
    let plain = answer(&server, asks(KNOWN)).await;
    let request = v1::ListHistoryRequest { user: Some(KNOWN.into()), ..Default::default() };
    let history = server.users().list_history(request).await.unwrap().into_inner().interactions;
    let seen = history[0].interaction.as_ref().unwrap().movie_id();
    put(&server, rule("pin", pin(&[seen, plain[3].movie_id]))).await;
    let shown = answer(&server, asks(KNOWN)).await;
    assert_eq!((shown[0].movie_id, &*shown[1].rule_id), (plain[3].movie_id, ""));
    assert!(shown.iter().all(|movie| movie.movie_id != seen));
    let with_seen = v1::RecommendRequest { exclude_seen: Some(false), ..asks(KNOWN) };
    assert_eq!(answer(&server, with_seen).await[0].movie_id, seen);
    let filter = v1::Filter { deny_movie_ids: vec![plain[3].movie_id], ..Default::default() };
    let shown = answer(&server, v1::RecommendRequest { filter: Some(filter), ..asks(KNOWN) }).await;
    assert!(shown.iter().all(|movie| movie.rule_id.is_empty()));
    assert_eq!(shown[0], plain[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_may_be_pins_alone() {
    let server = TestServer::start().await;
    let far = answer(&server, v1::RecommendRequest { k: Some(30), ..asks(KNOWN) }).await;
    let wanted = ids(&far[15..30]);
    put(&server, rule("pin", pin(&wanted))).await;
    assert_eq!(ids(&answer(&server, asks(KNOWN)).await), wanted[..10]);
    let one = v1::RecommendRequest { k: Some(1), ..asks(UNKNOWN) };
    assert_eq!(ids(&answer(&server, one).await), wanted[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_holds_for_the_genres_and_the_context_that_it_names_and_says_so() {
    let server = TestServer::start().await;
    let filter = v1::Filter { genres_any: vec!["horror".to_owned()], ..Default::default() };
    let kids = v1::PutRuleRequest {
        filter: Some(filter),
        contexts: vec!["kids-page".to_owned()],
        ..rule("kids", bury(&[], How::Remove(true)))
    };
    put(&server, kids).await;
    let many =
        |context: &str| v1::RecommendRequest { k: Some(300), context: context.to_owned(), ..asks(KNOWN) };
    let horror = |movies: &[v1::Recommendation]| {
        let mut found = movies.iter().filter(|movie| movie.genres.iter().any(|genre| genre == "Horror"));
        found.next().map(|movie| movie.movie_id)
    };
    let removed = horror(&answer(&server, many("home")).await).expect("there is some");
    let shown = answer(&server, many("kids-page")).await;
    assert_eq!((shown.len(), horror(&shown)), (300, None));

    let why = verdict(&server, removed, "kids-page").await.why_not;
    let of_rule = why.iter().find(|why| why.obstacle() == v1::Obstacle::Rule).expect("the rule is named");
    assert_eq!(of_rule.field, "context");
    assert_eq!(of_rule.description, "the rule kids (Reason of kids) takes it out");
    let why = verdict(&server, removed, "home").await.why_not;
    assert!(why.iter().all(|why| why.obstacle() != v1::Obstacle::Rule), "{why:?}");

    put(&server, rule("weighed", bury(&[shown[0].movie_id], How::Penalty(40.0)))).await;
    let verdict = verdict(&server, shown[0].movie_id, "kids-page").await;
    assert!(!verdict.answered);
    let said: Vec<&str> = verdict.why_not.iter().map(|why| &*why.description).collect();
    assert_eq!(said, ["the rule weighed (Reason of weighed) takes 40 off its value"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_add_to_the_values_of_an_objective() {
    let server = TestServer::start().await;
    let request =
        || v1::RecommendRequest { freshness_weight: Some(1.0), diversity: Some(0.2), ..asks(KNOWN) };
    let plain = answer(&server, request()).await;
    let far = answer(&server, v1::RecommendRequest { k: Some(120), ..asks(KNOWN) }).await;
    put(&server, rule("lift", boost(&[far[119].movie_id], 50.0))).await;
    let shown = answer(&server, request()).await;
    assert_eq!(shown[0].movie_id, far[119].movie_id);
    assert!((shown[0].score_parts.unwrap().rules - 50.0).abs() < 1e-12);
    assert_parts_sum_to_the_scores(&shown);
    assert!(shown[1..].iter().any(|movie| movie.movie_id == plain[0].movie_id));
}

/// On one thread, whose clock the test sets.
#[tokio::test]
async fn a_rule_holds_until_its_end_by_the_servers_clock() {
    const START: u64 = 1_800_000_000;
    let server = TestServer::start().await;
    let plain = answer(&server, asks(KNOWN)).await;
    let time = |seconds: u64| Some(Timestamp { seconds: seconds as i64, nanos: 0 });
    let christmas = v1::PutRuleRequest {
        start_time: time(START),
        end_time: time(START + 3_600),
        ..rule("christmas", pin(&[plain[9].movie_id]))
    };
    put(&server, christmas).await;
    let mut held = Vec::new();
    for hour in [-1, 0, 1] {
        clock::fake::set((START as i64 + hour * 3_600) as u64 * 1_000);
        held.push(answer(&server, asks(KNOWN)).await != plain);
    }
    assert_eq!(held, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_there_after_a_restart() {
    let server = TestServer::start().await;
    let stored = put(&server, rule("pin", pin(&[1]))).await;
    assert!(stored.created);
    let TestServer { running, data, .. } = server;
    running.stop().await.expect("it stops");
    let server = TestServer::start_with(config(&data), data).await;
    let request = v1::GetRuleRequest { rule_id: "pin".to_owned() };
    assert_eq!(server.rules().get_rule(request).await.unwrap().into_inner().rule, stored.rule);
    assert_eq!(answer(&server, asks(UNKNOWN)).await[0].rule_id, "pin");
    assert!(!put(&server, rule("pin", pin(&[2]))).await.created);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_come_in_pages_in_the_order_in_which_they_decide() {
    let server = TestServer::start().await;
    for (rule_id, priority) in [("b", 0), ("a", 0), ("d", -5), ("c", 5), ("e", 1_000)] {
        put(&server, v1::PutRuleRequest { priority: Some(priority), ..rule(rule_id, pin(&[1])) }).await;
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListRulesRequest { page_size: Some(2), page_token };
        let page = server.rules().list_rules(request).await.unwrap().into_inner();
        listed.extend(page.rules.into_iter().map(|rule| rule.rule_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ["e", "c", "a", "b", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_rule_is_refused_by_its_field() {
    let server = TestServer::start().await;
    let refused = async |rule: v1::PutRuleRequest| {
        let status = server.rules().put_rule(rule).await.expect_err("it is refused");
        let fields = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        (status.code(), fields.into_iter().map(|bad| bad.field).collect::<Vec<_>>())
    };
    let invalid = |field: &str| (Code::InvalidArgument, vec![field.to_owned()]);
    assert_eq!(refused(rule("Christmas", pin(&[1]))).await, invalid("rule_id"));
    assert_eq!(refused(rule("a", pin(&[]))).await, invalid("pin.movie_ids"));
    assert_eq!(refused(rule("a", boost(&[], 1.0))).await, invalid("filter"));
    assert_eq!(refused(rule("a", boost(&[1], 0.0))).await, invalid("boost.weight"));
    assert_eq!(refused(rule("a", bury(&[1], How::Remove(false)))).await, invalid("bury.remove"));
    assert_eq!(refused(rule("a", pin(&[4_000_000]))).await, (Code::NotFound, vec![]));
    let unknown = v1::Filter { genres_all: vec!["Opera".to_owned()], ..Default::default() };
    let of_genre = v1::PutRuleRequest { filter: Some(unknown), ..rule("a", boost(&[], 1.0)) };
    assert_eq!(refused(of_genre).await, invalid("filter.genres_all"));
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let backwards = v1::PutRuleRequest { start_time: time(9), end_time: time(9), ..rule("a", pin(&[1])) };
    assert_eq!(refused(backwards).await, invalid("end_time"));
    assert_eq!(refused(v1::PutRuleRequest { action: None, ..rule("a", pin(&[1])) }).await, invalid("action"));
    let unknown = server.rules().get_rule(v1::GetRuleRequest { rule_id: "a".to_owned() }).await;
    assert_eq!(unknown.expect_err("none was written").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_one_node_soon_holds_on_the_other() {
    let Some(cluster) = shared_cql() else { return };
    let store = new_keyspace(&cluster, "").await;
    let start = async || {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(&data);
        config.store.store = store.parse().expect("a good URL");
        config.store.sample_data = "none".into();
        config.store.statistics_interval = Duration::from_millis(100);
        TestServer::start_with(config, data).await
    };
    let here = start().await;
    let movie = |movie_id: u32| v1::ImportMoviesRequest {
        movie: Some(movie_id.into()),
        title: format!("Movie {movie_id} (1999)"),
        ..Default::default()
    };
    here.catalog().import_movies(stream::iter((1..=9).map(movie))).await.expect("an import");
    let there = start().await;
    put(&here, rule("pin", pin(&[8]))).await;
    assert_eq!(answer(&here, asks(UNKNOWN)).await[0].movie_id, 8, "at once where it was put");
    let first = async |server: &TestServer| answer(server, asks(UNKNOWN)).await[0].rule_id.clone();
    until("the rule is heeded", PATIENCE, async || first(&there).await == "pin").await;
    assert!(delete(&there, "pin").await);
    assert_eq!(first(&there).await, "");
    until("the deletion is heeded", PATIENCE, async || first(&here).await.is_empty()).await;
}
