//! TLS on the one port: what is spoken, who is let in, and what happens when certificates change.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use common::http1::Http1;
use common::{TestServer, config, sample_data};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use marquee_core::authority::{Authority, Pair, Purpose, in_days};
use marquee_proto::v1::operations_service_client::OperationsServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use marquee_proto::v1::{GetStatsRequest, RecommendRequest};
use marquee_server::app;
use marquee_server::config::{Config, Switch};
use marquee_server::edge::ClientAuth;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A server with a certificate of an authority of its own.
struct Secure {
    server: TestServer,
    authority: Authority,
    files: TempDir,
}

/// Whether callers need a certificate, and of whom; `None` where they are not asked.
type Clients = Option<ClientAuth>;

impl Secure {
    async fn start(clients: Clients) -> Self {
        Self::start_with(clients, in_days(1), |_| ()).await
    }

    /// One whose certificate ends then, with other settings.
    async fn start_with(clients: Clients, until: SystemTime, change: impl FnOnce(&mut Config)) -> Self {
        let authority = Authority::new("Test").unwrap();
        let files = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { files.path().join(name) };
        let data = sample_data().await;
        let mut config = config(&data);
        config.security.tls_cert = Some(path("server.pem"));
        config.security.tls_key = Some(path("server-key.pem"));
        config.security.tls_client_ca = clients.map(|_| path("ca.pem"));
        config.security.tls_client_auth = clients.unwrap_or(ClientAuth::Required);
        config.security.tls_reload_interval = Duration::from_millis(100);
        config.telemetry.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
        change(&mut config);
        std::fs::write(path("ca.pem"), authority.pair().certificate).unwrap();
        let pair = sign(&authority, until);
        std::fs::write(path("server.pem"), &pair.certificate).unwrap();
        std::fs::write(path("server-key.pem"), &pair.key).unwrap();
        let mut running = app::start(config, common::telemetry()).await.unwrap();
        running.ready().await.unwrap();
        // Nobody calls over it: connected when it is used.
        let plain = Endpoint::from_shared(format!("http://{}", running.address)).unwrap().connect_lazy();
        Self { server: TestServer::with(running, data, plain), authority, files }
    }

    /// A channel that trusts the authority, and shows a pair or none.
    async fn channel(&self, pair: Option<&Pair>) -> Result<Channel, tonic::transport::Error> {
        let authority = Certificate::from_pem(self.authority.pair().certificate);
        let tls = ClientTlsConfig::new().ca_certificate(authority);
        let tls = match pair {
            None => tls,
            Some(pair) => tls.identity(Identity::from_pem(&pair.certificate, &pair.key)),
        };
        let port = self.server.running.address.port();
        Endpoint::from_shared(format!("https://localhost:{port}")).unwrap().tls_config(tls)?.connect().await
    }

