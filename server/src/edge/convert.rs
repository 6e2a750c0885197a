//! Between the wire's types and the server's own. Nothing is decided here but what absence means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use marquee_core::clock::{FIRST_TIME_MS, LAST_TIME_MS};
use marquee_core::domain::{EventKey, Interaction, Kind, Preferences, Rating, TimeMs, User};
use marquee_engine::Priority;
use marquee_proto::v1;
use marquee_ranking::{Knobs, Parts};
use marquee_retrieval::Method;
use prost_types::Timestamp;
use tonic::{Request, Response};

use super::ApiError;
use super::movies::shown;
use crate::catalog::{AttributeCondition, AttributeTest, Catalog, Filter, Movie, Movies};
use crate::edge::layers::{Admitted, Deadline};
use crate::recommend::{
    Because, Explanation, Exploration, HomeRow, Obstacle, Pick, Reasons, RowKind, SimilarityBasis, Source,
    Stage, Timings, Verdict,
};
use crate::writes::{EventError, SubmittedEvent};

/// Tags shown with a movie.
const SHOWN_TAGS: usize = 10;

/// The deadline of a call, if its caller named one.
pub(super) fn deadline<T>(request: &Request<T>) -> Option<Instant> {
    request.extensions().get::<Deadline>().map(|deadline| deadline.0.into_std())
}

/// Lets those go first who wait for an answer, now that it is known whether anybody does.
///
/// # Errors
/// [`ApiError::Overloaded`] when nobody does and the call would not be answered in time behind them.
pub(super) fn stand_in_line<T>(request: &Request<T>, priority: Priority) -> Result<(), ApiError> {
    match (priority, request.extensions().get::<Admitted>()) {
        (Priority::Bulk, Some(admitted)) => admitted.is_bulk(),
        (Priority::Bulk, None) | (Priority::Interactive, _) => Ok(()),
    }
}

pub(super) fn filter(filter: Option<v1::Filter>) -> Result<Filter, ApiError> {
    let filter = filter.unwrap_or_default();
    if let (Some(first), Some(last)) = (filter.year_min, filter.year_max)
        && first > last
    {
        return Err(ApiError::invalid("filter.year_max", format!("is {last}, before year_min {first}")));
    }
    let year = |year: Option<u32>| year.and_then(|year| u16::try_from(year).ok());
    let attributes = filter.attributes.into_iter().enumerate().map(|(place, it)| condition(place, it));
    Ok(Filter {
        attributes: attributes.collect::<Result<_, _>>()?,
        genres_any: filter.genres_any,
        genres_all: filter.genres_all,
        genres_none: filter.genres_none,
        tags_any: filter.tags_any,
        year_min: year(filter.year_min),
        year_max: year(filter.year_max),
        average_rating_min: filter.average_rating_min,
        ratings_min: filter.ratings_min.map(u64::from),
        allow_movie_ids: filter.allow_movie_ids,
        deny_movie_ids: filter.deny_movie_ids,
    })
}

/// What an attribute must be.
fn condition(place: usize, filter: v1::AttributeFilter) -> Result<AttributeCondition, ApiError> {
    use v1::attribute_filter::Test;
    let test = match filter.test {
        Some(Test::Equal(text)) => AttributeTest::AnyOf(vec![text]),
        Some(Test::AnyOf(texts)) => AttributeTest::AnyOf(texts.texts),
        Some(Test::Exists(exists)) => AttributeTest::Exists(exists),
        Some(Test::Range(v1::NumberRange { min, max })) => {
            let is_range = match (min, max) {
                (Some(min), Some(max)) => min <= max,
                (one, other) => one.or(other).is_some_and(|bound| !bound.is_nan()),
            };
            if !is_range {
                let field = format!("filter.attributes[{place}].range");
                return Err(ApiError::invalid(field, "has no min and no max, or a min above its max"));
            }
            AttributeTest::Range { min, max }
        }
        None => {
            let field = format!("filter.attributes[{place}].test");
            return Err(ApiError::invalid(field, "is missing; say what the attribute must be"));
        }
    };
    Ok(AttributeCondition { name: filter.name, test })
}

