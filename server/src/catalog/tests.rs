//! The catalogue as a whole, against naive oracles and the bundled sample.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use marquee_core::attributes::{Attribute, AttributeValue};
use marquee_core::domain::{Kind, Rating, UserId};
use proptest::prelude::*;

use super::movies::year_of;
use super::*;

const GENRES: [&str; 4] = ["Comedy", "Drama", "Sci-Fi", "War"];
const CAST: [&str; 3] = ["Anna", "Ben", "Cem"];
const TAGS: [&str; 3] = ["slow", "robots", "based on a book"];

fn movie(movie_id: MovieId, title: &str) -> MovieRecord {
    MovieRecord { movie_id, title: title.into(), ..MovieRecord::default() }
}

fn rated(movie_id: MovieId, ratings: u64) -> MovieStats {
    let counts = RatingCounts::of(Rating::ALL[6], ratings);
    MovieStats { popularity: ratings, ratings: counts, ..MovieStats::none(movie_id) }
}

fn rating(user_id: UserId, movie_id: MovieId, time_ms: i64, half_stars: u8) -> Interaction {
    Interaction {
        user_id,
        movie_id,
        time_ms,
        kind: Kind::Rating,
        rating: Rating::from_half_stars(half_stars),
    }
}

/// A path of the repository, from the crate on.
fn path_to(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The movies of the bundled sample, with a rating a movie for each in its order of popularity.
fn sample() -> &'static Catalog {
    static SAMPLE: OnceLock<Catalog> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let folder = path_to("../onnx/data/ml-latest-small");
        let mut movies = csv::Reader::from_path(folder.join("movies.csv")).expect("the sample is there");
        let movies = movies.records().map(|row| {
            let row = row.expect("the sample is well-formed");
            movie(row[0].parse().expect("an id"), &row[1])
        });
        let mut ratings: HashMap<MovieId, u64> = HashMap::new();
        let mut rows = csv::Reader::from_path(folder.join("ratings.csv")).expect("the sample is there");
        for row in rows.records() {
            *ratings.entry(row.expect("well-formed")[1].parse().expect("an id")).or_default() += 1;
        }
        Catalog::new(movies.collect(), ratings.into_iter().map(|(id, count)| rated(id, count)).collect())
    })
}

fn titles(catalog: &Catalog, query: &str, limit: usize) -> Vec<String> {
    let found = catalog.search(query, None, limit);
    let movies = catalog.movies();
    found.into_iter().map(|index| movies.at(index).expect("of this snapshot").title.to_string()).collect()
}

fn first(catalog: &Catalog, query: &str) -> String {
    titles(catalog, query, 1).pop().unwrap_or_default()
}

/// What people typed, and the movie that they meant; `server/tests/search/queries.csv` has a line for each.
struct Meant {
    kind: String,
    query: String,
    movie_id: MovieId,
}

fn meant() -> Vec<Meant> {
    let mut rows =
        csv::Reader::from_path(path_to("tests/search/queries.csv")).expect("the queries are there");
    let read = |row: csv::StringRecord| {
        let movie_id = row[2].parse().expect("an id");
        let movie = sample().movies().get(movie_id).map(|movie| movie.title.to_string());
        assert_eq!(movie.as_deref(), Some(&row[3]), "the sample's title of {movie_id}");
        Meant { kind: row[0].to_owned(), query: row[1].to_owned(), movie_id }
    };
    rows.records().map(|row| read(row.expect("well-formed"))).collect()
}

/// One in the place of the movie that was meant, among the first ten; 0 where it is not there.
fn reciprocal_rank(meant: &Meant) -> f64 {
    let movies = sample().movies();
    let found = sample().search(&meant.query, None, 10);
    let place = found.iter().position(|index| movies.movie_id(*index) == meant.movie_id);
    place.map_or(0.0, |place| 1.0 / (place + 1) as f64)
}

