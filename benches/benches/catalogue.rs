//! Filters and title search over a catalogue of ML-32M's size.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use marquee_benches::synthetic;
use marquee_server::catalog::{Catalog, Filter};

const MOVIES: usize = 87_585;

/// Titles whose searches make up the percentiles, in each way of typing.
const TYPED: usize = 500;

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

/// The ways in which a title is typed.
fn typed(title: &str) -> [(&'static str, String); 7] {
    let name = title.split(" (").next().unwrap_or(title);
    let letters: Vec<char> = name.chars().collect();
    let without = |places: &[usize]| {
        let kept = (0..letters.len()).filter(|place| !places.contains(place));
        kept.map(|place| letters[place]).collect::<String>()
    };
    let begun = letters.iter().take(letters.len() * 2 / 3).collect();
    let initials = name.split(' ').filter_map(|word| word.chars().next()).collect();
    let reversed = name.split(' ').rev().collect::<Vec<_>>().join(" ");
    [
        ("as it is", name.to_owned()),
        ("two thirds of it", begun),
        ("joined", name.replace(' ', "")),
        ("words the other way round", reversed),
        ("its initials", initials),
        ("one letter left out", without(&[letters.len() / 2])),
        ("two letters left out", without(&[letters.len() / 3, letters.len() * 2 / 3])),
    ]
}

/// Says how long searches take, the slow ones too, which a mean hides.
fn percentiles(catalog: &Catalog) {
    let movies = catalog.movies();
    let titles = movies.iter().step_by(MOVIES / TYPED).map(|movie| typed(&movie.title));
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (way, query) in titles.flatten() {
        let began = Instant::now();
        black_box(catalog.search(&query, None, 10));
        times.push((way, began.elapsed()));
    }
    let ways: Vec<&str> = times.iter().take(7).map(|(way, _)| *way).collect();
    for way in ways {
        say(way, times.iter().filter(|(other, _)| *other == way).map(|(_, time)| *time).collect());
    }
    say("all", times.into_iter().map(|(_, time)| time).collect());
}

fn say(way: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    println!("search, {way}: p50 {} us, p99 {} us, longest {} us", at(50), at(99), at(100));
}

fn catalogue(criterion: &mut Criterion) {
    let catalog = Catalog::new(synthetic::movies(MOVIES, 1), synthetic::stats(MOVIES));
    filters(criterion, &catalog);
    search(criterion, &catalog);
    percentiles(&catalog);
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = catalogue
}
criterion_main!(benches);
