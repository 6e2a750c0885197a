//! The same lists as the reference chooses (`onnx/marquee_onnx/rerank.py`), from the cases that it wrote.

use marquee_ranking::{Candidate, GenreShares, Knobs, Objective, choose};
use serde::Deserialize;

const CASES: &str = include_str!("../../../onnx/fixtures/rerank.json");

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    k: usize,
    objectives: Said,
    beta: f64,
    gamma: f64,
    year: u16,
    wanted: Vec<f64>,
    candidates: Vec<Movie>,
    chosen: Vec<u32>,
    parts: Vec<Parts>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    diversity: Option<f64>,
    calibration: Option<f64>,
    popularity_weight: Option<f64>,
    freshness_weight: Option<f64>,
    freshness_half_life: Option<f64>,
    rating_weight: Option<f64>,
    max_per_genre: Option<u32>,
    candidates_limit: Option<usize>,
}

#[derive(Deserialize)]
struct Movie {
    id: u32,
    score: f32,
    vector: Vec<f32>,
    genres: Vec<u32>,
    events: u64,
    year: u16,
    rating: f64,
}

#[derive(Deserialize)]
struct Parts {
    log_probability: f64,
    popularity: f64,
    freshness: f64,
    rating: f64,
}

impl Said {
    fn objective(&self) -> Objective {
        let knobs = Knobs {
            diversity: self.diversity,
            calibration: self.calibration,
            popularity_weight: self.popularity_weight,
            first_events_popularity: None,
            freshness_weight: self.freshness_weight,
            freshness_half_life: self.freshness_half_life,
            rating_weight: self.rating_weight,
            max_per_genre: self.max_per_genre,
            candidates_limit: self.candidates_limit,
            new_movie_slots: None,
        };
        knobs.objective().unwrap_or_default()
    }
}

fn candidate(movie: &Movie) -> Candidate<'_> {
    Candidate {
        score: movie.score,
        vector: &movie.vector,
        genres: &movie.genres,
        events: movie.events,
        year: (movie.year > 0).then_some(movie.year),
        rating: movie.rating,
        told_genres: 0.0,
        rules: 0.0,
    }
}

#[test]
fn the_lists_and_their_parts_are_those_of_the_reference() {
    let cases: Cases = serde_json::from_str(CASES).unwrap();
    assert!(cases.cases.len() > 10);
    for case in cases.cases {
        let name = &case.name;
        let objective = case.objectives.objective();
        assert!((objective.beta() - case.beta).abs() < 1e-12, "{name}");
        assert!((objective.gamma() - case.gamma).abs() < 1e-12, "{name}");
        let candidates: Vec<_> = case.candidates.iter().map(candidate).collect();
        let wanted = GenreShares::new(case.wanted);
        let choices = choose(&candidates, &wanted, &objective, case.year, case.k);
        let chosen: Vec<u32> = choices.iter().map(|choice| case.candidates[choice.place].id).collect();
        assert_eq!(chosen, case.chosen, "{name}");
        for (choice, parts) in choices.iter().zip(&case.parts) {
            let near =
                |ours: f64, theirs: f64| assert!((ours - theirs).abs() < 2e-6, "{name}: {ours} {theirs}");
            near(choice.parts.log_probability, parts.log_probability);
            near(choice.parts.popularity, parts.popularity);
            near(choice.parts.freshness, parts.freshness);
            near(choice.parts.rating, parts.rating);
        }
    }
}