    /// A connection of TLS that speaks these versions and asks for this protocol.
    async fn connect(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocol: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let authority = self.authority.pair().certificate;
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let socket = TcpStream::connect(self.server.running.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    /// Puts a pair into the files as a careful program does: each as a whole, one after the other.
    fn replace(&self, pair: &Pair) {
        for (name, text) in [("server.pem", &pair.certificate), ("server-key.pem", &pair.key)] {
            let new = self.files.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, self.files.path().join(name)).unwrap();
        }
    }

    /// The certificate that a new caller is shown.
    async fn shown(&self) -> Vec<u8> {
        let stream = self.connect(rustls::ALL_VERSIONS, "h2").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    /// The value of a series of the metrics.
    async fn metric(&self, series: &str) -> f64 {
        let page = common::metrics(&self.server).await;
        let line = page.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }
}

fn sign(authority: &Authority, until: SystemTime) -> Pair {
    authority.sign(Purpose::Server, "server", &["localhost", "127.0.0.1"], until).unwrap()
}

async fn recommend(channel: &Channel) -> Result<usize, tonic::Status> {
    let request = RecommendRequest { subject: Some(Subject::UserId(1)), ..RecommendRequest::default() };
    let reply = RecommendationServiceClient::new(channel.clone()).recommend(request).await?;
    Ok(reply.into_inner().recommendations.len())
}

#[tokio::test]
async fn grpc_is_answered_over_tls() {
    let secure = Secure::start(None).await;
    assert_eq!(recommend(&secure.channel(None).await.unwrap()).await.unwrap(), 10);
}

#[tokio::test]
async fn json_is_answered_over_both_versions_of_tls_and_of_http() {
    let secure = Secure::start(None).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let get = || {
            let uri = format!("https://localhost:{}/v1/genres", secure.server.running.address.port());
            http::Request::get(uri).header("host", "localhost").body(Full::<Bytes>::default()).unwrap()
        };
        let stream = secure.connect(&[version], "http/1.1").await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let one = sender.send_request(get()).await.unwrap();
        let stream = secure.connect(&[version], "h2").await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = get();
        request.headers_mut().remove("host");
        let two = sender.send_request(request).await.unwrap();
        for reply in [one, two] {
            assert_eq!(reply.status(), 200);
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            assert!(body.starts_with(b"{\"genres\":["), "{body:?}");
        }
    }
}

#[tokio::test]
async fn who_calls_without_tls_is_told_and_served_nothing() {
    let secure = Secure::start(None).await;
    let mut socket = TcpStream::connect(secure.server.running.address).await.unwrap();
    socket.write_all(b"GET /v1/genres HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    let status = recommend(&secure.server.channel()).await.unwrap_err();
    // As gRPC maps INADEQUATE_SECURITY; nobody repeats the call.
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status:?}");
    assert!(format!("{status:?}").contains("call it as https://"), "{status:?}");
}

#[tokio::test]
async fn a_caller_shows_a_certificate_where_it_must() {
    let secure = Secure::start(Some(ClientAuth::Required)).await;
    let pair = secure.authority.sign(Purpose::Client, "checkout", &[], in_days(1)).unwrap();
    assert_eq!(recommend(&secure.channel(Some(&pair)).await.unwrap()).await.unwrap(), 10);
    let foreign = Authority::new("Test").unwrap().sign(Purpose::Client, "checkout", &[], in_days(1)).unwrap();
    for pair in [None, Some(&foreign)] {
        // In TLS 1.3 a caller hears of the refusal with its first answer.
        let refused = match secure.channel(pair).await {
            Err(_) => true,
            Ok(channel) => recommend(&channel).await.is_err(),
        };
        assert!(refused);
    }
}

#[tokio::test]
async fn a_caller_may_have_no_certificate_where_it_is_optional() {
    let secure = Secure::start(Some(ClientAuth::Optional)).await;
    assert_eq!(recommend(&secure.channel(None).await.unwrap()).await.unwrap(), 10);
}

/// Calls one after the other, every third over a connection of its own, until told to stop: how many failed.
async fn call_until(secure: &Secure, stop: &AtomicBool, calls: &AtomicU64) -> Vec<String> {
    let kept = secure.channel(None).await.unwrap();
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for turn in 0..3 {
            let channel = if turn == 0 { secure.channel(None).await } else { Ok(kept.clone()) };
            let outcome = match channel {
                Ok(channel) => recommend(&channel).await.map_err(|status| format!("{status:?}")),
                Err(error) => Err(format!("{error:?}")),
            };
            calls.fetch_add(1, Ordering::Relaxed);
            failures.extend(outcome.err());
        }
    }
    failures
}

