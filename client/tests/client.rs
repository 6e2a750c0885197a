//! The typed client against a real tonic server over in-memory pipes, in paused time: pauses and
//! deadlines are measured exactly and cost nothing.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use futures::{StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use marquee_client::{ApiKey, Client, ConnectOptions, Repeat, RetryPolicy, Rpc};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use support::{Fake, Trouble};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt as _};

/// A channel to `fake` through a pipe.
async fn channel_to(fake: &Fake) -> Channel {
    let (near, far) = tokio::io::duplex(1 << 20);
    let incoming = stream::iter([Ok::<_, std::io::Error>(far)]).chain(stream::pending());
    tokio::spawn(Server::builder().add_routes(fake.routes()).serve_with_incoming(incoming));
    let mut near = Some(TokioIo::new(near));
    Endpoint::from_static("http://in.memory")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let pipe = near.take().ok_or_else(|| std::io::Error::other("the pipe is used once"));
            async move { pipe }
        }))
        .await
        .unwrap()
}

async fn connect(fake: &Fake, options: &ConnectOptions) -> Client {
    Client::over(vec![channel_to(fake).await], options).unwrap()
}

fn for_user(user_id: u64) -> v1::RecommendRequest {
    v1::RecommendRequest { subject: Some(Subject::UserId(user_id)), k: Some(3), ..Default::default() }
}

fn rating() -> v1::RecordInteractionRequest {
    v1::RecordInteractionRequest {
        user: Some(1.into()),
        movie: Some(2571.into()),
        rating: Some(5.0),
        ..Default::default()
    }
}

fn busy(retry_delay: Duration) -> Trouble {
    let details = ErrorDetails::with_retry_info(Some(retry_delay));
    Trouble::Fail(Status::with_error_details(Code::ResourceExhausted, "the queue is full", details))
}

fn lost() -> Trouble {
    Trouble::Fail(Status::unavailable("draining"))
}

#[tokio::test(start_paused = true)]
async fn a_call_answers_with_the_typed_message() {
    let client = connect(&Fake::default(), &ConnectOptions::default()).await;
    let reply = client.recommend(for_user(1)).await.unwrap();
    assert_eq!(reply.recommendations.len(), 3);
    assert_eq!(reply.model_version, "fixture-1");
}