fn shown_condition(condition: AttributeCondition) -> v1::AttributeFilter {
    use v1::attribute_filter::Test;
    let test = match condition.test {
        AttributeTest::AnyOf(texts) => Test::AnyOf(v1::AttributeTexts { texts }),
        AttributeTest::Range { min, max } => Test::Range(v1::NumberRange { min, max }),
        AttributeTest::Exists(exists) => Test::Exists(exists),
    };
    v1::AttributeFilter { name: condition.name, test: Some(test) }
}

/// A filter as a request says it.
pub(super) fn shown_filter(filter: &Filter) -> v1::Filter {
    let filter = filter.clone();
    v1::Filter {
        genres_any: filter.genres_any,
        genres_all: filter.genres_all,
        genres_none: filter.genres_none,
        tags_any: filter.tags_any,
        year_min: filter.year_min.map(u32::from),
        year_max: filter.year_max.map(u32::from),
        average_rating_min: filter.average_rating_min,
        ratings_min: filter.ratings_min.map(|ratings| u32::try_from(ratings).unwrap_or(u32::MAX)),
        allow_movie_ids: filter.allow_movie_ids,
        deny_movie_ids: filter.deny_movie_ids,
        attributes: filter.attributes.into_iter().map(shown_condition).collect(),
        ..v1::Filter::default()
    }
}

/// The server's own method when absent.
pub(super) fn method(method: v1::Method, default: Method) -> Method {
    match method {
        v1::Method::Unspecified => default,
        v1::Method::Auto => Method::Auto,
        v1::Method::Exact => Method::Exact,
        v1::Method::Ann => Method::Ann,
    }
}

/// The blend when absent.
pub(super) fn basis(basis: v1::SimilarityBasis) -> SimilarityBasis {
    match basis {
        v1::SimilarityBasis::Unspecified | v1::SimilarityBasis::Blend => SimilarityBasis::Blend,
        v1::SimilarityBasis::Model => SimilarityBasis::Model,
        v1::SimilarityBasis::Content => SimilarityBasis::Content,
    }
}

pub(super) fn basis_used(basis: SimilarityBasis) -> v1::SimilarityBasis {
    match basis {
        SimilarityBasis::Blend => v1::SimilarityBasis::Blend,
        SimilarityBasis::Model => v1::SimilarityBasis::Model,
        SimilarityBasis::Content => v1::SimilarityBasis::Content,
    }
}

pub(super) fn method_used(method: Option<Method>) -> v1::Method {
    match method {
        None => v1::Method::Unspecified,
        Some(Method::Auto) => v1::Method::Auto,
        Some(Method::Exact) => v1::Method::Exact,
        Some(Method::Ann) => v1::Method::Ann,
    }
}

/// The method's own priority when absent.
pub(super) fn priority(priority: v1::Priority, of_method: Priority) -> Priority {
    match priority {
        v1::Priority::Unspecified => of_method,
        v1::Priority::Interactive => Priority::Interactive,
        v1::Priority::Bulk => Priority::Bulk,
    }
}

pub(super) fn source(source: Source) -> v1::Source {
    match source {
        Source::Model => v1::Source::Model,
        Source::Preferences => v1::Source::Preferences,
        Source::Popularity => v1::Source::Popularity,
        Source::Exploration => v1::Source::Exploration,
        Source::Rule => v1::Source::Rule,
        Source::Similarity => v1::Source::Similarity,
    }
}

/// A reply, and for the layers where its time went.
pub(super) fn timed<T>(message: T, timings: Option<v1::Timings>) -> Response<T> {
    let mut response = Response::new(message);
    if let Some(timings) = timings {
        response.extensions_mut().insert(timings);
    }
    response
}

