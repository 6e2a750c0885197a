//! Movies and histories of any number, in the shape of MovieLens: words of titles and movies of histories
//! by a Zipf law, 1 to 3 of 19 genres, release years that grow denser.

use marquee_core::Trend;
use marquee_core::domain::{Interaction, Kind, MovieId, MovieRecord, Rating, UserId};
use marquee_core::statistics::{MovieStats, RatingCounts};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// The genres of MovieLens.
const GENRES: [&str; 19] = [
    "Action",
    "Adventure",
    "Animation",
    "Children",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "IMAX",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];
const SYLLABLES: [&str; 20] = [
    "ba", "con", "da", "el", "fi", "gar", "ho", "in", "jo", "ka", "lum", "mi", "nor", "os", "pa", "ri", "sa",
    "ten", "ur", "vi",
];
/// The time of the first event, in milliseconds: September 2001.
const FIRST_EVENT_MS: i64 = 1_000_000_000_000;

/// `count` movies with the ids 1 to `count`, the same for the same seed.
///
/// # Panics
/// For no movies.
pub fn movies(count: usize, seed: u64) -> Vec<MovieRecord> {
    let mut random = StdRng::seed_from_u64(seed);
    // As many words as the titles of ML-32M have: 84,432 titles, some 50,000 words.
    let words = Zipf::new((count as f64 * 0.6).max(100.0), 0.9).expect("there are words");
    let genres = Zipf::new(GENRES.len() as f64, 0.7).expect("there are genres");
    (1..=count as MovieId)
        .map(|movie_id| {
            let length = random.random_range(1..=5);
            let title: Vec<String> = (0..length).map(|_| word(words.sample(&mut random) as usize)).collect();
            let age = random.random::<f64>().powi(2) * 100.0;
            let mut own: Vec<String> = (0..random.random_range(1..=3))
                .map(|_| GENRES[genres.sample(&mut random) as usize - 1].to_owned())
                .collect();
            own.dedup();
            MovieRecord {
                movie_id,
                title: format!("{} ({})", title.join(" "), 2023 - age as u32),
                genres: own,
                ..MovieRecord::default()
            }
        })
        .collect()
}

/// Statistics of the movies 1 to `count`, the first the most popular.
pub fn stats(count: usize) -> Vec<MovieStats> {
    (1..=count as MovieId)
        .map(|movie_id| {
            let ratings = 1 + 100_000 / u64::from(movie_id);
            let mut trend = Trend::default();
            trend.add(
                220 * Trend::HALF_LIFE_MS - (f64::from(movie_id).log2() * Trend::HALF_LIFE_MS as f64) as i64,
            );
            let all_alike = RatingCounts::of(Rating::ALL[6], ratings);
            MovieStats { movie_id, popularity: ratings, ratings: all_alike, trend }
        })
        .collect()
}

/// The n-th most frequent word of titles.
pub fn word(n: usize) -> String {
    let mut left = n + SYLLABLES.len();
    let mut word = String::new();
    while left > 0 {
        word.push_str(SYLLABLES[left % SYLLABLES.len()]);
        left /= SYLLABLES.len();
    }
    word
}

/// `count` ratings of a user, oldest first, a minute apart, of movies 1 to `movies`.
pub fn history(user_id: UserId, count: usize, movies: usize) -> Vec<Interaction> {
    let mut random = StdRng::seed_from_u64(user_id);
    (0..count)
        .map(|nth| Interaction {
            user_id,
            movie_id: random.random_range(1..=movies as MovieId),
            time_ms: FIRST_EVENT_MS + 60_000 * nth as i64,
            kind: Kind::Rating,
            rating: Rating::from_half_stars(random.random_range(1..=10)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_distinct() {
        let words: HashSet<String> = (0..50_000).map(word).collect();
        assert_eq!(words.len(), 50_000);
    }

    #[test]
    fn movies_have_titles_with_years_and_genres() {
        for movie in movies(100, 1) {
            assert!(movie.title.ends_with(')') && !movie.genres.is_empty(), "{movie:?}");
        }
    }
}
