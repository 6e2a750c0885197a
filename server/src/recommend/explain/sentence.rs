//! One sentence for a movie, ready to show: templates that facts fill, so that it never says what is not so.

use std::sync::Arc;

use marquee_core::domain::{Kind, MovieId, Profile};

use crate::catalog::Filter;
use crate::recommend::{Because, Pick, Source};

/// From so many half stars on a rating says that somebody liked the movie: 4 stars.
const LIKED_FROM_HALF_STARS: u8 = 8;

/// What is known of an answered movie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    source: Source,
    /// Why a rule pins or lifts it.
    rule: Option<&'a str>,
    /// The title of the best reason, and what its user did with it.
    because: Option<(&'a str, Deed)>,
    /// A genre that was asked for, and that the movie has.
    genre: Option<&'a str>,
    /// Whether it is there because others watched it.
    is_popular: bool,
}

/// Who found an answered movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundBy {
    Model,
    Popularity,
}

/// What somebody did with a movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Watched,
    Liked,
    WantsToWatch,
    Named,
}

impl<'a> Facts<'a> {
    /// Of a movie with these genres, and the best of its reasons.
    pub(super) fn new(
        pick: &'a Pick,
        found_by: FoundBy,
        genres: &'a [Arc<str>],
        because: Option<&'a Because>,
        profile: &Profile,
        filter: &Filter,
    ) -> Self {
        let share = pick.parts.map_or(pick.score, |parts| parts.log_probability.exp() as f32);
        let asked_for: Vec<&String> = match pick.source {
            Source::Preferences => profile.preferences.genres.iter().collect(),
            Source::Model | Source::Popularity | Source::Exploration | Source::Rule | Source::Similarity => {
                filter.genres_any.iter().chain(&filter.genres_all).collect()
            }
        };
        let is_asked_for = |genre: &&Arc<str>| {
            let genre = genre.to_lowercase();
            asked_for.iter().any(|asked| asked.to_lowercase() == genre)
        };
        let because = because.and_then(|because| {
            let title = &*because.movie.as_ref()?.title;
            Some((title, deed(pick.source, because.movie_id, profile)))
        });
        Self {
            source: pick.source,
            rule: pick.rule.as_ref().map(|rule| &*rule.reason),
            because,
            genre: genres.iter().find(is_asked_for).map(|genre| &**genre),
            is_popular: found_by == FoundBy::Popularity && share > 0.0,
        }
    }
}

/// What the user did with a movie that is a reason.
fn deed(source: Source, movie_id: MovieId, profile: &Profile) -> Deed {
    if source == Source::Preferences {
        return Deed::Named;
    }
    let Some(event) = profile.newest.iter().rev().find(|event| event.movie_id == movie_id) else {
        return Deed::Watched;
    };
    match event.kind {
        Kind::Watchlist => Deed::WantsToWatch,
        Kind::Like => Deed::Liked,
        _ if event.rating.is_some_and(|rating| rating.half_stars() >= LIKED_FROM_HALF_STARS) => Deed::Liked,
        _ => Deed::Watched,
    }
}

