//! What is shown and asked before much is known of a user, through the socket.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::HashSet;

use marquee_proto::v1;
use marquee_proto::v1::get_home_rows_request::Subject;
use marquee_proto::v1::home_row::About;
use tonic::Code;
use tonic_types::StatusExt as _;

use common::{TestServer, config, root, sample_data};

/// A server with the bundle that the sample's ratings trained.
async fn with_the_bundled_model() -> TestServer {
    let data = sample_data().await;
    let mut config = config(&data);
    config.engine.bundle = root().join("onnx/bundles/movielens-small");
    TestServer::start_with(config, data).await
}

async fn asked(server: &TestServer, request: v1::ListOnboardingMoviesRequest) -> Vec<v1::Movie> {
    let answer = server.recommendation().list_onboarding_movies(request).await.unwrap().into_inner();
    assert!(!answer.model_version.is_empty());
    answer.movies
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_is_asked_about_the_most_popular_movie_first_and_then_about_others_than_the_most_popular()
{
    let server = with_the_bundled_model().await;
    let movies = asked(&server, v1::ListOnboardingMoviesRequest::default()).await;
    let ids: Vec<u32> = movies.iter().map(|movie| movie.movie_id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 20, "{ids:?}");
    assert!(movies.iter().all(|movie| !movie.title.is_empty() && movie.ratings > 0));
    let ten = v1::ListOnboardingMoviesRequest { k: Some(10), ..Default::default() };
    assert_eq!(asked(&server, ten).await[0].movie_id, ids[0]);
    let popular = v1::ListPopularMoviesRequest { page_size: Some(20), ..Default::default() };
    let popular = server.catalog().list_popular_movies(popular).await.unwrap().into_inner().movies;
    assert_eq!(popular[0].movie_id, ids[0]);
    let among_them = popular.iter().filter(|movie| ids.contains(&movie.movie_id)).count();
    assert!((2..15).contains(&among_them), "{among_them} of the most popular are asked about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_is_asked_about_what_passes_the_filter_and_at_most_as_much_as_there_is() {
    let server = TestServer::start().await;
    // The fixture's model knows 200 movies, of which two are these.
    let filter = v1::Filter { genres_all: vec!["Western".into()], ..Default::default() };
    let request = v1::ListOnboardingMoviesRequest { filter: Some(filter), ..Default::default() };
    let movies = asked(&server, request).await;
    assert_eq!(movies.len(), 2);
    assert!(movies.iter().all(|movie| movie.genres.contains(&"Western".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_model_knows_nothing_a_new_user_is_asked_about_the_most_popular() {
    let server = TestServer::start().await;
    // The fixture's model knows neither.
    let filter = v1::Filter { allow_movie_ids: vec![858, 356], ..Default::default() };
    let request = v1::ListOnboardingMoviesRequest { filter: Some(filter), ..Default::default() };
    let answer = server.recommendation().list_onboarding_movies(request).await.unwrap().into_inner();
    let ids: Vec<u32> = answer.movies.iter().map(|movie| movie.movie_id).collect();
    assert_eq!((ids, answer.model_version.as_str()), (vec![356, 858], ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_loaded_and_a_k_beyond_its_bounds_are_refused() {
    let server = TestServer::start().await;
    let pinned = v1::ListOnboardingMoviesRequest { model_version: "absent".into(), ..Default::default() };
    let refused = server.recommendation().list_onboarding_movies(pinned).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let many = v1::ListOnboardingMoviesRequest { k: Some(101), ..Default::default() };
    let refused = server.recommendation().list_onboarding_movies(many).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "k");
}

async fn page(server: &TestServer, request: v1::GetHomeRowsRequest) -> v1::GetHomeRowsResponse {
    let page = server.recommendation().get_home_rows(request).await.unwrap().into_inner();
    let ids: Vec<u32> = page.rows.iter().flat_map(|row| &row.movies).map(|movie| movie.movie_id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "a movie stands on the page twice");
    assert!(page.rows.iter().all(|row| row.movies.len() >= 3 && !row.title.is_empty()));
    page
}

fn of_user(user_id: u64) -> v1::GetHomeRowsRequest {
    v1::GetHomeRowsRequest { subject: Some(Subject::UserId(user_id)), ..Default::default() }
}

async fn like(server: &TestServer, user_id: u64, movie_id: u32, seconds: i64) {
    let request = v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::Like.into(),
        rating: None,
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
    };
    server.interactions().record_interaction(request).await.unwrap();
}

fn kinds(page: &v1::GetHomeRowsResponse) -> Vec<v1::RowKind> {
    page.rows.iter().map(v1::HomeRow::kind).collect()
}

/// Whether a row has what it is about.
fn is_about_itself(row: &v1::HomeRow) -> bool {
    let all = |is: &dyn Fn(&v1::Recommendation) -> bool| row.movies.iter().all(is);
    match &row.about {
        Some(About::Genre(genre)) => {
            row.title.contains(genre.as_str()) && all(&|it| it.genres.contains(genre))
        }
        Some(About::Decade(decade)) => {
            row.title.contains(&format!("{decade}s")) && all(&|it| it.year() / 10 * 10 == *decade)
        }
        Some(About::MovieId(_)) => row.kind() == v1::RowKind::Because,
        None => !matches!(row.kind(), v1::RowKind::Because | v1::RowKind::Genre | v1::RowKind::Decade),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_page_begins_with_the_models_best_and_what_is_like_the_movies_that_were_liked_last() {
    let server = with_the_bundled_model().await;
    let (user_id, liked) = (1_000_001, [(1213, 1), (296, 2), (6, 3), (858, 4)]);
    for (movie_id, seconds) in liked {
        like(&server, user_id, movie_id, seconds).await;
    }
    let page = page(&server, of_user(user_id)).await;
    assert!(!page.model_version.is_empty());
    assert_eq!(page.rows.len(), 10);
    let recommend = v1::RecommendRequest {
        subject: Some(v1::recommend_request::Subject::UserId(user_id)),
        ..Default::default()
    };
    let best = server.recommendation().recommend(recommend).await.unwrap().into_inner();
    assert_eq!((page.rows[0].kind(), &page.rows[0].movies), (v1::RowKind::ForYou, &best.recommendations));
    let because: Vec<&str> = page.rows[1..3].iter().map(|row| row.title.as_str()).collect();
    assert_eq!(because, ["Because you liked Godfather, The (1972)", "Because you liked Heat (1995)"]);
    assert_eq!(page.rows[1].about, Some(About::MovieId(858)));
    for kind in [v1::RowKind::Trending, v1::RowKind::Popular, v1::RowKind::Genre] {
        assert!(kinds(&page).contains(&kind), "{:?}", kinds(&page));
    }
    assert!(page.rows.iter().all(is_about_itself));
    let shown = page.rows.iter().flat_map(|row| &row.movies);
    assert!(shown.clone().all(|movie| liked.iter().all(|(liked, _)| *liked != movie.movie_id)));
    assert!(shown.clone().all(|movie| !movie.title.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_page_of_an_unknown_user_has_what_others_like_and_the_genres_that_were_told() {
    let server = TestServer::start().await;
    let page_of = async |user_id| page(&server, of_user(user_id)).await;
    let unknown = page_of(987_654_321).await;
    assert_eq!(kinds(&unknown)[..2], [v1::RowKind::Trending, v1::RowKind::Popular]);
    assert!(kinds(&unknown)[2..].contains(&v1::RowKind::Genre));
    assert_eq!((unknown.rows.len(), unknown.model_version.as_str()), (10, ""));
    assert!(unknown.rows.iter().all(is_about_itself));

    let preferences =
        v1::Preferences { genres: vec!["film-noir".into()], movie_ids: vec![], ..v1::Preferences::default() };
    let request = v1::SetPreferencesRequest { user: Some(1_000_002.into()), preferences: Some(preferences) };
    server.users().set_preferences(request).await.unwrap();
    let told = page_of(1_000_002).await;
    assert_eq!(told.rows[0].title, "Film-Noir for you");
    assert!(told.rows.iter().all(is_about_itself));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_page_of_a_history_keeps_to_its_filter_and_sizes() {
    let server = with_the_bundled_model().await;
    let history = v1::History::from(vec![296, 6, 4_000_000]);
    let request = v1::GetHomeRowsRequest {
        subject: Some(Subject::History(history)),
        row_size: Some(4),
        rows: Some(3),
        filter: Some(v1::Filter { genres_any: vec!["Crime".into()], ..Default::default() }),
        ..Default::default()
    };
    let page = page(&server, request).await;
    assert_eq!(page.rows.len(), 3);
    assert_eq!(page.rows[1].title, "Because you watched Heat (1995)");
    let shown: Vec<_> = page.rows.iter().flat_map(|row| &row.movies).collect();
    assert!(shown.iter().all(|movie| movie.genres.contains(&"Crime".to_owned())));
    assert!(shown.iter().all(|movie| ![6, 296].contains(&movie.movie_id)));
    assert!(page.rows.iter().all(|row| row.movies.len() <= 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_page_without_a_subject_or_with_rows_of_two_is_refused() {
    let server = TestServer::start().await;
    for (request, field) in [
        (v1::GetHomeRowsRequest::default(), "subject"),
        (v1::GetHomeRowsRequest { row_size: Some(2), ..of_user(1) }, "row_size"),
    ] {
        let refused = server.recommendation().get_home_rows(request).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}
