//! Filters and title search over a catalogue of ML-32M's size.

mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use marquee_benches::synthetic;
use marquee_server::catalog::{Catalog, Filter};

const MOVIES: usize = 84_432;

fn filters(criterion: &mut Criterion, catalog: &Catalog) {
    let mut group = criterion.benchmark_group("filter");
    let drama = || Filter { genres_any: vec!["Drama".into()], ..Filter::default() };
    let cases = [
        ("one genre", drama()),
        (
            "any of three genres but not a fourth",
            Filter {
                genres_any: ["Drama", "Comedy", "War"].map(Into::into).into(),
                genres_none: vec!["Horror".into()],
                ..Filter::default()
            },
        ),
        ("ten years", Filter { year_min: Some(1990), year_max: Some(1999), ..Filter::default() }),
        ("a genre and 50 ratings", Filter { ratings_min: Some(50), ..drama() }),
        ("3.5 stars of all", Filter { average_rating_min: Some(3.5), ..Filter::default() }),
        ("1000 allowed ids", Filter { allow_movie_ids: (1..=1000).collect(), ..Filter::default() }),
    ];
    for (name, filter) in cases {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(catalog.select(&filter))));
    }
}

fn search(criterion: &mut Criterion, catalog: &Catalog) {
    let mut group = criterion.benchmark_group("search");
    let movies = catalog.movies();
    let title = |index: u32| movies.at(index).map(|movie| movie.title.to_string()).unwrap_or_default();
    let word = synthetic::word(5_000);
    let mistyped = {
        let mut letters: Vec<char> = word.chars().collect();
        letters.swap(1, 2);
        letters.into_iter().collect::<String>()
    };
    let cases = [
        ("a whole title", title(4_000)),
        ("one frequent word", synthetic::word(2)),
        ("one rare word", word.clone()),
        ("three letters of a word", word[..3].to_owned()),
        ("a word with an error", mistyped),
    ];
    for (name, query) in cases {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(catalog.search(&query, None, 10))));
    }
}

fn catalogue(criterion: &mut Criterion) {
    let catalog = Catalog::new(synthetic::movies(MOVIES, 1), synthetic::stats(MOVIES));
    filters(criterion, &catalog);
    search(criterion, &catalog);
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = catalogue
}
criterion_main!(benches);
