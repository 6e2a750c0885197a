//! What movies have in common by what is said of them: genres, the words of their titles, when they were made.
//!
//! It needs nobody who watched them, so a movie has it from the moment that it is there. The weights were chosen on
//! groups of movies that people call alike: `onnx/RANKING.md` says which, and what each part gives.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::movies::{Movie, Movies};
use super::text;

/// What the same genres are worth, made in the same year.
const GENRES: f32 = 0.25;

/// The share of that which is left of movies that were made centuries apart.
const OF_ANY_TIME: f32 = 0.5;

/// Years that make a third of the rest.
const YEARS: f32 = 10.0;

/// What the same words in a title are worth.
const WORDS: f32 = 0.75;

/// Words that say nothing of what a movie is about.
const PLAIN_WORDS: [&str; 37] = [
    "a", "aka", "an", "and", "at", "by", "das", "de", "der", "die", "el", "episode", "for", "from", "ii",
    "iii", "il", "in", "iv", "la", "le", "movie", "of", "on", "part", "the", "to", "vi", "vii", "vol",
    "with", "ix", "les", "los", "viii", "volume", "vs",
];

/// What is said of all movies, by dense index.
pub(super) struct ContentIndex {
    genres: Postings<(u32, u32)>,
    words: Postings<String>,
    years: Vec<Option<u16>>,
}

impl ContentIndex {
    pub(super) fn new(movies: &Movies) -> Self {
        Self {
            genres: Postings::new(
                movies.slots().map(|movie| movie.map(|it| genres_of(it)).unwrap_or_default()),
            ),
            words: Postings::new(
                movies.slots().map(|movie| movie.map(|it| words_of(it)).unwrap_or_default()),
            ),
            years: movies.slots().map(|movie| movie?.year).collect(),
        }
    }

    /// How much each movie, by dense index, has in common with this one: from 0 to 1, which it has with itself.
    pub(super) fn likeness(&self, movie: &Movie) -> Vec<f32> {
        let mut likeness = self.genres.cosines(&genres_of(movie));
        for (value, year) in likeness.iter_mut().zip(&self.years) {
            *value *= GENRES * (OF_ANY_TIME + (1.0 - OF_ANY_TIME) * nearness(movie.year, *year));
        }
        for (value, words) in likeness.iter_mut().zip(self.words.cosines(&words_of(movie))) {
            *value += WORDS * words;
        }
        likeness
    }
}

/// 1 for movies of the same year, less the further apart they are.
fn nearness(one: Option<u16>, other: Option<u16>) -> f32 {
    match (one, other) {
        (Some(one), Some(other)) => (-f32::from(one.abs_diff(other)) / YEARS).exp(),
        _ => 0.0,
    }
}

/// The genres, and every two of them.
fn genres_of(movie: &Movie) -> Vec<(u32, u32)> {
    let genres = &movie.genre_numbers;
    let pairs = genres.iter().flat_map(|one| genres.iter().map(move |other| (*one, *other)));
    pairs.filter(|(one, other)| one <= other).collect()
}

/// The words of all names, each once, those left out that stand in any title.
fn words_of(movie: &Movie) -> Vec<String> {
    let words: HashSet<String> = text::names(&movie.title).into_iter().flat_map(|name| name.words).collect();
    words
        .into_iter()
        .filter(|word| word.chars().nth(1).is_some() && !PLAIN_WORDS.contains(&&**word))
        .collect()
}

/// Which movies have a feature.
struct Postings<F> {
    numbers: HashMap<F, u32>,
    /// The movies of feature `f` are `members[starts[f]..starts[f + 1]]`, ascending.
    starts: Vec<usize>,
    members: Vec<u32>,
    /// The square of what each feature weighs: the rarer, the more.
    weights: Vec<f32>,
    /// One over the length of each movie's features; 0 where it has none.
    inverse_lengths: Vec<f32>,
}

