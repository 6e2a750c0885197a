//! Movies that are alike, judged by groups that people call alike: series, directors, themes.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::{BTreeMap, HashSet};

use common::TestServer;
use common::nodes::{PATIENCE, until};
use marquee_proto::v1;
use marquee_proto::v1::SimilarityBasis;
use tonic::Code;

/// Movies of an answer that count.
const K: usize = 10;

/// A group of movies that people call alike, and of which kind it is.
struct Group {
    kind: String,
    movie_ids: Vec<u32>,
}

fn groups() -> Vec<Group> {
    let path = common::root().join("server/tests/similar/groups.csv");
    let mut rows = csv::Reader::from_path(path).unwrap();
    let group = |row: csv::StringRecord| Group {
        kind: row[0].to_owned(),
        movie_ids: row[2].split(' ').map(|id| id.parse().unwrap()).collect(),
    };
    rows.records().map(|row| group(row.unwrap())).collect()
}

async fn similar(server: &TestServer, request: v1::SimilarMoviesRequest) -> v1::SimilarMoviesResponse {
    server.recommendation().similar_movies(request).await.unwrap().into_inner()
}

fn like(movie_id: u32, basis: SimilarityBasis) -> v1::SimilarMoviesRequest {
    v1::SimilarMoviesRequest { movie: Some(movie_id.into()), basis: basis.into(), ..Default::default() }
}

fn ids(answer: &v1::SimilarMoviesResponse) -> Vec<u32> {
    answer.movies.iter().map(|movie| movie.movie_id).collect()
}

async fn until_it_is_known_who_watched_what(server: &TestServer) {
    until("the table is built", PATIENCE, async || {
        similar(server, like(1, SimilarityBasis::Blend)).await.basis() == SimilarityBasis::Blend
    })
    .await;
}

/// Of each kind and in all, the mean over groups of the mean over their movies of the share of the others that are
/// among the ten that are answered.
async fn recall(server: &TestServer, basis: SimilarityBasis) -> BTreeMap<String, f64> {
    let mut of_kind: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for Group { kind, movie_ids } in groups() {
        let mut found = 0.0;
        for movie_id in &movie_ids {
            // The model does not know every movie.
            let answer = server.recommendation().similar_movies(like(*movie_id, basis)).await;
            let answer = answer.map_or_else(|_| Vec::new(), |answer| ids(answer.get_ref()));
            let others: HashSet<u32> = movie_ids.iter().copied().filter(|id| id != movie_id).collect();
            let among = answer.iter().take(K).filter(|id| others.contains(id)).count();
            found += among as f64 / others.len().min(K) as f64;
        }
        let recall = found / movie_ids.len() as f64;
        of_kind.entry(kind).or_default().push(recall);
        of_kind.entry("all".to_owned()).or_default().push(recall);
    }
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    of_kind.into_iter().map(|(kind, values)| (kind, mean(values))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_call_alike_is_found() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.engine.bundle = common::pipeline::bundled_model();
    let server = TestServer::start_with(config, data).await;
    until_it_is_known_who_watched_what(&server).await;
    let blend = recall(&server, SimilarityBasis::Blend).await;
    let content = recall(&server, SimilarityBasis::Content).await;
    let model = recall(&server, SimilarityBasis::Model).await;
    println!("recall@{K} of {} groups", groups().len());
    println!("{:10} {:>6} {:>8} {:>6}", "", "blend", "content", "model");
    for (kind, blend) in &blend {
        println!("{kind:10} {blend:6.3} {:8.3} {:6.3}", content[kind], model[kind]);
    }
    assert!(blend["all"] >= 0.55, "{blend:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_that_was_just_imported_is_like_others() {
    let server = TestServer::start().await;
    let new = v1::ImportMoviesRequest {
        movie: Some(900_001.into()),
        title: "Toy Story Returns (2027)".to_owned(),
        genres: vec!["Animation".to_owned(), "Children".to_owned()],
        ..Default::default()
    };
    server.catalog().import_movies(futures::stream::iter([new])).await.unwrap();
    let answer = similar(&server, like(900_001, SimilarityBasis::Blend)).await;
    assert!(answer.movies[0].title.starts_with("Toy Story"), "{answer:?}");
    assert_eq!(answer.movies[0].source(), v1::Source::Similarity);
    assert!(answer.model_version.is_empty());
    let of_the_first = ids(&similar(&server, like(1, SimilarityBasis::Content)).await);
    assert!(of_the_first.contains(&900_001), "{of_the_first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blend_keeps_to_its_filter_and_knows_the_catalogue_alone() {
    let server = TestServer::start().await;
    let filter = v1::Filter { genres_all: vec!["Western".into()], ..Default::default() };
    let request =
        v1::SimilarMoviesRequest { k: Some(500), filter: Some(filter), ..like(1, SimilarityBasis::Blend) };
    let answer = similar(&server, request).await;
    assert!(answer.movies.iter().all(|movie| movie.genres.contains(&"Western".to_owned())), "{answer:?}");
    assert!(answer.movies.windows(2).all(|pair| pair[0].score >= pair[1].score));
    // The model of these tests knows 200 movies: the catalogue has this one, and it has not.
    assert!(!ids(&similar(&server, like(109_487, SimilarityBasis::Blend)).await).is_empty());
    let unknown = like(4_000_000, SimilarityBasis::Blend);
    let refused = server.recommendation().similar_movies(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}
