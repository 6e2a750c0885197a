//! `marquee.v1.CatalogService`.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use marquee_core::domain::{MovieId, MovieRecord, Rating, UserId};
use marquee_proto::v1;
use marquee_proto::v1::catalog_service_server::CatalogService;
use tonic::{Request, Response, Status, Streaming};

use crate::catalog::{Catalog, Filter, Hit, Listing, Movies, Order, Suggestion};
use crate::edge::page::List;
use crate::edge::stream::{Keep, broken_off, in_chunks, to_its_end};
use crate::edge::{ApiError, KeyNumbers, checked, convert, movies};
use crate::recommend::{RecommendError, Recommender, RequestOptions};
use crate::writes::{UpdateMoviesError, WriteCoordinator};

/// Movies found when a request does not say how many.
const DEFAULT_LIMIT: u32 = 10;

/// Movies that are found for a user's own order, of which as many as are wanted are answered: far down the list none fits
/// well enough to come up.
const CHOSEN_FROM: usize = 50;

/// Movies on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 20;

/// Movies of an import that are stored at once, and the memory that they take: the title index is built anew for
/// each time.
const IMPORT_CHUNK: usize = 20_000;
const IMPORT_CHUNK_BYTES: usize = 8 << 20;

/// The service.
#[derive(Clone)]
pub struct CatalogApi {
    catalog: Arc<Catalog>,
    coordinator: WriteCoordinator,
    recommender: Option<Arc<Recommender>>,
    numbers: KeyNumbers,
}

impl CatalogApi {
    /// The service over a catalogue and the coordinator that writes to it.
    pub fn new(catalog: Arc<Catalog>, coordinator: WriteCoordinator) -> Self {
        let numbers = KeyNumbers::of(&coordinator);
        Self { catalog, coordinator, recommender: None, numbers }
    }

    /// The same, which knows users' orders from the pipeline.
    #[must_use]
    pub(crate) fn personal(mut self, recommender: Arc<Recommender>) -> Self {
        self.recommender = Some(recommender);
        self
    }

    /// The movies that fit a search in the order of a user, or `None` where none is known.
    async fn found_for(
        &self,
        user_id: UserId,
        search: &Search,
        options: &RequestOptions,
    ) -> Result<Option<Vec<u32>>, ApiError> {
        let Some(recommender) = &self.recommender else { return Ok(None) };
        let found = self.found(search, search.limit.max(CHOSEN_FROM))?;
        let movies = self.catalog.movies();
        let found: Vec<_> = found.iter().map(|hit| (movies.movie_id(hit.index), hit.score)).collect();
        let order = recommender.order_for(user_id, &found, options).await?;
        let best = |order: Vec<MovieId>| order.into_iter().take(search.limit);
        Ok(order.map(|order| best(order).filter_map(|id| movies.index_of(id)).collect()))
    }

    fn index_of(&self, movie_id: MovieId) -> Result<u32, ApiError> {
        self.catalog.movies().index_of(movie_id).ok_or(ApiError::UnknownMovie(movie_id))
    }

    fn found(&self, search: &Search, limit: usize) -> Result<Vec<Hit>, ApiError> {
        let found = self.catalog.find(&search.query, &search.filter, limit);
        Ok(found.map_err(RecommendError::from)?)
    }

    fn movies(&self, movies: &Movies, indexes: impl IntoIterator<Item = u32>) -> Vec<v1::Movie> {
        indexes.into_iter().filter_map(|index| convert::movie(&self.catalog, movies, index)).collect()
    }

    async fn import_stream(
        self,
        incoming: Streaming<v1::ImportMoviesRequest>,
    ) -> Result<v1::ImportMoviesResponse, Status> {
        let records = incoming.zip(stream::iter(0..)).map(|(movie, before)| {
            let movie = movie.map_err(|status| broken_off(status, || place(before)))?;
            let checked_record = checked(movie).and_then(|movie| movies::record(&movie));
            checked_record.map_err(|error| placed(error, before).into())
        });
        let mut importing = Importing { coordinator: self.coordinator.clone(), accepted: 0, added: 0 };
        in_chunks(records, IMPORT_CHUNK_BYTES, &mut importing).await?;
        let Importing { accepted, added, .. } = importing;
        Ok(v1::ImportMoviesResponse { added: added as u32, replaced: (accepted - added) as u32 })
    }