#[tokio::test]
async fn the_largest_reply_of_the_api_is_taken_without_being_told() {
    let client = connect(&Fake::default(), &ConnectOptions { timeout: None, ..Default::default() }).await;
    let largest = v1::RecommendRequest { k: Some(500), ..for_user(1) };
    let reply = client.recommend_batch(v1::RecommendBatchRequest { requests: vec![largest; 1000] }).await;
    assert_eq!(reply.unwrap().outcomes.len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_repeated_after_growing_pauses() {
    let fake = Fake::with_troubles([lost(), lost()]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    let start = Instant::now();
    client.recommend(for_user(1)).await.unwrap();
    let waited = start.elapsed();
    assert_eq!(fake.header("x-request-id").len(), 3);
    // Half to all of 50 ms, then of 100 ms; tokio's timer rounds each up to a millisecond.
    assert!((Duration::from_millis(75)..=Duration::from_millis(152)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_servers_retry_delay_is_honoured() {
    let fake = Fake::with_troubles([busy(Duration::from_secs(1))]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    let start = Instant::now();
    client.recommend(for_user(1)).await.unwrap();
    let waited = start.elapsed();
    assert!((Duration::from_secs(1)..=Duration::from_millis(1251)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_would_pass_the_deadline_is_not_begun() {
    let fake = Fake::with_troubles([busy(Duration::from_mins(1))]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    let start = Instant::now();
    let status = client.recommend(for_user(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(start.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_missed_deadline_is_deadline_exceeded_and_not_cancelled() {
    let fake = Fake::with_troubles([Trouble::NeverAnswer]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    let start = Instant::now();
    let status = client.with_timeout(Duration::from_millis(300)).recommend(for_user(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(start.elapsed() <= Duration::from_millis(301), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_default_deadline_travels_and_shrinks_with_every_attempt() {
    let fake = Fake::with_troubles([busy(Duration::from_secs(4))]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    client.recommend(for_user(1)).await.unwrap();
    let sent: Vec<u64> = fake
        .header("grpc-timeout")
        .iter()
        .map(|timeout| timeout.strip_suffix('u').expect("microseconds").parse().unwrap())
        .collect();
    assert!(sent[0] > 9_900_000 && sent[0] <= 10_000_000, "{sent:?}");
    assert!(sent[1] <= 6_000_000, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_is_not_repeated() {
    let fake = Fake::with_troubles([Trouble::Fail(Status::invalid_argument("k: is 0"))]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    let status = client.recommend(for_user(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(fake.header("x-request-id").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    let fake = Fake::with_troubles(std::iter::repeat_n(lost(), 9));
    let client = connect(&fake, &ConnectOptions::default()).await;
    assert_eq!(client.recommend(for_user(1)).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(fake.header("x-request-id").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_rpc_that_may_not_be_repeated_is_sent_once() {
    let fake = Fake::with_troubles([lost()]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    let rpc = Rpc::new("/marquee.v1.RecommendationService/Recommend", Repeat::Forbidden).unwrap();
    let codec = ProstCodec::<v1::RecommendRequest, v1::RecommendResponse>::default();
    assert!(client.unary(rpc, codec, for_user(1)).await.is_err());
    assert_eq!(fake.header("x-request-id").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_time_is_filled_once_for_all_attempts() {
    let fake = Fake::with_troubles([lost(), lost()]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    client.record_interaction(rating()).await.unwrap();
    let times: Vec<_> = fake.recorded().into_iter().map(|event| event.time).collect();
    assert_eq!(times.len(), 3);
    assert!(times[0].is_some());
    assert!(times.iter().all(|time| *time == times[0]));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_there_stays() {
    let fake = Fake::default();
    let client = connect(&fake, &ConnectOptions::default()).await;
    let time = Some(prost_types::Timestamp { seconds: 978_300_760, nanos: 0 });
    client.record_interaction(v1::RecordInteractionRequest { time, ..rating() }).await.unwrap();
    assert_eq!(fake.recorded()[0].time, time);
}

#[tokio::test(start_paused = true)]
async fn interactions_of_a_stream_get_their_time_too() {
    let fake = Fake::default();
    let client = connect(&fake, &ConnectOptions::default()).await;
    let event = v1::Interaction {
        user: Some(1.into()),
        movie: Some(2.into()),
        rating: Some(4.0),
        ..Default::default()
    };
    let events = stream::iter([v1::RecordInteractionsRequest { interaction: Some(event) }]);
    assert_eq!(client.record_interactions(events).await.unwrap().accepted, 1);
    assert!(fake.recorded()[0].time.is_some());
}

#[tokio::test(start_paused = true)]
async fn all_attempts_of_a_call_share_one_request_id_and_calls_do_not() {
    let fake = Fake::with_troubles([lost()]);
    let client = connect(&fake, &ConnectOptions::default()).await;
    client.recommend(for_user(1)).await.unwrap();
    client.recommend(for_user(1)).await.unwrap();
    let ids = fake.header("x-request-id");
    assert_eq!(ids[0].len(), 32);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
}

#[tokio::test(start_paused = true)]
async fn a_request_id_of_the_caller_is_sent() {
    let fake = Fake::default();
    let client = connect(&fake, &ConnectOptions::default()).await;
    client.with_request_id("checkout-17").unwrap().recommend(for_user(1)).await.unwrap();
    assert_eq!(fake.header("x-request-id"), ["checkout-17"]);
}

#[tokio::test(start_paused = true)]
async fn the_api_key_is_sent() {
    let fake = Fake::default();
    let options = ConnectOptions { api_key: Some(ApiKey::new("k-1")), ..Default::default() };
    connect(&fake, &options).await.recommend(for_user(1)).await.unwrap();
    assert_eq!(fake.header("x-api-key"), ["k-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_goes_to_the_next_endpoint() {
    let down = Fake::with_troubles(std::iter::repeat_n(lost(), 9));
    let up = Fake::default();
    let channels = vec![channel_to(&down).await, channel_to(&up).await];
    let client = Client::over(channels, &ConnectOptions::default()).unwrap();
    client.recommend(for_user(1)).await.unwrap();
    assert_eq!((down.header("x-request-id").len(), up.header("x-request-id").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_answered_in_order() {
    let client = connect(&Fake::default(), &ConnectOptions::default()).await;
    let requests = stream::iter([1, 2, 3]).map(|k| v1::RecommendStreamRequest {
        request: Some(v1::RecommendRequest { k: Some(k), ..for_user(1) }),
    });
    let replies: Vec<_> = client.recommend_stream(requests).await.unwrap().collect().await;
    let counts: Vec<_> = replies
        .into_iter()
        .map(|reply| match reply.unwrap().outcome.unwrap().outcome.unwrap() {
            v1::recommend_outcome::Outcome::Response(response) => response.recommendations.len(),
            v1::recommend_outcome::Outcome::Error(error) => panic!("{error:?}"),
        })
        .collect();
    assert_eq!(counts, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_stream_holds_for_its_messages() {
    let client = connect(&Fake::default(), &ConnectOptions::default()).await;
    let one = v1::RecommendStreamRequest { request: Some(for_user(1)) };
    let requests = stream::iter([one]).chain(stream::pending());
    let client = client.with_timeout(Duration::from_secs(2));
    let mut replies = client.recommend_stream(requests).await.unwrap();
    assert!(replies.next().await.unwrap().is_ok());
    let status = replies.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(replies.next().await.is_none(), "nothing follows the deadline");
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let Err(error) = Client::connect(ConnectOptions::to(address.to_string())).await else {
        panic!("nobody listens there");
    };
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_client_outlives_a_restart_of_the_server() {
    let serve = |listener: tokio::net::TcpListener| {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let incoming = stream::unfold(listener, |listener| async {
            let connection = listener.accept().await.map(|(socket, _)| socket);
            Some((connection, listener))
        });
        let stopped = async { stopped.await.unwrap_or_default() };
        let server = Server::builder().add_routes(Fake::default().routes());
        (stop, tokio::spawn(server.serve_with_incoming_shutdown(incoming, stopped)))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, server) = serve(listener);
    let client = Client::connect(ConnectOptions::to(address.to_string())).await.unwrap();
    client.recommend(for_user(1)).await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();

    let (_stop, _server) = serve(tokio::net::TcpListener::bind(address).await.unwrap());
    assert_eq!(client.recommend(for_user(1)).await.unwrap().recommendations.len(), 3);
}

#[tokio::test]
async fn a_connection_that_breaks_is_unavailable_and_repeated() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Accepts, reads the first bytes of every connection, and hangs up.
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            use tokio::io::AsyncReadExt as _;
            let mut preface_and_request = [0; 120];
            let _ = socket.read_exact(&mut preface_and_request).await;
        }
    });
    let retry = RetryPolicy { max_attempts: 2, initial_pause: Duration::ZERO, ..Default::default() };
    let options = ConnectOptions { retry, ..ConnectOptions::to(address.to_string()) };
    let client = Client::connect(options).await.unwrap();
    let status = client.recommend(for_user(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}
