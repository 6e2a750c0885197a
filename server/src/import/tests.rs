//! Every format, malformed rows, interruption and repetition, against the embedded store.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

mod foreign;

use marquee_core::domain::{
    EventKey, Interaction, Kind, MovieId, MovieRecord, Preferences, Profile, Rating, User, UserId,
};
use marquee_core::statistics::MovieStats;
use marquee_store::{
    Deleted, Documents, Record, Recorded, RedbStore, Revision, RuleRecord, StoreStats, UserStats,
};

use super::*;

/// A store in a folder that goes with it.
pub(super) struct Fresh {
    pub(super) store: Arc<RedbStore>,
    _dir: TempDir,
}

pub(super) fn fresh() -> Fresh {
    let dir = TempDir::new().expect("a temporary folder");
    Fresh { store: Arc::new(RedbStore::open(dir.path()).expect("a fresh store opens")), _dir: dir }
}

pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("the folder is ours");
        fs::write(path, text).expect("the folder is ours");
    }
    dir
}

pub(super) fn options() -> ImportOptions {
    ImportOptions { batch_rows: 3, ..ImportOptions::new(1) }
}

pub(super) async fn import_into(
    store: &dyn Store,
    path: &Path,
    options: ImportOptions,
) -> Result<ImportReport, ImportError> {
    import(path, store, options, &Silent).await
}

/// Imports the files into a fresh store.
async fn imported(files: &[(&str, &[u8])]) -> (ImportReport, Fresh) {
    let fresh = fresh();
    let release = folder(files);
    let report = import_into(&*fresh.store, release.path(), options()).await.expect("the release is sound");
    (report, fresh)
}

/// Everything that an import can change.
#[derive(Debug, PartialEq)]
struct Contents {
    movies: Vec<MovieRecord>,
    stats: Vec<MovieStats>,
    histories: Vec<Option<Vec<Interaction>>>,
    users: Vec<Option<UserStats>>,
    counts: StoreStats,
}

async fn contents(store: &dyn Store, users: impl Iterator<Item = UserId>) -> Contents {
    let mut stats = store.movie_stats().await.expect("a read succeeds");
    stats.sort_by_key(|stats| stats.movie_id);
    let mut contents = Contents {
        movies: store.movies(None, 100_000).await.expect("a read succeeds"),
        stats,
        histories: Vec::new(),
        users: Vec::new(),
        counts: store.stats().await.expect("a read succeeds"),
    };
    for user in users {
        contents.histories.push(store.history(user, None, 100_000).await.expect("a read succeeds"));
        contents.users.push(store.user_stats(user).await.expect("a read succeeds"));
    }
    contents
}

fn rated(user_id: UserId, movie_id: MovieId, stars: f64, seconds: i64) -> Interaction {
    Interaction {
        user_id,
        movie_id,
        time_ms: seconds * 1000,
        kind: Kind::Rating,
        rating: Rating::from_stars(stars),
    }
}

async fn history(store: &dyn Store, user: UserId) -> Vec<Interaction> {
    store.history(user, None, 100).await.expect("a read succeeds").expect("the user is known")
}

async fn movie(store: &dyn Store, movie_id: MovieId) -> MovieRecord {
    let mut movies = store.movies(Some(movie_id - 1), 1).await.expect("a read succeeds");
    movies.pop().expect("the movie is known")
}

/// Remembers how far an import said it was.
#[derive(Default)]
struct Remembered {
    bytes: Mutex<Vec<u64>>,
    finished: AtomicUsize,
}

impl Progress for Remembered {
    fn reached(&self, reached: Reached) {
        self.bytes.lock().expect("no test panics").push(reached.bytes);
    }

