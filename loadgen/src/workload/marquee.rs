//! Requests to Marquee: stored users by a Zipf law, or stateless histories as MovieLens users have them.

use std::str::FromStr;

use bytes::{BufMut as _, Bytes, BytesMut};
use marquee_proto::v1;
use prost::Message;
use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::draw::cancel_after;
use super::form::Form;
use super::{Cancellation, Catalogue, Population, Rpc, Weighted, WorkloadError, request_random};
use crate::wire::reply::Shape;
use crate::wire::{Dialect, Prepared, Route};

/// Whose recommendations are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Users that the server stores.
    Users,
    /// Histories that the request carries, of at most this many movies.
    Histories {
        /// The longest.
        longest: usize,
    },
}

/// A filter, written as `none`, `genre:Drama`, `year:1990-1999`, `rating:3.5`, `ratings:50`, or several of
/// them with `+`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterSpec(Option<v1::Filter>);

impl FromStr for FilterSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let mut filter = v1::Filter::default();
        for part in text.split('+') {
            let wrong = || {
                format!(
                    "'{part}' is no filter; write none, genre:Drama, year:1990-1999, rating:3.5 or ratings:50"
                )
            };
            match part.split_once(':').ok_or_else(wrong)? {
                ("genre", genre) => filter.genres_any.push(genre.to_owned()),
                ("year", years) => {
                    let (first, last) = years.split_once('-').unwrap_or((years, years));
                    filter.year_min = Some(first.parse().map_err(|_| wrong())?);
                    filter.year_max = Some(last.parse().map_err(|_| wrong())?);
                }
                ("rating", stars) => filter.average_rating_min = Some(stars.parse().map_err(|_| wrong())?),
                ("ratings", count) => filter.ratings_min = Some(count.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        Ok(Self(Some(filter)))
    }
}

/// A priority, written `interactive`, `bulk` or `default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(v1::Priority);

impl Default for Priority {
    fn default() -> Self {
        Self(v1::Priority::Unspecified)
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "interactive" => Ok(Self(v1::Priority::Interactive)),
            "bulk" => Ok(Self(v1::Priority::Bulk)),
            "default" => Ok(Self::default()),
            _ => Err(format!("'{text}' is no priority; write interactive, bulk or default")),
        }
    }
}

/// Everything that shapes the requests.
#[derive(Clone, Debug)]
pub struct MarqueeSettings {
    /// Requests are a function of this and their number.
    pub seed: u64,
    /// Which calls, by weight.
    pub mix: Weighted<Rpc>,
    /// Stored users or histories of their own.
    pub subject: Subject,
    /// The users and movies that requests name.
    pub population: Population,
    /// How many movies are asked for.
    pub k: Weighted<u32>,
    /// Filters.
    pub filters: Weighted<FilterSpec>,
    /// Priorities.
    pub priorities: Weighted<Priority>,
    /// How candidates are found.
    pub method: v1::Method,
    /// Requests in a batch, and messages in a stream.
    pub batch: usize,
    /// Cancellations on purpose.
    pub cancellation: Cancellation,
}

/// Requests to a Marquee server.
pub struct Marquee {
    settings: MarqueeSettings,
    form: Form,
}

impl Marquee {
    /// Checks that the settings can make requests, which are gRPC's.
    ///
    /// # Errors
    /// [`WorkloadError`] when the cancelled share is out of range, or movies or titles are missing.
    pub fn new(settings: MarqueeSettings) -> Result<Self, WorkloadError> {
        settings.cancellation.checked()?;
        if settings.population.catalogue().is_none()
            && let Some(name) = Self::needs_movies(&settings.mix, settings.subject)
        {
            return Err(WorkloadError::NoMovies(name));
        }
        let searches = settings.mix.items().contains(&Rpc::SearchMovies);
        if searches && !settings.population.catalogue().is_some_and(Catalogue::has_titles) {
            return Err(WorkloadError::NoTitles);
        }
        let form = Form::grpc(settings.mix.items());
        Ok(Self { settings, form })
    }

    /// The same requests, written for this dialect.
    ///
    /// # Errors
    /// [`WorkloadError::Protocol`] when one of the calls has no place in it.
    pub fn over(self, dialect: Dialect) -> Result<Self, WorkloadError> {
        Ok(Self { form: Form::new(self.settings.mix.items(), dialect)?, ..self })
    }

