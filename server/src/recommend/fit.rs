//! Does a model belong to the catalogue?
//!
//! A model knows movies by their ids. A catalogue with other movies under the same ids would be answered from the
//! habits of somebody else's users, and nobody would see why. So a bundle keeps a hash of each title that it was
//! trained on; where most titles that both have differ, the model is not used for this catalogue, and popularity
//! answers under its own name. Some titles always differ, because releases correct them.

use std::fmt;

use marquee_engine::Bundle;

use crate::catalog::Movies;

/// How a bundle's vocabulary and a catalogue fit. Printed, it is a sentence without its full stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Movies that the model knows.
    vocabulary: usize,
    /// Movies of the catalogue.
    catalogue: usize,
    /// Movies of the catalogue whose ids the model knows.
    shared: usize,
    /// Of these, movies whose titles of training are known.
    compared: usize,
    /// Of these, movies that have them.
    alike: usize,
}

impl Fit {
    /// Compares the two.
    pub fn of(bundle: &Bundle, movies: &Movies) -> Self {
        let mut fit = Self { vocabulary: bundle.items(), catalogue: movies.len(), ..Self::default() };
        for movie in movies.iter() {
            let Some(row) = bundle.row_of(movie.movie_id) else { continue };
            fit.shared += 1;
            if let Some(is_alike) = bundle.has_title(row, &movie.title) {
                fit.compared += 1;
                fit.alike += usize::from(is_alike);
            }
        }
        fit
    }

    /// Whether the ids mean the same movies, as far as can be seen: at least half of the titles are alike.
    pub fn belongs(&self) -> bool {
        2 * self.alike >= self.compared
    }

    /// Whether an operator should look: the model does not belong, or knows less than half of the catalogue, or there
    /// is less than half of what it knows, or no title says whose ids they are.
    pub(crate) fn is_doubtful(&self) -> bool {
        let most = self.vocabulary.max(self.catalogue);
        self.catalogue > 0 && (!self.belongs() || 2 * self.shared < most || self.compared == 0)
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vocabulary, catalogue, shared, compared, alike } = self;
        write!(
            f,
            "the model knows {vocabulary} movies and the catalogue has {catalogue}, {shared} ids are in both"
        )?;
        match compared {
            0 if *shared == 0 => Ok(()),
            0 => f.write_str(", and the bundle keeps no titles to compare"),
            _ => write!(f, ", {alike} of {compared} titles are those that the model was trained on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_belongs_while_at_least_half_of_the_titles_are_alike() {
        let fit = |compared, alike| Fit { compared, alike, ..Fit::default() };
        assert!(fit(9125, 9000).belongs());
        assert!(fit(2, 1).belongs());
        assert!(!fit(3, 1).belongs());
        assert!(!fit(1, 0).belongs());
        assert!(fit(0, 0).belongs(), "where no titles are known, ids are taken at their word");
    }

    #[test]
    fn an_overlap_below_a_half_is_doubtful_and_an_empty_catalogue_is_not() {
        let fit = |vocabulary, catalogue, shared| Fit {
            vocabulary,
            catalogue,
            shared,
            compared: shared,
            alike: shared,
        };
        assert!(!fit(9125, 9125, 9125).is_doubtful());
        let unknown_titles = Fit { compared: 0, alike: 0, ..fit(9125, 9125, 9125) };
        assert!(unknown_titles.is_doubtful());
        assert!(fit(9125, 500, 490).is_doubtful());
        assert!(fit(9125, 87_585, 9083).is_doubtful());
        assert!(!fit(9125, 0, 0).is_doubtful());
    }

    #[test]
    fn the_overlap_is_said_with_its_numbers() {
        let fit = Fit { vocabulary: 9125, catalogue: 500, shared: 490, compared: 490, alike: 3 };
        assert_eq!(
            fit.to_string(),
            "the model knows 9125 movies and the catalogue has 500, 490 ids are in both, 3 of 490 titles are those \
             that the model was trained on"
        );
    }
}
