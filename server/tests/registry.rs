//! Versions of models through the socket: uploaded, found, activated by their names, gone back from, deleted.

mod common;

use std::path::Path;

use common::bundles::{parts, renamed};
use common::cql::{new_keyspace, shared_cql};
use common::nodes::{PATIENCE, until};
use common::process::Process;
use common::{TestServer, config, sample_data};
use futures::{StreamExt as _, stream};
use marquee_core::clock::now_ms;
use marquee_proto::v1;
use marquee_proto::v1::activate_model_request::Target;
use marquee_proto::v1::model_service_client::ModelServiceClient;
use marquee_proto::v1::upload_model_request::Part;
use marquee_server::access::Keys;
use marquee_server::app;
use marquee_server::config::{Config, StoreUrl, Switch};
use marquee_store::OnDamage;
use prost_types::Timestamp;
use tempfile::TempDir;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// The version of the fixture, which is active at the start.
const FIXTURE: &str = "tiny@1";

fn movies() -> v1::ModelUpload {
    let tags = [("by".to_owned(), "a test".to_owned())].into();
    v1::ModelUpload { name: "movies".to_owned(), tags, ..Default::default() }
}

async fn send(
    server: &TestServer,
    parts: Vec<v1::UploadModelRequest>,
) -> Result<v1::UploadModelResponse, Status> {
    Ok(server.models().upload_model(stream::iter(parts)).await?.into_inner())
}

async fn upload(server: &TestServer, folder: &Path) -> v1::ModelVersion {
    let reply = send(server, parts(folder, movies())).await.expect("the bundle is sound");
    assert!(reply.created);
    reply.version.expect("the reply has the version")
}

async fn list(server: &TestServer) -> Vec<v1::ModelVersion> {
    let request = v1::ListModelVersionsRequest::default();
    server.models().list_model_versions(request).await.expect("it lists").into_inner().versions
}

fn registered(version: &v1::ModelVersion) -> v1::RegisteredModel {
    v1::RegisteredModel { name: version.name.clone(), version: version.version.clone() }
}

async fn activate(server: &TestServer, target: Target) -> Result<v1::Model, Status> {
    let request = v1::ActivateModelRequest { target: Some(target) };
    Ok(server.operations().activate_model(request).await?.into_inner().model.expect("a model"))
}

