//! Files that only look like a release: other units and scales, broken quotes, nothing in them.

use marquee_core::clock::MAX_CLOCK_SKEW;
use marquee_core::domain::TimeMs;

use super::*;

const MOVIES: (&str, &[u8]) = ("movies.csv", b"movieId,title,genres\n1,A (1999),Drama\n2,B,War\n3,C,War\n");
const RATINGS_HEADER: &str = "userId,movieId,rating,timestamp\n";

/// Imports three movies and these ratings into a store.
async fn import_ratings(
    store: &dyn Store,
    rows: &str,
    options: ImportOptions,
) -> Result<ImportReport, ImportError> {
    let ratings = format!("{RATINGS_HEADER}{rows}");
    let release = folder(&[MOVIES, ("ratings.csv", ratings.as_bytes())]);
    import_into(store, release.path(), options).await
}

/// Why these ratings are refused, with nothing stored.
async fn refusal(rows: &str, options: ImportOptions) -> String {
    let fresh = fresh();
    let error = import_ratings(&*fresh.store, rows, options).await.expect_err("it is refused");
    assert_eq!(fresh.store.stats().await.expect("a read succeeds"), StoreStats::default());
    error.to_string()
}

/// Why this release is refused.
async fn refused(files: &[(&str, &[u8])]) -> String {
    let release = folder(files);
    let refused = import_into(&*fresh().store, release.path(), options()).await;
    refused.expect_err("it is refused").to_string()
}

/// A rating of each of so many users.
fn ratings_of(users: u64) -> String {
    (1..=users).map(|user| format!("{user},1,4.0,{user}\n")).collect::<Vec<_>>().concat()
}

fn in_unit(time_unit: TimeUnit) -> ImportOptions {
    let options = options();
    ImportOptions { units: Units { time_unit, ..options.units }, ..options }
}

#[tokio::test]
async fn milliseconds_in_place_of_seconds_are_refused_before_anything_is_stored() {
    let rows = "1,1,4.0,964982703000\n1,2,3.0,964981247000\n";
    let expected = "ratings.csv, line 2: timestamp is \"964982703000\", which looks like milliseconds; import \
                    with --time-unit ms, or time_unit in the map (2 of the first 2 rows are like it; nothing was stored)";
    assert_eq!(refusal(rows, options()).await, expected);
    assert_eq!(refusal(rows, ImportOptions { strict: true, ..options() }).await, expected);
}

#[tokio::test]
async fn milliseconds_and_microseconds_are_read_when_the_import_is_told() {
    let fresh = fresh();
    let ms = import_ratings(&*fresh.store, "1,1,4.0,964982703000\n", in_unit(TimeUnit::Milliseconds)).await;
    assert_eq!(ms.expect("it is told").ratings, 1);
    let us =
        import_ratings(&*fresh.store, "1,2,3.0,964982704000000\n", in_unit(TimeUnit::Microseconds)).await;
    assert_eq!(us.expect("it is told").ratings, 1);
    assert_eq!(
        history(&*fresh.store, 1).await,
        [rated(1, 2, 3.0, 964_982_704), rated(1, 1, 4.0, 964_982_703)]
    );
}

#[tokio::test]
async fn a_few_rows_in_another_unit_are_left_out_and_named() {
    let sound = ratings_of(20);
    let report = import_ratings(&*fresh().store, &format!("{sound}1,2,4.0,964982703000\n"), options()).await;
    let report = report.expect("most of it is sound");
    assert_eq!((report.ratings, report.malformed), (20, 1));
    assert!(
        report.to_string().contains("line 22: timestamp is \"964982703000\", which looks like"),
        "{report}"
    );
}

#[tokio::test]
async fn a_rating_from_the_future_is_left_out_and_named() {
    let now_ms: TimeMs = 1_700_000_000_000;
    let units = Units::of_movielens(EventTimes::at(now_ms, MAX_CLOCK_SKEW));
    let options = ImportOptions { units, ..options() };
    let rows = "1,1,4.0,1700086400\n1,2,4.0,1700086401\n1,3,4.0,253370764800\n";
    let fresh = fresh();
    let report = import_ratings(&*fresh.store, rows, options).await.expect("a row is sound");
    assert_eq!((report.ratings, report.malformed), (1, 2));
    assert!(
        report.first_malformed[0].to_string().starts_with(
            "ratings.csv, line 3: timestamp \"1700086401\" is more than 86400s ahead of the server's clock"
        ),
        "{report}"
    );
    assert_eq!(history(&*fresh.store, 1).await, [rated(1, 1, 4.0, 1_700_086_400)]);
}

