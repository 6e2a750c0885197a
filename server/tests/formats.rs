//! What programs of released versions wrote, read by today's. What is kept and how it was made says
//! `formats/README.md`.

mod common;

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;

use marquee_core::domain::{Interaction, Kind, Preferences, Rating};
use marquee_core::statistics::RatingCounts;
use marquee_engine::Bundle;
use marquee_proto::v1;
use marquee_proto::v1::job_service_client::JobServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::{RecommendRequest, Source};
use marquee_store::backup::{self, Restoring};
use marquee_store::{RedbStore, Store, StoreStats};
use tempfile::TempDir;

use self::common::{TestServer, config};

fn kept(version: &str) -> PathBuf {
    common::root().join("server/tests/formats").join(version)
}

/// A copy of the kept store, which opening it changes.
fn store_of(version: &str) -> TempDir {
    unpacked(version, "store.zip")
}

/// What an archive of that version holds.
fn unpacked(version: &str, archive: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = File::open(kept(version).join(archive)).expect("it is kept");
    let mut archive = zip::ZipArchive::new(file).expect("it is a zip");
    archive.extract(folder.path()).expect("it can be unpacked");
    folder
}

/// What the script that made the kept stores puts into them.
const MADE: StoreStats = StoreStats { users: 5, interactions: 1_007, movies: 20 };

fn rating(user_id: u64, movie_id: u32, time_ms: i64, half_stars: u8) -> Interaction {
    let rating = Rating::from_half_stars(half_stars);
    Interaction { user_id, movie_id, time_ms, kind: Kind::Rating, rating }
}

#[tokio::test]
async fn the_tables_of_v0_1_are_read() {
    let folder = store_of("v0.1");
    let store = RedbStore::open(folder.path()).unwrap();

    let history = store.history(1, None, 10).await.unwrap().unwrap();
    assert_eq!(history, [rating(1, 2, 1_000_000_001_000, 4), rating(1, 1, 1_000_000_000_000, 9)]);
    let long = store.history(2, None, 2_000).await.unwrap().unwrap();
    assert_eq!(long.len(), 1_000);
    assert_eq!(long[0], rating(2, 13, 1_000_000_999_000, 2));
    assert_eq!(long[999], rating(2, 1, 1_000_000_000_000, 2));
    let profile = store.profile(2, 3).await.unwrap().unwrap();
    assert_eq!(profile.seen.iter().collect::<Vec<_>>(), [1, 2, 3, 5, 6, 7, 9, 10, 11, 13]);

    let movies = marquee_store::all_movies(&store).await.unwrap();
    assert_eq!(movies.len(), 20);
    assert_eq!((movies[0].movie_id, movies[0].title.as_str()), (1, "Movie 1 (1999)"));
    assert_eq!(movies[0].genres, ["Drama", "War"]);
    assert_eq!((movies[0].imdb, movies[0].tmdb), (Some(114_709), Some(862)));
    assert_eq!(movies[0].tags, [("kept".to_owned(), 1)]);
    let mut rated: Vec<_> = store.movie_stats().await.unwrap().iter().map(|movie| movie.movie_id).collect();
    rated.sort_unstable();
    assert_eq!(rated, [1, 2, 3, 5, 6, 7, 9, 10, 11, 13]);
}

#[tokio::test]
async fn ratings_of_v0_1_and_after_are_told_by_value() {
    for version in ["v0.1", "after-v0.1"] {
        let folder = store_of(version);
        let store = RedbStore::open(folder.path()).unwrap();
        let stats = store.movie_stats().await.unwrap();
        let of_first = stats.iter().find(|stats| stats.movie_id == 1).expect("two users rated it");
        let expected: RatingCounts = [2, 9].into_iter().filter_map(Rating::from_half_stars).collect();
        assert_eq!(of_first.ratings, expected, "{version}: the latest of each user");
    }
}

#[tokio::test]
async fn the_journal_of_v0_1_is_read() {
    let folder = store_of("v0.1");
    let store = RedbStore::open(folder.path()).unwrap();

    let kinds: Vec<_> = store.history(5, None, 10).await.unwrap().unwrap();
    let expected = [Kind::Hide, Kind::Watchlist, Kind::Dislike, Kind::Like, Kind::View];
    let expected = expected.map(|kind| Interaction {
        user_id: 5,
        movie_id: 2,
        time_ms: 1_717_186_500_250,
        kind,
        rating: None,
    });
    assert_eq!(kinds, expected);
    assert!(store.profile(3, 1).await.unwrap().unwrap().seen.is_empty(), "a user without a history");
    let preferences = store.user(4).await.unwrap().unwrap().preferences;
    assert_eq!(preferences, Preferences { genres: vec!["War".to_owned()], movie_ids: vec![2] });
    assert_eq!(store.user(6).await.unwrap(), None, "a user who was deleted");
    assert_eq!(store.stats().await.unwrap(), MADE);
}

#[test]
fn the_bundle_of_v0_1_is_read() {
    let bundle = Bundle::open(&kept("v0.1").join("bundle")).unwrap();
    assert_eq!(bundle.version(), "kept@v0.1");
    assert_eq!((bundle.items(), bundle.dimension(), bundle.maximum_length()), (20, 8, 5));
    assert_eq!((bundle.row_of(5), bundle.row_of(4)), (Some(3), None));
}

#[tokio::test]
async fn the_store_and_the_bundle_of_v0_1_are_served() {
    let data = store_of("v0.1");
    let mut config = config(&data);
    config.engine.bundle = kept("v0.1").join("bundle");
    let server = TestServer::start_with(config, data).await;

    let request = RecommendRequest { subject: Some(Subject::UserId(1)), k: Some(5), ..Default::default() };
    let reply = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(reply.model_version, "kept@v0.1");
    assert_eq!(reply.source(), Source::Model);
    assert_eq!(reply.recommendations.len(), 5);
}

#[tokio::test]
async fn jobs_and_schedules_of_after_v0_1_are_listed() {
    let data = store_of("after-v0.1");
    let mut config = config(&data);
    config.engine.bundle = kept("after-v0.1").join("bundle");
    let server = TestServer::start_with(config, data).await;

    let url = format!("http://{}", server.running.address);
    let mut jobs = JobServiceClient::connect(url).await.unwrap();
    let listed = jobs.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    // The oldest: what the schedule missed since then is made up for as the server starts.
    let statistics = listed.iter().rfind(|job| job.kind == "statistics").expect("the job is kept");
    assert_eq!(statistics.state(), v1::JobState::Succeeded);
    assert_eq!(statistics.figures.get("interactions"), Some(&1_007.0));
    let schedules = jobs.list_schedules(v1::ListSchedulesRequest::default()).await.unwrap().into_inner();
    let nightly = schedules.schedules.iter().find(|schedule| schedule.schedule_id == "nightly");
    let nightly = nightly.expect("the schedule is kept");
    assert_eq!((nightly.cron.as_str(), nightly.time_zone.as_str()), ("5 3 * * *", "Europe/Berlin"));
}

#[tokio::test]
async fn a_backup_of_after_v0_1_is_whole_and_restored() {
    let backups = unpacked("after-v0.1", "backup.zip");
    let (_, manifest) = backup::verify(backups.path()).unwrap();
    assert_eq!((manifest.format, manifest.counts.interactions), (1, MADE.interactions));
    let restored = tempfile::tempdir().expect("a temporary folder");
    let store = RedbStore::open(restored.path()).unwrap();
    let everybody = Restoring { without: HashSet::new(), progress: None };
    backup::restore(backups.path(), &store, &everybody).await.unwrap();
    assert_eq!(store.stats().await.unwrap(), MADE);
}
