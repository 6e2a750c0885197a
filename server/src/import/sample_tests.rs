//! A store with the sample: what it refuses, what replacing leaves, and what earlier versions left.

use marquee_core::domain::{Interaction, Kind, MovieRecord};
use marquee_store::StoreStats;

use super::tests::{Fresh, folder, fresh, import_into, options};
use super::*;

/// A sample of two users and three movies, in a format without a header.
const SAMPLE: [(&str, &[u8]); 2] = [
    ("ratings.dat", b"1::10::5::100\n1::20::4::200\n2::30::3::300\n"),
    ("movies.dat", b"10::A (1990)::Drama\n20::B (1991)::War\n30::C (1992)::War\n"),
];
/// Somebody's own data, whose ids meet the sample's.
const OWN: [(&str, &[u8]); 2] = [
    ("ratings.csv", b"userId,movieId,rating,timestamp\n1,10,2.0,900\n3,40,4.0,901\n"),
    ("movies.csv", b"movieId,title,genres\n10,Own (2020),Drama\n40,Other (2021),Drama\n"),
];

/// A store that holds the sample.
async fn with_sample() -> Fresh {
    let (fresh, release) = (fresh(), folder(&SAMPLE));
    import_sample(release.path(), &*fresh.store, options(), &Silent).await.expect("it is sound");
    fresh
}

fn replacing() -> ImportOptions {
    ImportOptions { sample: OnSample::Replace, ..options() }
}

async fn history(store: &dyn Store, user_id: u64) -> Vec<(u32, i64)> {
    let history = store.history(user_id, None, 100).await.expect("a read").unwrap_or_default();
    history.iter().map(|event| (event.movie_id, event.time_ms)).collect()
}

#[tokio::test]
async fn a_store_with_the_sample_takes_no_other_import_and_says_the_ways_out() {
    let fresh = with_sample().await;
    let refused = import_into(&*fresh.store, folder(&OWN).path(), options()).await.unwrap_err();
    assert!(matches!(refused, ImportError::HoldsSample), "{refused}");
    let sentence = refused.to_string();
    assert!(sentence.contains("--data-dir") && sentence.contains("--replace-sample"), "{sentence}");
    let stats = fresh.store.stats().await.unwrap();
    assert_eq!(stats, StoreStats { users: 2, interactions: 3, movies: 3 }, "nothing was stored");
}

#[tokio::test]
async fn replacing_removes_the_samples_users_histories_and_movies_wholly() {
    let fresh = with_sample().await;
    // Somebody who came while the sample was tried out stays.
    let event = Interaction { user_id: 77, movie_id: 20, time_ms: 5, kind: Kind::View, rating: None };
    fresh.store.record(&[event], 1).await.unwrap();
    import_into(&*fresh.store, folder(&OWN).path(), replacing()).await.unwrap();
    let titles: Vec<_> =
        fresh.store.movies(None, 10).await.unwrap().into_iter().map(|movie| movie.title).collect();
    assert_eq!(titles, ["Own (2020)", "Other (2021)"]);
    assert_eq!(history(&*fresh.store, 1).await, [(10, 900_000)]);
    assert_eq!(history(&*fresh.store, 2).await, []);
    assert_eq!(history(&*fresh.store, 77).await, [(20, 5)]);
    assert_eq!(fresh.store.stats().await.unwrap(), StoreStats { users: 3, interactions: 3, movies: 2 });
    import_into(&*fresh.store, folder(&OWN).path(), options()).await.expect("there is no sample any more");
}

#[tokio::test]
async fn a_strict_import_that_is_refused_leaves_the_sample_as_it_is() {
    let fresh = with_sample().await;
    // The movie is the sample's alone, so that this rating is of none once the sample is gone.
    let own = folder(&[OWN[1], ("ratings.csv", b"userId,movieId,rating,timestamp\n1,20,2.0,900\n")]);
    let strict = ImportOptions { strict: true, ..replacing() };
    let refused = import_into(&*fresh.store, own.path(), strict).await.unwrap_err();
    assert!(matches!(refused, ImportError::Malformed(_)), "{refused}");
    let stats = fresh.store.stats().await.unwrap();
    assert_eq!(stats, StoreStats { users: 2, interactions: 3, movies: 3 });
}

#[tokio::test]
async fn replacing_begins_at_the_beginning_of_a_release_that_an_earlier_import_had_begun() {
    let (fresh, own) = (with_sample().await, folder(&OWN));
    let source = Source::open(own.path()).unwrap();
    let file = source.release().unwrap().ratings.unwrap();
    // As if its last row alone were left to read.
    let last_row = [(OWN[0].1.len() as u64 - 13).to_le_bytes(), 2_u64.to_le_bytes()].concat();
    fresh.store.put_note(&format!("import/{:016x}", file.fingerprint), &last_row).await.unwrap();
    let report = import_into(&*fresh.store, own.path(), replacing()).await.unwrap();
    assert_eq!((report.ratings, report.resumed_at_line), (2, None));
}

#[tokio::test]
async fn data_of_ones_own_is_never_taken_for_the_sample() {
    let (fresh, sample) = (fresh(), folder(&SAMPLE));
    import_into(&*fresh.store, sample.path(), options()).await.unwrap();
    import_into(&*fresh.store, sample.path(), options()).await.expect("who imports it oneself may go on");
    assert_eq!(SampleMark::of(&*fresh.store).await.unwrap(), None);
}

#[tokio::test]
async fn the_sample_in_a_store_of_an_earlier_version_is_recognised() {
    let fresh = fresh();
    // What the sample's second user has, and a movie: the first may have been deleted.
    let movie = MovieRecord { movie_id: 10, title: "GoldenEye (1995)".to_owned(), ..MovieRecord::default() };
    fresh.store.put_movies(&[movie]).await.unwrap();
    let ratings = String::from_utf8(marquee_shipped::SAMPLE.file("ratings.csv").unwrap()).unwrap();
    let rows = ratings.lines().filter_map(|row| row.strip_prefix("2,"));
    let events = rows.map(|row| {
        let movie_id = row.split(',').next().unwrap().parse().unwrap();
        Interaction { user_id: 2, movie_id, time_ms: 1, kind: Kind::View, rating: None }
    });
    fresh.store.record(&events.collect::<Vec<_>>(), 1).await.unwrap();
    let refused = import_into(&*fresh.store, folder(&OWN).path(), options()).await.unwrap_err();
    assert!(matches!(refused, ImportError::HoldsSample), "{refused}");
    import_into(&*fresh.store, folder(&OWN).path(), replacing()).await.unwrap();
    assert_eq!(fresh.store.user(2).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_of_an_earlier_version_with_other_movies_goes_on_as_it_was() {
    let fresh = fresh();
    let movie = MovieRecord { movie_id: 10, title: "Own (2020)".to_owned(), ..MovieRecord::default() };
    fresh.store.put_movies(&[movie]).await.unwrap();
    import_into(&*fresh.store, folder(&OWN).path(), options()).await.expect("it has no sample");
}
