//! What one caller may cost, through the socket: requests that are small on the wire and large behind it,
//! refusals that a client can read, bytes that are no message, calls that are no gRPC.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use common::TestServer;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use marquee_proto::v1;
use marquee_proto::v1::activate_model_request::Target;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::edge::MAX_STATUS_BYTES;
use prost::Message;
use prost::encoding::encode_varint;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_types::StatusExt as _;

const RECOMMEND: &str = "marquee.v1.RecommendationService/Recommend";
const BATCH: &str = "marquee.v1.RecommendationService/RecommendBatch";

/// A call as its bytes.
struct Call<'a> {
    path: &'a str,
    content_type: &'a str,
    is_compressed: bool,
    /// Further ones.
    headers: &'a [(&'a str, &'a str)],
    message: &'a [u8],
}

impl<'a> Call<'a> {
    fn of(path: &'a str, message: &'a [u8]) -> Self {
        Self { path, content_type: "application/grpc", is_compressed: false, headers: &[], message }
    }

    /// What the server answers, and the headers or trailers with the status.
    async fn answer(self, server: &TestServer) -> (Parts, HeaderMap) {
        let framed = framed(self.message, self.is_compressed);
        self.answer_to(Some(framed), server).await
    }

    /// The answer to the headers alone. Whoever is refused for them may be answered before a body is sent, which
    /// nobody reads then.
    async fn answer_to_headers(self, server: &TestServer) -> (Parts, HeaderMap) {
        self.answer_to(None, server).await
    }

    async fn answer_to(self, framed: Option<Bytes>, server: &TestServer) -> (Parts, HeaderMap) {
        let socket = TcpStream::connect(server.running.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::post(format!("http://test/{}", self.path))
            .header("content-type", self.content_type)
            .header("grpc-encoding", if self.is_compressed { "gzip" } else { "identity" })
            .header("te", "trailers");
        let request =
            self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (response, mut body) = client.send_request(request.body(()).unwrap(), framed.is_none()).unwrap();
        if let Some(framed) = framed {
            body.send_data(framed, true).unwrap();
        }
        let (head, mut body) = response.await.unwrap().into_parts();
        while let Some(read) = body.data().await {
            let read = read.unwrap().len();
            body.flow_control().release_capacity(read).unwrap();
        }
        let trailers = body.trailers().await.unwrap();
        connection.abort();
        let status = trailers.unwrap_or_else(|| head.headers.clone());
        (head, status)
    }

    async fn status(self, server: &TestServer) -> Status {
        let framed = framed(self.message, self.is_compressed);
        self.status_of(framed, server).await
    }

    async fn status_of(self, framed: Bytes, server: &TestServer) -> Status {
        let (_, headers) = self.answer_to(Some(framed), server).await;
        let length = |name| headers.get(name).map_or(0, HeaderValue::len);
        let size = length("grpc-message") + length("grpc-status-details-bin");
        assert!(size <= MAX_STATUS_BYTES, "{size} bytes of status");
        Status::from_header_map(&headers).unwrap()
    }
}

fn framed(message: &[u8], is_compressed: bool) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(u8::from(is_compressed));
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}

/// A field with its length, such as a message or packed numbers.
fn delimited(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    encode_varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    let compressed = encoder.finish().unwrap();
    assert!(compressed.len() < 8192, "{} bytes are no small request", compressed.len());
    compressed
}

fn field_and_reason(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_error_details();
    let field = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    (field.unwrap_or_default(), details.error_info().unwrap().reason.clone())
}

fn with_filter(filter: v1::Filter) -> v1::RecommendRequest {
    let subject = Some(Subject::UserId(1));
    v1::RecommendRequest { subject, filter: Some(filter), ..Default::default() }
}

