//! Random tables and users that look like a trained model's.
//!
//! A Gaussian table flatters no index and no filter: every row is as far from every other. Trained
//! embeddings stand in clusters (genres, decades, series) of very unequal size, their norms grow with
//! popularity, and a user stands near the clusters of what they watched.

use marquee_core::domain::MovieId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, Zipf};

/// How many rows a cluster has on average.
const ROWS_A_CLUSTER: usize = 250;
/// How far a row is from the centre of its cluster, where centres are at distance 1 from the origin.
const SPREAD: f32 = 0.7;

/// A clustered table and users for it, the same for the same seed.
#[derive(Debug)]
pub struct ClusteredTable {
    /// `items x dimension` numbers, row-major.
    pub values: Vec<f32>,
    /// The dimension.
    pub dimension: usize,
    random: StdRng,
}

impl ClusteredTable {
    /// A table of `items` rows.
    ///
    /// # Panics
    /// For no items or dimension 0.
    pub fn new(items: usize, dimension: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let clusters = items.div_ceil(ROWS_A_CLUSTER).max(1);
        let centres: Vec<Vec<f32>> = (0..clusters).map(|_| direction(dimension, &mut random)).collect();
        let sizes = Zipf::new(clusters as f64, 0.8).expect("there is at least one cluster");
        let mut values = Vec::with_capacity(items * dimension);
        for _ in 0..items {
            let centre = &centres[sizes.sample(&mut random) as usize - 1];
            let log_norm: f32 = StandardNormal.sample(&mut random);
            let norm = (0.25 * log_norm).exp();
            let noise = direction(dimension, &mut random);
            values.extend(centre.iter().zip(noise).map(|(centre, noise)| norm * (centre + SPREAD * noise)));
        }
        Self { values, dimension, random }
    }

    /// The movie ids 1 to the number of rows.
    pub fn movie_ids(&self) -> Vec<MovieId> {
        (1..=self.items() as MovieId).collect()
    }

    /// How many rows there are.
    pub fn items(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Users, each between four rows, of norm 4.
    pub fn users(&mut self, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.user()).collect()
    }

    fn user(&mut self) -> Vec<f32> {
        let mut user = direction(self.dimension, &mut self.random);
        for _ in 0..4 {
            let row = self.random.random_range(0..self.items());
            let row = &self.values[row * self.dimension..(row + 1) * self.dimension];
            user.iter_mut().zip(row).for_each(|(user, row)| *user += row);
        }
        user
    }
}

/// A random vector of length about 1.
fn direction(dimension: usize, random: &mut StdRng) -> Vec<f32> {
    let scale = 1.0 / (dimension as f32).sqrt();
    (0..dimension)
        .map(|_| {
            let coordinate: f32 = StandardNormal.sample(random);
            coordinate * scale
        })
        .collect()
}