/// The sentence.
pub(super) fn sentence(facts: &Facts<'_>) -> String {
    if let Some(reason) = facts.rule {
        return format!("rule: {reason}");
    }
    match (facts.because, facts.source, facts.genre) {
        (Some((title, Deed::Watched)), ..) => format!("Because you watched {title}"),
        (Some((title, Deed::Liked)), ..) => format!("Because you liked {title}"),
        (Some((title, Deed::WantsToWatch)), ..) => format!("Because you want to watch {title}"),
        (Some((title, Deed::Named)), ..) => format!("Because you said you like {title}"),
        (None, Source::Exploration, _) => "New, and may be to your taste".to_owned(),
        (None, Source::Model, _) => "Fits what you watched".to_owned(),
        (None, _, Some(genre)) if facts.is_popular => format!("Popular in {genre}"),
        (None, Source::Preferences, _) => "Like what you said you like".to_owned(),
        (None, Source::Popularity, _) if facts.is_popular => "Popular now".to_owned(),
        (None, Source::Popularity | Source::Rule | Source::Similarity, _) => "More to choose from".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Interaction, Preferences, Rating};

    use super::*;
    use crate::catalog::Movie;

    const HEAT: MovieId = 6;

    fn pick(source: Source, score: f32) -> Pick {
        Pick { movie_id: 1, score, parts: None, propensity: None, source, movie: None, rule: None }
    }

    fn heat() -> Because {
        let movie = Movie {
            key: None,
            movie_id: HEAT,
            title: "Heat (1995)".into(),
            year: Some(1995),
            genres: Box::default(),
            genre_numbers: Box::default(),
            imdb: None,
            tmdb: None,
            tags: Box::default(),
            attributes: Box::default(),
        };
        Because { movie_id: HEAT, movie: Some(Arc::new(movie)), score_drop: 1.0, rank_drop: 3 }
    }

    fn who_did(kind: Kind, half_stars: u8) -> Profile {
        let rating = Rating::from_half_stars(half_stars);
        let event = Interaction { user_id: 1, movie_id: HEAT, time_ms: 0, kind, rating };
        Profile { newest: vec![event], ..Profile::default() }
    }

    fn because(profile: &Profile, source: Source) -> String {
        let (pick, heat) = (pick(source, 1.0), heat());
        sentence(&Facts::new(&pick, FoundBy::Model, &[], Some(&heat), profile, &Filter::default()))
    }

    fn without_reason(pick: &Pick, found_by: FoundBy, profile: &Profile, filter: &Filter) -> String {
        let genres = ["Crime", "Film-Noir"].map(Arc::from);
        sentence(&Facts::new(pick, found_by, &genres, None, profile, filter))
    }

    fn popular(score: f32, filter: &Filter) -> String {
        let pick = pick(Source::Popularity, score);
        without_reason(&pick, FoundBy::Popularity, &Profile::default(), filter)
    }

    #[test]
    fn a_reason_is_named_with_what_was_done_with_it() {
        assert_eq!(because(&Profile::default(), Source::Model), "Because you watched Heat (1995)");
        let said = |kind, half_stars| because(&who_did(kind, half_stars), Source::Model);
        assert_eq!(said(Kind::View, 0), "Because you watched Heat (1995)");
        assert_eq!(said(Kind::Rating, 7), "Because you watched Heat (1995)");
        assert_eq!(said(Kind::Rating, 8), "Because you liked Heat (1995)");
        assert_eq!(said(Kind::Like, 0), "Because you liked Heat (1995)");
        assert_eq!(said(Kind::Watchlist, 0), "Because you want to watch Heat (1995)");
        let named = because(&Profile::default(), Source::Preferences);
        assert_eq!(named, "Because you said you like Heat (1995)");
    }

    #[test]
    fn a_reason_without_a_title_is_not_named() {
        let (untitled, pick) = (Because { movie: None, ..heat() }, pick(Source::Model, 1.0));
        let (profile, filter) = (Profile::default(), Filter::default());
        let facts = Facts::new(&pick, FoundBy::Model, &[], Some(&untitled), &profile, &filter);
        assert_eq!(sentence(&facts), "Fits what you watched");
    }

    #[test]
    fn a_popular_movie_is_popular_in_the_genre_that_was_asked_for() {
        let asked = Filter { genres_any: vec!["War".into(), "film-noir".into()], ..Filter::default() };
        assert_eq!(popular(0.5, &asked), "Popular in Film-Noir");
        assert_eq!(popular(0.5, &Filter::default()), "Popular now");
    }

    #[test]
    fn what_nobody_watched_is_not_called_popular() {
        assert_eq!(popular(0.0, &Filter::default()), "More to choose from");
    }

    #[test]
    fn a_new_movie_is_called_new() {
        let asked = Filter { genres_any: vec!["Crime".into()], ..Filter::default() };
        let pick = pick(Source::Exploration, 0.5);
        let said = without_reason(&pick, FoundBy::Popularity, &Profile::default(), &asked);
        assert_eq!(said, "New, and may be to your taste");
    }

    #[test]
    fn preferences_are_named_as_what_was_said() {
        let preferences = Preferences { genres: vec!["Crime".into()], ..Preferences::default() };
        let profile = Profile { preferences, ..Profile::default() };
        let said = |found_by, profile: &Profile| {
            without_reason(&pick(Source::Preferences, 0.5), found_by, profile, &Filter::default())
        };
        assert_eq!(said(FoundBy::Popularity, &profile), "Popular in Crime");
        assert_eq!(said(FoundBy::Model, &profile), "Like what you said you like");
        assert_eq!(said(FoundBy::Popularity, &Profile::default()), "Like what you said you like");
    }
}