fn invalid(field: &str) -> (String, String) {
    (field.to_owned(), "INVALID_FIELD".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn small_requests_with_endless_lists_are_refused_by_the_field() {
    let server = TestServer::start().await;
    let message = gzip(&delimited(5, &delimited(10, &vec![0; 4_000_000])));
    let status = Call { is_compressed: true, ..Call::of(RECOMMEND, &message) }.status(&server).await;
    assert_eq!(field_and_reason(&status), invalid("filter.deny_movie_ids"));

    let message = gzip(&[1 << 3 | 2, 0].repeat(2_000_000));
    let status = Call { is_compressed: true, ..Call::of(BATCH, &message) }.status(&server).await;
    assert_eq!(field_and_reason(&status), invalid("requests"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_message_that_takes_long_to_unpack_is_refused_by_its_length() {
    let server = TestServer::start().await;
    let announced = [&[1][..], &(1_u32 << 20).to_be_bytes()].concat();
    let call = Call { is_compressed: true, ..Call::of(RECOMMEND, &[]) };
    let status = call.status_of(announced.into(), &server).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "MESSAGE_TOO_LARGE");
    assert!(status.message().contains("uncompressed"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_bad_elements_are_a_status_that_can_be_read() {
    let server = TestServer::start().await;
    let denied = with_filter(v1::Filter { deny_movie_ids: vec![0; 100], ..Default::default() });
    let status = Call::of(RECOMMEND, &denied.encode_to_vec()).status(&server).await;
    assert_eq!(field_and_reason(&status), invalid("filter.deny_movie_ids[0]"));
    assert!(status.message().ends_with(" more"), "{status}");

    let by_client = server.recommendation().recommend(denied).await.unwrap_err();
    assert_eq!(by_client.message(), status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_quoted_leaves_a_status_that_can_be_read() {
    let server = TestServer::start().await;
    let movies = (0..8).map(|movie| v1::ImportMoviesRequest {
        movie: Some((4_000_000 + movie).into()),
        title: "Many Genres (2020)".into(),
        genres: (0..50).map(|genre| format!("{:0100}", movie * 50 + genre)).collect(),
        ..Default::default()
    });
    let movies: Vec<_> = movies.collect();
    server.catalog().import_movies(stream::iter(movies)).await.unwrap();
    let unknown = with_filter(v1::Filter { genres_any: vec!["é".repeat(100)], ..Default::default() });
    let status = Call::of(RECOMMEND, &unknown.encode_to_vec()).status(&server).await;
    assert_eq!(field_and_reason(&status).0, "filter.genres_any");
    assert!(status.message().contains(" more"), "{status}");

    let target = Some(Target::BundleDir("ü".repeat(4096)));
    let activate = v1::ActivateModelRequest { target };
    let path = "marquee.v1.OperationsService/ActivateModel";
    let status = Call::of(path, &activate.encode_to_vec()).status(&server).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("üü … "), "{status}");

    let asked = ServerReflectionRequest {
        message_request: Some(MessageRequest::FileContainingSymbol("x".repeat(50_000))),
        ..Default::default()
    };
    let path = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let status = Call::of(path, &asked.encode_to_vec()).status(&server).await;
    assert_eq!(status.code(), Code::NotFound, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_an_invalid_argument() {
    let server = TestServer::start().await;
    let not_utf8 = [8 << 3 | 2, 2, 0xff, 0xfe];
    let status = Call::of(RECOMMEND, &not_utf8).status(&server).await;
    let undecodable = |field: &str| (field.to_owned(), "UNDECODABLE_MESSAGE".to_owned());
    assert_eq!(field_and_reason(&status), undecodable("model_version"));

    let stream = "marquee.v1.InteractionService/RecordInteractions";
    let status = Call::of(stream, &[1 << 3 | 2, 9]).status(&server).await;
    assert_eq!(field_and_reason(&status), undecodable(""));

    let status = Call::of("grpc.health.v1.Health/Check", &[1 << 3 | 2, 1, 0xff]).status(&server).await;
    assert_eq!(field_and_reason(&status), undecodable(""));

    let no_gzip = Call { is_compressed: true, ..Call::of(RECOMMEND, b"plain") };
    assert_eq!(field_and_reason(&no_gzip.status(&server).await), undecodable(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_no_grpc_is_415_where_nothing_else_is_served() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.http_gateway = false;
    let server = TestServer::start_with(config, data).await;
    let call = || Call::of(RECOMMEND, &[]);
    for content_type in ["application/json", "application/grpc-web+proto", "application/grpc+json"] {
        let (head, headers) = Call { content_type, ..call() }.answer_to_headers(&server).await;
        assert_eq!(head.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert_eq!(Status::from_header_map(&headers).unwrap().code(), Code::InvalidArgument);
    }
    let known = v1::RecommendRequest { subject: Some(Subject::UserId(1)), ..Default::default() };
    let message = known.encode_to_vec();
    let (head, headers) = Call { content_type: "application/grpc+proto", ..Call::of(RECOMMEND, &message) }
        .answer(&server)
        .await;
    assert_eq!((head.status, headers["grpc-status"].as_bytes()), (StatusCode::OK, &b"0"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_there_is_not_is_named_whether_its_service_is_there_or_not() {
    let server = TestServer::start().await;
    for path in ["marquee.v1.CatalogService/GetFilm", "marquee.v9.CatalogService/GetMovie"] {
        let (head, headers) = Call::of(path, &[]).answer_to_headers(&server).await;
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!((head.status, status.code()), (StatusCode::OK, Code::Unimplemented));
        assert!(status.message().contains(path), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_of_compression_that_the_headers_do_not_explain_are_internal_as_grpc_wants_it() {
    let server = TestServer::start().await;
    for flag in [1, 2, 255] {
        let framed = [&[flag][..], &0_u32.to_be_bytes()].concat();
        let status = Call::of(RECOMMEND, &[]).status_of(framed.into(), &server).await;
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(status.message().contains("compress"), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_decoded_ends_a_stream_with_its_place() {
    let server = TestServer::start().await;
    let sound = v1::ImportMoviesRequest { movie: Some(7.into()), title: "Film".into(), ..Default::default() };
    let event = v1::Interaction {
        user: Some(7.into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    let event = v1::RecordInteractionsRequest { interaction: Some(event) };
    let bad = [1 << 3 | 2, 9];
    for (path, sound, place) in [
        ("marquee.v1.CatalogService/ImportMovies", sound.encode_to_vec(), "movie 3 of the stream"),
        ("marquee.v1.InteractionService/RecordInteractions", event.encode_to_vec(), "index 2 of the stream"),
    ] {
        let sent = [framed(&sound, false), framed(&sound, false), framed(&bad, false)].concat();
        let status = Call::of(path, &[]).status_of(sent.into(), &server).await;
        assert_eq!(field_and_reason(&status).1, "UNDECODABLE_MESSAGE");
        assert!(status.message().contains(place), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_request_id_whatever_it_is() {
    let server = TestServer::start().await;
    let call = |path| Call { headers: &[("x-request-id", "order-66")], ..Call::of(path, &[]) };
    let late = [("x-request-id", "order-66"), ("grpc-timeout", "soon")];
    let refused = [
        Call { content_type: "application/json", ..call(RECOMMEND) },
        call("marquee.v1.CatalogService/GetFilm"),
        Call { headers: &late, ..call(RECOMMEND) },
    ];
    for call in refused {
        let (head, _) = call.answer_to_headers(&server).await;
        assert_eq!(head.headers["x-request-id"], "order-66");
    }
    for path in [RECOMMEND, "marquee.v1.InteractionService/RecordInteractions", "grpc.health.v1.Health/Check"]
    {
        let (head, _) = call(path).answer(&server).await;
        assert_eq!(head.headers["x-request-id"], "order-66", "{path}");
    }
    let long = "x".repeat(129);
    let (head, _) =
        Call { headers: &[("x-request-id", &long)], ..Call::of(RECOMMEND, &[]) }.answer(&server).await;
    assert_eq!(head.headers["x-request-id"].len(), 32);
}
