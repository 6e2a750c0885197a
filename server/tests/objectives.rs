//! Lists that are chosen for more than the model's score, through the socket.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use marquee_proto::v1;
use marquee_proto::v1::recommend_outcome::Outcome;
use marquee_proto::v1::recommend_request::Subject;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Code;
use tonic_types::StatusExt as _;

use common::TestServer;
use marquee_server::edge::Presets;

/// A server with the bundled model.
async fn server(presets: Presets) -> TestServer {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.engine.bundle = common::root().join("onnx/bundles/movielens-small");
    config.ranking.presets = presets;
    TestServer::start_with(config, data).await
}

/// Users of the sample.
const USERS: std::ops::RangeInclusive<u64> = 1..=40;

fn by_user(user_id: u64) -> v1::RecommendRequest {
    v1::RecommendRequest { subject: Some(Subject::UserId(user_id)), ..Default::default() }
}

fn ids(response: &v1::RecommendResponse) -> Vec<u32> {
    response.recommendations.iter().map(|movie| movie.movie_id).collect()
}

fn sum(parts: &v1::ScoreParts) -> f64 {
    let of_the_movie = parts.log_probability + parts.popularity + parts.freshness + parts.rating;
    of_the_movie + parts.told_genres + parts.rules
}

/// The mean over pairs of one less the Jaccard similarity of genres.
fn genre_diversity(response: &v1::RecommendResponse) -> f64 {
    let genres: Vec<BTreeSet<&str>> = response
        .recommendations
        .iter()
        .map(|movie| movie.genres.iter().map(String::as_str).collect())
        .collect();
    let pairs = (0..genres.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
    let unlike = pairs.map(|(one, other)| {
        let both = genres[one].intersection(&genres[other]).count() as f64;
        1.0 - both / genres[one].union(&genres[other]).count().max(1) as f64
    });
    let count = genres.len() * (genres.len() - 1) / 2;
    unlike.sum::<f64>() / count as f64
}

async fn answer(server: &TestServer, request: v1::RecommendRequest) -> v1::RecommendResponse {
    server.recommendation().recommend(request).await.expect("an answer").into_inner()
}

async fn answers(server: &TestServer, requests: Vec<v1::RecommendRequest>) -> Vec<v1::RecommendResponse> {
    let request = v1::RecommendBatchRequest { requests };
    let answer = server.recommendation().recommend_batch(request).await.expect("answers");
    let outcomes = answer.into_inner().outcomes;
    let answers = outcomes.into_iter().map(|outcome| match outcome.outcome {
        Some(Outcome::Response(response)) => response,
        other => panic!("no answer: {other:?}"),
    });
    answers.collect()
}

/// Each knob as the request says it when it is off.
fn off(request: v1::RecommendRequest) -> v1::RecommendRequest {
    v1::RecommendRequest {
        diversity: Some(0.0),
        calibration: Some(0.0),
        popularity_weight: Some(0.0),
        first_events_popularity: Some(0.0),
        freshness_weight: Some(0.0),
        freshness_half_life: Some(5.0),
        rating_weight: Some(0.0),
        candidates_limit: Some(700),
        new_movie_slots: Some(0),
        ..request
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_knobs_off_ten_thousand_answers_are_bitwise_the_models_own() {
    let server = TestServer::start().await; // a small model, for their number
    let mut random = StdRng::seed_from_u64(24);
    for _ in 0..10 {
        let requests: Vec<_> = (0..1000)
            .map(|_| v1::RecommendRequest {
                k: Some(random.random_range(1..=20)),
                ..by_user(random.random_range(1..=671))
            })
            .collect();
        let plain = answers(&server, requests.clone()).await;
        let said = answers(&server, requests.into_iter().map(off).collect()).await;
        for (plain, said) in plain.iter().zip(&said) {
            assert_eq!(plain.recommendations, said.recommendations);
            assert!(plain.recommendations.iter().all(|movie| movie.score_parts.is_none()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_sum_to_the_scores_that_order_the_list() {
    let server = server(Presets::default()).await;
    for user_id in USERS {
        let request = v1::RecommendRequest {
            diversity: Some(0.4),
            calibration: Some(0.3),
            popularity_weight: Some(-0.2),
            freshness_weight: Some(0.5),
            rating_weight: Some(0.3),
            ..by_user(user_id)
        };
        let list = answer(&server, request.clone()).await.recommendations;
        assert_eq!(list.len(), 10);
        assert!(list.is_sorted_by(|one, other| one.score >= other.score));
        for movie in &list {
            let parts = movie.score_parts.as_ref().unwrap();
            assert!((sum(parts) - f64::from(movie.score)).abs() < 1e-5, "{movie:?}");
            assert!(parts.log_probability < 0.0 && parts.popularity <= 0.0);
            assert!((0.0..=0.5).contains(&parts.freshness) && parts.rating > 0.3 * 0.5);
        }
        assert_eq!(answer(&server, request).await.recommendations, list, "twice the same");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn diversity_makes_movies_less_alike_and_takes_them_from_the_candidates() {
    let server = server(Presets::default()).await;
    let (mut plain, mut diverse) = (0.0, 0.0);
    for user_id in USERS {
        let own = answer(&server, v1::RecommendRequest { k: Some(50), ..by_user(user_id) }).await;
        let candidates: BTreeSet<u32> = ids(&own).into_iter().collect();
        plain += genre_diversity(&v1::RecommendResponse {
            recommendations: own.recommendations[..10].to_vec(),
            ..Default::default()
        });
        let knobs =
            v1::RecommendRequest { diversity: Some(0.7), candidates_limit: Some(50), ..by_user(user_id) };
        let chosen = answer(&server, knobs).await;
        assert!(ids(&chosen).iter().all(|id| candidates.contains(id)));
        diverse += genre_diversity(&chosen);
    }
    let users = USERS.count() as f64;
    assert!(diverse / users > plain / users + 0.05, "{plain} {diverse}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_events_are_blended_with_popularity_and_later_ones_are_not() {
    let server = server(Presets::default()).await;
    let movies = [1, 2, 3, 6, 10, 16];
    let of_history = |count: usize, popularity| v1::RecommendRequest {
        subject: Some(Subject::History(v1::History::from(movies[..count].to_vec()))),
        first_events_popularity: popularity,
        ..Default::default()
    };
    let blended = answer(&server, of_history(5, Some(8.0))).await.recommendations;
    let popular = |movie: &v1::Recommendation| movie.score_parts.as_ref().unwrap().popularity;
    assert!(blended.iter().all(|movie| popular(movie) > 8.0 * 10.0_f64.ln()), "{blended:?}");
    let repeated = v1::RecommendRequest {
        subject: Some(Subject::History(v1::History::from([vec![1; 6], vec![900_001; 6]].concat()))),
        ..of_history(1, Some(8.0))
    };
    let (once, repeated) = (answer(&server, of_history(1, Some(8.0))).await, answer(&server, repeated).await);
    assert_eq!(
        once.recommendations, repeated.recommendations,
        "movies that the model knows count, each once"
    );
    let (plain, said) = (of_history(6, None), of_history(6, Some(8.0)));
    assert_eq!(answer(&server, plain).await.recommendations, answer(&server, said).await.recommendations);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_genre_has_more_movies_than_it_may_wherever_they_come_from() {
    let server = server(Presets::default()).await;
    for user_id in USERS.chain([987_654_321]) {
        let capped = v1::RecommendRequest { max_per_genre: Some(2), ..by_user(user_id) };
        let list = answer(&server, capped).await;
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for genre in list.recommendations.iter().flat_map(|movie| &movie.genres) {
            *counts.entry(genre).or_default() += 1;
        }
        assert!(!counts.is_empty() && counts.values().all(|count| *count <= 2), "{counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_says_what_the_request_does_not() {
    let server = server("diverse:diversity=0.7;default:freshness_weight=1".parse().unwrap()).await;
    let named = |preset: &str| v1::RecommendRequest { preset: preset.into(), ..by_user(7) };
    let diverse = answer(&server, named("diverse")).await;
    let said = v1::RecommendRequest { diversity: Some(0.7), ..named("diverse") };
    assert_eq!(diverse.recommendations, answer(&server, said).await.recommendations);
    let fresh = answer(&server, by_user(7)).await;
    assert!(fresh.recommendations.iter().any(|movie| movie.score_parts.as_ref().unwrap().freshness > 0.0));
    let turned_off = v1::RecommendRequest { freshness_weight: Some(0.0), ..by_user(7) };
    assert!(answer(&server, turned_off).await.recommendations[0].score_parts.is_none());

    let status = server.recommendation().recommend(named("none such")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "preset");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_is_the_list_of_the_default_preset() {
    let server = server("default:diversity=1,calibration=1".parse().unwrap()).await;
    let request = v1::RecommendRequest { method: v1::Method::Exact.into(), ..by_user(1) };
    let off = v1::RecommendRequest { diversity: Some(0.0), calibration: Some(0.0), ..request.clone() };
    let (chosen, plain) = (ids(&answer(&server, request).await), ids(&answer(&server, off).await));
    assert_ne!(chosen, plain);
    for movie_id in chosen.iter().chain(&plain) {
        let request = v1::ExplainRecommendationRequest {
            subject: Some(v1::explain_recommendation_request::Subject::UserId(1)),
            movie: Some(v1::explain_recommendation_request::Movie::MovieId(*movie_id)),
            explain_newest: Some(1),
            ..Default::default()
        };
        let verdict = server.recommendation().explain_recommendation(request).await.unwrap().into_inner();
        assert_eq!(verdict.answered, chosen.contains(movie_id), "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn told_genres_count_half_of_the_first_events_popularity_and_only_where_that_is_on() {
    let server = server(Presets::default()).await;
    let user_id = 1_000_001;
    let preferences = v1::Preferences {
        genres: vec!["film-noir".into(), "Crime".into()],
        movie_ids: vec![],
        ..v1::Preferences::default()
    };
    let request = v1::SetPreferencesRequest { user: Some(user_id.into()), preferences: Some(preferences) };
    server.users().set_preferences(request).await.unwrap();
    let viewed = v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(6.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    server.interactions().record_interaction(viewed).await.unwrap();

    let blend = v1::RecommendRequest { first_events_popularity: Some(8.0), ..by_user(user_id) };
    let blended = answer(&server, blend).await.recommendations;
    for movie in &blended {
        let told =
            movie.genres.iter().filter(|genre| ["Film-Noir", "Crime"].contains(&genre.as_str())).count();
        let expected = 4.0 * told as f64 / movie.genres.len() as f64;
        let parts = movie.score_parts.as_ref().unwrap();
        assert!((parts.told_genres - expected).abs() < 1e-12, "{movie:?}");
        assert!((sum(parts) as f32 - movie.score).abs() < 1e-4, "{movie:?}");
    }
    assert!(blended.iter().any(|movie| movie.score_parts.as_ref().unwrap().told_genres > 0.0));

    let popular = v1::RecommendRequest { popularity_weight: Some(1.0), ..by_user(user_id) };
    let popular = answer(&server, popular).await.recommendations;
    assert!(popular.iter().all(|movie| movie.score_parts.as_ref().unwrap().told_genres.abs() < f64::EPSILON));
}

#[tokio::test(flavor = "multi_thread")]
async fn knobs_beyond_their_bounds_are_named() {
    let server = server(Presets::default()).await;
    let wrong = [
        ("diversity", v1::RecommendRequest { diversity: Some(1.1), ..by_user(1) }),
        ("calibration", v1::RecommendRequest { calibration: Some(f64::NAN), ..by_user(1) }),
        ("popularity_weight", v1::RecommendRequest { popularity_weight: Some(-2.0), ..by_user(1) }),
        ("freshness_half_life", v1::RecommendRequest { freshness_half_life: Some(0.0), ..by_user(1) }),
        ("max_per_genre", v1::RecommendRequest { max_per_genre: Some(0), ..by_user(1) }),
        ("candidates_limit", v1::RecommendRequest { candidates_limit: Some(9), ..by_user(1) }),
        ("candidates_limit", v1::RecommendRequest { candidates_limit: Some(2001), ..by_user(1) }),
    ];
    for (field, request) in wrong {
        let status = server.recommendation().recommend(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_chooses_the_row_of_the_models_best_on_a_home_page_and_what_is_explained() {
    let server = server("default:diversity=1;plain:diversity=0".parse().unwrap()).await;
    let for_you = async |preset: &str| {
        let subject = Some(v1::get_home_rows_request::Subject::UserId(*USERS.start()));
        let request = v1::GetHomeRowsRequest {
            subject,
            preset: preset.to_owned(),
            ..v1::GetHomeRowsRequest::default()
        };
        let page = server.recommendation().get_home_rows(request).await.unwrap().into_inner();
        page.rows.into_iter().find(|row| row.kind() == v1::RowKind::ForYou).unwrap().movies
    };
    let (chosen, own) = (for_you("").await, for_you("plain").await);
    assert!(chosen.iter().all(|movie| movie.score_parts.is_some()) && chosen.len() == own.len());
    assert!(own.iter().all(|movie| movie.score_parts.is_none()));
    let listed = answer(&server, by_user(*USERS.start())).await.recommendations;
    let ids = |movies: &[v1::Recommendation]| movies.iter().map(|movie| movie.movie_id).collect::<Vec<_>>();
    assert_eq!(ids(&chosen), ids(&listed), "as the list that is chosen by the same preset");

    let left_out = own.iter().find(|movie| !ids(&chosen).contains(&movie.movie_id)).unwrap().movie_id;
    let answered = async |preset: &str| {
        let subject = Some(v1::explain_recommendation_request::Subject::UserId(*USERS.start()));
        let request = v1::ExplainRecommendationRequest {
            subject,
            movie: Some(left_out.into()),
            preset: preset.to_owned(),
            ..v1::ExplainRecommendationRequest::default()
        };
        server.recommendation().explain_recommendation(request).await.unwrap().into_inner().answered
    };
    assert_eq!((answered("").await, answered("plain").await), (false, true));
}