async fn roll_back(server: &TestServer) -> Result<(String, String), Status> {
    let reply = server.operations().roll_back_model(v1::RollBackModelRequest {}).await?.into_inner();
    Ok((reply.model.expect("a model").version, reply.left_version))
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = outcome.expect_err("it is refused");
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(status.get_details_error_info().expect("a reason").reason, reason, "{status}");
    status
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(outcome: Result<T, Status>, field: &str) {
    let status = assert_refused(outcome, Code::InvalidArgument, "INVALID_FIELD");
    let details = status.get_details_bad_request().expect("a field");
    assert_eq!(details.field_violations[0].field, field, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_version_serves_once_it_is_activated_and_can_be_gone_back_from() {
    let server = TestServer::start().await;
    let bundle = renamed("2");
    let version = upload(&server, bundle.path()).await;
    assert_eq!((version.model_version.as_str(), version.items), ("tiny@2", 200));
    assert!(!version.loaded && !version.active && version.size_bytes > 0);
    assert_eq!(version.tags["by"], "a test");
    let named = registered(&version);
    let request = v1::LoadModelRequest { registered: Some(named.clone()), ..Default::default() };
    let loaded = server.operations().load_model(request).await.unwrap().into_inner().model.unwrap();
    assert_eq!((loaded.version.as_str(), loaded.state()), ("tiny@2", v1::ModelState::Standby));
    assert_refused(roll_back(&server).await, Code::FailedPrecondition, "NO_MODEL_BEFORE");
    let active = activate(&server, Target::Registered(named)).await.unwrap();
    assert_eq!((active.version.as_str(), active.state()), ("tiny@2", v1::ModelState::Active));
    let listed = list(&server).await;
    assert!(listed[0].loaded && listed[0].active);
    for _ in 0..2 {
        assert_eq!(roll_back(&server).await.unwrap(), (FIXTURE.to_owned(), "tiny@2".to_owned()));
    }
    assert!(list(&server).await[0].loaded && !list(&server).await[0].active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_kept_is_answered_before_the_rest_of_it_comes() {
    let server = TestServer::start().await;
    let bundle = renamed("2");
    let version = upload(&server, bundle.path()).await;
    let mut sound = parts(bundle.path(), movies());
    let last = sound.pop().unwrap();
    // Whoever sends it would go on for ever.
    let unended = stream::iter(sound).chain(stream::repeat(last));
    let again = server.models().upload_model(unended).await.unwrap().into_inner();
    assert_eq!((again.version.unwrap().version, again.created), (version.version, false));
    assert_eq!(list(&server).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_got_tagged_paged_and_deleted_unless_they_are_active() {
    let server = TestServer::start().await;
    let mut models = server.models();
    for version in ["2", "3"] {
        upload(&server, renamed(version).path()).await;
    }
    let page = |page_token| v1::ListModelVersionsRequest {
        name: "movies".to_owned(),
        page_size: Some(1),
        page_token,
        ..Default::default()
    };
    let first = models.list_model_versions(page(String::new())).await.unwrap().into_inner();
    let next = models.list_model_versions(page(first.next_page_token)).await.unwrap().into_inner();
    assert_eq!((first.versions.len(), next.versions.len()), (1, 1));
    assert_ne!(first.versions[0], next.versions[0]);
    assert_eq!(next.next_page_token, "");
    let (name, version) = (first.versions[0].name.clone(), first.versions[0].version.clone());
    let tagging = v1::TagModelVersionRequest {
        name: name.clone(),
        version: version.clone(),
        tags: [("state".to_owned(), "good".to_owned())].into(),
        removed_tags: vec!["by".to_owned()],
    };
    models.tag_model_version(tagging).await.unwrap();
    let get = || v1::GetModelVersionRequest { name: name.clone(), version: version.clone() };
    let got = models.get_model_version(get()).await.unwrap().into_inner();
    assert_eq!(got.version.unwrap().tags, [("state".to_owned(), "good".to_owned())].into());
    activate(&server, Target::Registered(registered(&first.versions[0]))).await.unwrap();
    let delete = || v1::DeleteModelVersionRequest { name: name.clone(), version: version.clone() };
    let refused = models.delete_model_version(delete()).await;
    assert_refused(refused, Code::FailedPrecondition, "MODEL_ACTIVE");
    roll_back(&server).await.unwrap();
    models.delete_model_version(delete()).await.unwrap();
    for gone in [
        models.get_model_version(get()).await.map(drop),
        models.delete_model_version(delete()).await.map(drop),
        activate(&server, Target::Registered(registered(&first.versions[0]))).await.map(drop),
    ] {
        assert_refused(gone, Code::NotFound, "UNKNOWN_MODEL_VERSION");
    }
    assert_eq!(list(&server).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_upload_is_refused_by_its_field() {
    let server = TestServer::start().await;
    let bundle = renamed("2");
    let sound = parts(bundle.path(), movies());
    let (begin, files) = sound.split_first().unwrap();
    let named = |name: &str| {
        let file = v1::ModelFile { name: name.to_owned(), content: "x".into() };
        v1::UploadModelRequest { part: Some(Part::File(file)) }
    };
    let with = |part| -> Vec<_> { sound[..2].iter().cloned().chain([part]).collect() };
    let elsewhere = v1::ModelUpload { name: "../movies".to_owned(), ..Default::default() };
    let seconds = now_ms() / 1_000 + 2 * 86_400;
    let later = v1::ModelUpload { create_time: Some(Timestamp { seconds, nanos: 0 }), ..movies() };
    for (sent, field) in [
        (vec![], "upload"),
        (files.to_vec(), "upload"),
        (vec![begin.clone(), begin.clone()], "upload"),
        (parts(bundle.path(), elsewhere), "upload.name"),
        (parts(bundle.path(), later), "upload.create_time"),
        (vec![begin.clone(), named("../../bundle.json")], "file.name"),
        (vec![begin.clone(), named("bundle.json")], "file.content"),
        (with(named("bundle.json")), "file.content"),
        (with(named("notes.md")), "file.name"),
        (sound[..sound.len() - 1].to_vec(), "file.name"),
    ] {
        assert_invalid(send(&server, sent).await, field);
    }
    let neither = server.operations().load_model(v1::LoadModelRequest::default()).await;
    assert_invalid(neither, "bundle_dir");
    assert_eq!(list(&server).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_an_upload_leaves_no_version() {
    let (data, log) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let bundle = renamed("2");
    let start = async || Process::start(data.path(), &log.path().join("log"), &[]).await;
    let models = async |server: &Process| {
        ModelServiceClient::connect(format!("http://{}", server.address)).await.unwrap()
    };
    let server = start().await;
    let sound = parts(bundle.path(), movies());
    let begun = stream::iter(sound[..sound.len() - 1].to_vec()).chain(stream::pending());
    let mut client = models(&server).await;
    let uploading = tokio::spawn(async move { client.upload_model(begun).await });
    let staging = data.path().join("models/.staging");
    let is_begun = async || std::fs::read_dir(&staging).is_ok_and(|mut folders| folders.next().is_some());
    until("the upload has begun", PATIENCE, is_begun).await;
    drop(server);
    assert!(uploading.await.unwrap().is_err());
    let server = start().await;
    let mut client = models(&server).await;
    let listed = client.list_model_versions(v1::ListModelVersionsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().versions, []);
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    let kept = client.upload_model(stream::iter(sound)).await.unwrap().into_inner();
    assert!(kept.created);
}

/// The server's folder with another server over it, started as `change` says.
fn restarted(server: TestServer, change: impl FnOnce(&mut Config)) -> impl Future<Output = TestServer> {
    Box::pin(async move {
        let TestServer { running, data, .. } = server;
        running.stop().await.expect("it ends well");
        let mut config = config(&data);
        change(&mut config);
        TestServer::start_with(config, data).await
    })
}

/// What answers requests that name no version.
async fn serves(server: &TestServer) -> String {
    let models = server.operations().list_models(v1::ListModelsRequest {}).await.expect("it lists");
    models.into_inner().models.remove(0).version
}

async fn delete(server: &TestServer, version: &v1::ModelVersion) -> Result<(), Status> {
    let v1::ModelVersion { name, version, .. } = version.clone();
    let request = v1::DeleteModelVersionRequest { name, version };
    server.models().delete_model_version(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_activated_serves_after_a_restart_and_what_was_before_is_known() {
    let server = TestServer::start().await;
    let (second, third) = (renamed("2"), renamed("3"));
    let [second, third] = [upload(&server, second.path()).await, upload(&server, third.path()).await];
    for version in [&second, &third] {
        activate(&server, Target::Registered(registered(version))).await.unwrap();
    }
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, "tiny@3");
    let refused = delete(&server, &third).await;
    assert_refused(refused, Code::FailedPrecondition, "MODEL_ACTIVE");
    let refused = delete(&server, &second).await;
    assert_refused(refused, Code::FailedPrecondition, "MODEL_GONE_BACK_TO");
    assert_eq!(roll_back(&server).await.unwrap(), ("tiny@2".to_owned(), "tiny@3".to_owned()));
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, "tiny@2");
    assert_eq!(roll_back(&server).await.unwrap(), ("tiny@2".to_owned(), "tiny@3".to_owned()));
    delete(&server, &third).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_it_is_gone_back_to_the_bundle_of_the_settings() {
    let server = TestServer::start().await;
    let second = upload(&server, renamed("2").path()).await;
    activate(&server, Target::Registered(registered(&second))).await.unwrap();
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, "tiny@2");
    assert_eq!(roll_back(&server).await.unwrap(), (FIXTURE.to_owned(), "tiny@2".to_owned()));
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, FIXTURE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_gone_leaves_the_bundle_of_the_settings_until_it_is_there_again() {
    let server = TestServer::start().await;
    let second = renamed("2");
    let kept = upload(&server, second.path()).await;
    activate(&server, Target::Registered(registered(&kept))).await.unwrap();
    let place = server.data.path().join("models/movies").join(&kept.version);
    let damaged = place.join("tables.safetensors");
    assert!(damaged.exists(), "{damaged:?}");
    std::fs::remove_file(damaged).unwrap();
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, FIXTURE);
    std::fs::remove_dir_all(place).unwrap();
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, FIXTURE);
    assert_eq!(upload(&server, second.path()).await.model_version, "tiny@2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_the_bundle_of_the_settings_by_an_option_or_by_activating_it() {
    let server = TestServer::start().await;
    let second = upload(&server, renamed("2").path()).await;
    activate(&server, Target::Registered(registered(&second))).await.unwrap();
    let server = restarted(server, |config| config.engine.keep_activation = Switch::Off).await;
    assert_eq!(serves(&server).await, FIXTURE);
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, "tiny@2");
    let folder = common::fixture_bundle().display().to_string();
    activate(&server, Target::BundleDir(folder)).await.unwrap();
    let server = restarted(server, |_| {}).await;
    assert_eq!(serves(&server).await, FIXTURE);
    assert_eq!(roll_back(&server).await.unwrap(), ("tiny@2".to_owned(), FIXTURE.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_of_a_store_serves_what_is_activated_also_one_that_was_away() {
    let Some(cluster) = shared_cql() else { return };
    let store = new_keyspace(&cluster, "").await;
    let models = TempDir::new().unwrap();
    let settle = |config: &mut Config| {
        config.store.store = store.parse().expect("a good URL");
        config.store.sample_data = "none".into();
        config.engine.models_dir = Some(models.path().to_owned());
    };
    let start = async || {
        let data = TempDir::new().unwrap();
        let mut config = config(&data);
        settle(&mut config);
        TestServer::start_with(config, data).await
    };
    let (here, there) = (start().await, start().await);
    let (second, third) = (renamed("2"), renamed("3"));
    let [second, third] = [upload(&here, second.path()).await, upload(&here, third.path()).await];
    activate(&here, Target::Registered(registered(&second))).await.unwrap();
    until("the other node follows", PATIENCE, async || serves(&there).await == "tiny@2").await;
    let refused = delete(&there, &second).await;
    assert_refused(refused, Code::FailedPrecondition, "MODEL_ACTIVE");

    let TestServer { running, data, .. } = there;
    running.stop().await.unwrap();
    activate(&here, Target::Registered(registered(&third))).await.unwrap();
    let mut away = config(&data);
    settle(&mut away);
    let there = TestServer::start_with(away, data).await;
    assert_eq!(serves(&there).await, "tiny@3");
    assert_eq!(serves(&start().await).await, "tiny@3");
    until("it has what it goes back to", PATIENCE, async || {
        roll_back(&there).await.is_ok_and(|(version, _)| version == "tiny@2")
    })
    .await;
    until("the first node goes back too", PATIENCE, async || serves(&here).await == "tiny@2").await;
    assert_eq!(roll_back(&here).await.unwrap(), ("tiny@2".to_owned(), "tiny@3".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn to_upload_and_to_activate_are_rights_of_their_own() {
    let data = sample_data().await;
    let mut config = config(&data);
    config.security.auth = Switch::On;
    config.security.roles = "trainer:ModelService/UploadModel".parse().unwrap();
    let secret = {
        let store = app::open_store(&StoreUrl::redb(), data.path(), OnDamage::Refuse).await.unwrap();
        let roles = std::sync::Arc::new(config.security.roles.with_built_in());
        let keys = std::sync::Arc::new(Keys::open(store, roles).await.unwrap());
        keys.create("night".to_owned(), "trainer".to_owned(), None, now_ms()).await.unwrap().text
    };
    let server = TestServer::start_with(config, data).await;
    let key = format!("Bearer {secret}");
    let bundle = renamed("2");
    let mut request = Request::new(stream::iter(parts(bundle.path(), movies())));
    request.metadata_mut().insert("authorization", key.parse().unwrap());
    let kept = server.models().upload_model(request).await.unwrap().into_inner().version.unwrap();
    let target = Some(Target::Registered(registered(&kept)));
    let mut request = Request::new(v1::ActivateModelRequest { target });
    request.metadata_mut().insert("authorization", key.parse().unwrap());
    let refused = server.operations().activate_model(request).await;
    assert_refused(refused, Code::PermissionDenied, "METHOD_NOT_PERMITTED");
}