/// The stages in whole microseconds; `other` takes what rounding leaves, so that they add up.
pub(super) fn timings(timings: &Timings) -> v1::Timings {
    let us = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let total = us(timings.total);
    let mut stages = Stage::ALL.map(|stage| us(timings[stage]));
    stages[Stage::Other as usize] = 0;
    let known = stages.iter().fold(0_u32, |sum, stage| sum.saturating_add(*stage));
    stages[Stage::Other as usize] = total.saturating_sub(known);
    v1::Timings::new(total, stages)
}

pub(super) fn recommendation(pick: &Pick) -> v1::Recommendation {
    let (title, genres, year) = match &pick.movie {
        Some(movie) => (movie.title.to_string(), genres(movie), movie.year.map(u32::from)),
        None => (String::new(), Vec::new(), None),
    };
    v1::Recommendation {
        movie_id: pick.movie_id,
        movie_key: key(pick.movie.as_ref()),
        title,
        score: pick.score,
        genres,
        year,
        source: source(pick.source).into(),
        score_parts: pick.parts.map(score_parts),
        propensity: pick.propensity,
        rule_id: pick.rule.as_ref().map(|rule| rule.rule_id.clone()).unwrap_or_default(),
        ..v1::Recommendation::default()
    }
}

fn score_parts(parts: Parts) -> v1::ScoreParts {
    let Parts { log_probability, popularity, freshness, rating, told_genres, rules } = parts;
    v1::ScoreParts { log_probability, popularity, freshness, rating, told_genres, rules }
}

/// What a request says of its list.
pub(super) fn knobs(request: &v1::RecommendRequest) -> Knobs {
    Knobs {
        diversity: request.diversity,
        calibration: request.calibration,
        popularity_weight: request.popularity_weight,
        first_events_popularity: request.first_events_popularity,
        freshness_weight: request.freshness_weight,
        freshness_half_life: request.freshness_half_life,
        rating_weight: request.rating_weight,
        max_per_genre: request.max_per_genre,
        candidates_limit: request.candidates_limit.map(|limit| limit as usize),
        new_movie_slots: request.new_movie_slots.map(|slots| slots as usize),
    }
}

/// The places that new movies have; who fills them is drawn at random where the request names no seed.
pub(super) fn exploration(knobs: &Knobs, seed: Option<u64>) -> Option<Exploration> {
    let places = knobs.new_movie_slots.filter(|slots| *slots > 0)?;
    Some(Exploration { places, seed: seed.unwrap_or_else(rand::random) })
}

/// Says of a recommended movie why it is there.
pub(super) fn explain(movie: &mut v1::Recommendation, reasons: &Reasons) {
    movie.because = because(reasons);
    movie.similar_to = similar_to(reasons);
    movie.reason.clone_from(&reasons.sentence);
}

pub(super) fn explanation(explanation: &Explanation) -> v1::Explanation {
    v1::Explanation {
        tried: explanation.tried as u32,
        not_tried: explanation.not_tried as u32,
        candidates: explanation.candidates as u32,
    }
}

fn because(reasons: &Reasons) -> Vec<v1::Because> {
    let because = |because: &Because| v1::Because {
        movie_id: because.movie_id,
        movie_key: key(because.movie.as_ref()),
        title: title(because.movie.as_ref()),
        score_drop: because.score_drop as f32,
        rank_drop: i32::try_from(because.rank_drop).unwrap_or(i32::MAX),
    };
    reasons.because.iter().map(because).collect()
}

fn similar_to(reasons: &Reasons) -> Option<v1::SimilarTo> {
    reasons.similar_to.as_ref().map(|similar| v1::SimilarTo {
        movie_id: similar.movie_id,
        movie_key: key(similar.movie.as_ref()),
        title: title(similar.movie.as_ref()),
        cosine: similar.cosine,
    })
}

/// The movie's key, empty where it has none.
pub(super) fn key(movie: Option<&Arc<Movie>>) -> String {
    movie.and_then(|movie| movie.key.as_deref()).unwrap_or_default().to_owned()
}