/// `cargo test -p marquee-server --lib what_people_mean -- --nocapture` prints the table.
#[test]
fn what_people_mean_is_found_however_they_type_it() {
    let mut kinds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for meant in meant() {
        let rank = reciprocal_rank(&meant);
        if rank < 1.0 {
            println!("{}: {:?} finds movie {} with {rank:.3}", meant.kind, meant.query, meant.movie_id);
        }
        kinds.entry(meant.kind).or_default().push(rank);
    }
    let mean = |ranks: &[f64]| ranks.iter().sum::<f64>() / ranks.len() as f64;
    for (kind, ranks) in &kinds {
        println!("{kind:26} {:4} queries, MRR@10 {:.3}", ranks.len(), mean(ranks));
    }
    let all = kinds.values().flatten().copied().collect::<Vec<_>>();
    println!("{:26} {:4} queries, MRR@10 {:.3}", "all", all.len(), mean(&all));
    assert!(all.len() >= 150 && mean(&all) >= 0.97, "all: {:.3}", mean(&all));
    for (kind, ranks) in &kinds {
        assert!(mean(ranks) >= 0.85, "{kind}: {:.3}", mean(ranks));
    }
}

#[test]
fn an_inverted_article_is_found_as_people_say_it() {
    let catalog = sample();
    for query in ["the matrix", "matrix", "Matrix, The", "matrix 1999", "The Matrix (1999)", "matrix the"] {
        assert_eq!(first(catalog, query), "Matrix, The (1999)", "{query}");
    }
}

#[test]
fn typing_errors_are_forgiven() {
    let catalog = sample();
    for (query, title) in [
        ("mtarix", "Matrix, The (1999)"),
        ("godfahter", "Godfather, The (1972)"),
        ("toy stroy", "Toy Story (1995)"),
        ("shawshenk redemtion", "Shawshank Redemption, The (1994)"),
        ("the empire strickes back", "Star Wars: Episode V - The Empire Strikes Back (1980)"),
        ("termnat", "Terminator 2: Judgment Day (1991)"),
        ("schindlers list", "Schindler's List (1993)"),
        (
            "raiders of the lost arc",
            "Raiders of the Lost Ark (Indiana Jones and the Raiders of the Lost Ark) (1981)",
        ),
    ] {
        assert_eq!(first(catalog, query), title, "{query}");
    }
}

#[test]
fn the_last_word_is_a_prefix_and_the_order_of_words_is_free() {
    let catalog = sample();
    assert_eq!(first(catalog, "pulp fic"), "Pulp Fiction (1994)");
    assert_eq!(first(catalog, "fiction pulp"), "Pulp Fiction (1994)");
    assert_eq!(first(catalog, "amelie"), "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)");
    assert_eq!(first(catalog, "spiderman 2"), "Spider-Man 2 (2004)");
    assert_eq!(first(catalog, "rocky 2"), "Rocky II (1979)");
}

#[test]
fn a_title_without_spaces_is_found_by_any_part_of_it() {
    let titles_without = [
        "七人の侍 (1954)",
        "千と千尋の神隠し (2001)",
        "스타워즈: 깨어난 포스 (2015)",
        "ต้มยำกุ้ง (2005)",
        "侍 (1965)",
    ];
    let movies = (1..).zip(titles_without).map(|(id, title)| movie(id, title)).collect();
    let catalog = Catalog::new(movies, vec![]);
    for (query, title) in [
        ("七人", "七人の侍 (1954)"),
        ("人の侍", "七人の侍 (1954)"),
        ("侍 七人", "七人の侍 (1954)"),
        ("神隠し", "千と千尋の神隠し (2001)"),
        ("千尋", "千と千尋の神隠し (2001)"),
        ("ｶﾐ神隠し2001", "千と千尋の神隠し (2001)"),
        ("워즈", "스타워즈: 깨어난 포스 (2015)"),
        ("ยำกุ้ง", "ต้มยำกุ้ง (2005)"),
        ("侍", "侍 (1965)"),
    ] {
        assert_eq!(first(&catalog, query), title, "{query}");
    }
    assert_eq!(titles(&catalog, "侍", 9).len(), 2);
    assert_eq!(titles(&catalog, "八人", 9), Vec::<String>::new());
}

