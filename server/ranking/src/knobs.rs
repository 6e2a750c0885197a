//! What a list is chosen for, said in part: by a request, by a preset.

use crate::Objective;

/// What somebody says of a list. What is not said is left to whoever is asked next: a 0 that is said turns off
/// what a preset has on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Knobs {
    /// As [`Objective::diversity`].
    pub diversity: Option<f64>,
    /// As [`Objective::calibration`].
    pub calibration: Option<f64>,
    /// As [`Objective::popularity_weight`].
    pub popularity_weight: Option<f64>,
    /// As [`Objective::first_events_popularity`].
    pub first_events_popularity: Option<f64>,
    /// As [`Objective::freshness_weight`].
    pub freshness_weight: Option<f64>,
    /// As [`Objective::freshness_half_life`].
    pub freshness_half_life: Option<f64>,
    /// As [`Objective::rating_weight`].
    pub rating_weight: Option<f64>,
    /// As [`Objective::max_per_genre`].
    pub max_per_genre: Option<u32>,
    /// As [`Objective::candidates_limit`].
    pub candidates_limit: Option<usize>,
    /// How many places of a list new movies have, which no objective knows of.
    pub new_movie_slots: Option<usize>,
}

impl Knobs {
    /// What is said here, and what `other` says of the rest.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            diversity: self.diversity.or(other.diversity),
            calibration: self.calibration.or(other.calibration),
            popularity_weight: self.popularity_weight.or(other.popularity_weight),
            first_events_popularity: self.first_events_popularity.or(other.first_events_popularity),
            freshness_weight: self.freshness_weight.or(other.freshness_weight),
            freshness_half_life: self.freshness_half_life.or(other.freshness_half_life),
            rating_weight: self.rating_weight.or(other.rating_weight),
            max_per_genre: self.max_per_genre.or(other.max_per_genre),
            candidates_limit: self.candidates_limit.or(other.candidates_limit),
            new_movie_slots: self.new_movie_slots.or(other.new_movie_slots),
        }
    }

    /// The objective, with the defaults of what is not said; `None` where the list is the model's own.
    pub fn objective(&self) -> Option<Objective> {
        let off = Objective::default();
        let objective = Objective {
            diversity: self.diversity.unwrap_or(off.diversity),
            calibration: self.calibration.unwrap_or(off.calibration),
            popularity_weight: self.popularity_weight.unwrap_or(off.popularity_weight),
            first_events_popularity: self.first_events_popularity.unwrap_or(off.first_events_popularity),
            told_genres_weight: off.told_genres_weight,
            freshness_weight: self.freshness_weight.unwrap_or(off.freshness_weight),
            freshness_half_life: self.freshness_half_life.unwrap_or(off.freshness_half_life),
            rating_weight: self.rating_weight.unwrap_or(off.rating_weight),
            max_per_genre: self.max_per_genre,
            candidates_limit: self.candidates_limit,
        };
        objective.is_on().then_some(objective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_that_is_said_turns_off_what_a_preset_has_on() {
        let preset = Knobs { diversity: Some(0.5), freshness_half_life: Some(3.0), ..Knobs::default() };
        let unsaid = Knobs { rating_weight: Some(1.0), ..Knobs::default() };
        let objective = unsaid.or(&preset).objective().unwrap();
        let said = (objective.diversity, objective.rating_weight, objective.freshness_half_life);
        assert_eq!(said, (0.5, 1.0, 3.0));
        let off = Knobs { diversity: Some(0.0), ..Knobs::default() };
        assert_eq!(off.or(&preset).objective(), None);
    }

    #[test]
    fn what_changes_no_list_is_no_objective() {
        assert_eq!(Knobs::default().objective(), None);
        let idle = Knobs { freshness_half_life: Some(2.0), candidates_limit: Some(500), ..Knobs::default() };
        assert_eq!(idle.objective(), None);
        let capped = Knobs { max_per_genre: Some(500), ..Knobs::default() };
        assert!(capped.objective().is_some());
    }
}
