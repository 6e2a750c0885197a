//! A real server on a free port, over a folder of its own, for tests through the socket.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod bundles;
pub mod cql;
pub mod http1;
pub mod nodes;
pub mod pipeline;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod recommender;
pub mod redis;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use marquee_proto::v1::catalog_service_client::CatalogServiceClient;
use marquee_proto::v1::experiment_service_client::ExperimentServiceClient;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::model_service_client::ModelServiceClient;
use marquee_proto::v1::operations_service_client::OperationsServiceClient;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use marquee_proto::v1::rule_service_client::RuleServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use marquee_proto::v1::vector_service_client::VectorServiceClient;
use marquee_server::app::{self, Running};
use marquee_server::config::{Config, StoreUrl};
use marquee_server::telemetry::{LogFormat, Telemetry};
use marquee_store::OnDamage;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::OnceCell;
use tonic::transport::Channel;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The small bundle that tests run on.
pub fn fixture_bundle() -> PathBuf {
    root().join("onnx/fixtures/tiny")
}

/// The bundled sample of MovieLens.
pub fn sample() -> PathBuf {
    root().join("onnx/data/ml-latest-small")
}

/// One telemetry for all tests of a process.
pub fn telemetry() -> &'static Telemetry {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    let level = Config::default().telemetry.log_level;
    TELEMETRY.get_or_init(|| Telemetry::start(LogFormat::Text, level).expect("telemetry starts"))
}

/// A server and its data folder.
pub struct TestServer {
    pub running: Running,
    pub data: TempDir,
    channel: Channel,
}

/// A data folder of its own that holds the sample, imported once a process.
pub async fn sample_data() -> TempDir {
    static TEMPLATE: OnceCell<TempDir> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async {
        let template = tempfile::tempdir().expect("a temporary folder");
        let store = app::open_store(&StoreUrl::redb(), template.path(), OnDamage::Refuse)
            .await
            .expect("the store opens");
        app::import_sample(&sample(), store.as_ref()).await.expect("the sample is imported");
        template
    });
    let template = template.await;
    let data = tempfile::tempdir().expect("a temporary folder");
    for file in std::fs::read_dir(template.path()).expect("the template can be read") {
        let file = file.expect("the template can be read");
        std::fs::copy(file.path(), data.path().join(file.file_name())).expect("the template can be copied");
    }
    data
}

/// Copies a program to where it will run. A process of its own writes it: a child that another test starts at that
/// moment would inherit our descriptor, and nobody runs a file that is open for writing.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").args([from, to]).status().expect("cp starts");
    assert!(copied.success(), "{} is not copied to {}", from.display(), to.display());
}

/// Settings of a test server: a free port, a new folder, the fixture bundle, two workers.
pub fn config(data: &TempDir) -> Config {
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".parse().expect("a valid address");
    data.path().clone_into(&mut config.store.data_dir);
    config.store.sample_data = sample();
    config.engine.bundle = fixture_bundle();
    config.engine.device = "cpu".parse().expect("a valid device");
    config.engine.workers = 2;
    config
}

impl TestServer {
    /// A warm server over the sample.
    pub async fn start() -> Self {
        let data = sample_data().await;
        let config = config(&data);
        Self::start_with(config, data).await
    }

    /// A warm server with these settings.
    pub async fn start_with(config: Config, data: TempDir) -> Self {
        let mut running = Box::pin(app::start(config, telemetry())).await.expect("the server starts");
        running.ready().await.expect("the model loads");
        let channel = channel(&running).await;
        Self { running, data, channel }
    }

    /// One that runs, and how it is called.
    pub fn with(running: Running, data: TempDir, channel: Channel) -> Self {
        Self { running, data, channel }
    }

    pub fn recommendation(&self) -> RecommendationServiceClient<Channel> {
        RecommendationServiceClient::new(self.channel.clone())
    }

    pub fn experiments(&self) -> ExperimentServiceClient<Channel> {
        ExperimentServiceClient::new(self.channel.clone())
    }

    pub fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }

    pub fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    pub fn interactions(&self) -> InteractionServiceClient<Channel> {
        InteractionServiceClient::new(self.channel.clone())
    }

    pub fn vectors(&self) -> VectorServiceClient<Channel> {
        VectorServiceClient::new(self.channel.clone())
    }

    pub fn rules(&self) -> RuleServiceClient<Channel> {
        RuleServiceClient::new(self.channel.clone())
    }

    pub fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel.clone())
    }

    pub fn operations(&self) -> OperationsServiceClient<Channel> {
        OperationsServiceClient::new(self.channel.clone())
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// What the server tells of itself, as Prometheus reads it. The server has `metrics_listen`.
pub async fn metrics(server: &TestServer) -> String {
    let address = server.running.metrics_address.expect("the server was told to listen");
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("it listens");
    socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.expect("it reads");
    let mut exposition = String::new();
    socket.read_to_string(&mut exposition).await.expect("it answers");
    exposition
}

/// A connection to a server.
pub async fn channel(running: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", running.address))
        .expect("a valid address")
        .connect()
        .await
        .expect("the server accepts connections")
}