    /// The first call of the mix that cannot be made without a catalogue.
    pub(crate) fn needs_movies(mix: &Weighted<Rpc>, subject: Subject) -> Option<&'static str> {
        let histories = matches!(subject, Subject::Histories { .. });
        let needs = |rpc: &Rpc| match rpc {
            Rpc::Recommend | Rpc::RecommendBatch | Rpc::RecommendStream | Rpc::EncodeHistory => histories,
            Rpc::SimilarMovies
            | Rpc::GetMovie
            | Rpc::SearchMovies
            | Rpc::RecordInteraction
            | Rpc::RecordInteractions => true,
            _ => false,
        };
        mix.items().iter().copied().find(needs).map(Rpc::name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.settings.mix.items().iter().map(|rpc| rpc.name().to_owned()).collect()
    }

    pub(super) fn routes(&self) -> Vec<Route> {
        self.form.routes().to_vec()
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.form.dialect()
    }

    pub(super) fn shapes(&self) -> Vec<Shape> {
        self.settings.mix.items().iter().map(|rpc| rpc.shape()).collect()
    }

    pub(super) fn prepare(&self, index: u64) -> Prepared {
        let mut random = request_random(self.settings.seed, index);
        let call = self.settings.mix.draw_index(&mut random);
        let body = self.form.body(call, self.body(self.settings.mix.items()[call], &mut random));
        Prepared { call, body, cancel_after: cancel_after(&mut random, self.settings.cancellation) }
    }

    fn body(&self, rpc: Rpc, random: &mut Xoshiro256PlusPlus) -> Bytes {
        match rpc {
            Rpc::Recommend => framed(&[self.recommend(random)]),
            Rpc::RecommendBatch => {
                let requests = (0..self.settings.batch).map(|_| self.recommend(random)).collect();
                framed(&[v1::RecommendBatchRequest { requests }])
            }
            Rpc::RecommendStream => {
                let message =
                    |random: &mut _| v1::RecommendStreamRequest { request: Some(self.recommend(random)) };
                framed(&(0..self.settings.batch).map(|_| message(random)).collect::<Vec<_>>())
            }
            Rpc::SimilarMovies => framed(&[v1::SimilarMoviesRequest {
                movie: Some(self.settings.population.movie(random).into()),
                k: Some(*self.settings.k.draw(random)),
                filter: self.settings.filters.draw(random).0.clone(),
                ..Default::default()
            }]),
            Rpc::EncodeHistory => framed(&[self.encode_history(random)]),
            Rpc::GetMovie => {
                framed(&[v1::GetMovieRequest { movie: Some(self.settings.population.movie(random).into()) }])
            }
            Rpc::SearchMovies => framed(&[v1::SearchMoviesRequest {
                query: self.settings.population.query(random),
                filter: self.settings.filters.draw(random).0.clone(),
                ..Default::default()
            }]),
            Rpc::ListGenres => framed(&[v1::ListGenresRequest {}]),
            Rpc::ListPopularMovies => framed(&[v1::ListPopularMoviesRequest {
                page_size: Some(*self.settings.k.draw(random)),
                filter: self.settings.filters.draw(random).0.clone(),
                ..Default::default()
            }]),
            Rpc::ListTrendingMovies => framed(&[v1::ListTrendingMoviesRequest {
                page_size: Some(*self.settings.k.draw(random)),
                filter: self.settings.filters.draw(random).0.clone(),
                ..Default::default()
            }]),
            Rpc::GetUser => {
                framed(&[v1::GetUserRequest { user: Some(self.settings.population.user(random).into()) }])
            }
            Rpc::GetUserStats => framed(&[v1::GetUserStatsRequest {
                user: Some(self.settings.population.user(random).into()),
            }]),
            Rpc::ListHistory => framed(&[v1::ListHistoryRequest {
                user: Some(self.settings.population.user(random).into()),
                ..Default::default()
            }]),
            Rpc::RecordInteraction => framed(&[self.write(random)]),
            Rpc::RecordInteractions => {
                let message =
                    |_| v1::RecordInteractionsRequest { interaction: Some(self.write(random).into()) };
                framed(&(0..self.settings.batch).map(message).collect::<Vec<_>>())
            }
            Rpc::GetStats => framed(&[v1::GetStatsRequest {}]),
        }
    }

