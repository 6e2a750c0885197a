//! The calls of `marquee.v1` that the generator makes, as a table.

use marquee_proto::methods::{Method, catalog, interaction, operations, recommendation, user};

use crate::wire::reply::Shape;

use super::WorkloadError;

/// A call of `marquee.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// Recommendations for one subject.
    Recommend,
    /// Several at once.
    RecommendBatch,
    /// A stream of requests.
    RecommendStream,
    /// Movies like one.
    SimilarMovies,
    /// The user vector.
    EncodeHistory,
    /// One movie.
    GetMovie,
    /// Movies by title.
    SearchMovies,
    /// All genres.
    ListGenres,
    /// Popular movies.
    ListPopularMovies,
    /// Trending movies.
    ListTrendingMovies,
    /// One user.
    GetUser,
    /// Numbers about a user.
    GetUserStats,
    /// A user's history.
    ListHistory,
    /// One write.
    RecordInteraction,
    /// A stream of writes.
    RecordInteractions,
    /// Numbers about the server.
    GetStats,
}

impl Rpc {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Recommend,
        Self::RecommendBatch,
        Self::RecommendStream,
        Self::SimilarMovies,
        Self::EncodeHistory,
        Self::GetMovie,
        Self::SearchMovies,
        Self::ListGenres,
        Self::ListPopularMovies,
        Self::ListTrendingMovies,
        Self::GetUser,
        Self::GetUserStats,
        Self::ListHistory,
        Self::RecordInteraction,
        Self::RecordInteractions,
        Self::GetStats,
    ];

    /// The method's name in the protos.
    pub fn name(self) -> &'static str {
        self.method().name
    }

    /// The path of its requests.
    pub fn path(self) -> &'static str {
        self.method().path
    }

    /// The method that is called.
    pub fn method(self) -> Method {
        match self {
            Self::Recommend => recommendation::RECOMMEND,
            Self::RecommendBatch => recommendation::RECOMMEND_BATCH,
            Self::RecommendStream => recommendation::RECOMMEND_STREAM,
            Self::SimilarMovies => recommendation::SIMILAR_MOVIES,
            Self::EncodeHistory => recommendation::ENCODE_HISTORY,
            Self::GetMovie => catalog::GET_MOVIE,
            Self::SearchMovies => catalog::SEARCH_MOVIES,
            Self::ListGenres => catalog::LIST_GENRES,
            Self::ListPopularMovies => catalog::LIST_POPULAR_MOVIES,
            Self::ListTrendingMovies => catalog::LIST_TRENDING_MOVIES,
            Self::GetUser => user::GET_USER,
            Self::GetUserStats => user::GET_USER_STATS,
            Self::ListHistory => user::LIST_HISTORY,
            Self::RecordInteraction => interaction::RECORD_INTERACTION,
            Self::RecordInteractions => interaction::RECORD_INTERACTIONS,
            Self::GetStats => operations::GET_STATS,
        }
    }

    /// How its replies look.
    pub fn shape(self) -> Shape {
        match self {
            Self::Recommend => Shape::Unary { timings: Some(5) },
            Self::SimilarMovies | Self::EncodeHistory => Shape::Unary { timings: Some(3) },
            Self::RecommendBatch => Shape::Batch,
            Self::RecommendStream => Shape::Stream,
            _ => Shape::Unary { timings: None },
        }
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl std::str::FromStr for Rpc {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        Self::ALL
            .into_iter()
            .find(|rpc| rpc.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| WorkloadError::Rpc(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn the_timings_of_a_reply_are_read_from_their_field() {
        let pool = DescriptorPool::decode(marquee_proto::DESCRIPTOR_SET).unwrap();
        for rpc in Rpc::ALL {
            let service = pool.get_service_by_name(rpc.method().service).unwrap();
            let method = service.methods().find(|candidate| candidate.name() == rpc.name()).unwrap();
            let timings = method.output().get_field_by_name("timings").map(|field| field.number());
            if let Shape::Unary { timings: read } = rpc.shape() {
                assert_eq!(read, timings, "{}", rpc.name());
            }
        }
    }

    #[test]
    fn a_name_is_read_without_regard_to_case() {
        assert_eq!("recommend".parse::<Rpc>().unwrap(), Rpc::Recommend);
        assert!("Recommends".parse::<Rpc>().unwrap_err().to_string().contains("RecommendBatch"));
    }
}
