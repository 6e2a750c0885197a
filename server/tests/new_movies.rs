//! Movies that the model was not trained on, through the socket: they are recommended in places of their own.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use futures::StreamExt as _;
use marquee_proto::v1;
use marquee_proto::v1::recommend_outcome::Outcome;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::config::Switch;
use marquee_server::edge::Presets;
use tonic::Code;
use tonic_types::StatusExt as _;

use common::nodes::{PATIENCE, until};
use common::{TestServer, config, root, sample_data};

const NEW: u32 = 900_001;
const ALSO_NEW: u32 = 900_002;
const USER: u64 = 1_000_001;

/// A server with the bundled model, which knows every movie of the sample.
async fn server(presets: Presets) -> TestServer {
    let data = sample_data().await;
    let mut config = config(&data);
    config.engine.bundle = root().join("onnx/bundles/movielens-small");
    config.ranking.presets = presets;
    TestServer::start_with(config, data).await
}

async fn import(server: &TestServer, movies: &[(u32, &str)]) {
    let movie = |(movie_id, title): &(u32, &str)| v1::ImportMoviesRequest {
        movie: Some((*movie_id).into()),
        title: (*title).to_owned(),
        genres: vec!["Crime".into(), "Drama".into()],
        ..Default::default()
    };
    let movies: Vec<_> = movies.iter().map(movie).collect();
    server.catalog().import_movies(futures::stream::iter(movies)).await.unwrap();
}

fn with_a_place(movie_ids: &[u32]) -> v1::RecommendRequest {
    let history = v1::History::from(movie_ids.to_vec());
    v1::RecommendRequest {
        subject: Some(Subject::History(history)),
        new_movie_slots: Some(1),
        ..Default::default()
    }
}

async fn answer(server: &TestServer, request: &v1::RecommendRequest) -> v1::RecommendResponse {
    let answer = server.recommendation().recommend(request.clone()).await.unwrap().into_inner();
    v1::RecommendResponse { timings: None, ..answer }
}

fn explored(answer: &v1::RecommendResponse) -> Vec<&v1::Recommendation> {
    let is_explored = |movie: &&v1::Recommendation| movie.source() == v1::Source::Exploration;
    answer.recommendations.iter().filter(is_explored).collect()
}

/// Waits until a request is answered with so many new movies.
async fn until_explored(server: &TestServer, request: &v1::RecommendRequest, count: usize) {
    until("new movies are recommended", PATIENCE, async || {
        explored(&answer(server, request).await).len() == count
    })
    .await;
}

