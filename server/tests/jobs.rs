//! Jobs through the socket, and what becomes of one whose server is killed.

mod common;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::TestServer;
use marquee_proto::v1;
use marquee_proto::v1::job_service_client::JobServiceClient;
use marquee_store::backup::{self, Restoring};
use marquee_store::{RedbStore, Store as _};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn request(kind: &str, arguments: &[(&str, &str)]) -> v1::RunJobRequest {
    let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    v1::RunJobRequest { kind: kind.to_owned(), arguments: arguments.collect() }
}

async fn run(jobs: &mut JobServiceClient<Channel>, kind: &str, arguments: &[(&str, &str)]) -> v1::Job {
    let job = jobs.run_job(request(kind, arguments)).await.expect("the job is taken").into_inner().job;
    job.expect("there is a job")
}

/// All that is told of a job until it is over.
async fn watched(jobs: &mut JobServiceClient<Channel>, job_id: &str) -> Vec<v1::WatchJobResponse> {
    let request = v1::WatchJobRequest { job_id: job_id.to_owned() };
    let mut stream = jobs.watch_job(request).await.expect("the job is there").into_inner();
    let mut told = Vec::new();
    while let Some(message) = stream.message().await.expect("the stream goes on") {
        told.push(message);
    }
    told
}

/// The job once it is over.
async fn ended(jobs: &mut JobServiceClient<Channel>, job_id: &str) -> v1::Job {
    let last = watched(jobs, job_id).await.pop().expect("something is told");
    last.job.expect("it is about a job")
}