impl<F: Eq + Hash> Postings<F> {
    fn new(movies: impl Iterator<Item = Vec<F>>) -> Self {
        let mut numbers = HashMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        let mut of_movies: Vec<Vec<u32>> = Vec::new();
        for (index, features) in (0..).zip(movies) {
            let mut of_movie = Vec::with_capacity(features.len());
            for feature in features {
                let next = members.len() as u32;
                let number = *numbers.entry(feature).or_insert(next);
                if number == next {
                    members.push(Vec::new());
                }
                members[number as usize].push(index);
                of_movie.push(number);
            }
            of_movies.push(of_movie);
        }
        let movies = of_movies.len() as f32;
        let weight = |members: &Vec<u32>| (1.0 + movies / members.len() as f32).ln().powi(2);
        let weights: Vec<f32> = members.iter().map(weight).collect();
        let inverse_length = |features: &Vec<u32>| inverse_length(features, &weights);
        let mut starts = vec![0];
        starts.extend(members.iter().scan(0, |end, members| {
            *end += members.len();
            Some(*end)
        }));
        Self {
            inverse_lengths: of_movies.iter().map(inverse_length).collect(),
            members: members.concat(),
            numbers,
            starts,
            weights,
        }
    }

    /// The cosine of these features and those of each movie. Features that no movie has are left out.
    fn cosines(&self, features: &[F]) -> Vec<f32> {
        let known: Vec<u32> =
            features.iter().filter_map(|feature| self.numbers.get(feature).copied()).collect();
        let mut cosines = vec![0.0; self.inverse_lengths.len()];
        for number in &known {
            let number = *number as usize;
            for index in &self.members[self.starts[number]..self.starts[number + 1]] {
                cosines[*index as usize] += self.weights[number];
            }
        }
        let inverse_length = inverse_length(&known, &self.weights);
        for (cosine, of_other) in cosines.iter_mut().zip(&self.inverse_lengths) {
            *cosine *= inverse_length * of_other;
        }
        cosines
    }
}

fn inverse_length(features: &[u32], weights: &[f32]) -> f32 {
    let squares: f32 = features.iter().map(|number| weights[*number as usize]).sum();
    if squares > 0.0 { squares.sqrt().recip() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::MovieRecord;

    use super::*;

    fn movies(of: &[(&str, &str)]) -> Movies {
        let record = |(movie_id, (title, genres)): (u32, &(&str, &str))| MovieRecord {
            movie_id,
            title: (*title).to_owned(),
            genres: genres.split('|').map(str::to_owned).collect(),
            ..MovieRecord::default()
        };
        Movies::new((1..).zip(of).map(record).collect())
    }

    fn likeness(movies: &Movies, of: u32) -> Vec<f32> {
        ContentIndex::new(movies).likeness(movies.at(of).unwrap())
    }

    #[test]
    fn sequels_are_likest_then_the_same_genres_of_the_same_time() {
        let movies = movies(&[
            ("Heat Wave (1990)", "Crime|Drama"),
            ("Heat Wave 2 (1992)", "Crime|Drama"),
            ("Quiet (1991)", "Crime|Drama"),
            ("Still (1931)", "Crime|Drama"),
            ("Song (1991)", "Musical"),
        ]);
        let likeness = likeness(&movies, 0);
        assert!((likeness[0] - 1.0).abs() < 1e-6, "{likeness:?}");
        assert!(likeness.is_sorted_by(|one, next| one > next), "{likeness:?}");
        assert!(likeness[4] <= 0.0);
    }

    #[test]
    fn plain_words_letters_and_numerals_are_nothing_in_common() {
        let movies =
            movies(&[("The Part of a II (1990)", "A"), ("The Part of a II (1990)", "B"), ("M (1990)", "C")]);
        assert!(likeness(&movies, 0)[1] <= 0.0);
        assert!(likeness(&movies, 2)[0] <= 0.0);
    }

    #[test]
    fn a_movie_that_came_later_is_compared_by_what_is_known() {
        let before = movies(&[("Heat (1990)", "Crime"), ("Song (1991)", "Musical")]);
        let index = ContentIndex::new(&before);
        let after = movies(&[("x (1990)", "Other"), ("Heat Returns (1990)", "Crime")]);
        let likeness = index.likeness(after.at(1).unwrap());
        assert!(likeness[0] > 0.4, "{likeness:?}");
    }
}