    fn recommend(&self, random: &mut Xoshiro256PlusPlus) -> v1::RecommendRequest {
        use v1::recommend_request::Subject as Of;
        let subject = match self.settings.subject {
            Subject::Users => Of::UserId(self.settings.population.user(random)),
            Subject::Histories { longest } => Of::History(self.settings.population.history(random, longest)),
        };
        v1::RecommendRequest {
            subject: Some(subject),
            k: Some(*self.settings.k.draw(random)),
            method: self.settings.method.into(),
            filter: self.settings.filters.draw(random).0.clone(),
            priority: self.settings.priorities.draw(random).0.into(),
            ..Default::default()
        }
    }

    fn encode_history(&self, random: &mut Xoshiro256PlusPlus) -> v1::EncodeHistoryRequest {
        use v1::encode_history_request::Subject as Of;
        let subject = match self.settings.subject {
            Subject::Users => Of::UserId(self.settings.population.user(random)),
            Subject::Histories { longest } => Of::History(self.settings.population.history(random, longest)),
        };
        let priority = self.settings.priorities.draw(random).0.into();
        v1::EncodeHistoryRequest { subject: Some(subject), priority, ..Default::default() }
    }

    /// A rating most of the time, at the server's time, so that no two are the same event.
    fn write(&self, random: &mut Xoshiro256PlusPlus) -> v1::RecordInteractionRequest {
        let kind = match random.random_range(0..10) {
            0 => v1::InteractionKind::View,
            1 => v1::InteractionKind::Like,
            _ => v1::InteractionKind::Rating,
        };
        let stars = f64::from(random.random_range(1..=10_u8)) / 2.0;
        v1::RecordInteractionRequest {
            user: Some(self.settings.population.user(random).into()),
            movie: Some(self.settings.population.movie(random).into()),
            kind: kind.into(),
            rating: (kind == v1::InteractionKind::Rating).then_some(stars),
            time: None,
        }
    }
}