#[tokio::test]
async fn an_import_in_other_units_does_not_go_on_where_one_stopped() {
    let ratings = format!("{RATINGS_HEADER}{}", ratings_of(40));
    let release = folder(&[MOVIES, ("ratings.csv", ratings.as_bytes())]);
    let fresh = fresh();
    let one_by_one = ImportOptions { batch_rows: 1, batches_in_flight: 1, ..options() };
    let interrupted = Interrupted::after(20, &fresh.store);
    import_into(&interrupted, release.path(), one_by_one).await.expect_err("it is interrupted");
    let report = import_into(&*fresh.store, release.path(), in_unit(TimeUnit::Milliseconds)).await;
    let report = report.expect("it is sound");
    assert_eq!((report.resumed_at_line, report.ratings), (None, 40));
}

#[tokio::test]
async fn dates_in_place_of_seconds_are_read() {
    let fresh = fresh();
    let rows = "1,1,3.5,\"2005-04-02 23:53:47\"\n1,2,3.5,2005-04-02T23:31:16Z\n";
    let report = import_ratings(&*fresh.store, rows, options()).await.expect("it is sound");
    assert_eq!((report.ratings, report.malformed), (2, 0));
    assert_eq!(
        history(&*fresh.store, 1).await,
        [rated(1, 1, 3.5, 1_112_486_027), rated(1, 2, 3.5, 1_112_484_676)]
    );
}

#[tokio::test]
async fn ratings_of_another_scale_are_refused_and_read_when_the_import_is_told() {
    let rows = "1,1,8,964982703\n1,2,0,964982704\n1,3,3.7,964982705\n";
    assert_eq!(
        refusal(rows, options()).await,
        "ratings.csv, line 2: rating is \"8\"; where ratings go up to 10, import with --rating-scale 10, or value_scale in the map (1 of \
         the first 3 rows are like it; nothing was stored)"
    );
    let units = Units { highest_rating: std::num::NonZeroU32::new(10), ..options().units };
    let fresh = fresh();
    let report = import_ratings(&*fresh.store, rows, ImportOptions { units, ..options() }).await;
    let report = report.expect("most of it is sound");
    assert_eq!(
        report.first_malformed[0].to_string(),
        "ratings.csv, line 3: rating is \"0\", not above 0 and up to 10"
    );
    assert_eq!(
        history(&*fresh.store, 1).await,
        [rated(1, 3, 2.0, 964_982_705), rated(1, 1, 4.0, 964_982_703)]
    );
}

#[tokio::test]
async fn a_file_that_gives_no_row_is_an_error() {
    let ratings = |rows: &str| format!("{RATINGS_HEADER}{rows}").into_bytes();
    let header_only = ratings("");
    let advice = "has no rows; give a release with movies and ratings, or leave the file out";
    assert_eq!(refused(&[MOVIES, ("ratings.csv", &header_only)]).await, format!("ratings.csv {advice}"));
    let movies = ("movies.csv", b"movieId,title,genres\n".as_slice());
    assert_eq!(refused(&[movies, ("ratings.csv", &header_only)]).await, format!("movies.csv {advice}"));
    let unknown = ratings("1,9,4.0,10\n2,9,4.0,10\n");
    assert_eq!(
        refused(&[MOVIES, ("ratings.csv", &unknown)]).await,
        "no row was read of ratings.csv, all 2 are malformed; ratings.csv, line 2: movie 9 is not among the movies"
    );
    let links = ("links.csv", b"movieId,imdbId,tmdbId\n1,x,\n".as_slice());
    assert_eq!(
        refused(&[MOVIES, links]).await,
        "no row was read of links.csv, all 1 are malformed; links.csv, line 2: imdbId is \"x\", not an id"
    );
}

#[tokio::test]
async fn a_release_without_a_tag_or_a_link_is_sound() {
    let (report, _) = imported(&[
        MOVIES,
        ("tags.csv", b"userId,movieId,tag,timestamp\n"),
        ("links.csv", b"movieId,imdbId,tmdbId\n"),
    ])
    .await;
    assert_eq!((report.movies, report.tags, report.links, report.malformed), (3, 0, 0, 0));
}