    fn finished(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn progress_goes_from_nothing_to_all_bytes_of_a_release() {
    let (movies, ratings) = ("movieId,title,genres\n1,A,War\n", "userId,movieId,rating,timestamp\n");
    let ratings = (1..=7).fold(ratings.to_owned(), |rows, user| format!("{rows}{user},1,4.5,100\n"));
    let release = folder(&[("movies.csv", movies.as_bytes()), ("ratings.csv", ratings.as_bytes())]);
    let progress = Remembered::default();
    import(release.path(), &*fresh().store, options(), &progress).await.expect("the release is sound");
    let bytes = progress.bytes.into_inner().expect("no test panics");
    assert!(bytes.len() > 2 && bytes.is_sorted(), "{bytes:?}");
    let all = (movies.len() + ratings.len()) as u64;
    assert_eq!((bytes.first(), bytes.last()), (Some(&0), Some(&all)));
    assert_eq!(progress.finished.into_inner(), 1);
}

#[tokio::test]
async fn a_csv_release_is_read_with_quotes_tags_and_links() {
    let (report, fresh) = imported(&[
        (
            "ml-latest/movies.csv",
            b"movieId,title,genres\n\
              1,Toy Story (1995),Adventure|Animation\n\
              2,\"American President, The (1995)\",Comedy|Drama\n\
              3,\"\"\"Great Performances\"\" Cats (1998)\",(no genres listed)\n",
        ),
        ("ml-latest/ratings.csv", b"userId,movieId,rating,timestamp\n1,1,4.5,100\n1,2,3.0,90\n2,1,0.5,80\n"),
        (
            "ml-latest/tags.csv",
            "userId,movieId,tag,timestamp\n1,1,Pixar,5\n2,1,pixar,6\n2,1,pixar,7\n2,1,\"fun, naïve\",7\n"
                .as_bytes(),
        ),
        ("ml-latest/links.csv", b"movieId,imdbId,tmdbId\n1,0114709,862\n2,0112346,\n"),
        ("ml-latest/README.txt", b"Summary"),
    ])
    .await;
    assert_eq!(
        (report.movies, report.new_movies, report.ratings, report.tags, report.links),
        (3, 3, 3, 2, 2)
    );
    assert_eq!((report.malformed, report.duplicates, report.resumed_at_line), (0, 0, None));
    let toy_story = movie(&*fresh.store, 1).await;
    assert_eq!(toy_story.tags, [("pixar".to_owned(), 2), ("fun, naïve".to_owned(), 1)]);
    assert_eq!((toy_story.imdb, toy_story.tmdb), (Some(114_709), Some(862)));
    assert_eq!(toy_story.genres, ["Adventure", "Animation"]);
    let president = movie(&*fresh.store, 2).await;
    assert_eq!((president.title.as_str(), president.tmdb), ("American President, The (1995)", None));
    let cats = movie(&*fresh.store, 3).await;
    assert_eq!((cats.title.as_str(), cats.genres.len()), ("\"Great Performances\" Cats (1998)", 0));
    assert_eq!(history(&*fresh.store, 1).await, [rated(1, 1, 4.5, 100), rated(1, 2, 3.0, 90)]);
}

#[tokio::test]
async fn a_byte_order_mark_line_ends_of_windows_and_another_order_of_columns_are_read() {
    let (report, fresh) = imported(&[
        ("movies.csv", b"\xef\xbb\xbfmovieId,title,genres\r\n7,Heat (1995),Crime\r\n"),
        ("ratings.csv", b"\xef\xbb\xbftimestamp,\"rating\",movieId,userId\r\n100,5,7,9\r\n\r\n"),
    ])
    .await;
    assert_eq!((report.movies, report.ratings, report.malformed), (1, 1, 0));
    assert_eq!(movie(&*fresh.store, 7).await.genres, ["Crime"]);
    assert_eq!(history(&*fresh.store, 9).await, [rated(9, 7, 5.0, 100)]);
}

#[tokio::test]
async fn the_release_of_1m_is_read_in_latin_1() {
    let (report, fresh) = imported(&[
        ("ml-1m/movies.dat", b"1::Mis\xe9rables, Les (1995)::Drama|Musical\n2::Face/Off (1997)::Action\n"),
        ("ml-1m/ratings.dat", b"1::1::5::978300760\n1::2::3::978302109\n"),
        ("ml-1m/users.dat", b"1::F::1::10::48067\n"),
    ])
    .await;
    assert_eq!((report.movies, report.ratings, report.malformed), (2, 2, 0));
    assert_eq!(movie(&*fresh.store, 1).await.title, "Misérables, Les (1995)");
    assert_eq!(
        history(&*fresh.store, 1).await,
        [rated(1, 2, 3.0, 978_302_109), rated(1, 1, 5.0, 978_300_760)]
    );
}

#[tokio::test]
async fn the_quotes_and_dashes_of_windows_are_read_as_such() {
    let (report, fresh) =
        imported(&[("movies.dat", b"1::The Director\x92s Cut \x96 Part II (1995)::Drama\n")]).await;
    assert_eq!((report.movies, report.malformed), (1, 0));
    assert_eq!(movie(&*fresh.store, 1).await.title, "The Director’s Cut – Part II (1995)");
}

#[tokio::test]
async fn names_with_control_characters_are_malformed() {
    let (report, fresh) = imported(&[
        (
            "movies.csv",
            b"movieId,title,genres\n1,Heat (1995),Crime\n2,\x1b[2JRed (1994),Drama\n3,Blue (1993),Dr\xc2\x9bama\n",
        ),
        ("tags.csv", b"userId,movieId,tag,timestamp\n1,1,fine,5\n1,1,\x1b]0;x\x07,6\n"),
    ])
    .await;
    let malformed: Vec<_> = report.first_malformed.iter().map(ToString::to_string).collect();
    assert_eq!(
        malformed,
        [
            r"movies.csv, line 3: the title holds the control character '\u{1b}'; take it out",
            r"movies.csv, line 4: a genre holds the control character '\u{9b}'; take it out",
            r"tags.csv, line 3: the tag holds the control character '\u{1b}'; take it out",
        ]
    );
    assert_eq!(movie(&*fresh.store, 1).await.tags, [("fine".to_owned(), 1)]);
    assert_eq!(fresh.store.movies(None, 10).await.expect("a read succeeds").len(), 1);
}

#[tokio::test]
async fn the_release_of_10m_is_read_with_its_tags() {
    let (report, fresh) = imported(&[
        ("ml-10M100K/movies.dat", "1::Amélie :: Uncut (2001)::Comedy|Romance\n".as_bytes()),
        ("ml-10M100K/ratings.dat", b"5::1::4.5::1162846212\n"),
        ("ml-10M100K/tags.dat", b"5::1::best::ever::1162846213\n5::1::1984::1162846213\n"),
    ])
    .await;
    assert_eq!((report.movies, report.ratings, report.tags, report.malformed), (1, 1, 2, 0));
    let amelie = movie(&*fresh.store, 1).await;
    assert_eq!(
        (amelie.title.as_str(), amelie.genres.join(" ").as_str()),
        ("Amélie :: Uncut (2001)", "Comedy Romance")
    );
    assert_eq!(amelie.tags, [("1984".to_owned(), 1), ("best::ever".to_owned(), 1)]);
}

#[tokio::test]
async fn the_release_of_100k_is_read_with_its_genre_flags() {
    let (report, fresh) = imported(&[
        (
            "ml-100k/u.item",
            b"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)\
              |0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n\
              2|Caf\xe9 (1996)|||http://x|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
        ),
        ("ml-100k/u.data", b"196\t1\t3\t881250949\n186\t2\t4\t891717742\n"),
        ("ml-100k/u1.base", b"196\t1\t3\t881250949\n"),
    ])
    .await;
    assert_eq!((report.movies, report.ratings, report.malformed), (2, 2, 0));
    assert_eq!(movie(&*fresh.store, 1).await.genres, ["Animation", "Children's", "Comedy"]);
    let cafe = movie(&*fresh.store, 2).await;
    assert_eq!((cafe.title.as_str(), cafe.genres.len()), ("Café (1996)", 0));
    assert_eq!(history(&*fresh.store, 196).await, [rated(196, 1, 3.0, 881_250_949)]);
}

/// A zip without a telling name, and the folder that it goes with.
fn zipped(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("release.bin");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("the folder is ours"));
    for (name, text) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("the file is ours");
        zip.write_all(text).expect("the file is ours");
    }
    zip.finish().expect("the file is ours");
    (dir, path)
}

