//! Choosing a list of ten for objectives, at the dimension of the largest model.

mod common;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use marquee_ranking::{Candidate, GenreShares, Objective, choose};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const DIMENSION: usize = 256;
const GENRES: u32 = 19;
const K: usize = 10;

/// What candidates point into.
struct Movies {
    vectors: Vec<f32>,
    genres: Vec<Vec<u32>>,
}

impl Movies {
    fn new(count: usize, random: &mut StdRng) -> Self {
        let vectors = (0..count * DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect();
        let genres = (0..count).map(|_| {
            let mut genres: Vec<u32> =
                (0..random.random_range(1..5)).map(|_| random.random_range(0..GENRES)).collect();
            genres.sort_unstable();
            genres.dedup();
            genres
        });
        Self { vectors, genres: genres.collect() }
    }

    fn candidates(&self, random: &mut StdRng) -> Vec<Candidate<'_>> {
        let movies = self.vectors.chunks_exact(DIMENSION).zip(&self.genres);
        let mut candidates: Vec<_> = movies
            .map(|(vector, genres)| Candidate {
                score: random.random_range(-4.0..4.0),
                vector,
                genres,
                events: random.random_range(0..100_000),
                year: Some(random.random_range(1930..2026)),
                rating: random.random_range(1.0..5.0),
                told_genres: 0.0,
                rules: 0.0,
            })
            .collect();
        candidates.sort_by(|one, other| other.score.total_cmp(&one.score));
        candidates
    }
}

fn ranking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ranking");
    let off = Objective::default();
    let objectives = [
        ("weights", Objective { popularity_weight: -0.2, freshness_weight: 0.5, rating_weight: 0.3, ..off }),
        ("diversity", Objective { diversity: 0.5, ..off }),
        ("calibration", Objective { calibration: 0.5, ..off }),
        ("diversity and calibration", Objective { diversity: 0.5, calibration: 0.5, ..off }),
    ];
    for count in [100, 500] {
        let mut random = StdRng::seed_from_u64(1);
        let movies = Movies::new(count, &mut random);
        let candidates = movies.candidates(&mut random);
        let history = movies.genres.iter().take(50).map(Vec::as_slice);
        let wanted = GenreShares::of(history, GENRES as usize);
        for (name, objective) in &objectives {
            group.bench_function(BenchmarkId::new(*name, count), |bencher| {
                bencher.iter(|| black_box(choose(black_box(&candidates), &wanted, objective, 2026, K)));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = ranking
}
criterion_main!(benches);
