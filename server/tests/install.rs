//! The program as a user has it: installed, started in any folder, with the sample or with data of one's own.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::cql::{new_keyspace, shared_cql};
use marquee_proto::v1;
use marquee_proto::v1::operations_service_client::OperationsServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use tempfile::TempDir;

/// A user's machine: a home, a folder to work in, and the program, far from where it was built.
struct Machine {
    root: TempDir,
}

/// A server that ends with its value.
struct Server {
    child: Child,
    address: String,
    /// What it said until it was ready.
    welcome: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already when a test failed because of that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Machine {
    fn new() -> Self {
        let root = TempDir::new().expect("a temporary folder");
        for folder in ["bin", "home", "work"] {
            fs::create_dir(root.path().join(folder)).expect("the folder is ours");
        }
        common::copy_program(
            Path::new(env!("CARGO_BIN_EXE_marquee-server")),
            &root.path().join("bin/marquee-server"),
        );
        Self { root }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/marquee-server"));
        command
            .args(arguments)
            .current_dir(self.path("work"))
            .env("HOME", self.path("home"))
            .env_remove("XDG_DATA_HOME")
            .env_remove("ORT_DYLIB_PATH")
            .env_remove("CARGO");
        command
    }

    /// Starts the server and waits until it has said all that it says.
    fn serve(&self, arguments: &[&str]) -> Server {
        let mut child = self
            .command(&["--listen", "127.0.0.1:0", "--device", "cpu", "--workers", "1"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut welcome = String::new();
        for line in output.lines().map_while(Result::ok) {
            welcome.push_str(&line);
            welcome.push('\n');
            if line.is_empty() && welcome.contains("Try next:") {
                break;
            }
        }
        let address = welcome.lines().find_map(|line| Some(line.split_once("listens on ")?.1.to_owned()));
        let address = address.unwrap_or_else(|| panic!("it says where it listens: {welcome}"));
        Server { child, address, welcome }
    }

    fn import(&self, arguments: &[&str]) -> Output {
        self.command(&["import"]).args(arguments).output().expect("the program runs")
    }

    /// Data of one's own, in `own` of the working folder: few movies, whose ids others have too.
    fn bring_own_data(&self) {
        let own = self.path("work/own");
        fs::create_dir(&own).expect("the folder is ours");
        let movies =
            "movieId,title,genres\n1,Our First (2020),Drama\n2,Our Second (2021),War\n3,Our Third,War\n";
        let ratings = "userId,movieId,rating,timestamp\n1,1,5.0,1600000000\n2,2,4.0,1600000001\n";
        fs::write(own.join("movies.csv"), movies).expect("the folder is ours");
        fs::write(own.join("ratings.csv"), ratings).expect("the folder is ours");
    }
}

impl Server {
    async fn history(&self, user_id: u64) -> Vec<u32> {
        let mut users = UserServiceClient::connect(self.address.clone()).await.expect("the server answers");
        let request = v1::ListHistoryRequest { user: Some(user_id.into()), ..Default::default() };
        let page = users.list_history(request).await.expect("the user is known").into_inner();
        page.interactions.iter().filter_map(|entry| Some(entry.interaction.as_ref()?.movie_id())).collect()
    }

    async fn movies(&self) -> u32 {
        let mut operations =
            OperationsServiceClient::connect(self.address.clone()).await.expect("the server answers");
        operations.get_stats(v1::GetStatsRequest {}).await.expect("the server answers").into_inner().movies
    }

    async fn recommend(&self, user_id: u64) -> v1::RecommendResponse {
        let mut recommendation =
            RecommendationServiceClient::connect(self.address.clone()).await.expect("the server answers");
        let request = v1::RecommendRequest { subject: Some(Subject::UserId(user_id)), ..Default::default() };
        recommendation.recommend(request).await.expect("the server answers").into_inner()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fixture() -> String {
    let bundle = common::fixture_bundle();
    bundle.canonicalize().expect("it is there").to_str().expect("a path of letters").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_program_serves_from_any_folder_and_says_where_everything_comes_from() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let data = machine.path("home/.local/share/marquee");
    let unpacked = |name: &str| format!("{}/{name}-", data.display());
    for origin in [
        unpacked("movielens-small"),
        unpacked("onnxruntime"),
        "the sample that comes with the program".into(),
    ] {
        assert!(server.welcome.contains(&origin), "{origin}: {}", server.welcome);
    }
    assert!(server.welcome.contains(" marquee recommend 1\n"), "{}", server.welcome);
    assert!(!server.welcome.contains("cargo"), "{}", server.welcome);
    assert_eq!(server.movies().await, 9125);
    assert_eq!(server.recommend(1).await.source(), v1::Source::Model);
    assert!(machine.path("work/.marquee/sample/marquee.redb").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_ones_own_meets_neither_the_sample_nor_its_model() {
    let machine = Machine::new();
    machine.bring_own_data();
    // As the README goes: a first look at the sample, then one's own data.
    let sample = machine.serve(&[]);
    assert_eq!(sample.history(1).await.len(), 20);
    let imported = machine.import(&["own"]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    drop(sample);
    let own = machine.serve(&[]);
    assert_eq!(own.movies().await, 3);
    assert_eq!(own.history(1).await, [1]);
    let answer = own.recommend(1).await;
    assert_eq!(answer.source(), v1::Source::Popularity);
    assert_eq!(answer.model_version, "");
    assert!(own.welcome.contains("The model is not used"), "{}", own.welcome);
    assert!(own.welcome.contains("0 of 3 titles"), "{}", own.welcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_other_titles_is_used_when_the_operator_says_so() {
    let machine = Machine::new();
    machine.bring_own_data();
    assert!(machine.import(&["own"]).status.success());
    let own = machine.serve(&["--allow-mismatched-model"]);
    assert_eq!(own.recommend(1).await.source(), v1::Source::Model);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_data_folder_stays_empty_unless_a_sample_is_asked_for() {
    let machine = Machine::new();
    let server = machine.serve(&["--data-dir", "own-store", "--bundle", &fixture()]);
    assert_eq!(server.movies().await, 0);
    assert!(server.welcome.contains("marquee-server import PATH --data-dir own-store"), "{}", server.welcome);
    drop(server);
    let server =
        machine.serve(&["--data-dir", "own-store", "--bundle", &fixture(), "--sample-data", "bundled"]);
    assert_eq!(server.movies().await, 9125);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_an_earlier_version_filled_with_the_sample_goes_on_and_can_be_replaced() {
    let machine = Machine::new();
    machine.bring_own_data();
    let bundle = fixture();
    let sample = common::sample().canonicalize().expect("it is there");
    let arguments = ["--bundle", &bundle, "--sample-data", sample.to_str().expect("a path of letters")];
    drop(machine.serve(&arguments));
    let server = machine.serve(&["--bundle", &bundle]);
    assert_eq!(server.movies().await, 9125);
    assert!(server.welcome.contains("--replace-sample"), "{}", server.welcome);
    drop(server);
    let refused = machine.import(&["own"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the store holds the sample"), "{}", text(&refused.stderr));
    let replaced = machine.import(&["own", "--replace-sample"]);
    assert!(replaced.status.success(), "{}", text(&replaced.stderr));
    let server = machine.serve(&["--bundle", &bundle]);
    assert_eq!(server.movies().await, 3);
    assert_eq!(server.history(1).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_keyspace_is_not_filled_with_the_sample_unless_asked() {
    let Some(cluster) = shared_cql() else { return };
    let store = new_keyspace(&cluster, "").await;
    let machine = Machine::new();
    let bundle = fixture();
    let server = machine.serve(&["--store", &store, "--bundle", &bundle]);
    assert_eq!(server.movies().await, 0);
}

#[test]
fn no_path_of_the_build_is_looked_for_at_run_time() {
    let machine = Machine::new();
    // Where nothing can be unpacked, nothing else is tried.
    let output = machine
        .command(&[
            "--listen",
            "127.0.0.1:0",
            "--device",
            "cpu",
            "--sample-data",
            "none",
            "--bundle",
            &fixture(),
        ])
        .env("XDG_DATA_HOME", "/dev/null")
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("XDG_DATA_HOME"), "{}", text(&output.stderr));
}
