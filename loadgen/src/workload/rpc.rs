//! The calls of `marquee.v1` that the generator makes, as a table.

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
        self.path().rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The path of its requests.
    pub fn path(self) -> &'static str {
        match self {
            Self::Recommend => "/marquee.v1.RecommendationService/Recommend",
            Self::RecommendBatch => "/marquee.v1.RecommendationService/RecommendBatch",
            Self::RecommendStream => "/marquee.v1.RecommendationService/RecommendStream",
            Self::SimilarMovies => "/marquee.v1.RecommendationService/SimilarMovies",
            Self::EncodeHistory => "/marquee.v1.RecommendationService/EncodeHistory",
            Self::GetMovie => "/marquee.v1.CatalogService/GetMovie",
            Self::SearchMovies => "/marquee.v1.CatalogService/SearchMovies",
            Self::ListGenres => "/marquee.v1.CatalogService/ListGenres",
            Self::ListPopularMovies => "/marquee.v1.CatalogService/ListPopularMovies",
            Self::ListTrendingMovies => "/marquee.v1.CatalogService/ListTrendingMovies",
            Self::GetUser => "/marquee.v1.UserService/GetUser",
            Self::GetUserStats => "/marquee.v1.UserService/GetUserStats",
            Self::ListHistory => "/marquee.v1.UserService/ListHistory",
            Self::RecordInteraction => "/marquee.v1.InteractionService/RecordInteraction",
            Self::RecordInteractions => "/marquee.v1.InteractionService/RecordInteractions",
            Self::GetStats => "/marquee.v1.OperationsService/GetStats",
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
    fn every_path_is_a_method_of_the_protos() {
        let pool = DescriptorPool::decode(marquee_proto::DESCRIPTOR_SET).unwrap();
        for rpc in Rpc::ALL {
            let (service, method) = rpc.path()[1..].split_once('/').unwrap();
            let service = pool.get_service_by_name(service).unwrap();
            let method = service.methods().find(|candidate| candidate.name() == method).unwrap();
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
