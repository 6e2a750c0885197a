//! Several models at once, through the socket: loaded, pinned, activated and unloaded by version.

mod common;

use std::path::Path;

use common::TestServer;
use marquee_proto::v1;
use marquee_proto::v1::activate_model_request::Target;
use marquee_proto::v1::operations_service_client::OperationsServiceClient;
use marquee_server::app;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The version of the fixture, which is active at the start.
const FIXTURE: &str = "tiny@1";

fn bundle_dir(folder: &Path) -> String {
    folder.display().to_string()
}

/// A second bundle, which knows the sample's movies.
fn sample_bundle() -> String {
    bundle_dir(&common::root().join("onnx/bundles/movielens-small"))
}

fn model_of(reply: Option<v1::Model>) -> v1::Model {
    reply.expect("the reply has the model")
}

async fn load(server: &TestServer, bundle_dir: String) -> Result<v1::Model, Status> {
    let request = v1::LoadModelRequest { bundle_dir, registered: None };
    server.operations().load_model(request).await.map(|reply| model_of(reply.into_inner().model))
}

async fn activate(server: &TestServer, target: Target) -> Result<v1::Model, Status> {
    let request = v1::ActivateModelRequest { target: Some(target) };
    server.operations().activate_model(request).await.map(|reply| model_of(reply.into_inner().model))
}

async fn unload(server: &TestServer, version: &str) -> Result<v1::Model, Status> {
    let request = v1::UnloadModelRequest { version: version.to_owned() };
    server.operations().unload_model(request).await.map(|reply| model_of(reply.into_inner().model))
}

async fn list(server: &TestServer) -> Vec<v1::Model> {
    server
        .operations()
        .list_models(v1::ListModelsRequest {})
        .await
        .expect("the server lists")
        .into_inner()
        .models
}

fn states(models: &[v1::Model]) -> Vec<(&str, v1::ModelState)> {
    models.iter().map(|model| (model.version.as_str(), model.state())).collect()
}

/// The version that answers a request for this one.
async fn recommended_by(server: &TestServer, model_version: &str) -> Result<String, Status> {
    use v1::recommend_request::Subject;
    let history = v1::History::from(vec![1, 2, 3]);
    let request = v1::RecommendRequest {
        subject: Some(Subject::History(history)),
        model_version: model_version.to_owned(),
        ..Default::default()
    };
    server.recommendation().recommend(request).await.map(|reply| reply.into_inner().model_version)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = outcome.expect_err("it is refused");
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(status.get_details_error_info().expect("a reason").reason, reason, "{status}");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_model_answers_who_pins_it_and_no_one_else() {
    let server = TestServer::start().await;
    let loaded = load(&server, sample_bundle()).await.unwrap();
    assert_eq!(loaded.state(), v1::ModelState::Standby);
    assert!(loaded.memory_bytes > 0 && loaded.load_time.is_some());
    assert_eq!(recommended_by(&server, "").await.unwrap(), FIXTURE);
    assert_eq!(recommended_by(&server, &loaded.version).await.unwrap(), loaded.version);
    let expected = [(FIXTURE, v1::ModelState::Active), (&loaded.version, v1::ModelState::Standby)];
    assert_eq!(states(&list(&server).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_says_which_requests_it_served() {
    let server = TestServer::start().await;
    let usage = async || list(&server).await.remove(0).usage.unwrap();
    assert_eq!(usage().await, v1::ModelUsage::default());
    recommended_by(&server, "").await.unwrap();
    recommended_by(&server, FIXTURE).await.unwrap();
    let similar = v1::SimilarMoviesRequest {
        basis: v1::SimilarityBasis::Model.into(),
        movie: Some(1.into()),
        ..Default::default()
    };
    server.recommendation().similar_movies(similar).await.unwrap();
    let history = v1::History::from(vec![1, 2]);
    let subject = Some(v1::encode_history_request::Subject::History(history));
    let encoding = v1::EncodeHistoryRequest { subject, ..Default::default() };
    server.recommendation().encode_history(encoding).await.unwrap();
    let served = usage().await;
    assert_eq!((served.recommendations, served.similar_movies, served.encodings), (2, 1, 1));
    assert_eq!(served.pinned, 1);
    assert!(served.last_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unloaded_model_is_gone_and_the_active_one_stays() {
    let server = TestServer::start().await;
    let loaded = load(&server, sample_bundle()).await.unwrap();
    recommended_by(&server, &loaded.version).await.unwrap();
    let refused = assert_refused(unload(&server, FIXTURE).await, Code::FailedPrecondition, "MODEL_ACTIVE");
    assert!(refused.message().contains("activate another one"), "{refused}");
    let gone = unload(&server, &loaded.version).await.unwrap();
    assert_eq!(gone.usage.unwrap().pinned, 1);
    assert_eq!(states(&list(&server).await), [(FIXTURE, v1::ModelState::Active)]);
    let not_loaded = "MODEL_VERSION_NOT_LOADED";
    assert_refused(recommended_by(&server, &loaded.version).await, Code::FailedPrecondition, not_loaded);
    assert_refused(unload(&server, &loaded.version).await, Code::NotFound, not_loaded);
    assert_refused(activate(&server, Target::Version(loaded.version)).await, Code::NotFound, not_loaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_beyond_the_bound_is_refused_with_what_to_do() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.engine.max_models = 1;
    let server = TestServer::start_with(config, data).await;
    let refused = load(&server, sample_bundle()).await;
    let refused = assert_refused(refused, Code::FailedPrecondition, "NO_ROOM_FOR_MODEL");
    for named in [FIXTURE, "UnloadModel", "--max-models"] {
        assert!(refused.message().contains(named), "{named} in: {refused}");
    }
    assert!(refused.get_details_retry_info().is_none(), "to wait does not help");
    assert_eq!(states(&list(&server).await), [(FIXTURE, v1::ModelState::Active)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_that_is_being_loaded_at_the_start_can_be_activated_meanwhile() {
    let data = common::sample_data().await;
    let mut running = app::start(common::config(&data), common::telemetry()).await.unwrap();
    let mut operations = OperationsServiceClient::new(common::channel(&running).await);
    let target = Some(Target::BundleDir(bundle_dir(&common::fixture_bundle())));
    let activated = operations.activate_model(v1::ActivateModelRequest { target }).await.unwrap();
    assert_eq!(activated.into_inner().model.unwrap().version, FIXTURE);
    assert_eq!(running.ready().await.unwrap().bundle().version(), FIXTURE);
}
