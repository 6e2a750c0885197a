//! `marquee.v1.UserService`.

use std::sync::Arc;

use marquee_core::domain::{EventKey, Preferences};
use marquee_proto::v1;
use marquee_proto::v1::user_service_server::UserService;
use marquee_store::Store;
use tonic::{Request, Response, Status};

use crate::catalog::{Catalog, Filter};
use crate::edge::page::List;
use crate::edge::{ApiError, convert, token, valid};
use crate::profiles::ConsistencyToken;
use crate::recommend::RecommendError;
use crate::writes::WriteCoordinator;

/// Interactions on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 50;

/// Genres shown with a user's numbers.
const SHOWN_GENRES: usize = 10;

/// The service.
pub struct UserApi {
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    coordinator: WriteCoordinator,
}

impl UserApi {
    /// The service over a store, the coordinator that writes to it, and the catalogue that follows it.
    pub fn new(catalog: Arc<Catalog>, store: Arc<dyn Store>, coordinator: WriteCoordinator) -> Self {
        Self { catalog, store, coordinator }
    }

    fn check_preferences(&self, preferences: &v1::Preferences) -> Result<(), ApiError> {
        let movies = self.catalog.movies();
        if let Some(unknown) = preferences.movie_ids.iter().find(|id| movies.index_of(**id).is_none()) {
            return Err(ApiError::UnknownMovie(*unknown));
        }
        let filter = Filter { genres_any: preferences.genres.clone(), ..Filter::default() };
        match self.catalog.select(&filter).map_err(RecommendError::from) {
            Ok(_) => Ok(()),
            Err(error) => Err(ApiError::invalid("preferences.genres", error.to_string())),
        }
    }
}

#[tonic::async_trait]
impl UserService for UserApi {
    async fn register_user(
        &self,
        request: Request<v1::RegisterUserRequest>,
    ) -> Result<Response<v1::RegisterUserResponse>, Status> {
        let request = valid(request.into_inner())?;
        let (user, created) = self.coordinator.register(request.user_id()).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::RegisterUserResponse { user: Some(convert::user(user)), created }))
    }

    async fn set_preferences(
        &self,
        request: Request<v1::SetPreferencesRequest>,
    ) -> Result<Response<v1::SetPreferencesResponse>, Status> {
        let request = valid(request.into_inner())?;
        let user_id = request.user_id();
        let preferences = request.preferences.unwrap_or_default();
        self.check_preferences(&preferences)?;
        let preferences = Preferences { genres: preferences.genres, movie_ids: preferences.movie_ids };
        let written = self.coordinator.set_preferences(user_id, preferences).await;
        let user = written.map_err(ApiError::from)?;
        let consistency_token = token::of(&ConsistencyToken::Stored);
        Ok(Response::new(v1::SetPreferencesResponse { user: Some(convert::user(user)), consistency_token }))
    }

    async fn get_user(
        &self,
        request: Request<v1::GetUserRequest>,
    ) -> Result<Response<v1::GetUserResponse>, Status> {
        let request = valid(request.into_inner())?;
        let user = self.store.user(request.user_id()).await.map_err(ApiError::from)?;
        let user = user.ok_or(ApiError::UnknownUser(request.user_id()))?;
        Ok(Response::new(v1::GetUserResponse { user: Some(convert::user(user)) }))
    }

    async fn get_user_stats(
        &self,
        request: Request<v1::GetUserStatsRequest>,
    ) -> Result<Response<v1::GetUserStatsResponse>, Status> {
        let request = valid(request.into_inner())?;
        let unknown = || ApiError::UnknownUser(request.user_id());
        let stats = self.store.user_stats(request.user_id()).await.map_err(ApiError::from)?;
        let stats = stats.ok_or_else(unknown)?;
        let profile = self.store.profile(request.user_id(), 0).await.map_err(ApiError::from)?;
        let profile = profile.ok_or_else(unknown)?;
        let genres = self.catalog.movies().genre_counts(&profile.seen);
        let average = (stats.ratings > 0).then(|| stats.half_stars as f64 / 2.0 / stats.ratings as f64);
        Ok(Response::new(v1::GetUserStatsResponse {
            interactions: stats.interactions as u32,
            ratings: stats.ratings as u32,
            average_rating: average,
            first_time: stats.first_ms.map(convert::timestamp),
            last_time: stats.last_ms.map(convert::timestamp),
            genres: genres
                .into_iter()
                .take(SHOWN_GENRES)
                .map(|(genre, movies)| v1::GenreCount { genre: genre.to_string(), movies })
                .collect(),
        }))
    }

    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        let mut request = valid(request.into_inner())?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListHistory", &request);
        let after = list.events_after(&page_token)?;
        let events =
            self.store.history(request.user_id(), after, page_size + 1).await.map_err(ApiError::from)?;
        let mut events = events.ok_or(ApiError::UnknownUser(request.user_id()))?;
        let more = events.len() > page_size;
        events.truncate(page_size);
        let last = events.last().filter(|_| more);
        let next_page_token = last.map(|event| list.events_token(EventKey::from(event))).unwrap_or_default();
        let movies = self.catalog.movies();
        let interactions = events
            .iter()
            .map(|event| v1::HistoryEntry {
                interaction: Some(convert::stored_interaction(event)),
                title: movies.get(event.movie_id).map(|movie| movie.title.to_string()).unwrap_or_default(),
            })
            .collect();
        Ok(Response::new(v1::ListHistoryResponse { interactions, next_page_token }))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let request = valid(request.into_inner())?;
        let deleted_interactions =
            self.coordinator.delete_user(request.user_id()).await.map_err(ApiError::from)?;
        let consistency_token = token::of(&ConsistencyToken::Stored);
        Ok(Response::new(v1::DeleteUserResponse { deleted_interactions, consistency_token }))
    }
}