fn title(movie: Option<&Arc<Movie>>) -> String {
    movie.map(|movie| movie.title.to_string()).unwrap_or_default()
}

/// The judgement of a movie.
pub(super) fn verdict(verdict: Verdict) -> v1::ExplainRecommendationResponse {
    let reasons = verdict.explanation.movies.first();
    v1::ExplainRecommendationResponse {
        movie_id: verdict.movie_id,
        movie_key: key(verdict.movie.as_ref()),
        title: title(verdict.movie.as_ref()),
        answered: verdict.answered,
        score: verdict.place.map(|place| place.score),
        rank: verdict.place.map(|place| place.rank as u32),
        others: verdict.place.map_or(0, |place| place.others as u32),
        source: source(verdict.source).into(),
        why_not: verdict.obstacles.iter().map(why_not).collect(),
        because: reasons.map(because).unwrap_or_default(),
        similar_to: reasons.and_then(similar_to),
        reason: reasons.map(|reasons| reasons.sentence.clone()).unwrap_or_default(),
        explanation: Some(explanation(&verdict.explanation)),
        model_version: verdict.model_version.unwrap_or_default(),
        timings: Some(timings(&verdict.timings)),
        ignored_history_movies: verdict.ignored as u32,
    }
}

fn why_not(obstacle: &Obstacle) -> v1::WhyNot {
    let (kind, field) = match obstacle {
        Obstacle::UnknownToModel => (v1::Obstacle::UnknownToModel, String::new()),
        Obstacle::NotInCatalogue => (v1::Obstacle::NotInCatalogue, String::new()),
        Obstacle::Filter(condition) => (v1::Obstacle::Filter, format!("filter.{}", condition.field())),
        Obstacle::Seen(_) => (v1::Obstacle::Seen, "exclude_seen".to_owned()),
        Obstacle::Rank(_) => (v1::Obstacle::Rank, "k".to_owned()),
        Obstacle::Rule(rule) => {
            let field = if rule.contexts.is_empty() { "" } else { "context" };
            (v1::Obstacle::Rule, field.to_owned())
        }
    };
    v1::WhyNot { obstacle: kind.into(), field, description: obstacle.to_string() }
}

pub(super) fn home_row(row: &HomeRow) -> v1::HomeRow {
    use v1::home_row::About;
    let (kind, about) = match &row.kind {
        RowKind::ForYou => (v1::RowKind::ForYou, None),
        RowKind::Because { movie, .. } => (v1::RowKind::Because, Some(About::MovieId(movie.movie_id))),
        RowKind::New => (v1::RowKind::New, None),
        RowKind::Trending => (v1::RowKind::Trending, None),
        RowKind::Popular => (v1::RowKind::Popular, None),
        RowKind::Genre { name, .. } => (v1::RowKind::Genre, Some(About::Genre(name.to_string()))),
        RowKind::Decade { first_year, .. } => {
            (v1::RowKind::Decade, Some(About::Decade(u32::from(*first_year))))
        }
    };
    v1::HomeRow {
        kind: kind.into(),
        title: row.kind.title(),
        about,
        movies: row.picks.iter().map(recommendation).collect(),
    }
}

fn genres(movie: &Movie) -> Vec<String> {
    movie.genres.iter().map(ToString::to_string).collect()
}

/// The movie at a dense index with its statistics; `None` past the end of this snapshot.
pub(super) fn movie(catalog: &Catalog, movies: &Movies, index: u32) -> Option<v1::Movie> {
    let movie = movies.at(index)?;
    Some(v1::Movie {
        movie_id: movie.movie_id,
        movie_key: key(Some(movie)),
        title: movie.title.to_string(),
        year: movie.year.map(u32::from),
        genres: genres(movie),
        imdb_id: movie.imdb.map(|imdb| format!("tt{imdb:07}")),
        tmdb_id: movie.tmdb,
        average_rating: catalog.average(index),
        ratings: u32::try_from(catalog.ratings(index)).unwrap_or(u32::MAX),
        tags: movie.tags.iter().take(SHOWN_TAGS).map(|(tag, _)| tag.to_string()).collect(),
        attributes: shown(&movie.attributes),
    })
}

