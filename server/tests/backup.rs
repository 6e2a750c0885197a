//! `backup` and `restore`, as a person runs them.

mod common;

use std::path::Path;
use std::process::Command;

use common::{TestServer, config};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_store::{RedbStore, Store as _};
use tempfile::TempDir;

/// Runs the program; what it says on standard output, or on standard error where it fails.
fn run(arguments: &[&str], paths: &[&Path]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marquee-server"));
    let output = command.args(arguments).args(paths).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it says text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

async fn recommended(server: &TestServer) -> Vec<v1::Recommendation> {
    let request =
        v1::RecommendRequest { subject: Some(Subject::UserId(7)), k: Some(50), ..Default::default() };
    server.recommendation().recommend(request).await.expect("an answer").into_inner().recommendations
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_over_a_restored_store_answers_as_the_one_before() {
    let (server, target, restored) = (TestServer::start().await, folder(), folder());
    let rated = v1::RecordInteractionRequest {
        user: Some(7.into()),
        movie: Some(2571.into()),
        rating: Some(5.0),
        ..Default::default()
    };
    server.interactions().record_interaction(rated).await.unwrap();
    let before = recommended(&server).await;
    let open = run(&["backup", "--data-dir"], &[server.data.path(), target.path()]).unwrap_err();
    assert!(open.contains("a server that has the store open makes its backups itself"), "{open}");
    let TestServer { running, data, .. } = server;
    running.stop().await.unwrap();

    let made = run(&["backup", "--keep", "1", "--data-dir"], &[data.path(), target.path()]).unwrap();
    assert!(made.contains(" is a backup: ") && made.contains(" users with "), "{made}");
    let checked = run(&["backup", "--verify"], &[target.path()]).unwrap();
    assert!(checked.contains(" is whole: ") && checked.contains("of a redb store"), "{checked}");
    let said = run(&["restore"], &[target.path(), Path::new("--data-dir"), restored.path()]).unwrap();
    assert!(said.starts_with("The backup of ") && said.contains(" is restored: "), "{said}");
    let again = run(&["restore"], &[target.path(), Path::new("--data-dir"), restored.path()]).unwrap_err();
    assert!(again.contains("the store is not empty"), "{again}");

    let config = config(&restored);
    let server = TestServer::start_with(config, restored).await;
    assert_eq!(recommended(&server).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_store_and_no_backup_is_said_and_nothing_is_made() {
    let (nothing, target) = (folder(), folder());
    let missing = nothing.path().join("data");
    let refused = run(&["backup", "--data-dir"], &[&missing, target.path()]).unwrap_err();
    assert!(refused.contains("there is no store in"), "{refused}");
    let refused = run(&["restore"], &[target.path(), Path::new("--data-dir"), &missing]).unwrap_err();
    assert!(refused.contains("holds no backup"), "{refused}");
    assert!(!missing.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_backup_is_not_served() {
    let data = folder();
    let store = RedbStore::open(data.path()).unwrap();
    store.put_note("restore", b"begun 00").await.unwrap();
    drop(store);
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir"], &[data.path()]).unwrap_err();
    assert!(refused.contains("holds a part of a backup only"), "{refused}");
}