    /// A page of a list and the token of the next one.
    fn page(
        &self,
        list: List,
        order: Order,
        filter: Option<v1::Filter>,
        page_token: &str,
        page_size: u32,
    ) -> Result<(Vec<v1::Movie>, String), ApiError> {
        let after = list.movies_after(page_token)?;
        let found = self.catalog.list(order, &convert::filter(filter)?, after, page_size as usize);
        let Listing { indexes, next } = found.map_err(RecommendError::from)?;
        let next = next.map(|after| list.movies_token(after)).unwrap_or_default();
        Ok((self.movies(&self.catalog.movies(), indexes), next))
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogApi {
    async fn get_movie(
        &self,
        request: Request<v1::GetMovieRequest>,
    ) -> Result<Response<v1::GetMovieResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let index = self.index_of(request.movie_id())?;
        let movie = convert::movie(&self.catalog, &self.catalog.movies(), index);
        Ok(Response::new(v1::GetMovieResponse { movie }))
    }

    async fn list_movies(
        &self,
        request: Request<v1::ListMoviesRequest>,
    ) -> Result<Response<v1::ListMoviesResponse>, Status> {
        let mut request = self.numbers.valid(request).await?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE);
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListMovies", &request);
        let (movies, next_page_token) = self.page(list, Order::Id, request.filter, &page_token, page_size)?;
        Ok(Response::new(v1::ListMoviesResponse { movies, next_page_token }))
    }

    async fn search_movies(
        &self,
        request: Request<v1::SearchMoviesRequest>,
    ) -> Result<Response<v1::SearchMoviesResponse>, Status> {
        let deadline = convert::deadline(&request);
        let request = self.numbers.valid(request).await?;
        let user_id = request.user.is_some().then(|| request.user_id());
        let search = Search::of(request)?;
        let options = RequestOptions { deadline, ..RequestOptions::default() };
        let own = match user_id {
            Some(user_id) => self.found_for(user_id, &search, &options).await?,
            None => None,
        };
        let personal = user_id.map(|_| own.is_some());
        let found = match own {
            Some(own) => own,
            None => self.found(&search, search.limit)?.into_iter().map(|hit| hit.index).collect(),
        };
        let movies = self.movies(&self.catalog.movies(), found);
        Ok(Response::new(v1::SearchMoviesResponse { movies, personal }))
    }

