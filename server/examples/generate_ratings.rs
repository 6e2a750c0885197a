//! Writes a folder that looks like a MovieLens release of any size, to try an import with.
//!
//! `cargo run --release --example generate_ratings -- OUT` has the shape of ML-32M: 200,948 users
//! with 19 + LogNormal(3.93, 1.42) ratings each, some 31 million in all. Popularity falls with the
//! movie's rank; a fifth of a user's consecutive ratings share a second. Equal seeds write equal files.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};

/// Writes ratings.csv and movies.csv in the shape of ML-32M.
#[derive(Parser)]
struct Options {
    /// The folder to write to.
    out: PathBuf,
    /// Users.
    #[arg(long, default_value_t = 200_948)]
    users: u64,
    /// Rated movies.
    #[arg(long, default_value_t = 84_432)]
    movies: u32,
    /// A movies.csv whose ids to use instead of 1, 2, 3, ...; it is copied to the folder.
    #[arg(long)]
    movies_csv: Option<PathBuf>,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const FIRST_SECOND: i64 = 789_652_009;
const LAST_SECOND: i64 = 1_697_164_147;
/// How MovieLens' users rate: the share of 0.5, 1, ... 5 stars, in percent.
const STARS: [u32; 10] = [2, 3, 2, 7, 5, 20, 13, 27, 8, 13];

/// Draws by popularity for one movie.
const DRAWS: usize = 10;

/// Movies by rank with the running sum of their weights.
struct Popularity {
    movie_ids: Vec<u32>,
    sums: Vec<f64>,
}

impl Popularity {
    /// Weights that fall with the rank, flat at the top: half of the movies get fewer than 5 ratings.
    fn new(movie_ids: Vec<u32>) -> Self {
        let weight = |rank: usize| (rank as f64 + 150.0).powf(-1.9);
        let sums = (0..movie_ids.len()).scan(0.0, |sum, rank| {
            *sum += weight(rank);
            Some(*sum)
        });
        Self { sums: sums.collect(), movie_ids }
    }

    fn draw(&self, random: &mut StdRng) -> usize {
        let total = self.sums.last().expect("there are movies");
        let wanted = random.random_range(0.0..*total);
        self.sums.partition_point(|sum| *sum <= wanted)
    }

    /// Different movies by popularity. Who has seen all that is popular gets any others.
    fn draw_distinct(&self, count: usize, random: &mut StdRng) -> Vec<u32> {
        let mut ranks = HashSet::with_capacity(count);
        let mut movies = Vec::with_capacity(count);
        while movies.len() < count.min(self.movie_ids.len() / 2) {
            let popular = (0..DRAWS).map(|_| self.draw(random)).find(|rank| !ranks.contains(rank));
            let rank = popular.unwrap_or_else(|| random.random_range(0..self.movie_ids.len()));
            if ranks.insert(rank) {
                movies.push(self.movie_ids[rank]);
            }
        }
        movies
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.out)?;
    let mut movie_ids = match &options.movies_csv {
        Some(path) => copied_movies(path, &options)?,
        None => invented_movies(&options)?,
    };
    let mut random = StdRng::seed_from_u64(options.seed);
    movie_ids.shuffle(&mut random);
    movie_ids.truncate(options.movies as usize);
    let ratings = write_ratings(&options, &Popularity::new(movie_ids), &mut random)?;
    println!("{ratings} ratings of {} users in {}", options.users, options.out.display());
    Ok(())
}

fn copied_movies(path: &Path, options: &Options) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    std::fs::copy(path, options.out.join("movies.csv"))?;
    let mut rows = csv::Reader::from_path(path)?;
    let ids: Result<Vec<u32>, Box<dyn std::error::Error>> =
        rows.records().map(|row| Ok(row?[0].parse()?)).collect();
    ids
}

fn invented_movies(options: &Options) -> io::Result<Vec<u32>> {
    let mut out = BufWriter::new(File::create(options.out.join("movies.csv"))?);
    writeln!(out, "movieId,title,genres")?;
    for movie_id in 1..=options.movies {
        writeln!(out, "{movie_id},Movie {movie_id} ({}),Drama", 1950 + movie_id % 70)?;
    }
    out.flush()?;
    Ok((1..=options.movies).collect())
}

fn write_ratings(options: &Options, popularity: &Popularity, random: &mut StdRng) -> io::Result<u64> {
    let lengths = LogNormal::new(3.93, 1.42).expect("the parameters are finite");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(options.out.join("ratings.csv"))?);
    writeln!(out, "userId,movieId,rating,timestamp")?;
    let mut ratings = 0;
    for user_id in 1..=options.users {
        let movies = popularity.draw_distinct(19 + lengths.sample(random) as usize, random);
        let mut second = random.random_range(FIRST_SECOND..LAST_SECOND);
        ratings += movies.len() as u64;
        for movie_id in movies {
            let half_stars = stars(random);
            writeln!(out, "{user_id},{movie_id},{}.{},{second}", half_stars / 2, half_stars % 2 * 5)?;
            if random.random_range(0..5) > 0 {
                second += random.random_range(1..600);
            }
        }
    }
    out.flush()?;
    Ok(ratings)
}

/// Half stars, 1 to 10.
fn stars(random: &mut StdRng) -> u32 {
    let mut left = random.random_range(0..STARS.iter().sum());
    for (half_stars, share) in (1..).zip(STARS) {
        if left < share {
            return half_stars;
        }
        left -= share;
    }
    unreachable!("the shares add up to their sum")
}
