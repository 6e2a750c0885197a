//! Why movies are recommended, or are not.

mod common;

use std::sync::Arc;

use marquee_core::domain::MovieId;
use marquee_engine::{Bundle, Engine, Model, Precision};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject as Wire;
use marquee_retrieval::Method;
use marquee_server::catalog::{Condition, Filter};
use marquee_server::profiles::ConsistencyToken;
use marquee_server::recommend::{
    Because, Explanation, Obstacle, Pick, Question, Recommended, Recommender, RequestOptions, SeenAs, Source,
    Subject,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tonic::Code;
use tonic_types::StatusExt as _;

use common::TestServer;
use common::pipeline::{bundled_model, engine, histories, load, pipeline};

/// How many movies an answer has here.
const K: usize = 10;
/// Among how many candidates drops are measured for such an answer.
const CANDIDATES: usize = 100;

/// The bundled model over the sample.
struct Bundled {
    recommender: Recommender,
    model: Arc<Model>,
    _engine: Arc<Engine>,
}

impl Bundled {
    async fn start() -> Self {
        let engine = engine();
        let model = load(&engine, &bundled_model(), Precision::Fp32).await;
        engine.activate(model.bundle().version()).expect("the model is loaded");
        Self { recommender: pipeline(&engine, None).await, model, _engine: engine }
    }

    async fn answer(&self, question: &Question) -> Recommended {
        self.recommender.recommend(question).await.expect("an answer")
    }

    async fn explained(&self, history: &[MovieId], newest: usize) -> (Vec<Pick>, Explanation) {
        let question = Question { explain_newest: Some(newest), ..question(history) };
        let answer = self.answer(&question).await;
        (answer.picks, *answer.explanation.expect("it was asked for"))
    }

    /// The log-softmax of a movie over the candidates for a history, by arithmetic of the test's own.
    async fn log_share(&self, history: &[MovieId], movie_id: MovieId, candidates: &[MovieId]) -> f64 {
        let subject = Subject::History(history.to_vec());
        let encoded = self.recommender.encode(&subject, &RequestOptions::default()).await;
        let user = encoded.expect("the model knows the history").vector;
        let bundle = self.model.bundle();
        let score = |movie_id: MovieId| dot(&user, embedding(bundle, movie_id));
        let sum: f64 = candidates.iter().map(|candidate| (score(*candidate) - score(movie_id)).exp()).sum();
        -sum.ln()
    }
}

fn question(history: &[MovieId]) -> Question {
    Question {
        subject: Subject::History(history.to_vec()),
        k: K,
        method: Method::Exact,
        objective: None,
        exploration: None,
        filter: Filter::default(),
        exclude_seen: true,
        context: String::new(),
        consistency_token: ConsistencyToken::default(),
        explain_newest: None,
        options: RequestOptions::default(),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn embedding(bundle: &Bundle, movie_id: MovieId) -> &[f32] {
    bundle.output_embedding(bundle.row_of(movie_id).expect("the model knows the sample's movies"))
}

fn cosine(bundle: &Bundle, a: MovieId, b: MovieId) -> f64 {
    let (a, b) = (embedding(bundle, a), embedding(bundle, b));
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn without(history: &[MovieId], movie_id: MovieId) -> Vec<MovieId> {
    history.iter().copied().filter(|other| *other != movie_id).collect()
}

fn ids(picks: &[Pick]) -> Vec<MovieId> {
    picks.iter().map(|pick| pick.movie_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_sixteen_name_the_reason_that_the_whole_history_names() {
    let bundled = Bundled::start().await;
    let (mut cases, mut same) = (0, 0);
    let first = |because: &[Because]| because.first().map(|because| because.movie_id);
    for history in histories(24, 1) {
        let (_, newest) = bundled.explained(&history, 16).await;
        let (_, all) = bundled.explained(&history, usize::MAX).await;
        assert_eq!((all.tried, all.not_tried), (history.len(), 0));
        assert_eq!(newest.tried, history.len().min(16));
        for (newest, all) in newest.movies.iter().zip(&all.movies) {
            cases += 1;
            same += usize::from(first(&newest.because) == first(&all.because));
        }
    }
    assert_eq!(cases, 24 * K);
    assert!(same * 100 >= cases * 95, "{same} of {cases}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_loses_more_without_its_reason_than_without_its_likeness_or_any_other() {
    let bundled = Bundled::start().await;
    let mut random = StdRng::seed_from_u64(2);
    let [mut by_reason, mut by_cosine, mut by_chance] = [0.0; 3];
    for history in histories(24, 3) {
        let (picks, explanation) = bundled.explained(&history, 16).await;
        let wide = Question { k: CANDIDATES, ..question(&history) };
        let candidates = ids(&bundled.answer(&wide).await.picks);
        assert_eq!((explanation.candidates, candidates.len()), (CANDIDATES, CANDIDATES));
        let place = random.random_range(0..K);
        let (movie_id, reasons) = (picks[place].movie_id, &explanation.movies[place]);
        let Some(because) = reasons.because.first() else { continue };
        let whole = bundled.log_share(&history, movie_id, &candidates).await;
        let drop = async |out: MovieId| {
            whole - bundled.log_share(&without(&history, out), movie_id, &candidates).await
        };
        let named = drop(because.movie_id).await;
        assert!((named - because.score_drop).abs() < 1e-4, "{named}, not {}", because.score_drop);
        by_reason += named;
        by_cosine += drop(reasons.similar_to.as_ref().unwrap().movie_id).await;
        by_chance += drop(history[random.random_range(0..history.len())]).await;
    }
    assert!(by_reason > 1.2 * by_cosine, "{by_reason} against {by_cosine}");
    assert!(by_reason > 3.0 * by_chance, "{by_reason} against {by_chance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_are_at_most_three_each_a_drop_and_the_greatest_first() {
    let bundled = Bundled::start().await;
    for history in histories(4, 4) {
        let (picks, explanation) = bundled.explained(&history, 64).await;
        assert_eq!(explanation.movies.len(), picks.len());
        for reasons in &explanation.movies {
            let drops: Vec<f64> = reasons.because.iter().map(|because| because.score_drop).collect();
            assert!(drops.len() <= 3 && drops.iter().all(|drop| *drop > 0.0), "{drops:?}");
            assert!(drops.is_sorted_by(|a, b| a >= b), "{drops:?}");
            assert!(reasons.because.iter().all(|because| history.contains(&because.movie_id)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_most_like_a_movie_is_the_nearest_of_the_history_by_cosine() {
    let bundled = Bundled::start().await;
    let bundle = bundled.model.bundle();
    for history in histories(3, 5) {
        let (picks, explanation) = bundled.explained(&history, 1).await;
        for (pick, reasons) in picks.iter().zip(&explanation.movies) {
            let cosines = history.iter().map(|movie_id| cosine(bundle, pick.movie_id, *movie_id));
            let nearest = cosines.fold(f64::NEG_INFINITY, f64::max);
            let similar = reasons.similar_to.as_ref().unwrap();
            assert!((f64::from(similar.cosine) - nearest).abs() < 1e-6);
            assert!((cosine(bundle, pick.movie_id, similar.movie_id) - nearest).abs() < 1e-6);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_bitwise_the_same_with_reasons_and_without() {
    let bundled = Bundled::start().await;
    let comedies = Filter { genres_any: vec!["Comedy".into()], ..Filter::default() };
    let mut questions = Vec::new();
    for history in histories(8, 6) {
        let plain = question(&history);
        questions.push(Question { k: 25, method: Method::Auto, ..plain.clone() });
        questions.push(Question { filter: comedies.clone(), ..plain.clone() });
        questions.push(Question { exclude_seen: false, ..plain });
    }
    for user_id in [1, 15, 547, 987_654_321] {
        questions.push(Question { subject: Subject::User(user_id), ..question(&[]) });
    }
    questions.push(Question { k: 500, ..question(&[1]) });
    for question in questions {
        let without = bundled.answer(&question).await;
        assert!(without.explanation.is_none());
        let with = bundled.answer(&Question { explain_newest: Some(4), ..question }).await;
        let bits = |answer: &Recommended| -> Vec<(MovieId, u32, Source)> {
            answer.picks.iter().map(|pick| (pick.movie_id, pick.score.to_bits(), pick.source)).collect()
        };
        assert_eq!(bits(&with), bits(&without));
        assert_eq!((with.method, with.source), (without.method, without.source));
        let explanation = with.explanation.unwrap();
        assert_eq!(explanation.movies.len(), with.picks.len());
        assert!(explanation.movies.iter().all(|reasons| !reasons.sentence.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_movie_of_a_history_is_the_reason() {
    let bundled = Bundled::start().await;
    let (_, explanation) = bundled.explained(&[6], 16).await;
    assert_eq!((explanation.tried, explanation.not_tried), (1, 0));
    let because = &explanation.movies[0].because;
    assert_eq!(because.iter().map(|because| because.movie_id).collect::<Vec<_>>(), [6]);
    assert_eq!(explanation.movies[0].sentence, "Because you watched Heat (1995)");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_history_is_told_of_popularity() {
    let bundled = Bundled::start().await;
    let crime = Filter { genres_any: vec!["crime".into()], ..Filter::default() };
    let nobody = Question {
        subject: Subject::User(987_654_321),
        filter: crime,
        explain_newest: Some(16),
        ..question(&[])
    };
    let explanation = bundled.answer(&nobody).await.explanation.unwrap();
    assert_eq!((explanation.tried, explanation.not_tried, explanation.candidates), (0, 0, 0));
    assert!(explanation.movies.iter().all(|reasons| reasons.because.is_empty()));
    assert_eq!(explanation.movies[0].sentence, "Popular in Crime");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_on_a_movie_is_what_is_answered() {
    let bundled = Bundled::start().await;
    for history in histories(4, 7) {
        let question = Question { explain_newest: Some(16), ..question(&history) };
        let answer = bundled.answer(&question).await;
        let explanation = answer.explanation.unwrap();
        let wide = bundled.answer(&Question { k: 500, explain_newest: None, ..question.clone() }).await;
        for (place, pick) in answer.picks.iter().enumerate().step_by(4) {
            let verdict = bundled.recommender.explain(&question, pick.movie_id).await.unwrap();
            assert!(verdict.answered && verdict.obstacles.is_empty());
            let ranked = verdict.place.unwrap();
            assert_eq!((ranked.rank, ranked.score.to_bits()), (place + 1, pick.score.to_bits()));
            assert_eq!(ranked.others + 1, bundled.model.bundle().items() - history.len());
            assert_eq!(verdict.explanation.movies[0], explanation.movies[place]);
        }
        let late = &wide.picks[321];
        let verdict = bundled.recommender.explain(&question, late.movie_id).await.unwrap();
        let ranked = verdict.place.unwrap();
        assert!(!verdict.answered);
        assert_eq!((ranked.rank, ranked.score.to_bits()), (322, late.score.to_bits()));
        assert_eq!(verdict.obstacles, [Obstacle::Rank(Some(ranked))]);
        assert_eq!(verdict.explanation.candidates, CANDIDATES + 1);
        assert_eq!(verdict.explanation.movies[0].sentence, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_obstacle_of_a_movie_is_named() {
    let bundled = Bundled::start().await;
    // Heat is of 1995, an action, crime and thriller movie.
    let filter = Filter {
        genres_any: vec!["Comedy".into()],
        genres_all: vec!["Crime".into()],
        year_min: Some(1996),
        deny_movie_ids: vec![6],
        ..Filter::default()
    };
    let question = Question { filter, explain_newest: Some(4), k: 1, ..question(&[1, 2, 6, 10]) };
    let verdict = bundled.recommender.explain(&question, 6).await.unwrap();
    assert!(!verdict.answered);
    assert_eq!(verdict.place.unwrap().rank, 1, "no rank keeps it out");
    let failed = [Condition::GenresAny, Condition::YearMin, Condition::DenyMovieIds].map(Obstacle::Filter);
    let expected: Vec<Obstacle> = failed.into_iter().chain([Obstacle::Seen(SeenAs::InHistory)]).collect();
    assert_eq!(verdict.obstacles, expected);
}

fn by_history(movie_ids: &[u32]) -> v1::RecommendRequest {
    let history = v1::History::from(movie_ids.to_vec());
    v1::RecommendRequest { subject: Some(Wire::History(history)), ..Default::default() }
}

async fn bundled_server() -> TestServer {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.engine.bundle = bundled_model();
    TestServer::start_with(config, data).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_asks_for_reasons_gets_them_and_no_other_does() {
    let server = bundled_server().await;
    let plain = by_history(&[1, 2, 6, 10, 47, 50]);
    let recommend = async |request: v1::RecommendRequest| {
        server.recommendation().recommend(request).await.unwrap().into_inner()
    };
    let without = recommend(plain.clone()).await;
    assert_eq!(without.explanation, None);
    let with = recommend(v1::RecommendRequest { explain: Some(true), ..plain.clone() }).await;
    let explanation = with.explanation.unwrap();
    assert_eq!((explanation.tried, explanation.not_tried, explanation.candidates), (6, 0, 100));
    let first = &with.recommendations[0];
    let because = &first.because[0];
    assert!(because.score_drop > 0.0 && !because.title.is_empty());
    assert_eq!(first.reason, format!("Because you watched {}", because.title));
    assert!(!first.similar_to.as_ref().unwrap().title.is_empty());
    assert!(with.timings.unwrap().explain_us > 0 && without.timings.unwrap().explain_us == 0);
    let bare = with.recommendations.into_iter().map(|movie| v1::Recommendation {
        because: Vec::new(),
        similar_to: None,
        reason: String::new(),
        ..movie
    });
    assert_eq!(bare.collect::<Vec<_>>(), without.recommendations);

    let few = v1::RecommendRequest { explain: Some(true), explain_newest: Some(2), ..plain.clone() };
    assert_eq!(recommend(few).await.explanation.unwrap().tried, 2);
    let many = v1::RecommendRequest { explain: Some(true), explain_newest: Some(65), ..plain };
    let refused = server.recommendation().recommend(many).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "explain_newest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_is_explained_through_the_socket() {
    use v1::explain_recommendation_request::{Movie, Subject};
    let server = bundled_server().await;
    let (user_id, hidden) = (1_000_010, 593);
    for (movie_id, kind) in
        [(6, v1::InteractionKind::Like), (50, v1::InteractionKind::View), (hidden, v1::InteractionKind::Hide)]
    {
        let request = v1::RecordInteractionRequest {
            user: Some(user_id.into()),
            movie: Some(movie_id.into()),
            kind: kind.into(),
            ..Default::default()
        };
        server.interactions().record_interaction(request).await.unwrap();
    }
    let explain = async |movie_id: u32| {
        let request = v1::ExplainRecommendationRequest {
            subject: Some(Subject::UserId(user_id)),
            movie: Some(Movie::MovieId(movie_id)),
            ..Default::default()
        };
        server.recommendation().explain_recommendation(request).await
    };
    let verdict = explain(hidden).await.unwrap().into_inner();
    assert!(!verdict.answered && verdict.rank.is_some() && verdict.score.is_some());
    let seen = &verdict.why_not[0];
    assert_eq!((seen.obstacle(), &*seen.field), (v1::Obstacle::Seen, "exclude_seen"));
    assert_eq!(seen.description, "the user hid it");
    assert_eq!(verdict.title, "Silence of the Lambs, The (1991)");

    let subject = Some(Wire::UserId(user_id));
    let request = v1::RecommendRequest { subject, explain: Some(true), ..Default::default() };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    let first = &answer.recommendations[0];
    let verdict = explain(first.movie_id).await.unwrap().into_inner();
    assert!(verdict.answered && verdict.why_not.is_empty());
    assert_eq!((verdict.rank, verdict.score), (Some(1), Some(first.score)));
    assert_eq!((&verdict.because, &verdict.similar_to), (&first.because, &first.similar_to));
    assert_eq!(verdict.reason, first.reason);

    assert_eq!(explain(4_000_000).await.unwrap_err().code(), Code::NotFound);
    let nothing =
        v1::ExplainRecommendationRequest { subject: Some(Subject::UserId(user_id)), ..Default::default() };
    let refused = server.recommendation().explain_recommendation(nothing).await.unwrap_err();
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "movie_id");
}