#[test]
fn popularity_decides_among_titles_that_match_alike() {
    let catalog = sample();
    assert_eq!(first(catalog, "star wars"), "Star Wars: Episode IV - A New Hope (1977)");
    assert_eq!(titles(catalog, "lord of the rings", 3).len(), 3);
    assert!(
        titles(catalog, "lord of the rings", 3).iter().all(|title| title.starts_with("Lord of the Rings"))
    );
}

#[test]
fn a_query_that_no_title_fits_finds_nothing() {
    let catalog = sample();
    for query in ["", "  ", "!?", "xyzzyplugh", "the qwrtzpsdf", "\u{0}\u{301}"] {
        assert_eq!(titles(catalog, query, 10), Vec::<String>::new(), "{query:?}");
    }
}

#[test]
fn a_selection_bounds_the_search() {
    let catalog = sample();
    let filter = Filter { year_min: Some(2000), ..Filter::default() };
    let selection = catalog.select(&filter).expect("no genre is named");
    let found = catalog.search("matrix", selection.as_ref(), 10);
    assert!(!found.is_empty());
    let movies = catalog.movies();
    assert!(found.iter().all(|index| movies.at(*index).and_then(|movie| movie.year) >= Some(2000)));
}

#[test]
fn an_unknown_genre_is_an_error_that_names_the_known_ones() {
    let record = MovieRecord { genres: vec!["Drama".into(), "War".into()], ..movie(1, "A") };
    let catalog = Catalog::new(vec![record], vec![]);
    let filter = Filter { genres_none: vec!["Dramma".into()], ..Filter::default() };
    let error = catalog.select(&filter).expect_err("there is no such genre");
    assert_eq!(error.to_string(), "there is no genre \"Dramma\"; the genres are Drama, War");
}

#[test]
fn an_empty_filter_selects_nothing_in_particular() {
    assert_eq!(sample().select(&Filter::default()), Ok(None));
}

#[test]
fn events_count_at_once_and_are_forgotten_with_their_user() {
    let catalog = Catalog::new(vec![movie(10, "A"), movie(20, "B")], vec![rated(20, 1)]);
    let first = rating(1, 10, 1_000, 4);
    let second = rating(1, 10, 2_000, 10);
    let low = Recorded::new(None, &first);
    catalog.apply(&first, &low);
    assert_eq!((catalog.ratings(0), catalog.average(0), catalog.popularity(0)), (1, Some(2.0), 0));
    let high = Recorded::new(low.now, &second);
    catalog.apply(&second, &high);
    catalog.apply(&second, &Recorded::duplicate(high.now));
    assert_eq!((catalog.ratings(0), catalog.average(0), catalog.popularity(0)), (1, Some(5.0), 1));
    assert_eq!(catalog.trending(None, &RoaringBitmap::new(), None, 1)[0].0, 0);
    catalog.forget(&[first, second]);
    assert_eq!((catalog.ratings(0), catalog.average(0), catalog.popularity(0)), (0, None, 0));
    assert_eq!(catalog.trend(0), Trend::default());
    assert_eq!(catalog.average(1), Some(3.5));
}

#[test]
fn ratings_are_told_by_value_of_a_movie_and_of_all() {
    let catalog = Catalog::new(vec![movie(10, "A"), movie(20, "B")], vec![rated(20, 2)]);
    let (first, second) = (rating(1, 10, 1_000, 4), rating(1, 10, 2_000, 10));
    let recorded = Recorded::new(None, &first);
    catalog.apply(&first, &recorded);
    assert_eq!(catalog.rating_counts(Some(0)), RatingCounts::of(Rating::ALL[3], 1));
    catalog.apply(&second, &Recorded::new(recorded.now, &second));
    let latest = RatingCounts::of(Rating::ALL[9], 1);
    assert_eq!(catalog.rating_counts(Some(0)), latest);
    let mut all = RatingCounts::of(Rating::ALL[6], 2);
    all.merge(&latest);
    assert_eq!(catalog.rating_counts(None), all);
    catalog.set_stats(vec![rated(10, 5)]);
    assert_eq!(catalog.rating_counts(None), RatingCounts::of(Rating::ALL[6], 5));
    catalog.forget(&[first]);
    let five = RatingCounts::of(Rating::ALL[6], 5);
    assert_eq!(catalog.rating_counts(Some(0)), five, "a value that is taken out too often is not there");
}