#[tokio::test]
async fn a_zip_is_read_like_its_folder() {
    let files: [(&str, &[u8]); 2] = [
        ("ml-x/movies.csv", b"movieId,title,genres\n1,A (1999),Drama\n"),
        ("ml-x/ratings.csv", b"userId,movieId,rating,timestamp\n3,1,4.0,7\n3,1,5.0,8\n"),
    ];
    let (_dir, path) = zipped(&files);
    let packed = fresh();
    import_into(&*packed.store, &path, options()).await.expect("the zip is sound");
    let (_, unpacked) = imported(&files).await;
    assert_eq!(contents(&*packed.store, 3..4).await, contents(&*unpacked.store, 3..4).await);
    assert_eq!(packed.store.stats().await.expect("a read succeeds").interactions, 2);
}

/// A zip with a rating of each user.
fn zipped_users(users: u64) -> (TempDir, PathBuf) {
    let ratings: Vec<_> = (1..=users).map(|user| format!("{user},1,4.0,{user}\n")).collect();
    zipped(&[("movies.csv", b"1,A,Drama\n"), ("ratings.csv", ratings.concat().as_bytes())])
}

#[tokio::test]
async fn an_interrupted_import_of_a_zip_goes_on_behind_its_last_note() {
    let (_dir, path) = zipped_users(30);
    let one_by_one = ImportOptions { batch_rows: 1, batches_in_flight: 1, ..options() };
    let fresh = fresh();
    let interrupted = Interrupted::after(20, &fresh.store);
    import_into(&interrupted, &path, one_by_one).await.expect_err("it is interrupted");
    let report = import_into(&*fresh.store, &path, one_by_one).await.expect("the zip is sound");
    assert_eq!((report.resumed_at_line, report.ratings, report.duplicates), (Some(17), 14, 4));
    assert_eq!(fresh.store.stats().await.expect("a read succeeds").interactions, 30);
}