#[tokio::test]
async fn a_row_with_a_field_too_many_is_malformed() {
    let (report, fresh) = imported(&[
        (
            "movies.csv",
            b"movieId,title,genres\n\
              1,Toy Story (1995),Comedy\n\
              2,American President, The (1995),Comedy|Drama\n\
              3, \"Toy Story (1995)\", Comedy\n\
              4, \"American President, The (1995)\", Comedy|Drama\n\
              5,\"Toy \\\"Story\\\", The (1995)\",Comedy\n\
              6,\"Toy \\\"Story\\\" (1995)\",Comedy\n\
              7,\"Heat\" ,Crime\n",
        ),
        ("ratings.csv", b"userId,movieId,rating,timestamp\n1,1,4.0,10\n1,1,4.0,11,x\n"),
        ("tags.csv", b"userId,movieId,tag,timestamp\n1,1,fun, naive,5\n1,1,fun,5\n"),
    ])
    .await;
    let stray = "a quote stands inside a field; quote fields as a whole, and write a quote within as two";
    let quote_it = "quote a field with a separator in it";
    let rows: Vec<_> = report.first_malformed.iter().map(ToString::to_string).collect();
    assert_eq!(
        rows,
        [
            format!("movies.csv, line 3: the row has 4 fields, its file has 3; {quote_it}"),
            format!("movies.csv, line 4: {stray}"),
            format!("movies.csv, line 5: {stray}"),
            format!("movies.csv, line 6: {stray}"),
            format!("movies.csv, line 7: {stray}"),
            format!("movies.csv, line 8: {stray}"),
            format!("tags.csv, line 2: the row has 5 fields, its file has 4; {quote_it}"),
            format!("ratings.csv, line 3: the row has 5 fields, its file has 4; {quote_it}"),
        ]
    );
    assert_eq!((report.movies, report.ratings, report.tags), (1, 1, 1));
    assert_eq!(movie(&*fresh.store, 1).await.title, "Toy Story (1995)");
}

#[tokio::test]
async fn a_strict_import_refuses_a_row_with_a_field_too_many() {
    let release =
        folder(&[("movies.csv", b"movieId,title,genres\n2,American President, The (1995),Comedy\n")]);
    let strict = ImportOptions { strict: true, ..options() };
    let error = import_into(&*fresh().store, release.path(), strict).await.expect_err("row 2 is malformed");
    assert!(error.to_string().starts_with("movies.csv, line 2: the row has 4 fields"), "{error}");
}

#[tokio::test]
async fn fields_too_many_are_malformed_without_a_header_too() {
    let (report, fresh) = imported(&[
        ("ml-1m/movies.dat", b"1::Amelie :: Uncut (2001)::Comedy\n"),
        ("ml-1m/ratings.dat", b"1::1::5::978300760\n1::1::5::978300761::x\n"),
    ])
    .await;
    assert_eq!((report.movies, report.ratings, report.malformed), (1, 1, 1));
    assert_eq!(movie(&*fresh.store, 1).await.title, "Amelie :: Uncut (2001)");
    let (report, _) = imported(&[
        (
            "u.item",
            b"1|A (1995)|||x|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n\
              2|B|C (1995)|||x|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
        ),
        ("u.data", b"196\t1\t3\t881250949\n"),
    ])
    .await;
    assert_eq!((report.movies, report.malformed), (1, 1));
}

#[tokio::test]
async fn a_genre_that_a_row_repeats_is_stored_once() {
    let (_, fresh) =
        imported(&[("movies.csv", b"movieId,title,genres\n1,A (1995),Drama| Drama |drama\n2,B,Comedy|\n")])
            .await;
    assert_eq!(movie(&*fresh.store, 1).await.genres, ["Drama"]);
    assert_eq!(movie(&*fresh.store, 2).await.genres, ["Comedy"]);
}

#[tokio::test]
async fn links_with_an_id_that_is_none_are_left_out_and_named() {
    let (report, fresh) =
        imported(&[MOVIES, ("links.csv", b"movieId,imdbId,tmdbId\n1,tt0114709,862\n2,,9999999999\n3,+5,\n")])
            .await;
    let rows: Vec<_> = report.first_malformed.iter().map(ToString::to_string).collect();
    assert_eq!(
        rows,
        [
            "links.csv, line 3: tmdbId is \"9999999999\", not an id",
            "links.csv, line 4: imdbId is \"+5\", not an id",
        ]
    );
    let linked = movie(&*fresh.store, 1).await;
    assert_eq!((report.links, linked.imdb, linked.tmdb), (1, Some(114_709), Some(862)));
}

#[tokio::test]
async fn an_id_with_a_sign_is_malformed() {
    let (report, _) = imported(&[MOVIES, ("ratings.csv", b"+1,1,4.0,10\n2,1,4.0,10\n2,+1,4.0,11\n")]).await;
    assert_eq!((report.ratings, report.malformed), (1, 2));
}

#[tokio::test]
async fn a_zip_packed_on_windows_is_read() {
    let (_dir, path) = zipped(&[
        ("ml-latest-small\\movies.csv", b"movieId,title,genres\n1,A (1999),Drama\n"),
        ("ml-latest-small\\ratings.csv", b"userId,movieId,rating,timestamp\n3,1,4.0,7\n"),
    ]);
    let fresh = fresh();
    let report = import_into(&*fresh.store, &path, options()).await.expect("the zip is sound");
    assert_eq!((report.movies, report.ratings), (1, 1));
}