#[test]
fn a_user_that_is_forgotten_before_it_was_counted_leaves_nothing() {
    let catalog = Catalog::new(vec![movie(10, "A")], vec![]);
    let event = rating(1, 10, 1_000, 9);
    catalog.forget(&[event]);
    assert_eq!((catalog.ratings(0), catalog.average(0), catalog.popularity(0)), (0, None, 0));
    catalog.apply(&event, &Recorded::new(None, &event));
    assert_eq!((catalog.ratings(0), catalog.average(0), catalog.popularity(0)), (0, None, 0));
    assert_eq!(catalog.trend(0), Trend::default());
}

#[test]
fn a_deleted_user_of_today_leaves_the_trend_of_years_ago() {
    let (years_ago, today) = (946_684_801_000, 1_790_000_000_000);
    let loved =
        MovieStats { popularity: 1, trend: [years_ago].into_iter().collect(), ..MovieStats::none(10) };
    let catalog = Catalog::new(vec![movie(10, "Loved"), movie(20, "Obscure")], vec![loved]);
    let before = catalog.trend(0);
    let event = rating(1, 10, today, 9);
    catalog.apply(&event, &Recorded::new(None, &event));
    catalog.forget(&[event]);
    assert_eq!(catalog.trend(0), before);
    assert_eq!(catalog.trending(None, &RoaringBitmap::new(), None, 1)[0].0, 0);
}

#[test]
fn hiding_and_disliking_raise_no_movie() {
    let catalog = Catalog::new(vec![movie(10, "A"), movie(20, "B")], vec![]);
    let view = Interaction { kind: Kind::View, rating: None, ..rating(1, 20, 1_000, 1) };
    catalog.apply(&view, &Recorded::new(None, &view));
    for (user_id, kind) in (1..).zip([Kind::Hide, Kind::Dislike]) {
        let event = Interaction { user_id, kind, ..rating(1, 10, 2_000, 1) };
        catalog.apply(&event, &Recorded::new(None, &event));
    }
    let low = rating(5, 10, 2_000, 1);
    catalog.apply(&low, &Recorded::new(None, &low));
    assert_eq!(catalog.popular(None, &RoaringBitmap::new(), None, 9), [(1, 1.0), (0, 0.0)]);
    assert_eq!(catalog.trending(None, &RoaringBitmap::new(), None, 1)[0].0, 1);
}

#[test]
fn movies_that_come_later_keep_what_was_counted() {
    let catalog = Catalog::new(vec![movie(10, "Old")], vec![rated(10, 3)]);
    catalog.put(vec![movie(5, "New (2020)"), movie(10, "Older")]);
    assert_eq!((catalog.ratings(0), catalog.ratings(1)), (3, 0));
    assert_eq!(catalog.search("older", None, 1), [0]);
    assert_eq!(catalog.search("new", None, 1), [1]);
    let event = rating(1, 5, 1, 9);
    catalog.apply(&event, &Recorded::new(None, &event));
    assert_eq!(catalog.popular(None, &RoaringBitmap::new(), None, 9), [(0, 3.0), (1, 1.0)]);
}

