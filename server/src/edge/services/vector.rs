//! `marquee.v1.VectorService`.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, stream};
use marquee_core::domain::UserId;
use marquee_engine::Priority;
use marquee_proto::v1;
use marquee_proto::v1::vector_service_server::VectorService;
use marquee_retrieval::{Method, Metric};
use tonic::{Request, Response, Status};

use super::recommendation::options;
use crate::edge::{ApiError, KeyNumbers, convert};
use crate::recommend::{
    MovieVector, Pick, Recommender, SimilarUsers, VectorError, VectorExport, VectorQuestion,
};

/// Vectors answered when a request does not say how many.
const DEFAULT_K: u32 = 10;

/// What a part of an export may have of vectors: enough for few messages, little to hold for each who reads slowly.
const PART_BYTES: usize = 256 << 10;

/// The service.
pub(crate) struct VectorApi {
    recommender: Arc<Recommender>,
    similar_users: Option<Arc<SimilarUsers>>,
    numbers: KeyNumbers,
    default_method: Method,
}

impl VectorApi {
    /// The service over a pipeline, who finds users, if anybody does, and who knows movies by keys; `default_method` is that of requests that
    /// name none.
    pub(crate) fn new(
        recommender: Arc<Recommender>,
        similar_users: Option<Arc<SimilarUsers>>,
        numbers: KeyNumbers,
        default_method: Method,
    ) -> Self {
        Self { recommender, similar_users, numbers, default_method }
    }

    async fn search_users(
        &self,
        request: v1::SearchVectorsRequest,
    ) -> Result<v1::SearchVectorsResponse, ApiError> {
        let similar_users = self.similar_users.as_ref().ok_or(ApiError::SimilarUsersOff)?;
        if request.filter.is_some() {
            return Err(ApiError::invalid("filter", "is of movies; leave it out where users are looked for"));
        }
        if request.metric() == v1::VectorMetric::InnerProduct {
            return Err(ApiError::invalid("metric", "must be COSINE, or absent, where users are looked for"));
        }
        let k = request.k.unwrap_or(DEFAULT_K) as usize;
        let found = similar_users.like_vector(&request.vector.into(), k).await.map_err(refused)?;
        if !request.model_version.is_empty() && request.model_version != found.model_version {
            let described = format!("must be that of the active model, {}, or absent", found.model_version);
            return Err(ApiError::invalid("model_version", described));
        }
        Ok(v1::SearchVectorsResponse {
            matches: found.users.into_iter().map(of_user).collect(),
            model_version: found.model_version,
            method: convert::method_used(found.method).into(),
            timings: None,
        })
    }
}

#[tonic::async_trait]
impl VectorService for VectorApi {
    async fn search_vectors(
        &self,
        request: Request<v1::SearchVectorsRequest>,
    ) -> Result<Response<v1::SearchVectorsResponse>, Status> {
        let deadline = convert::deadline(&request);
        let priority = convert::priority(request.get_ref().priority(), Priority::Interactive);
        convert::stand_in_line(&request, priority)?;
        let request = self.numbers.valid(request).await?;
        if request.space() == v1::VectorSpace::Users {
            return Ok(Response::new(self.search_users(request).await?));
        }
        let question = VectorQuestion {
            k: request.k.unwrap_or(DEFAULT_K) as usize,
            metric: metric(request.metric()),
            method: convert::method(request.method(), self.default_method),
            vector: request.vector.into(),
            filter: convert::filter(request.filter)?,
            options: options(request.model_version, priority, deadline),
        };
        let found = self.recommender.search_vectors(&question).await.map_err(refused)?;
        Ok(Response::new(v1::SearchVectorsResponse {
            timings: Some(convert::timings(&found.timings)),
            model_version: found.model_version.unwrap_or_default(),
            method: convert::method_used(found.method).into(),
            matches: found.picks.iter().map(of_movie).collect(),
        }))
    }

    async fn get_movie_vector(
        &self,
        request: Request<v1::GetMovieVectorRequest>,
    ) -> Result<Response<v1::GetMovieVectorResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let movie_id = request.movie_id();
        let options = options(request.model_version, Priority::Interactive, None);
        let found = self.recommender.movie_vector(movie_id, &options).map_err(ApiError::from)?;
        let (vector, model_version) = found;
        let vector = Some(movie_vector(vector, &self.numbers));
        Ok(Response::new(v1::GetMovieVectorResponse { vector, model_version }))
    }

    type ExportVectorsStream =
        Pin<Box<dyn Stream<Item = Result<v1::ExportVectorsResponse, Status>> + Send + 'static>>;

    async fn export_vectors(
        &self,
        request: Request<v1::ExportVectorsRequest>,
    ) -> Result<Response<Self::ExportVectorsStream>, Status> {
        let request = self.numbers.valid(request).await?;
        let options = options(request.model_version, Priority::Interactive, None);
        let filter = convert::filter(request.filter)?;
        let export = self.recommender.export_vectors(&filter, &options).map_err(ApiError::from)?;
        let parts = Parts { export, any: false, numbers: self.numbers.clone() };
        Ok(Response::new(Box::pin(stream::iter(parts.map(Ok)))))
    }
}

/// The parts of an export, made as they are taken; the first is there even when it is empty.
struct Parts {
    export: VectorExport,
    any: bool,
    numbers: KeyNumbers,
}

impl Iterator for Parts {
    type Item = v1::ExportVectorsResponse;

    fn next(&mut self) -> Option<v1::ExportVectorsResponse> {
        let most = (PART_BYTES / (size_of::<f32>() * self.export.dimension())).max(1);
        let vectors = self.export.take(most);
        if vectors.is_empty() && self.any {
            return None;
        }
        self.any = true;
        Some(v1::ExportVectorsResponse {
            vectors: vectors.into_iter().map(|vector| movie_vector(vector, &self.numbers)).collect(),
            model_version: self.export.model_version().to_owned(),
        })
    }
}

fn metric(metric: v1::VectorMetric) -> Metric {
    match metric {
        v1::VectorMetric::Unspecified | v1::VectorMetric::InnerProduct => Metric::InnerProduct,
        v1::VectorMetric::Cosine => Metric::Cosine,
    }
}

fn refused(error: VectorError) -> ApiError {
    match error {
        VectorError::Length { .. } | VectorError::NotFinite(_) | VectorError::Size(_) => {
            ApiError::invalid("vector", error.to_string())
        }
        VectorError::Recommend(error) => error.into(),
    }
}

fn of_movie(pick: &Pick) -> v1::VectorMatch {
    v1::VectorMatch {
        subject: Some(v1::vector_match::Subject::MovieId(pick.movie_id)),
        score: pick.score,
        title: pick.movie.as_ref().map(|movie| movie.title.to_string()).unwrap_or_default(),
        movie_key: convert::key(pick.movie.as_ref()),
    }
}

fn of_user((user_id, cosine): (UserId, f32)) -> v1::VectorMatch {
    v1::VectorMatch {
        subject: Some(v1::vector_match::Subject::UserId(user_id)),
        score: cosine,
        title: String::new(),
        movie_key: String::new(),
    }
}

fn movie_vector(of: MovieVector, numbers: &KeyNumbers) -> v1::MovieVector {
    let movie_key = numbers.of_movie(of.movie_id);
    v1::MovieVector { movie_id: of.movie_id, movie_key, vector: of.vector }
}