/// The field that a refusal names.
fn field(status: &Status) -> (Code, String) {
    let details = status.get_error_details();
    let field = details.bad_request().and_then(|it| it.field_violations.first()).map(|it| it.field.clone());
    (status.code(), field.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_that_needs_nothing_else_does_its_work_on_the_sample() {
    let server = TestServer::start().await;
    let mut jobs = JobServiceClient::new(server.channel());
    for (kind, arguments, figure) in [
        ("statistics", &[][..], "movies"),
        ("sync", &[], "drift"),
        ("similar", &[], "movies"),
        ("clean", &[], "jobs"),
        ("vectors", &[("users", "20")], "vectors"),
        ("recall", &[("users", "20")], "recall@10"),
        ("evaluate", &[("users", "50")], "ndcg@10"),
        ("index", &[], "recall@10"),
        ("report", &[], "bytes"),
    ] {
        let asked = run(&mut jobs, kind, arguments).await;
        assert_eq!((asked.state(), asked.kind.as_str()), (v1::JobState::Queued, kind));
        let job = ended(&mut jobs, &asked.job_id).await;
        assert_eq!((job.state(), job.error.as_str()), (v1::JobState::Succeeded, ""), "{kind}");
        assert!(job.figures.contains_key(figure) && !job.summary.is_empty(), "{kind}: {job:?}");
    }
    let reports = std::fs::read_dir(server.data.path().join("reports")).expect("a folder").count();
    let indexes = std::fs::read_dir(server.data.path().join("indexes")).expect("a folder").count();
    assert_eq!((reports, indexes), (1, 2), "a page, and an index with its hash");
    let sync = v1::ListJobsRequest { kind: "sync".to_owned(), ..Default::default() };
    let listed = jobs.list_jobs(sync).await.expect("a list").into_inner().jobs;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].figures.get("drift"), Some(&0.0));
    let kinds = jobs.list_job_kinds(v1::ListJobKindsRequest {}).await.expect("a list").into_inner().kinds;
    assert!(kinds.iter().any(|kind| kind.kind == "import" && kind.arguments[0].required));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_seen_at_once_and_watched_to_its_end() {
    let data = TempDir::new().expect("a temporary folder");
    let mut config = common::config(&data);
    config.store.sample_data = "none".into();
    let server = TestServer::start_with(config, data).await;
    let mut jobs = JobServiceClient::new(server.channel());
    let sample = common::sample().canonicalize().expect("the sample is there");
    let asked = run(&mut jobs, "import", &[("path", sample.to_str().expect("a path of letters"))]).await;
    let told = watched(&mut jobs, &asked.job_id).await;
    let lines: Vec<_> = told.iter().flat_map(|it| &it.lines).map(|line| line.text.as_str()).collect();
    assert!(lines.iter().any(|line| line.contains("ratings")), "{lines:?}");
    let job = told.last().and_then(|it| it.job.clone()).expect("it is told");
    assert_eq!(job.state(), v1::JobState::Succeeded, "{}", job.error);
    assert!(job.figures["ratings"] > 100_000.0);
    let search = v1::SearchMoviesRequest { query: "matrix".to_owned(), ..Default::default() };
    let found = server.catalog().search_movies(search).await.expect("an answer").into_inner();
    assert!(found.movies.iter().any(|movie| movie.movie_id == 2571));
}

/// What anybody may know of a store.
async fn figures(store: &RedbStore) -> (u64, u64, usize) {
    let stats = store.stats().await.expect("a read");
    let users = store.users(None, 1_000_000).await.expect("a read");
    (stats.interactions, stats.movies, users.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_backs_itself_up_while_it_is_written_to() {
    let server = TestServer::start().await;
    let (target, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = target.path().to_str().unwrap();
    let rated = |user_id: u64| v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(1.into()),
        rating: Some(4.0),
        ..Default::default()
    };
    server.interactions().record_interaction(rated(2_000_001)).await.unwrap();
    let mut jobs = JobServiceClient::new(server.channel());
    for user_id in 0..3 {
        let job = run(&mut jobs, "backup", &[("target", path), ("keep", "2")]).await;
        server.interactions().record_interaction(rated(3_000_000 + user_id)).await.unwrap();
        let job = ended(&mut jobs, &job.job_id).await;
        assert_eq!(job.state(), v1::JobState::Succeeded, "{job:?}");
    }
    let backups = std::fs::read_dir(target.path())
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().join("manifest.json").is_file()));
    assert_eq!(backups.count(), 2);
    let store = RedbStore::open(restored.path()).unwrap();
    let manifest = backup::restore(target.path(), &store, &Restoring::default()).await.unwrap();
    let (events, movies, users) = figures(&store).await;
    let counts = manifest.counts;
    assert_eq!((events, movies, users as u64), (counts.interactions, counts.movies, counts.users));
    let known = store.user_stats(2_000_001).await.unwrap().expect("it was acknowledged before");
    assert_eq!(known.interactions, 1);
    for user_id in [3_000_000, 3_000_001] {
        assert!(store.user(user_id).await.unwrap().is_some(), "{user_id} was there before the last one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_written_while_the_server_serves_and_older_ones_go() {
    let server = TestServer::start().await;
    let mut jobs = JobServiceClient::new(server.channel());
    let target = TempDir::new().expect("a temporary folder");
    let path = target.path().to_str().expect("a path of letters");
    for _ in 0..2 {
        let asked = run(&mut jobs, "backup", &[("target", path), ("keep", "1")]).await;
        let job = ended(&mut jobs, &asked.job_id).await;
        assert_eq!((job.state(), job.error.as_str()), (v1::JobState::Succeeded, ""));
        assert!(job.figures["interactions"] > 100_000.0);
    }
    let (folder, manifest) = marquee_store::backup::verify(target.path()).expect("it is whole");
    assert_eq!((manifest.counts.users, folder.parent()), (671, Some(target.path())));
    let entries = std::fs::read_dir(target.path()).expect("a folder").filter_map(Result::ok);
    assert_eq!(entries.filter(|entry| entry.path().is_dir()).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_job_is_refused_by_its_field() {
    let server = TestServer::start().await;
    let mut jobs = JobServiceClient::new(server.channel());
    for (kind, arguments, at_fault) in [
        ("magic", &[][..], "kind"),
        ("statistics", &[("path", "/tmp")], "arguments"),
        ("import", &[], "arguments"),
        ("import", &[("path", "relative/folder")], "arguments"),
        ("evaluate", &[("users", "many")], "arguments"),
    ] {
        let refused = jobs.run_job(request(kind, arguments)).await.expect_err("it is none");
        assert_eq!(field(&refused), (Code::InvalidArgument, at_fault.to_owned()), "{refused:?}");
    }
    let too_long = v1::RunJobRequest {
        kind: "import".to_owned(),
        arguments: HashMap::from([("path".to_owned(), "x".repeat(1_001))]),
    };
    let refused = jobs.run_job(too_long).await.expect_err("it is too long");
    assert_eq!(field(&refused), (Code::InvalidArgument, "arguments".to_owned()));
    let unknown = v1::GetJobRequest { job_id: "none".to_owned() };
    assert_eq!(jobs.get_job(unknown).await.expect_err("there is none").code(), Code::NotFound);
    let unknown = v1::WatchJobRequest { job_id: "none".to_owned() };
    assert_eq!(jobs.watch_job(unknown).await.expect_err("there is none").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_arguments_are_names_of_the_configuration() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.listen = "0.0.0.0:0".parse().expect("an address");
    config.security.insecure_open = true;
    config.jobs.job_sources =
        format!("small={}", common::sample().display()).parse().expect("a name and a path");
    let server = TestServer::start_with(config, data).await;
    let mut jobs = JobServiceClient::new(server.channel());
    for path in ["/etc", "file:///etc", "../small", "s3://key:secret@host/bucket"] {
        let refused = jobs.run_job(request("import", &[("path", path)])).await.expect_err("it is a path");
        assert_eq!(field(&refused), (Code::InvalidArgument, "arguments".to_owned()));
        assert!(refused.message().contains("small") && !refused.message().contains("secret"), "{refused:?}");
    }
    let asked = run(&mut jobs, "import", &[("path", "small")]).await;
    jobs.cancel_job(v1::CancelJobRequest { job_id: asked.job_id.clone() }).await.expect("it is asked to");
    let state = ended(&mut jobs, &asked.job_id).await.state();
    assert!(matches!(state, v1::JobState::Cancelled | v1::JobState::Failed), "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_put_paused_resumed_and_deleted() {
    let server = TestServer::start().await;
    let mut jobs = JobServiceClient::new(server.channel());
    let put = v1::PutScheduleRequest {
        schedule_id: "hourly".to_owned(),
        kind: "sync".to_owned(),
        cron: "0 * * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        jitter_seconds: Some(60),
        ..Default::default()
    };
    let schedule = jobs.put_schedule(put.clone()).await.expect("it is put").into_inner().schedule;
    let schedule = schedule.expect("there is one");
    assert!(schedule.next_time.is_some() && !schedule.configured && !schedule.paused);
    let id = || "hourly".to_owned();
    let paused = jobs.pause_schedule(v1::PauseScheduleRequest { schedule_id: id() }).await;
    let paused = paused.expect("it rests").into_inner().schedule.expect("there is one");
    assert!(paused.paused && paused.next_time.is_none());
    let resumed = jobs.resume_schedule(v1::ResumeScheduleRequest { schedule_id: id() }).await;
    assert!(resumed.expect("it goes on").into_inner().schedule.is_some_and(|it| it.next_time.is_some()));
    let listed = jobs.list_schedules(v1::ListSchedulesRequest {}).await.expect("a list").into_inner();
    let names: Vec<_> = listed.schedules.iter().map(|it| (it.schedule_id.as_str(), it.configured)).collect();
    assert!(names.contains(&("hourly", false)) && names.contains(&("sync", true)), "{names:?}");
    for (change, at_fault) in [
        (v1::PutScheduleRequest { cron: "0 0 30 2 *".to_owned(), ..put.clone() }, "cron"),
        (v1::PutScheduleRequest { time_zone: "Moon".to_owned(), ..put.clone() }, "time_zone"),
        (v1::PutScheduleRequest { kind: "magic".to_owned(), ..put.clone() }, "kind"),
        (v1::PutScheduleRequest { schedule_id: "Hourly".to_owned(), ..put.clone() }, "schedule_id"),
    ] {
        let refused = jobs.put_schedule(change).await.expect_err("it is none");
        assert_eq!(field(&refused), (Code::InvalidArgument, at_fault.to_owned()));
    }
    let of_configuration = v1::PutScheduleRequest { schedule_id: "sync".to_owned(), ..put };
    let refused = jobs.put_schedule(of_configuration).await.expect_err("it stands elsewhere");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let deleted = jobs.delete_schedule(v1::DeleteScheduleRequest { schedule_id: id() }).await;
    assert!(deleted.expect("it is gone").into_inner().deleted);
}

/// A server process and the address that it printed.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(data: &Path, budget_percent: &str) -> Self {
        let sample = common::sample();
        let mut child = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
            .args(["serve", "--listen", "localhost:0", "--device", "cpu", "--workers", "1"])
            .args(["--job-budget", budget_percent, "--job-schedules", "none", "--sample-data"])
            .arg(sample)
            .arg("--data-dir")
            .arg(data)
            .arg("--bundle")
            .arg(common::fixture_bundle())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let says = |line: String| Some(line.split_once("listens on ")?.1.to_owned());
        let address = output.lines().map_while(Result::ok).find_map(says).expect("it says where it listens");
        Self { child, address }
    }

    async fn jobs(&self) -> JobServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(self.address.clone()).expect("an address");
        JobServiceClient::new(endpoint.connect().await.expect("it accepts connections"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_server_is_killed_ends_after_the_next_start() {
    let data = TempDir::new().expect("a temporary folder");
    // With a hundredth of a processor it is at work for minutes.
    let mut killed = Process::start(data.path(), "1");
    let mut jobs = killed.jobs().await;
    let asked = run(&mut jobs, "evaluate", &[("users", "600")]).await;
    let request = v1::WatchJobRequest { job_id: asked.job_id.clone() };
    let mut stream = jobs.watch_job(request).await.expect("the job is there").into_inner();
    loop {
        let job = stream.message().await.expect("it goes on").and_then(|told| told.job).expect("it runs");
        assert!(matches!(job.state(), v1::JobState::Queued | v1::JobState::Running), "{job:?}");
        if job.state() == v1::JobState::Running {
            break;
        }
    }
    killed.child.kill().expect("kill -9");
    killed.child.wait().expect("it is dead");
    let mut next = Process::start(data.path(), "100");
    let job = ended(&mut next.jobs().await, &asked.job_id).await;
    assert_eq!((job.state(), job.attempts), (v1::JobState::Succeeded, 2), "{}", job.error);
    next.child.kill().expect("it ends");
    next.child.wait().expect("it is gone");
}
