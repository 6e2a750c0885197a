//! Between bytes and the pipeline: decoding, checking and converting requests and answers.

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use marquee_benches::synthetic;
use marquee_engine::Priority;
use marquee_proto::v1;
use marquee_retrieval::Method;
use marquee_server::catalog::Catalog;
use marquee_server::edge::services;
use marquee_server::recommend::{Pick, Recommended, Source, Timings};
use prost::Message as _;

fn requests(criterion: &mut Criterion) {
    use v1::recommend_request::Subject;
    let mut group = criterion.benchmark_group("request");
    let history = v1::History { movie_ids: (1..=200).collect() };
    let filter =
        v1::Filter { genres_any: vec!["Drama".into()], year_min: Some(1990), ..v1::Filter::default() };
    let cases = [
        ("a user", Subject::UserId(1), None),
        ("a user and a filter", Subject::UserId(1), Some(filter)),
        ("a history of 200", Subject::History(history), None),
    ];
    for (name, subject, filter) in cases {
        let request =
            v1::RecommendRequest { subject: Some(subject), k: Some(10), filter, ..Default::default() };
        let bytes = request.encode_to_vec();
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| black_box(v1::RecommendRequest::decode(bytes.as_slice())));
        });
        group.bench_function(BenchmarkId::new("check and convert", name), |bencher| {
            let convert =
                |request| black_box(services::question(request, Priority::Interactive, Method::Auto, None));
            bencher.iter_batched(|| request.clone(), convert, BatchSize::SmallInput);
        });
    }
}

fn responses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response");
    let catalog = Catalog::new(synthetic::movies(1_000, 1), synthetic::stats(1_000));
    let movies = catalog.movies();
    for k in [10, 100, 500] {
        let picks = (0..k).map(|index| Pick {
            movie_id: movies.movie_id(index),
            score: index as f32,
            source: Source::Model,
            movie: movies.at(index).cloned(),
        });
        let recommended = Recommended {
            picks: picks.collect(),
            model_version: Some("1".into()),
            method: Some(Method::Exact),
            source: Source::Model,
            timings: Timings { total: Duration::from_millis(3), ..Timings::default() },
            ignored: 0,
        };
        let response = services::response(recommended.clone());
        group.bench_function(BenchmarkId::new("convert", k), |bencher| {
            bencher.iter_batched(|| recommended.clone(), services::response, BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("encode", k), |bencher| {
            bencher.iter(|| black_box(response.encode_to_vec()));
        });
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = requests, responses
}
criterion_main!(benches);
