//! The same rows of new movies and the same blends after first events as the reference makes
//! (`onnx/marquee_onnx/new_movies.py` and `blending.py`), from the cases that it wrote.

use marquee_ranking::new_movies::{Content, Known, features};
use marquee_ranking::{Candidate, GenreShares, Objective, choose};
use serde::Deserialize;

const CASES: &str = include_str!("../../../onnx/fixtures/cold_start.json");

#[derive(Deserialize)]
struct Cases {
    blending: Blending,
    new_movies: NewMovies,
}

#[derive(Deserialize)]
struct Blending {
    told: Vec<u32>,
    movies: Vec<Blended>,
    after_1_event: Vec<f64>,
}

#[derive(Deserialize)]
struct Blended {
    events: u64,
    genres: Vec<u32>,
    score: f32,
}

#[derive(Deserialize)]
struct NewMovies {
    known: Vec<KnownMovie>,
    new: Vec<NewMovie>,
    centre: Vec<f64>,
    rows: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Said {
    year: u16,
    genres: Vec<String>,
    tags: Vec<String>,
    features: Vec<String>,
}

#[derive(Deserialize)]
struct KnownMovie {
    #[serde(flatten)]
    said: Said,
    row: Vec<f32>,
}

#[derive(Deserialize)]
struct NewMovie {
    #[serde(flatten)]
    said: Said,
    content: Vec<f64>,
    users: Vec<Vec<f64>>,
}

impl Blended {
    fn candidate(&self, told: &[u32]) -> Candidate<'_> {
        let both = self.genres.iter().filter(|genre| told.contains(genre)).count();
        Candidate {
            score: self.score,
            vector: &[],
            genres: &self.genres,
            events: self.events,
            year: None,
            rating: 0.0,
            told_genres: both as f64 / self.genres.len() as f64,
            rules: 0.0,
        }
    }
}

impl Said {
    fn features(&self) -> Vec<String> {
        let genres = self.genres.iter().map(String::as_str);
        let year = (self.year > 0).then_some(self.year);
        features(genres, year, self.tags.iter().map(String::as_str))
    }
}

fn cases() -> Cases {
    serde_json::from_str(CASES).expect("the reference wrote them")
}

fn assert_near(ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    for (our, their) in ours.iter().zip(theirs) {
        assert!((our - their).abs() < 3e-6, "{ours:?} {theirs:?}");
    }
}

#[test]
fn what_is_said_of_movies_is_named_as_by_the_reference() {
    let NewMovies { known, new, .. } = cases().new_movies;
    let said = known.iter().map(|movie| &movie.said).chain(new.iter().map(|movie| &movie.said));
    for said in said {
        assert_eq!(said.features(), said.features);
    }
}

#[test]
fn rows_of_new_movies_are_those_of_the_reference_before_and_after_events() {
    let NewMovies { known, new, centre, rows } = cases().new_movies;
    let known: Vec<Known<'_>> =
        known.iter().map(|movie| Known { features: movie.said.features(), row: &movie.row }).collect();
    let content = Content::fit(&known, centre.len(), &|steps, step| (0..steps).for_each(step));
    for (movie, after) in new.iter().zip(&rows) {
        let predicted = content.predict(&movie.said.features());
        assert_near(&predicted, &movie.content);
        let mut users = vec![0.0; centre.len()];
        for vector in &movie.users {
            for (sum, number) in users.iter_mut().zip(vector) {
                *sum += number;
            }
        }
        assert_near(&content.fold_in(&predicted, &users, movie.users.len(), &centre), after);
    }
}

#[test]
fn movies_are_worth_what_the_reference_says_after_a_first_event_and_told_genres() {
    let Blending { told, movies, after_1_event } = cases().blending;
    let candidates: Vec<Candidate<'_>> = movies.iter().map(|movie| movie.candidate(&told)).collect();
    let blend = Objective { first_events_popularity: 8.0, ..Objective::default() };
    let blend = blend.for_history(1).expect("one event is few");
    let mut choices = choose(&candidates, &GenreShares::new(vec![1.0; 3]), &blend, 2026, candidates.len());
    choices.sort_by_key(|choice| choice.place);
    let worth: Vec<f64> = choices.iter().map(|choice| choice.parts.sum()).collect();
    assert_near(&worth, &after_1_event);
}