/// The time for the wire, whose timestamps can say the years 1 to 9999: what an older program stored
/// beyond them is shown at their end.
pub(super) fn timestamp(time_ms: TimeMs) -> Timestamp {
    let time_ms = time_ms.clamp(FIRST_TIME_MS, LAST_TIME_MS);
    Timestamp {
        seconds: time_ms.div_euclid(1000),
        nanos: i32::try_from(time_ms.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
    }
}

/// The time in milliseconds.
pub(super) fn time_ms(field: &str, time: &Timestamp) -> Result<TimeMs, ApiError> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(ApiError::invalid(field, "must have 0 to 999999999 ns"));
    }
    Ok(time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000))
}

/// An event as it came, a RATING when it does not say what it is. `prefix` stands before the names of its fields.
pub(super) fn event(prefix: &str, event: &v1::Interaction) -> Result<SubmittedEvent, ApiError> {
    let field = |name: &str| format!("{prefix}{name}");
    let time_ms = event.time.as_ref().map(|time| time_ms(&field("time"), time)).transpose()?;
    Ok(SubmittedEvent {
        user_id: event.user_id(),
        movie_id: event.movie_id(),
        kind: kind(event.kind()),
        stars: event.rating,
        time_ms,
    })
}

/// A rating when absent.
pub(super) fn kind(kind: v1::InteractionKind) -> Kind {
    match kind {
        v1::InteractionKind::Unspecified | v1::InteractionKind::Rating => Kind::Rating,
        v1::InteractionKind::View => Kind::View,
        v1::InteractionKind::Like => Kind::Like,
        v1::InteractionKind::Dislike => Kind::Dislike,
        v1::InteractionKind::Watchlist => Kind::Watchlist,
        v1::InteractionKind::Hide => Kind::Hide,
    }
}

/// Which event of its user is to be deleted.
pub(super) fn event_key(request: &v1::DeleteInteractionRequest) -> Result<EventKey, ApiError> {
    let time_ms = time_ms("time", &request.time.unwrap_or_default())?;
    Ok(EventKey { time_ms, movie_id: request.movie_id(), kind: kind(request.kind()) })
}

/// Why an event with this prefix is refused, by its field.
pub(super) fn refused_event(prefix: &str, error: EventError) -> ApiError {
    let field = |name: &str| format!("{prefix}{name}");
    match error {
        EventError::UnknownMovie(movie_id) => ApiError::UnknownMovie(movie_id),
        EventError::Time(error) => ApiError::invalid(field("time"), error.to_string()),
        EventError::NoStars | EventError::Stars | EventError::StarsOfOther => {
            ApiError::invalid(field("rating"), error.to_string())
        }
    }
}

/// The kind of an event as the wire has it.
pub(super) fn shown_kind(kind: Kind) -> v1::InteractionKind {
    match kind {
        Kind::Rating => v1::InteractionKind::Rating,
        Kind::View => v1::InteractionKind::View,
        Kind::Like => v1::InteractionKind::Like,
        Kind::Dislike => v1::InteractionKind::Dislike,
        Kind::Watchlist => v1::InteractionKind::Watchlist,
        Kind::Hide => v1::InteractionKind::Hide,
    }
}

pub(super) fn stored_interaction(event: &Interaction) -> v1::Interaction {
    v1::Interaction {
        user: Some(event.user_id.into()),
        movie: Some(event.movie_id.into()),
        kind: shown_kind(event.kind).into(),
        rating: event.rating.map(Rating::stars),
        time: Some(timestamp(event.time_ms)),
    }
}