#[tokio::test]
async fn a_note_that_waits_for_a_turn_holds_up_no_write() {
    let (_dir, path) = zipped_users(64);
    let many = ImportOptions { batch_rows: 1, batches_in_flight: 32, ..options() };
    let fresh = fresh();
    let narrow = Interrupted::after(usize::MAX, &fresh.store);
    let imported = tokio::time::timeout(Duration::from_mins(1), import_into(&narrow, &path, many)).await;
    assert_eq!(imported.expect("it ends").expect("the zip is sound").ratings, 64);
}

#[tokio::test]
async fn malformed_rows_are_left_out_and_named_by_line() {
    let (report, fresh) = imported(&[
        ("movies.csv", b"movieId,title,genres\n1,A,Drama\nx,B,Drama\n2,\"C,Drama\n3, ,War\n4\n"),
        (
            "ratings.csv",
            b"userId,movieId,rating,timestamp\n1,1,4.0,10\n0,1,4.0,10\n1,1,4.2,10\n1,1,4.0\n1,9,4.0,10\n1,1,4.0,-1\n2,1,3,11\n",
        ),
    ])
    .await;
    let rows: Vec<_> = report.first_malformed.iter().map(ToString::to_string).collect();
    assert_eq!(
        rows,
        [
            "movies.csv, line 3: movieId is \"x\", not a number from 1",
            "movies.csv, line 4: a quote is not closed",
            "movies.csv, line 5: the title is empty",
            "movies.csv, line 6: the row has 1 fields, it needs 3",
            "ratings.csv, line 3: userId is \"0\", not a number from 1",
            "ratings.csv, line 4: rating is \"4.2\", not 0.5 to 5 in half stars",
            "ratings.csv, line 5: the row has 3 fields, it needs 4",
            "ratings.csv, line 6: movie 9 is not among the movies",
            "ratings.csv, line 7: timestamp is \"-1\", not seconds since 1970 nor written as 2005-04-02 23:53:47",
        ]
    );
    assert_eq!((report.malformed, report.ratings), (9, 2));
    assert_eq!(fresh.store.stats().await.expect("a read succeeds").interactions, 2);
}

#[tokio::test]
async fn a_strict_import_with_a_malformed_row_stores_nothing() {
    let release = folder(&[
        ("movies.csv", b"movieId,title,genres\n1,A,Drama\n"),
        ("ratings.csv", b"userId,movieId,rating,timestamp\n1,1,4.0,10\n1,1,6.0,11\n"),
    ]);
    let fresh = fresh();
    let strict = ImportOptions { strict: true, ..options() };
    let error = import_into(&*fresh.store, release.path(), strict).await.expect_err("row 3 is malformed");
    assert!(error.to_string().starts_with("ratings.csv, line 3: rating is \"6.0\""), "{error}");
    assert_eq!(fresh.store.stats().await.expect("a read succeeds"), StoreStats::default());
}