async fn view(server: &TestServer, user_id: u64, movie_id: u32) {
    let request = v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    server.interactions().record_interaction(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_that_is_imported_has_the_last_place_with_its_propensity() {
    let server = server(Presets::default()).await;
    let request = v1::RecommendRequest { explain: Some(true), ..with_a_place(&[296, 6, 858]) };
    let plain = v1::RecommendRequest { new_movie_slots: None, ..request.clone() };
    let before = answer(&server, &plain).await;
    import(&server, &[(NEW, "Newcomer (2016)")]).await;
    until_explored(&server, &request, 1).await;

    let after = answer(&server, &request).await;
    let [newcomer] = explored(&after)[..] else { panic!("one place: {after:?}") };
    assert_eq!((newcomer.movie_id, newcomer.title.as_str()), (NEW, "Newcomer (2016)"));
    assert_eq!(newcomer.propensity, Some(1.0), "it is the only one");
    assert_eq!(newcomer.reason, "New, and may be to your taste");
    assert!(newcomer.because.is_empty());
    assert_eq!(after.source(), v1::Source::Model);
    assert!(after.seed.is_some());
    assert_eq!(after.recommendations.len(), 10);
    assert_eq!(after.recommendations[..9], before.recommendations[..9]);

    // Who asks for no places sees nothing of it.
    assert_eq!(answer(&server, &plain).await, before);
    let none = v1::RecommendRequest { new_movie_slots: Some(0), ..request.clone() };
    assert_eq!(answer(&server, &none).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_movies_keep_to_the_filter_and_to_what_was_seen() {
    let server = server(Presets::default()).await;
    view(&server, USER, 296).await;
    import(&server, &[(NEW, "Newcomer (2016)"), (ALSO_NEW, "Late One (2017)")]).await;
    let request = v1::RecommendRequest {
        subject: Some(Subject::UserId(USER)),
        new_movie_slots: Some(5),
        ..Default::default()
    };
    until_explored(&server, &request, 2).await;

    let filter = v1::Filter { year_min: Some(2017), ..Default::default() };
    let filtered = v1::RecommendRequest { filter: Some(filter), ..request.clone() };
    let answered = answer(&server, &filtered).await;
    assert_eq!(explored(&answered).iter().map(|movie| movie.movie_id).collect::<Vec<_>>(), [ALSO_NEW]);

    view(&server, USER, ALSO_NEW).await;
    let answered = answer(&server, &request).await;
    assert_eq!(explored(&answered).iter().map(|movie| movie.movie_id).collect::<Vec<_>>(), [NEW]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_draws_the_same_alone_in_a_batch_and_in_a_stream() {
    let server = server("new:new_movie_slots=2".parse().unwrap()).await;
    let titles: Vec<String> =
        (0..30).map(|number| format!("Number {number} ({})", 1950 + 2 * number)).collect();
    let movies: Vec<(u32, &str)> = (NEW..).zip(titles.iter().map(String::as_str)).collect();
    import(&server, &movies).await;
    let request = v1::RecommendRequest { seed: Some(5), new_movie_slots: Some(2), ..with_a_place(&[296, 6]) };
    until_explored(&server, &request, 2).await;

    let alone = answer(&server, &request).await;
    assert_eq!(alone.seed, Some(5));
    assert!(explored(&alone).iter().all(|movie| movie.propensity() > 0.0 && movie.propensity() < 1.0));
    assert_eq!(answer(&server, &request).await, alone);
    let by_preset = v1::RecommendRequest { new_movie_slots: None, preset: "new".into(), ..request.clone() };
    assert_eq!(answer(&server, &by_preset).await, alone);

    let of = |outcome: Option<v1::RecommendOutcome>| match outcome.unwrap().outcome {
        Some(Outcome::Response(response)) => v1::RecommendResponse { timings: None, ..response },
        other => panic!("{other:?}"),
    };
    let batch = v1::RecommendBatchRequest { requests: vec![request.clone()] };
    let batch = server.recommendation().recommend_batch(batch).await.unwrap().into_inner();
    assert_eq!(of(batch.outcomes.into_iter().next()), alone);
    let stream = futures::stream::iter([v1::RecommendStreamRequest { request: Some(request.clone()) }]);
    let mut stream = server.recommendation().recommend_stream(stream).await.unwrap().into_inner();
    assert_eq!(of(stream.next().await.unwrap().unwrap().outcome), alone);

    // A seed that the server drew is answered, and repeats what it drew.
    let drawn = answer(&server, &v1::RecommendRequest { seed: None, ..request.clone() }).await;
    assert_eq!(answer(&server, &v1::RecommendRequest { seed: drawn.seed, ..request }).await, drawn);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_new_movie_says_whom_else_it_is_for() {
    let server = server(Presets::default()).await;
    let (crime, animation) = ([296, 6, 858, 47, 593], [1, 588, 364, 595, 2355]);
    import(&server, &[(NEW, "Newcomer (2016)"), (ALSO_NEW, "Late One (2016)")]).await;
    let scores = async |history: &[u32]| {
        let answer =
            answer(&server, &v1::RecommendRequest { new_movie_slots: Some(2), ..with_a_place(history) })
                .await;
        let score = |id| explored(&answer).iter().find(|movie| movie.movie_id == id).map(|movie| movie.score);
        (score(NEW), score(ALSO_NEW))
    };
    until("both are recommended", PATIENCE, async || scores(&crime).await.1.is_some()).await;
    let (new, also_new) = scores(&crime).await;
    assert_eq!(new, also_new, "what is said of both is the same");

    for (user_id, history, taken) in [(USER, crime, NEW), (USER + 1, animation, ALSO_NEW)] {
        for movie_id in history {
            view(&server, user_id, movie_id).await;
        }
        view(&server, user_id, taken).await;
    }
    until("both events are folded in", PATIENCE, async || {
        let ((new, also_new), (new_to_others, also_new_to_others)) =
            (scores(&crime).await, scores(&animation).await);
        new > also_new && new_to_others < also_new_to_others
    })
    .await;
}

/// The ids of the new movies that all places show.
async fn new_to(server: &TestServer, model_version: &str) -> Vec<u32> {
    let request = v1::RecommendRequest {
        new_movie_slots: Some(5),
        model_version: model_version.to_owned(),
        ..with_a_place(&[1, 2, 3])
    };
    explored(&answer(server, &request).await).iter().map(|movie| movie.movie_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_is_what_the_active_model_does_not_know() {
    let server = TestServer::start().await;
    import(&server, &[(NEW, "Newcomer (2016)")]).await;
    // The fixture's model knows 200 movies.
    until("new movies have rows", PATIENCE, async || new_to(&server, "").await.len() == 5).await;

    let bundle = root().join("onnx/bundles/movielens-small").display().to_string();
    let target = Some(v1::activate_model_request::Target::BundleDir(bundle));
    server.operations().activate_model(v1::ActivateModelRequest { target }).await.unwrap();
    until("the new model's are there", PATIENCE, async || new_to(&server, "").await == [NEW]).await;
    assert!(new_to(&server, "tiny@1").await.is_empty(), "rows are of the active model");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_places_than_there_may_be_are_refused() {
    let server = TestServer::start().await;
    let request = v1::RecommendRequest { new_movie_slots: Some(6), ..with_a_place(&[1]) };
    let refused = server.recommendation().recommend(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "new_movie_slots");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_rows_are_kept_up_all_places_are_the_models() {
    let data = sample_data().await;
    let mut config = config(&data);
    config.ranking.new_movies = Switch::Off;
    let server = TestServer::start_with(config, data).await;
    let request = with_a_place(&[1, 2, 3]);
    let plain = v1::RecommendRequest { new_movie_slots: None, ..request.clone() };
    let answered = answer(&server, &request).await;
    assert_eq!(answered.recommendations, answer(&server, &plain).await.recommendations);
}