/// Waits until new callers are shown another certificate than this one.
async fn another_than(secure: &Secure, before: &[u8]) -> Vec<u8> {
    loop {
        let shown = secure.shown().await;
        if shown != before {
            return shown;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_new_certificates_under_load_cost_no_call() {
    let secure = Secure::start(None).await;
    let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let changing = async {
        let mut shown = secure.shown().await;
        for day in 2..22 {
            secure.replace(&sign(&secure.authority, in_days(day)));
            shown = another_than(&secure, &shown).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let ((), one, two) =
        tokio::join!(changing, call_until(&secure, &stop, &calls), call_until(&secure, &stop, &calls));
    let failures = [one, two].concat();
    assert!(failures.is_empty(), "{} of {calls:?} calls failed: {:?}", failures.len(), failures.first());
    let reloads = secure.metric("marquee_tls_reloads_total{outcome=\"ok\"").await;
    assert!(reloads >= 20.0, "{reloads}");
}

#[tokio::test]
async fn half_a_pair_changes_nothing_and_the_whole_one_does() {
    let secure = Secure::start(None).await;
    let before = secure.shown().await;
    let pair = sign(&secure.authority, in_days(2));
    std::fs::write(secure.files.path().join("server.pem"), &pair.certificate).unwrap();
    for _ in 0..20 {
        assert_eq!(secure.shown().await, before);
    }
    std::fs::write(secure.files.path().join("server-key.pem"), &pair.key).unwrap();
    another_than(&secure, &before).await;
}

#[tokio::test]
async fn operators_see_when_the_certificate_in_force_ends() {
    let seconds = |until: SystemTime| until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let [first, second] = [in_days(1), in_days(2)];
    let secure = Secure::start_with(None, first, |_| ()).await;
    let ends = async || {
        let mut operations = OperationsServiceClient::new(secure.channel(None).await.unwrap());
        let stats = operations.get_stats(GetStatsRequest {}).await.unwrap().into_inner();
        stats.certificate_expire_time.unwrap().seconds
    };
    assert_eq!(ends().await, seconds(first));
    let before = secure.shown().await;
    secure.replace(&sign(&secure.authority, second));
    another_than(&secure, &before).await;
    assert_eq!(ends().await, seconds(second));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_served_and_its_end_told() {
    let ended = SystemTime::now() - Duration::from_hours(1);
    let secure = Secure::start_with(None, ended, |_| ()).await;
    assert!(secure.channel(None).await.is_err());
    // All servers of this process share the metric.
    assert!(secure.metric("marquee_tls_certificate_expiry_seconds").await > 0.0);
}

#[tokio::test]
async fn silent_connections_delay_nobody() {
    let secure = Secure::start(None).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(secure.server.running.address).await.unwrap());
    }
    assert_eq!(recommend(&secure.channel(None).await.unwrap()).await.unwrap(), 10);
    drop(silent);
}

/// Shorter than any test waits.
const SOON: Duration = Duration::from_secs(1);

/// After which a server that does not act counts as one that never will.
const PATIENCE: Duration = Duration::from_mins(1);

async fn with(change: impl FnOnce(&mut Config)) -> Secure {
    Secure::start_with(None, in_days(1), change).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_told_to_go() {
    let secure = with(|config| config.server.idle_timeout = SOON).await;
    let stream = secure.connect(rustls::ALL_VERSIONS, "h2").await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::time::timeout(PATIENCE, connection).await.unwrap().expect("it ends without an error");
    assert!(client.ready().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_before_or_after_the_handshake_is_closed() {
    let secure = with(|config| config.server.handshake_timeout = SOON).await;
    let mut silent = TcpStream::connect(secure.server.running.address).await.unwrap();
    let mut shaken = secure.connect(rustls::ALL_VERSIONS, "h2").await.unwrap();
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let ends = async { tokio::join!(silent.read_to_end(&mut one), shaken.read_to_end(&mut other)) };
    let (one, other) = tokio::time::timeout(PATIENCE, ends).await.expect("the server closes");
    assert_eq!((one.unwrap(), other.unwrap()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_reads_end_with_their_connection() {
    let secure = with(|config| config.server.send_timeout = SOON).await;
    let mut stream = secure.connect(rustls::ALL_VERSIONS, "http/1.1").await.unwrap();
    let request = b"GET /v1/movies:popular?page_size=500 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Until the server does not take any more, and then until it has closed.
    let asking = async { while stream.write_all(request).await.is_ok() && stream.flush().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("the server closes");
    assert_eq!(recommend(&secure.channel(None).await.unwrap()).await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_call_do_not_hold_the_end_of_the_server() {
    let secure = with(|config| config.server.shutdown_timeout = Duration::from_hours(1)).await;
    let silent = TcpStream::connect(secure.server.running.address).await.unwrap();
    let shaken = secure.connect(rustls::ALL_VERSIONS, "h2").await.unwrap();
    let kept = secure.channel(None).await.unwrap();
    recommend(&kept).await.unwrap();
    let stopped = tokio::time::timeout(PATIENCE, secure.server.running.stop()).await;
    stopped.expect("the drain ends by itself").unwrap();
    drop((silent, shaken));
}

/// The statuses of calls one after the other, each forwarded for an address, where each caller has two.
async fn forwarded(proxies: &str, addresses: &[&str]) -> Vec<u16> {
    let data = sample_data().await;
    let mut config = config(&data);
    config.server.rate_limit = Some("2/h".parse().unwrap());
    config.security.tls_terminated_by = proxies.parse().unwrap();
    let server = TestServer::start_with(config, data).await;
    let mut statuses = Vec::new();
    for address in addresses {
        let request =
            format!("GET /v1/genres HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {address}\r\n\r\n");
        statuses.push(Http1::ask(server.running.address, request).await.status);
    }
    statuses
}

#[tokio::test]
async fn the_callers_behind_a_proxy_have_a_limit_each() {
    let calls = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "198.51.100.9, 192.0.2.1"];
    assert_eq!(Box::pin(forwarded("127.0.0.0/8", &calls)).await, [200, 200, 429, 200, 429]);
}

#[tokio::test]
async fn an_address_that_anybody_forwards_is_not_believed() {
    let others = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    assert_eq!(Box::pin(forwarded("10.0.0.0/8", &others)).await, [200, 200, 429]);
}

#[tokio::test]
async fn a_name_on_a_certificate_has_the_role_that_the_settings_give_it() {
    let secure = Secure::start_with(Some(ClientAuth::Optional), in_days(1), |config| {
        config.security.auth = Switch::On;
        config.security.certificate_roles = "shop=recommender,page=viewer".parse().unwrap();
    })
    .await;
    let code_of = async |name: Option<&str>| {
        let pair = name.map(|name| secure.authority.sign(Purpose::Client, name, &[], in_days(1)).unwrap());
        let channel = secure.channel(pair.as_ref()).await.unwrap();
        recommend(&channel).await.map_err(|status| status.code())
    };
    assert_eq!(code_of(Some("shop")).await, Ok(10));
    assert_eq!(code_of(Some("page")).await, Err(Code::PermissionDenied));
    assert_eq!(code_of(Some("somebody")).await, Err(Code::Unauthenticated));
    assert_eq!(code_of(None).await, Err(Code::Unauthenticated));
}