#[test]
fn a_removed_movie_is_found_by_nothing_and_keeps_what_is_counted() {
    let nobody = RoaringBitmap::new();
    let records = || vec![movie(10, "Heat (1995)"), movie(20, "Heat Wave (1990)"), movie(30, "Ran (1985)")];
    let catalog = Catalog::new(records(), vec![rated(10, 3), rated(20, 2), rated(40, 4)]);
    assert_eq!((catalog.remove(&[10, 40, 50]), catalog.remove(&[10])), (1, 0));
    assert_eq!(catalog.popular(None, &nobody, None, 9), [(1, 2.0), (2, 0.0)]);
    assert_eq!(catalog.trending(None, &nobody, None, 9).len(), 2);
    assert_eq!(catalog.search("heat", None, 9), [1]);
    let without = Filter { deny_movie_ids: vec![20], ..Filter::default() };
    assert_eq!(catalog.select(&without), Ok(Some(RoaringBitmap::from([2]))));
    let allowed = Filter { allow_movie_ids: vec![10, 20], ..Filter::default() };
    assert_eq!(catalog.select(&allowed), Ok(Some(RoaringBitmap::from([1]))));
    assert_eq!(catalog.rating_counts(None).total(), 2);

    let event = rating(1, 10, 1_000, 8);
    catalog.apply(&event, &Recorded::new(None, &event));
    catalog.set_stats(vec![rated(10, 4), rated(20, 2), rated(40, 4)]);
    assert_eq!(catalog.popular(None, &nobody, None, 9), [(1, 2.0), (2, 0.0)]);
    catalog.put(vec![movie(30, "Ran, again (1985)")]);
    assert_eq!(catalog.search("heat", None, 9), [1]);
    catalog.put(vec![movie(10, "Heat (1995)"), movie(40, "Dune (2021)")]);
    assert_eq!(catalog.popular(None, &nobody, None, 9), [(0, 4.0), (3, 4.0), (1, 2.0), (2, 0.0)]);
    assert_eq!(catalog.search("heat", None, 9), [0, 1]);
    assert_eq!(catalog.rating_counts(None).total(), 10);
}

prop_compose! {
    fn any_movie()(
        title in "[A-C ]{1,3}",
        year in proptest::option::of(1995u16..2000),
        genres in proptest::sample::subsequence(&GENRES[..], 0..=3),
        tags in proptest::sample::subsequence(&TAGS[..], 0..=2),
        cast in proptest::sample::subsequence(&CAST[..], 0..=2),
        minutes in proptest::option::of(1i8..5),
        ratings in 0u64..4,
        rating in proptest::sample::select(&Rating::ALL[..]),
        popularity in 0u64..5,
    ) -> (MovieRecord, MovieStats) {
        let title = year.map_or(title.clone(), |year| format!("{title} ({year})"));
        let record = MovieRecord {
            genres: genres.into_iter().map(str::to_owned).collect(),
            tags: tags.into_iter().map(|tag| (tag.to_owned(), 1)).collect(),
            attributes: attributes_of(&cast, minutes),
            ..movie(0, &title)
        };
        let mut trend = Trend::default();
        trend.add((popularity * 7 % 3) as i64 * Trend::HALF_LIFE_MS);
        (record, MovieStats { movie_id: 0, popularity, ratings: RatingCounts::of(rating, ratings), trend })
    }
}

/// A cast, if there is one, and a running time, if there is one.
fn attributes_of(cast: &[&str], minutes: Option<i8>) -> Vec<Attribute> {
    let cast: Vec<String> = cast.iter().map(ToString::to_string).collect();
    let cast = (!cast.is_empty()).then_some(("cast", AttributeValue::Texts(cast)));
    let minutes = minutes.map(|minutes| ("minutes", AttributeValue::Number(minutes.into())));
    let named = cast.into_iter().chain(minutes);
    named.map(|(name, value)| Attribute { name: name.to_owned(), value }).collect()
}

