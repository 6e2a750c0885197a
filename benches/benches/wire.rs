//! Between bytes and the pipeline: decoding, checking and converting requests and answers.

mod common;

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use futures::stream;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use marquee_benches::synthetic;
use marquee_engine::Priority;
use marquee_proto::methods::recommendation::RECOMMEND;
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_retrieval::Method;
use marquee_server::catalog::Catalog;
use marquee_server::edge::{self, services};
use marquee_server::recommend::{Pick, Recommended, Source, Timings};
use prost::Message as _;
use tokio::runtime::Builder;
use tonic::body::Body;
use tower::{ServiceExt as _, service_fn};

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    let history = v1::History::from((1..=200).collect::<Vec<_>>());
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
            let unsaid = services::Unsaid::default();
            let convert =
                |request| black_box(services::question(request, Priority::Interactive, &unsaid, None));
            bencher.iter_batched(|| request.clone(), convert, BatchSize::SmallInput);
        });
    }
}

/// The best `k` movies.
fn recommended(k: u32) -> Recommended {
    let catalog = Catalog::new(synthetic::movies(1_000, 1), synthetic::stats(1_000));
    let movies = catalog.movies();
    let picks = (0..k).map(|index| Pick {
        movie_id: movies.movie_id(index),
        score: index as f32,
        parts: None,
        propensity: None,
        source: Source::Model,
        movie: movies.at(index).cloned(),
        rule: None,
    });
    Recommended {
        picks: picks.collect(),
        model_version: Some("1".into()),
        method: Some(Method::Exact),
        source: Source::Model,
        seed: None,
        timings: Timings { total: Duration::from_millis(3), ..Timings::default() },
        ignored: 0,
        explanation: None,
    }
}

fn responses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response");
    for k in [10, 100, 500] {
        let recommended = recommended(k);
        let response = services::response(recommended.clone());
        group.bench_function(BenchmarkId::new("convert", k), |bencher| {
            bencher.iter_batched(|| recommended.clone(), services::response, BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("encode", k), |bencher| {
            bencher.iter(|| black_box(response.encode_to_vec()));
        });
    }
}

/// A call of ten movies from the headers on, without the work of its handler. gRPC goes past the gateway.
fn gateway(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gateway");
    let request =
        v1::RecommendRequest { subject: Some(Subject::UserId(1)), k: Some(10), ..Default::default() };
    let protobuf = Bytes::from(request.encode_to_vec());
    let prefixed = prefixed(&protobuf);
    let json = Bytes::from_static(br#"{"user_id":"1","k":10}"#);
    let rest = "/v1/recommend";

    let reply = self::prefixed(&services::response(recommended(10)).encode_to_vec());
    let gateway = edge::gateway(service_fn(move |request| handled(request, reply.clone())), 4 << 20);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a thread can have a timer");
    for (name, version, content_type, path, body) in [
        ("gRPC", Version::HTTP_2, "application/grpc", RECOMMEND.path, &prefixed),
        ("gRPC-web", Version::HTTP_11, "application/grpc-web+proto", RECOMMEND.path, &prefixed),
        ("Connect in Protobuf", Version::HTTP_11, "application/proto", RECOMMEND.path, &protobuf),
        ("Connect in JSON", Version::HTTP_11, "application/json", RECOMMEND.path, &json),
        ("REST", Version::HTTP_11, "application/json", rest, &json),
    ] {
        let request = || {
            let request = Request::post(path).version(version).header(HOST, "localhost");
            let request = request.header(CONTENT_TYPE, content_type);
            request.body(Body::new(Full::new(body.clone()))).expect("its parts are well-formed")
        };
        let answer = |request| {
            runtime.block_on(async {
                let Ok(answer) = gateway.clone().oneshot(request).await;
                answer.into_body().collect().await
            })
        };
        group.bench_function(name, |bencher| bencher.iter_batched(request, answer, BatchSize::SmallInput));
    }
}

/// A message as gRPC sends it.
fn prefixed(message: &[u8]) -> Bytes {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat().into()
}

/// A handler that reads its request and has its reply at hand.
async fn handled(request: Request<Body>, reply: Bytes) -> Result<Response<Body>, Infallible> {
    black_box(request.into_body().collect().await).expect("it is in memory");
    let trailers =
        HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
    let frames = [Ok::<_, Infallible>(Frame::data(reply)), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(Body::new(StreamBody::new(stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = requests, responses, gateway
}
criterion_main!(benches);