/// A user with their key, and the keys of the movies that they prefer.
pub(super) fn user(user: User, user_key: String, movie_keys: Vec<String>) -> v1::User {
    let Preferences { genres, movie_ids } = user.preferences;
    v1::User {
        user_id: user.user_id,
        create_time: Some(timestamp(user.created_ms)),
        preferences: Some(v1::Preferences { genres, movie_ids, movie_keys }),
        user_key,
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::clock::TimeError;
    use marquee_proto::DESCRIPTOR_SET;
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::catalog::Condition;

    #[test]
    fn times_go_to_the_wire_and_back_to_the_millisecond() {
        for time in [0, 1, -1, 1_699_999_999_123, FIRST_TIME_MS] {
            assert_eq!(time_ms("time", &timestamp(time)).unwrap(), time);
        }
    }

    #[test]
    fn a_refused_event_names_its_field() {
        let time = EventError::Time(TimeError::TooEarly);
        assert_eq!(refused_event("interaction.", time).to_string(), "interaction.time is before the year 1");
        let stars = refused_event("", EventError::StarsOfOther).to_string();
        assert_eq!(stars, "rating belongs to a RATING only; leave it out");
        let refused = time_ms("interaction.time", &Timestamp { seconds: 0, nanos: -1 });
        assert_eq!(refused.unwrap_err().to_string(), "interaction.time must have 0 to 999999999 ns");
    }

    #[test]
    fn an_event_is_a_rating_unless_it_says_what_it_is() {
        let rated = v1::Interaction { rating: Some(4.5), ..Default::default() };
        assert_eq!(event("", &rated).unwrap().kind, Kind::Rating);
        let liked = v1::Interaction { kind: v1::InteractionKind::Like.into(), ..Default::default() };
        assert_eq!(event("", &liked).unwrap().kind, Kind::Like);
    }

    #[test]
    fn a_stored_time_beyond_what_a_timestamp_can_say_is_shown_at_the_end() {
        let last = Timestamp { seconds: 253_402_300_799, nanos: 999_000_000 };
        assert_eq!(timestamp(964_982_703_000_000), last);
        assert_eq!(timestamp(TimeMs::MAX), last);
        assert_eq!(timestamp(TimeMs::MIN), Timestamp { seconds: -62_135_596_800, nanos: 0 });
    }

    #[test]
    fn a_request_that_names_no_method_is_answered_as_the_server_is_set() {
        assert_eq!(method(v1::Method::Unspecified, Method::Ann), Method::Ann);
        assert_eq!(method(v1::Method::Auto, Method::Ann), Method::Auto);
    }

    #[test]
    fn the_stages_of_a_reply_add_up() {
        let micros = |micros: u64| Duration::from_nanos(micros * 1000 + 900);
        let mut times = Timings { total: micros(100), ..Timings::default() };
        times[Stage::Profile] = micros(10);
        times[Stage::Encode] = micros(40);
        let reply = timings(&times);
        assert_eq!((reply.profile_us, reply.encode_us), (10, 40));
        assert_eq!(reply.stages_us().iter().sum::<u32>(), reply.total_us);
    }

    #[test]
    fn a_reply_has_a_field_for_each_stage_in_the_order_of_the_pipeline() {
        assert_eq!(Stage::ALL.map(Stage::name), v1::Timings::STAGES);
    }

    #[test]
    fn a_failed_condition_is_named_as_the_field_that_a_request_says_it_with() {
        let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
        let filter = pool.get_message_by_name("marquee.v1.Filter").unwrap();
        let fields: Vec<String> =
            Condition::ALL.map(|condition| why_not(&Obstacle::Filter(condition)).field).to_vec();
        // Keys of movies are numbers by then.
        let conditions = filter.fields().filter(|field| !field.name().ends_with("_keys"));
        let expected: Vec<String> = conditions.map(|field| format!("filter.{}", field.name())).collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn years_in_the_wrong_order_are_refused() {
        let wrong = v1::Filter { year_min: Some(2000), year_max: Some(1999), ..Default::default() };
        assert!(filter(Some(wrong)).is_err());
    }
}