fn any_condition() -> impl Strategy<Value = AttributeCondition> {
    let texts = proptest::sample::subsequence(vec!["anna", "BEN", "nobody"], 1..=2);
    let any_of = texts.prop_map(|texts| AttributeTest::AnyOf(texts.into_iter().map(str::to_owned).collect()));
    let bound = || proptest::option::of(0i8..6).prop_map(|bound| bound.map(f64::from));
    let range = (bound(), bound()).prop_map(|(min, max)| AttributeTest::Range { min, max });
    let test = prop_oneof![any_of, range, any::<bool>().prop_map(AttributeTest::Exists)];
    let name = proptest::sample::select(vec!["cast", "minutes", "studio"]);
    (name, test).prop_map(|(name, test)| AttributeCondition { name: name.to_owned(), test })
}

/// The promise of one condition.
fn is_so(AttributeCondition { name, test }: &AttributeCondition, record: &MovieRecord) -> bool {
    let found = record.attributes.iter().find(|attribute| attribute.name == *name);
    let value = found.map(|attribute| &attribute.value);
    match (test, value) {
        (AttributeTest::Exists(exists), value) => value.is_some() == *exists,
        (AttributeTest::AnyOf(wanted), Some(AttributeValue::Texts(texts))) => {
            texts.iter().any(|text| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(text)))
        }
        (AttributeTest::Range { min, max }, Some(AttributeValue::Number(number))) => {
            min.is_none_or(|min| *number >= min) && max.is_none_or(|max| *number <= max)
        }
        _ => false,
    }
}

prop_compose! {
    fn any_filter()(
        any in proptest::sample::subsequence(&GENRES[..], 0..=2),
        all in proptest::sample::subsequence(&GENRES[..], 0..=2),
        none in proptest::sample::subsequence(&GENRES[..], 0..=1),
        tags in proptest::sample::subsequence(vec!["Slow", "ROBOTS", "unknown"], 0..=2),
        year_min in proptest::option::of(1994u16..2001),
        year_max in proptest::option::of(1994u16..2001),
        average_rating_min in proptest::option::of(0.5f64..5.0),
        ratings_min in proptest::option::of(0u64..4),
        allow_movie_ids in proptest::collection::vec(1u32..60, 0..8),
        deny_movie_ids in proptest::collection::vec(1u32..60, 0..8),
        attributes in proptest::collection::vec(any_condition(), 0..3),
    ) -> Filter {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Filter {
            genres_any: owned(any), genres_all: owned(all), genres_none: owned(none), tags_any: owned(tags),
            year_min, year_max, average_rating_min, ratings_min, allow_movie_ids, deny_movie_ids, attributes,
        }
    }
}

/// Movies with the ids 3, 6, 9, ..., and one more with all genres, so that each genre is known.
fn numbered(mut rows: Vec<(MovieRecord, MovieStats)>) -> Vec<(MovieRecord, MovieStats)> {
    let all = MovieRecord { genres: GENRES.iter().map(ToString::to_string).collect(), ..movie(0, "All") };
    rows.push((all, MovieStats::default()));
    for ((record, stats), id) in rows.iter_mut().zip((3..).step_by(3)) {
        record.movie_id = id;
        stats.movie_id = id;
    }
    rows
}

/// The filter's promise, one movie at a time.
fn passes(filter: &Filter, record: &MovieRecord, stats: &MovieStats) -> bool {
    let has_genre = |name: &String| record.genres.contains(name);
    let has_tag = |name: &String| record.tags.iter().any(|(tag, _)| *tag == name.to_lowercase());
    let year = year_of(&record.title);
    (filter.genres_any.is_empty() || filter.genres_any.iter().any(has_genre))
        && filter.genres_all.iter().all(has_genre)
        && !filter.genres_none.iter().any(has_genre)
        && (filter.tags_any.is_empty() || filter.tags_any.iter().any(has_tag))
        && filter.year_min.is_none_or(|min| year.is_some_and(|year| year >= min))
        && filter.year_max.is_none_or(|max| year.is_some_and(|year| year <= max))
        && filter
            .average_rating_min
            .is_none_or(|min| stats.ratings.average().is_some_and(|average| average >= min))
        && filter.ratings_min.is_none_or(|min| stats.ratings.total() >= min)
        && (filter.allow_movie_ids.is_empty() || filter.allow_movie_ids.contains(&record.movie_id))
        && !filter.deny_movie_ids.contains(&record.movie_id)
        && filter.attributes.iter().all(|condition| is_so(condition, record))
}