#[tokio::test]
async fn what_is_no_release_is_refused_with_what_to_give() {
    let empty = folder(&[("notes.txt", b"hello")]);
    let no_zip = empty.path().join("notes.txt");
    for path in [empty.path(), &no_zip] {
        let error = import_into(&*fresh().store, path, options()).await.expect_err("there is nothing");
        assert!(matches!(error, ImportError::NotARelease { .. }), "{error}");
    }
    let headless = folder(&[("ratings.csv", b"user,movieId,rating,timestamp\n1,1,4.0,1\n")]);
    let error = import_into(&*fresh().store, headless.path(), options()).await.expect_err("no userId");
    assert_eq!(
        error.to_string(),
        "ratings.csv has no column userId; its header is: user, movieId, rating, timestamp"
    );
}

const NOISE: &[u8] = b"0123456789,,,\"\":|\t\r\xff\x00a.";

#[tokio::test]
async fn lines_of_any_bytes_are_malformed_and_never_a_panic() {
    let mut random = StdRng::seed_from_u64(5);
    let mut noise: Vec<u8> = b"userId,movieId,rating,timestamp\n".to_vec();
    for _ in 0..2_000 {
        let length = random.random_range(0..40);
        noise.extend((0..length).map(|_| NOISE[random.random_range(0..NOISE.len())]));
        noise.push(b'\n');
    }
    noise.extend(std::iter::repeat_n(b'x', 200_000));
    noise.extend(b"\n1,1,4.0,10\n");
    let (report, fresh) =
        imported(&[("movies.csv", b"movieId,title,genres\n1,A,Drama\n"), ("ratings.csv", &noise)]).await;
    assert!(report.malformed > 1_000, "{report}");
    assert_eq!(history(&*fresh.store, 1).await, [rated(1, 1, 4.0, 10)]);
}

#[tokio::test]
async fn a_second_release_keeps_the_tags_and_links_that_it_does_not_have() {
    let (_, fresh) = imported(&[
        ("movies.csv", b"movieId,title,genres\n1,A,Drama\n"),
        ("tags.csv", b"userId,movieId,tag,timestamp\n1,1,slow,5\n"),
        ("links.csv", b"movieId,imdbId,tmdbId\n1,5,6\n"),
    ])
    .await;
    let newer = folder(&[("movies.dat", b"1::A (1999)::War\n")]);
    import_into(&*fresh.store, newer.path(), options()).await.expect("the release is sound");
    let movie = movie(&*fresh.store, 1).await;
    assert_eq!((movie.title.as_str(), movie.genres.join(" ").as_str()), ("A (1999)", "War"));
    assert_eq!((movie.imdb, movie.tmdb, movie.tags.len()), (Some(5), Some(6), 1));
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx/data/ml-latest-small")
}

#[tokio::test]
async fn the_sample_imported_twice_is_the_sample_imported_once() {
    let fresh = fresh();
    let first = import_into(&*fresh.store, &sample(), ImportOptions::new(1)).await.expect("it is sound");
    assert_eq!((first.movies, first.ratings, first.malformed, first.duplicates), (9_125, 100_004, 0, 0));
    let once = contents(&*fresh.store, 1..672).await;
    assert_eq!(once.counts, StoreStats { users: 671, interactions: 100_004, movies: 9_125 });
    let second = import_into(&*fresh.store, &sample(), ImportOptions::new(2)).await.expect("it is sound");
    assert_eq!((second.new_movies, second.duplicates, second.resumed_at_line), (0, 100_004, None));
    assert_eq!(contents(&*fresh.store, 1..672).await, once);
}

#[tokio::test]
async fn an_import_interrupted_anywhere_goes_on_and_ends_with_the_same_store() {
    let whole = fresh();
    let options = ImportOptions { batch_rows: 700, ..ImportOptions::new(1) };
    import_into(&*whole.store, &sample(), options).await.expect("it is sound");
    let expected = contents(&*whole.store, 1..672).await;
    let mut random = StdRng::seed_from_u64(11);
    let fresh = fresh();
    for _ in 0..4 {
        let writes = AtomicUsize::new(random.random_range(5..50));
        let interrupted = Interrupted { writes, ..Interrupted::after(0, &fresh.store) };
        import_into(&interrupted, &sample(), options).await.expect_err("it is interrupted");
    }
    let last = import_into(&*fresh.store, &sample(), options).await.expect("it is sound");
    assert!(last.resumed_at_line.is_some() && last.ratings < 100_004, "{last}");
    assert_eq!(contents(&*fresh.store, 1..672).await, expected);
}

