//! Genres and decades: which of them have a row, and in which order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rows::{Basis, RowKind};
use crate::catalog::{Movie, Movies};
use crate::recommend::Pick;

/// A genre or a decade.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Facet {
    /// By its name.
    Genre(Arc<str>),
    /// By its first year.
    Decade(u16),
}

impl Facet {
    /// The facets of a movie.
    fn all_of(movie: &Movie) -> impl Iterator<Item = Self> {
        let decade = movie.year.map(|year| Self::Decade(decade_of(year)));
        movie.genres.iter().cloned().map(Self::Genre).chain(decade)
    }

    /// Whether a pick is of it; one without a movie is of none.
    pub(super) fn holds(&self, pick: &Pick) -> bool {
        let Some(movie) = &pick.movie else { return false };
        match self {
            Self::Genre(name) => movie.genres.contains(name),
            Self::Decade(first_year) => movie.year.is_some_and(|year| decade_of(year) == *first_year),
        }
    }

    /// A row of it.
    pub(super) fn kind(&self, by: Basis) -> RowKind {
        match self {
            Self::Genre(name) => RowKind::Genre { by, name: Arc::clone(name) },
            Self::Decade(first_year) => RowKind::Decade { by, first_year: *first_year },
        }
    }
}

fn decade_of(year: u16) -> u16 {
    year / 10 * 10
}

/// How many picks are of each facet.
fn counts_of(picks: &[Pick]) -> BTreeMap<Facet, u64> {
    let mut counts = BTreeMap::new();
    for facet in picks.iter().filter_map(|pick| pick.movie.as_deref()).flat_map(Facet::all_of) {
        *counts.entry(facet).or_default() += 1;
    }
    counts
}

/// The facets of the picks, those first that say most about them: that have most of the picks for how many of the
/// catalogue's movies they have, as their part `p ln(p / q)` of the divergence of the two says.
pub(super) fn most_telling(picks: &[Pick], movies: &Movies) -> Vec<Facet> {
    let mut of_catalogue: BTreeMap<Facet, u64> = BTreeMap::new();
    for (name, count) in movies.genres() {
        of_catalogue.insert(Facet::Genre(name.into()), count);
    }
    for (year, count) in movies.year_counts() {
        *of_catalogue.entry(Facet::Decade(decade_of(year))).or_default() += count;
    }
    let part = |facet: &Facet, count: u64| {
        let here = count as f64 / picks.len() as f64;
        let everywhere = *of_catalogue.get(facet).unwrap_or(&1) as f64 / movies.len() as f64;
        here * (here / everywhere).ln()
    };
    ranked(counts_of(picks), part)
}

/// The facets of the picks, those first that most of them are of.
pub(super) fn most_frequent(picks: &[Pick]) -> Vec<Facet> {
    ranked(counts_of(picks), |_, count| count as f64)
}

fn ranked(counts: BTreeMap<Facet, u64>, worth: impl Fn(&Facet, u64) -> f64) -> Vec<Facet> {
    let mut facets: Vec<(f64, Facet)> =
        counts.into_iter().map(|(facet, count)| (worth(&facet, count), facet)).collect();
    facets.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    facets.into_iter().map(|(_, facet)| facet).collect()
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{MovieId, MovieRecord};

    use super::*;
    use crate::catalog::Catalog;
    use crate::recommend::Source;

    /// Twelve dramas of the nineties, of which two are westerns, and one western of the fifties.
    fn catalogue() -> Catalog {
        let movie = |movie_id: MovieId| {
            let genres = if movie_id > 10 { vec!["Drama", "Western"] } else { vec!["Drama"] };
            let (genres, year) = if movie_id == 13 { (vec!["Western"], 1955) } else { (genres, 1995) };
            MovieRecord::named(movie_id, &format!("{movie_id} ({year})"), genres).expect("a good name")
        };
        Catalog::new((1..=13).map(movie).collect(), Vec::new())
    }

    fn picks(movies: &Movies, movie_ids: &[MovieId]) -> Vec<Pick> {
        let pick = |id: &MovieId| Pick {
            movie_id: *id,
            score: 0.0,
            parts: None,
            propensity: None,
            source: Source::Model,
            movie: movies.get(*id).cloned(),
            rule: None,
        };
        movie_ids.iter().map(pick).collect()
    }

    #[test]
    fn what_is_rare_in_the_catalogue_and_frequent_here_tells_most() {
        let movies = catalogue().movies();
        let picks = picks(&movies, &[1, 11, 12, 13]);
        let telling = most_telling(&picks, &movies);
        let western = Facet::Genre("Western".into());
        assert_eq!(
            telling,
            [western, Facet::Decade(1950), Facet::Genre("Drama".into()), Facet::Decade(1990)]
        );
    }

    #[test]
    fn what_is_most_frequent_comes_first_and_ties_by_name() {
        let movies = catalogue().movies();
        let frequent = most_frequent(&picks(&movies, &[1, 11]));
        assert_eq!(
            frequent,
            [Facet::Genre("Drama".into()), Facet::Decade(1990), Facet::Genre("Western".into())]
        );
    }

    #[test]
    fn a_facet_holds_its_own_movies() {
        let movies = catalogue().movies();
        let all = picks(&movies, &[1, 11, 13]);
        let held = |facet: &Facet| all.iter().map(|pick| facet.holds(pick)).collect::<Vec<_>>();
        assert_eq!(held(&Facet::Genre("Western".into())), [false, true, true]);
        assert_eq!(held(&Facet::Decade(1990)), [true, true, false]);
        assert!(!Facet::Decade(1990).holds(&Pick { movie: None, ..all[0].clone() }));
    }
}
