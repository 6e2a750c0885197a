//! The gate before an activation: a version of the registry beside the model in service.

#![allow(clippy::float_cmp, reason = "figures of two equal models are exact")]

mod common;

use common::bundles::{changed, parts, renamed};
use common::{TestServer, config, fixture_bundle, root, sample_data};
use futures::stream;
use marquee_proto::v1;
use marquee_proto::v1::job_service_client::JobServiceClient;
use tempfile::TempDir;

/// What the job says at its end of the bundle in a folder.
async fn judged(server: &TestServer, bundle: &TempDir, more: &[(&str, &str)]) -> v1::Job {
    let upload = v1::ModelUpload { name: "movies".to_owned(), ..Default::default() };
    let sent = stream::iter(parts(bundle.path(), upload));
    let kept = server.models().upload_model(sent).await.expect("it is sound").into_inner();
    let version = kept.version.expect("a version").version;
    let arguments = [("name", "movies"), ("version", version.as_str())].into_iter().chain(more.to_vec());
    let arguments = arguments.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut jobs = JobServiceClient::new(server.channel());
    let request = v1::RunJobRequest { kind: "judge-model".to_owned(), arguments };
    let job = jobs.run_job(request).await.expect("the job is taken").into_inner().job.expect("a job");
    let request = v1::WatchJobRequest { job_id: job.job_id };
    let mut told = jobs.watch_job(request).await.expect("the job is there").into_inner();
    let mut last = None;
    while let Some(message) = told.message().await.expect("the stream goes on") {
        last = message.job;
    }
    last.expect("it is told of the job")
}

async fn loaded(server: &TestServer) -> Vec<String> {
    let models = server.operations().list_models(v1::ListModelsRequest {}).await.expect("it lists");
    models.into_inner().models.into_iter().map(|model| model.version).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_answers_alike_is_accepted_and_stays_loaded() {
    let server = TestServer::start().await;
    // Two runs of the same network take as long, unless somebody else has the processor.
    let job = judged(&server, &renamed("2"), &[("users", "100"), ("most_latency", "100000")]).await;
    assert_eq!(job.state(), v1::JobState::Succeeded, "{}", job.error);
    assert!(job.summary.starts_with("accepted: movies "), "{}", job.summary);
    let figures = &job.figures;
    assert_eq!((figures["accepted"], figures["overlap@10"]), (1.0, 1.0));
    // Of the hundred those of whom the model knows something.
    assert!((50.0..=100.0).contains(&figures["users"]), "{figures:?}");
    assert_eq!(figures["ndcg@10, difference"], 0.0);
    assert!(figures["latency p95 us, candidate"] > 0.0);
    assert_eq!(figures["memory bytes, candidate"], figures["memory bytes, in service"]);
    assert_eq!(loaded(&server).await, ["tiny@1", "tiny@2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_worse_is_refused_with_reasons_and_let_go() {
    let data = sample_data().await;
    let mut config = config(&data);
    config.engine.bundle = root().join("onnx/bundles/movielens-small");
    let server = TestServer::start_with(config, data).await;
    let job = judged(&server, &renamed("2"), &[]).await;
    assert_eq!(job.state(), v1::JobState::Succeeded, "{}", job.error);
    assert!(job.summary.starts_with("refused: movies "), "{}", job.summary);
    for words in ["ndcg@10", "recall@10", "worse by more than the margin"] {
        assert!(job.summary.contains(words), "{words}: {}", job.summary);
    }
    assert_eq!(job.figures["accepted"], 0.0);
    assert!(job.figures["ndcg@10, difference at most"] < 0.0);
    assert_eq!(loaded(&server).await, ["movielens-small@2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_judged_fails_with_why() {
    let server = TestServer::start().await;
    let same = changed(&fixture_bundle(), "1", |_| {});
    std::fs::copy(fixture_bundle().join("bundle.json"), same.path().join("bundle.json")).unwrap();
    let job = judged(&server, &same, &[]).await;
    assert_eq!(job.state(), v1::JobState::Failed);
    assert!(job.error.contains("is the one in service"), "{}", job.error);
    let arguments = [("name", "movies"), ("version", "none")];
    let arguments = arguments.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut jobs = JobServiceClient::new(server.channel());
    let kind = "judge-model".to_owned();
    let wrong = |more: &[(String, String)]| v1::RunJobRequest {
        kind: kind.clone(),
        arguments: arguments.iter().chain(more).cloned().collect(),
    };
    for (name, value) in [("users", "0"), ("margin", "101"), ("most_latency", "fast")] {
        let refused = jobs.run_job(wrong(&[(name.to_owned(), value.to_owned())])).await.unwrap_err();
        assert!(refused.message().contains(name), "{refused}");
    }
}