/// A store with two permits for its writes that fails for good after some of them.
struct Interrupted {
    store: Arc<RedbStore>,
    permits: Semaphore,
    writes: AtomicUsize,
}

impl Interrupted {
    fn after(writes: usize, store: &Arc<RedbStore>) -> Self {
        Self { store: Arc::clone(store), permits: Semaphore::new(2), writes: AtomicUsize::new(writes) }
    }
}

#[async_trait]
impl Store for Interrupted {
    async fn record(&self, events: &[Interaction], now_ms: TimeMs) -> Result<Vec<Recorded>, StoreError> {
        let writes =
            self.writes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        writes.map_err(|_| StoreError::Corrupt("interrupted".to_owned()))?;
        let _permit = self.permits.acquire().await;
        self.store.record(events, now_ms).await
    }

    async fn profile(&self, user_id: UserId, newest: usize) -> Result<Option<Arc<Profile>>, StoreError> {
        self.store.profile(user_id, newest).await
    }

    async fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Option<Vec<Interaction>>, StoreError> {
        self.store.history(user_id, after, limit).await
    }

    async fn user(&self, user_id: UserId) -> Result<Option<User>, StoreError> {
        self.store.user(user_id).await
    }

    async fn user_stats(&self, user_id: UserId) -> Result<Option<UserStats>, StoreError> {
        self.store.user_stats(user_id).await
    }

    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError> {
        self.store.users(after, limit).await
    }

    async fn register(&self, user_id: UserId, now_ms: TimeMs) -> Result<(User, bool), StoreError> {
        self.store.register(user_id, now_ms).await
    }

    async fn set_preferences(
        &self,
        user_id: UserId,
        preferences: Preferences,
        now_ms: TimeMs,
    ) -> Result<User, StoreError> {
        self.store.set_preferences(user_id, preferences, now_ms).await
    }

    async fn delete_event(&self, user_id: UserId, key: EventKey) -> Result<Option<Deleted>, StoreError> {
        self.store.delete_event(user_id, key).await
    }

    async fn delete_user(&self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        self.store.delete_user(user_id).await
    }

    async fn put_movies(&self, movies: &[MovieRecord]) -> Result<Vec<bool>, StoreError> {
        self.store.put_movies(movies).await
    }

    async fn remove_movies(&self, movie_ids: &[MovieId]) -> Result<(), StoreError> {
        self.store.remove_movies(movie_ids).await
    }

    async fn movies(&self, after: Option<MovieId>, limit: usize) -> Result<Vec<MovieRecord>, StoreError> {
        self.store.movies(after, limit).await
    }

    async fn put_rule(&self, rule: &RuleRecord) -> Result<bool, StoreError> {
        self.store.put_rule(rule).await
    }

    async fn remove_rule(&self, rule_id: &str) -> Result<bool, StoreError> {
        self.store.remove_rule(rule_id).await
    }

    async fn rules(&self) -> Result<Vec<RuleRecord>, StoreError> {
        self.store.rules().await
    }

    async fn movie_stats(&self) -> Result<Vec<MovieStats>, StoreError> {
        self.store.movie_stats().await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.store.stats().await
    }

    async fn sum_up(&self, older_than: Duration, now_ms: TimeMs) -> Result<bool, StoreError> {
        self.store.sum_up(older_than, now_ms).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision().await
    }

    async fn get_note(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get_note(key).await
    }

    async fn put_note(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let _permit = self.permits.acquire().await;
        self.store.put_note(key, value).await
    }

    fn documents(&self) -> &dyn Documents {
        self.store.documents()
    }

    async fn export(&self, chunks: mpsc::Sender<Vec<Record>>) -> Result<(), StoreError> {
        self.store.export(chunks).await
    }

    fn name(&self) -> &'static str {
        self.store.name()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}
