//! Answers without the model: preferred genres first, then popularity with decay.

use marquee_core::domain::Profile;
use roaring::RoaringBitmap;

use super::{Pick, Question, Recommended, Recommender, Scope, Source, Subject, bitmap_of};
use crate::catalog::Filter;

impl Recommender {
    /// Fills an answer up to k with popular movies: of the preferred genres first, where no taste is
    /// known, then of all that is allowed.
    pub(super) fn fill_up(&self, recommended: &mut Recommended, question: &Question, scope: &Scope<'_>) {
        if recommended.picks.len() >= question.k {
            return;
        }
        let preferences = &scope.profile.preferences;
        let mut excluded = excluded_movies(question, scope.profile);
        excluded.extend(recommended.picks.iter().map(|pick| pick.movie_id));
        if recommended.picks.is_empty() && !preferences.genres.is_empty() {
            let preferred = self.of_genres(&preferences.genres, scope.selection);
            let picks =
                self.popular_picks(Some(&preferred), &mut excluded, question.k, Source::Preferences, scope);
            if !picks.is_empty() {
                recommended.source = Source::Preferences;
            }
            recommended.picks.extend(picks);
        }
        let missing = question.k.saturating_sub(recommended.picks.len());
        let picks = self.popular_picks(scope.selection, &mut excluded, missing, Source::Popularity, scope);
        recommended.picks.extend(picks);
    }

    /// The allowed movies of any of these genres; genres that the catalogue lost are nobody's.
    fn of_genres(&self, genres: &[String], selection: Option<&RoaringBitmap>) -> RoaringBitmap {
        let mut preferred = RoaringBitmap::new();
        for genre in genres {
            let filter = Filter { genres_any: vec![genre.clone()], ..Filter::default() };
            if let Ok(Some(indexes)) = self.catalog.select(&filter) {
                preferred |= indexes;
            }
        }
        match selection {
            Some(selection) => preferred & selection,
            None => preferred,
        }
    }

    /// The most trending movies of a selection; excludes them from what follows.
    fn popular_picks(
        &self,
        selection: Option<&RoaringBitmap>,
        excluded: &mut RoaringBitmap,
        limit: usize,
        source: Source,
        scope: &Scope<'_>,
    ) -> Vec<Pick> {
        if limit == 0 {
            return Vec::new();
        }
        let found = self.catalog.trending(selection, excluded, None, limit);
        let top = found.first().map_or(f64::NEG_INFINITY, |(_, score)| *score);
        let picks: Vec<Pick> = found
            .into_iter()
            .filter_map(|(index, score)| {
                let share = if score.is_finite() { (score - top).exp2() as f32 } else { 0.0 };
                let movie_id = scope.movies.at(index)?.movie_id;
                Some(Pick { movie_id, score: share, source, movie: None })
            })
            .collect();
        excluded.extend(picks.iter().map(|pick| pick.movie_id));
        picks
    }
}

/// The movies that must not be answered. Few answers need them: the model's own are of rows.
fn excluded_movies(question: &Question, profile: &Profile) -> RoaringBitmap {
    match &question.subject {
        _ if !question.exclude_seen => RoaringBitmap::new(),
        Subject::History(movie_ids) => bitmap_of(movie_ids.clone()),
        Subject::User(_) => profile.seen.clone(),
    }
}