    async fn suggest_movies(
        &self,
        request: Request<v1::SuggestMoviesRequest>,
    ) -> Result<Response<v1::SuggestMoviesResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT) as usize;
        let found = self.catalog.suggest(&request.query, &convert::filter(request.filter)?, limit);
        let found = found.map_err(|error| ApiError::from(RecommendError::from(error)))?;
        let movies = self.catalog.movies();
        let suggestion = |suggestion: Suggestion| {
            let movie = movies.at(suggestion.index)?;
            Some(v1::Suggestion {
                movie_id: movie.movie_id,
                movie_key: convert::key(Some(movie)),
                title: movie.title.to_string(),
                name: suggestion.name,
                completion: suggestion.completion,
            })
        };
        let suggestions = found.into_iter().filter_map(suggestion).collect();
        Ok(Response::new(v1::SuggestMoviesResponse { suggestions }))
    }

    async fn list_genres(
        &self,
        _: Request<v1::ListGenresRequest>,
    ) -> Result<Response<v1::ListGenresResponse>, Status> {
        let movies = self.catalog.movies();
        let genres =
            movies.genres().map(|(name, count)| v1::Genre { name: name.to_owned(), movies: count as u32 });
        Ok(Response::new(v1::ListGenresResponse { genres: genres.collect() }))
    }

    async fn list_popular_movies(
        &self,
        request: Request<v1::ListPopularMoviesRequest>,
    ) -> Result<Response<v1::ListPopularMoviesResponse>, Status> {
        let mut request = self.numbers.valid(request).await?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE);
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListPopularMovies", &request);
        let (movies, next_page_token) =
            self.page(list, Order::Popularity, request.filter, &page_token, page_size)?;
        Ok(Response::new(v1::ListPopularMoviesResponse { movies, next_page_token }))
    }

    async fn get_rating_distribution(
        &self,
        request: Request<v1::GetRatingDistributionRequest>,
    ) -> Result<Response<v1::GetRatingDistributionResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let index = request.movie.is_some().then(|| self.index_of(request.movie_id())).transpose()?;
        let counts = self.catalog.rating_counts(index);
        let count = |(rating, ratings): (Rating, u64)| v1::RatingCount { rating: rating.stars(), ratings };
        Ok(Response::new(v1::GetRatingDistributionResponse {
            counts: counts.iter().map(count).collect(),
            ratings: counts.total(),
            average_rating: counts.average(),
        }))
    }

    async fn list_trending_movies(
        &self,
        request: Request<v1::ListTrendingMoviesRequest>,
    ) -> Result<Response<v1::ListTrendingMoviesResponse>, Status> {
        let mut request = self.numbers.valid(request).await?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE);
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListTrendingMovies", &request);
        let (movies, next_page_token) =
            self.page(list, Order::Trend, request.filter, &page_token, page_size)?;
        Ok(Response::new(v1::ListTrendingMoviesResponse { movies, next_page_token }))
    }

    async fn import_movies(
        &self,
        request: Request<Streaming<v1::ImportMoviesRequest>>,
    ) -> Result<Response<v1::ImportMoviesResponse>, Status> {
        to_its_end(self.clone().import_stream(request.into_inner())).await.map(Response::new)
    }

    async fn update_movies(
        &self,
        request: Request<v1::UpdateMoviesRequest>,
    ) -> Result<Response<v1::UpdateMoviesResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let changes = movies::changes(&request)?;
        let updated = self.coordinator.update_movies(changes).await;
        updated.map_err(|error| match error {
            UpdateMoviesError::UnknownMovie(movie_id) => ApiError::UnknownMovie(movie_id),
            UpdateMoviesError::Store(error) => error.into(),
        })?;
        let movies = self.catalog.movies();
        let changed = request.movies.iter().filter_map(|movie| movies.index_of(movie.movie_id()));
        Ok(Response::new(v1::UpdateMoviesResponse { movies: self.movies(&movies, changed) }))
    }

    async fn delete_movies(
        &self,
        request: Request<v1::DeleteMoviesRequest>,
    ) -> Result<Response<v1::DeleteMoviesResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        if request.movie_ids.is_empty() {
            return Err(ApiError::invalid("movie_ids", "names no movie; name those to delete").into());
        }
        let deleted = self.coordinator.delete_movies(request.movie_ids).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::DeleteMoviesResponse { deleted: deleted as u32 }))
    }
}

/// What is searched for.
struct Search {
    query: String,
    filter: Filter,
    limit: usize,
}

impl Search {
    /// # Errors
    /// [`ApiError`] for a request with neither a query nor a filter: it would be the list of popular movies.
    fn of(request: v1::SearchMoviesRequest) -> Result<Self, ApiError> {
        let filter = convert::filter(request.filter)?;
        if request.query.trim().is_empty() && filter.is_empty() {
            let described = "is empty; what a person typed is accepted, and nothing beside a filter, whose most \
                             popular movies are then listed";
            return Err(ApiError::invalid("query", described));
        }
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT) as usize;
        Ok(Self { query: request.query, filter, limit })
    }
}

/// What has become of a stream of movies.
struct Importing {
    coordinator: WriteCoordinator,
    accepted: u64,
    added: u64,
}

impl Keep<MovieRecord> for Importing {
    fn weight(movie: &MovieRecord) -> usize {
        movie.bytes().max(IMPORT_CHUNK_BYTES / IMPORT_CHUNK)
    }

    async fn keep(&mut self, chunk: Vec<MovieRecord>) -> Result<(), Status> {
        if !chunk.is_empty() {
            self.accepted += chunk.len() as u64;
            self.added += self.coordinator.put_movies(chunk).await.map_err(ApiError::from)?;
        }
        Ok(())
    }
}

/// A refusal that says where in the stream the movie stands, and what became of those before it.
fn placed(error: ApiError, before: u64) -> ApiError {
    let ApiError::Invalid(mut violations) = error else { return error };
    for violation in &mut violations {
        violation.description = format!("{}; {}", violation.description, place(before));
    }
    ApiError::Invalid(violations)
}

fn place(before: u64) -> String {
    format!("it is movie {} of the stream, and the {before} before it are kept", before + 1)
}