/// Messages as a gRPC body.
fn framed<M: Message>(messages: &[M]) -> Bytes {
    let length = messages.iter().map(|message| 5 + message.encoded_len()).sum();
    let mut body = BytesMut::with_capacity(length);
    for message in messages {
        body.put_u8(0);
        body.put_u32(message.encoded_len() as u32);
        message.encode_raw(&mut body);
    }
    body.freeze()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashSet;

    use super::super::UserRange;
    use super::*;

    const USERS: UserRange = UserRange { first: 1, last: 600 };

    fn population() -> Population {
        let movies = (1..=5000).map(|id| (id, 1.0 / f64::from(id), format!("Movie {id} (1999)"))).collect();
        Population::new(USERS, 0.9, Some(Catalogue::new(movies).unwrap())).unwrap()
    }

    pub(in crate::workload) fn settings(mix: &str, subject: Subject) -> MarqueeSettings {
        MarqueeSettings {
            seed: 7,
            mix: Weighted::parse(mix, str::parse::<Rpc>).unwrap(),
            subject,
            population: population(),
            k: Weighted::single(10),
            filters: Weighted::single(FilterSpec::default()),
            priorities: Weighted::single(Priority::default()),
            method: v1::Method::Unspecified,
            batch: 4,
            cancellation: Cancellation::default(),
        }
    }

    fn recommends(marquee: &Marquee, count: u64) -> Vec<v1::RecommendRequest> {
        (0..count)
            .map(|index| v1::RecommendRequest::decode(&marquee.prepare(index).body[5..]).unwrap())
            .collect()
    }

    #[test]
    fn request_n_is_the_same_bytes_every_time() {
        let one = Marquee::new(settings("Recommend", Subject::Users)).unwrap();
        let two = Marquee::new(settings("Recommend", Subject::Users)).unwrap();
        assert_eq!(one.prepare(41).body, two.prepare(41).body);
    }

    #[test]
    fn users_follow_the_zipf_law() {
        use v1::recommend_request::Subject as Of;
        let marquee = Marquee::new(settings("Recommend", Subject::Users)).unwrap();
        let mut counts = [0_u32; 601];
        for request in recommends(&marquee, 50_000) {
            let Some(Of::UserId(user)) = request.subject else { panic!("a stored user was asked for") };
            counts[usize::try_from(user).unwrap()] += 1;
        }
        let total: f64 = (1..=600).map(|rank| f64::from(rank).powf(-0.9)).sum();
        for rank in [1_u32, 2, 10] {
            let expected = 50_000.0 * f64::from(rank).powf(-0.9) / total;
            let found = f64::from(counts[rank as usize]);
            assert!((found - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {found}, not {expected}");
        }
        assert_eq!(counts[0], 0);
    }

    #[test]
    fn histories_are_as_long_as_those_of_movielens() {
        use v1::recommend_request::Subject as Of;
        let marquee = Marquee::new(settings("Recommend", Subject::Histories { longest: 200 })).unwrap();
        let mut lengths: Vec<usize> = recommends(&marquee, 4000)
            .into_iter()
            .map(|request| match request.subject {
                Some(Of::History(history)) => history.movie_ids.len(),
                _ => panic!("a history was asked for"),
            })
            .collect();
        lengths.sort_unstable();
        assert!((66..=74).contains(&lengths[2000]), "median {}", lengths[2000]);
        assert!((140..=165).contains(&lengths[3000]), "third quartile {}", lengths[3000]);
        let cut = lengths.iter().filter(|length| **length == 200).count();
        assert!((600..=800).contains(&cut), "cut {cut}");
        assert!(lengths[0] >= 19);
    }

    #[test]
    fn a_history_has_no_movie_twice() {
        use v1::recommend_request::Subject as Of;
        let marquee = Marquee::new(settings("Recommend", Subject::Histories { longest: 200 })).unwrap();
        for request in recommends(&marquee, 200) {
            let Some(Of::History(history)) = request.subject else { panic!("a history was asked for") };
            let distinct: HashSet<u32> = history.movie_ids.iter().copied().collect();
            assert_eq!(distinct.len(), history.movie_ids.len());
        }
    }

    #[test]
    fn every_call_makes_a_message_that_the_server_accepts() {
        use marquee_proto::Validate;
        let mix = Rpc::ALL.map(Rpc::name).join(",");
        let marquee = Marquee::new(settings(&mix, Subject::Histories { longest: 200 })).unwrap();
        for index in 0..500 {
            let prepared = marquee.prepare(index);
            let message = &prepared.body[5..];
            let checked = match Rpc::ALL[prepared.call] {
                Rpc::Recommend => v1::RecommendRequest::decode(message).unwrap().validate(),
                Rpc::RecommendBatch => v1::RecommendBatchRequest::decode(message).unwrap().validate(),
                Rpc::SearchMovies => v1::SearchMoviesRequest::decode(message).unwrap().validate(),
                Rpc::RecordInteraction => v1::RecordInteractionRequest::decode(message).unwrap().validate(),
                Rpc::SimilarMovies => v1::SimilarMoviesRequest::decode(message).unwrap().validate(),
                Rpc::ListHistory => v1::ListHistoryRequest::decode(message).unwrap().validate(),
                _ => Ok(()),
            };
            assert_eq!(checked, Ok(()), "{}", Rpc::ALL[prepared.call].name());
        }
    }

    #[test]
    fn a_mix_without_its_movies_is_refused() {
        let settings = MarqueeSettings {
            population: Population::new(USERS, 0.9, None).unwrap(),
            ..settings("SimilarMovies", Subject::Users)
        };
        let error = Marquee::new(settings).err().unwrap().to_string();
        assert!(error.contains("SimilarMovies needs movies"), "{error}");
    }

    #[test]
    fn the_share_of_cancelled_calls_is_kept() {
        let cancellation = Cancellation { share: 0.25, within: std::time::Duration::from_millis(8) };
        let marquee = Marquee::new(MarqueeSettings { cancellation, ..settings("Recommend", Subject::Users) });
        let marquee = marquee.unwrap();
        let cancelled: Vec<_> = (0..4000).filter_map(|index| marquee.prepare(index).cancel_after).collect();
        assert!((900..1100).contains(&cancelled.len()), "{}", cancelled.len());
        assert!(cancelled.iter().all(|after| *after <= cancellation.within));
    }

    #[test]
    fn filters_are_read_from_their_short_form() {
        let filter: FilterSpec = "genre:Drama+year:1990-1999".parse().unwrap();
        let filter = filter.0.unwrap();
        assert_eq!(filter.genres_any, ["Drama"]);
        assert_eq!((filter.year_min, filter.year_max), (Some(1990), Some(1999)));
        assert!("colour:red".parse::<FilterSpec>().is_err());
        assert_eq!("none".parse::<FilterSpec>().unwrap(), FilterSpec(None));
    }
}
