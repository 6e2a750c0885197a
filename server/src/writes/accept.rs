//! Which events the store may have: a rating has stars and nothing else has them, the time is one that an event may
//! have, and the catalogue knows the movie.

use marquee_core::clock::{EventTimes, TimeError};
use marquee_core::domain::{Interaction, Kind, MovieId, Rating, TimeMs, UserId};

use crate::catalog::Movies;

/// An event as a caller gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubmittedEvent {
    /// Whose it is.
    pub user_id: UserId,
    /// Which movie it is about.
    pub movie_id: MovieId,
    /// What happened.
    pub kind: Kind,
    /// The stars of a rating.
    pub stars: Option<f64>,
    /// When it happened; now when absent.
    pub time_ms: Option<TimeMs>,
}

/// Why an event is refused; those of a field are to be read after its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A rating without stars.
    #[error("must be there for a RATING, 0.5 to 5 stars")]
    NoStars,
    /// Stars that no rating has.
    #[error("must be 0.5 to 5 stars in halves")]
    Stars,
    /// Stars of something that is no rating.
    #[error("belongs to a RATING only; leave it out")]
    StarsOfOther,
    /// A time that no event may have.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A movie that is not in the catalogue.
    #[error("movie {0} is not in the catalogue")]
    UnknownMovie(MovieId),
}

impl SubmittedEvent {
    /// The event that the store may have. An empty catalogue knows no movie and refuses none.
    pub(super) fn checked(
        self,
        now_ms: TimeMs,
        times: EventTimes,
        movies: &Movies,
    ) -> Result<Interaction, EventError> {
        let Self { user_id, movie_id, kind, stars, time_ms } = self;
        let rating = rating(kind, stars)?;
        let time_ms = time_ms.map_or(Ok(now_ms), |time_ms| times.check(time_ms))?;
        if !movies.is_empty() && movies.index_of(movie_id).is_none() {
            return Err(EventError::UnknownMovie(movie_id));
        }
        Ok(Interaction { user_id, movie_id, time_ms, kind, rating })
    }
}

fn rating(kind: Kind, stars: Option<f64>) -> Result<Option<Rating>, EventError> {
    match (kind, stars) {
        (Kind::Rating, None) => Err(EventError::NoStars),
        (Kind::Rating, Some(stars)) => Rating::from_stars(stars).map(Some).ok_or(EventError::Stars),
        (_, None) => Ok(None),
        (_, Some(_)) => Err(EventError::StarsOfOther),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use marquee_core::domain::MovieRecord;

    use super::*;
    use crate::catalog::Catalog;

    const NOW_MS: TimeMs = 1_700_000_000_000;
    const LIKE: SubmittedEvent =
        SubmittedEvent { user_id: 1, movie_id: 7, kind: Kind::Like, stars: None, time_ms: Some(5) };

    fn checked_among(event: SubmittedEvent, movies: &[MovieId]) -> Result<Interaction, EventError> {
        let movies = movies.iter().map(|id| MovieRecord { movie_id: *id, ..MovieRecord::default() });
        let times = EventTimes::at(NOW_MS, Duration::ZERO);
        event.checked(NOW_MS, times, &Catalog::new(movies.collect(), Vec::new()).movies())
    }

    fn checked(event: SubmittedEvent) -> Result<Interaction, EventError> {
        checked_among(event, &[7])
    }

    #[test]
    fn a_rating_needs_stars_and_nothing_else_may_have_them() {
        let rating = |stars| SubmittedEvent { kind: Kind::Rating, stars, ..LIKE };
        assert_eq!(checked(rating(None)), Err(EventError::NoStars));
        assert_eq!(checked(rating(Some(4.2))), Err(EventError::Stars));
        assert_eq!(checked(SubmittedEvent { stars: Some(4.0), ..LIKE }), Err(EventError::StarsOfOther));
        let rated = checked(rating(Some(4.5))).unwrap();
        assert_eq!((rated.kind, rated.rating.map(Rating::half_stars)), (Kind::Rating, Some(9)));
    }

    #[test]
    fn an_event_without_a_time_happens_now() {
        assert_eq!(checked(LIKE).unwrap().time_ms, 5);
        assert_eq!(checked(SubmittedEvent { time_ms: None, ..LIKE }).unwrap().time_ms, NOW_MS);
    }

    #[test]
    fn a_time_that_no_event_may_have_is_refused() {
        for (time_ms, error) in [
            (NOW_MS + 1, TimeError::TooFarAhead { max_skew: Duration::ZERO }),
            (TimeMs::MAX, TimeError::TooFarAhead { max_skew: Duration::ZERO }),
            (TimeMs::MIN, TimeError::TooEarly),
        ] {
            let refused = checked(SubmittedEvent { time_ms: Some(time_ms), ..LIKE });
            assert_eq!(refused, Err(EventError::Time(error)), "{time_ms}");
        }
    }

    #[test]
    fn a_movie_that_the_catalogue_lacks_is_refused_unless_it_is_empty() {
        assert_eq!(checked_among(LIKE, &[1, 2]), Err(EventError::UnknownMovie(7)));
        assert!(checked_among(LIKE, &[]).is_ok());
    }
}
