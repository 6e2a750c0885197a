//! What a list is chosen for.

/// What a diversity of 1 takes off a movie's value for full likeness to a movie chosen before.
const MAX_BETA: f64 = 8.0;

/// What a calibration of 1 takes off the list's value for each movie and nat of divergence.
const MAX_GAMMA: f64 = 2.0;

/// What the share of a movie's genres that the user told counts, beside the logarithm of its events.
const TOLD_GENRES: f64 = 0.5;

/// Movies of a history up to which its first events count as few.
const FIRST_EVENTS: usize = 5;

const MIN_CANDIDATES: usize = 100;
const CANDIDATES_PER_MOVIE: usize = 5;

/// A list is chosen from so many candidates at most.
pub const MAX_CANDIDATES: usize = 2000;

/// What a list is chosen for beside the model's score. By default, for nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// How little alike the movies are, 0 to 1.
    pub diversity: f64,
    /// How closely the genres follow those of the history, 0 to 1.
    pub calibration: f64,
    /// Of `ln(1 + events)`; below 0 for lesser known movies.
    pub popularity_weight: f64,
    /// More of the same for histories of up to five movies, by which the model alone is a poor guide; not below 0. Half
    /// of it is of the share of a movie's genres that the user told.
    pub first_events_popularity: f64,
    /// Of the share of a movie's genres that the user told, which [`Objective::for_history`] sets.
    pub told_genres_weight: f64,
    /// Of how new a movie is, from 1 in its year to 1/2 after each half-life.
    pub freshness_weight: f64,
    /// In years, above 0.
    pub freshness_half_life: f64,
    /// Of the mean rating in stars.
    pub rating_weight: f64,
    /// Movies of any one genre at most.
    pub max_per_genre: Option<u32>,
    /// From how many of the model's best the list is chosen; [`Objective::candidates`] says from how many when `None`.
    pub candidates_limit: Option<usize>,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            diversity: 0.0,
            calibration: 0.0,
            popularity_weight: 0.0,
            first_events_popularity: 0.0,
            told_genres_weight: 0.0,
            freshness_weight: 0.0,
            freshness_half_life: 10.0,
            rating_weight: 0.0,
            max_per_genre: None,
            candidates_limit: None,
        }
    }
}

impl Objective {
    /// Whether a list can be another than the model's own.
    pub fn is_on(&self) -> bool {
        let of_sets = [self.diversity, self.calibration];
        let of_movies = [
            self.popularity_weight,
            self.first_events_popularity,
            self.told_genres_weight,
            self.freshness_weight,
            self.rating_weight,
        ];
        of_sets.iter().chain(&of_movies).any(|knob| *knob != 0.0) || self.max_per_genre.is_some()
    }

    /// What it is for a history of so many movies; `None` where the list is the model's own.
    ///
    /// ```
    /// # use marquee_ranking::Objective;
    /// let objective = Objective { first_events_popularity: 8.0, ..Objective::default() };
    /// assert_eq!(objective.for_history(3).map(|few| few.popularity_weight), Some(8.0));
    /// assert_eq!(objective.for_history(6), None);
    /// ```
    pub fn for_history(self, movies: usize) -> Option<Self> {
        let more = if movies <= FIRST_EVENTS { self.first_events_popularity } else { 0.0 };
        let popularity_weight = self.popularity_weight + more;
        let told_genres_weight = self.told_genres_weight + TOLD_GENRES * more;
        let objective = Self { popularity_weight, told_genres_weight, first_events_popularity: 0.0, ..self };
        objective.is_on().then_some(objective)
    }

    /// What likeness of 1 to a movie chosen before takes off a movie's value. The knob's square, since what it costs
    /// in accuracy grows faster than the factor.
    pub fn beta(&self) -> f64 {
        MAX_BETA * self.diversity * self.diversity
    }

    /// What each movie and nat of divergence from the history's genres takes off the list's value; the knob's square
    /// as in [`Objective::beta`].
    pub fn gamma(&self) -> f64 {
        MAX_GAMMA * self.calibration * self.calibration
    }

    /// From how many of the model's best a list of `k` is chosen.
    ///
    /// ```
    /// # use marquee_ranking::Objective;
    /// assert_eq!(Objective::default().candidates(10), 100);
    /// assert_eq!(Objective::default().candidates(50), 250);
    /// ```
    pub fn candidates(&self, k: usize) -> usize {
        let wanted = self
            .candidates_limit
            .unwrap_or_else(|| MIN_CANDIDATES.max(CANDIDATES_PER_MOVIE * k).min(MAX_CANDIDATES));
        wanted.max(k)
    }
}