/// Index and score of all movies, highest score first, ties by ascending id.
fn ranking(rows: &[(MovieRecord, MovieStats)], score: impl Fn(&MovieStats) -> f64) -> Vec<(u32, f64)> {
    let mut ranking: Vec<_> = (0..).zip(rows).map(|(index, (_, stats))| (index, score(stats))).collect();
    ranking.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranking
}

fn catalog_of(rows: &[(MovieRecord, MovieStats)]) -> Catalog {
    let (movies, stats) = rows.iter().cloned().unzip();
    Catalog::new(movies, stats)
}

proptest! {
    #[test]
    fn a_filter_selects_what_a_look_at_every_movie_selects(
        rows in proptest::collection::vec(any_movie(), 0..20),
        filter in any_filter(),
    ) {
        let rows = numbered(rows);
        let selected = catalog_of(&rows).select(&filter).expect("all genres are known");
        let expected: Vec<u32> = (0..)
            .zip(&rows)
            .filter(|(_, (record, stats))| passes(&filter, record, stats))
            .map(|(index, _)| index)
            .collect();
        match selected {
            Some(selected) => prop_assert_eq!(selected.iter().collect::<Vec<_>>(), expected),
            None => prop_assert!(filter.is_empty() && expected.len() == rows.len()),
        }
    }

    #[test]
    fn a_movie_passes_a_filter_when_it_fails_none_of_its_conditions(
        rows in proptest::collection::vec(any_movie(), 0..20),
        filter in any_filter(),
    ) {
        let rows = numbered(rows);
        let catalog = catalog_of(&rows);
        for (record, stats) in &rows {
            let failed = catalog.failed_conditions(&filter, record.movie_id).expect("all genres are known");
            prop_assert_eq!(failed.is_empty(), passes(&filter, record, stats), "{:?} of {:?}", failed, record);
        }
    }

    #[test]
    fn pages_put_together_are_the_whole_ranking_under_any_filter(
        rows in proptest::collection::vec(any_movie(), 0..20),
        filter in any_filter(),
        exclude in proptest::collection::btree_set(1u32..60, 0..8),
        limit in 1usize..5,
    ) {
        let rows = numbered(rows);
        let catalog = catalog_of(&rows);
        let selection = catalog.select(&filter).expect("all genres are known");
        let exclude = RoaringBitmap::from_iter(exclude);
        let movies = catalog.movies();
        let allowed = |index: u32| {
            selection.as_ref().is_none_or(|selection| selection.contains(index))
                && !exclude.contains(movies.movie_id(index))
        };
        let paged = |page: &dyn Fn(Option<After>) -> Vec<(u32, f64)>| {
            let mut all = page(None);
            while let Some((index, score)) = all.last().copied() {
                let next = page(Some(After { score, movie_id: movies.movie_id(index) }));
                if next.is_empty() {
                    break;
                }
                all.extend(next);
            }
            all
        };
        let mut popular = ranking(&rows, |stats| stats.popularity as f64);
        popular.retain(|(index, _)| allowed(*index));
        prop_assert_eq!(paged(&|after| catalog.popular(selection.as_ref(), &exclude, after, limit)), popular);
        let mut trending = ranking(&rows, |stats| stats.trend.score());
        trending.retain(|(index, _)| allowed(*index));
        prop_assert_eq!(paged(&|after| catalog.trending(selection.as_ref(), &exclude, after, limit)), trending);
    }

    #[test]
    fn any_query_is_answered_without_a_panic(query in "\\PC{0,40}") {
        let catalog = Catalog::new(vec![movie(1, "Ünïcode 映画, The (1999)"), movie(2, "")], vec![]);
        let _ = catalog.search(&query, None, 3);
    }
}
