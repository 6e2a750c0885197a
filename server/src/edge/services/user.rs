//! `marquee.v1.UserService`.

use std::pin::Pin;
use std::sync::Arc;

use futures::future::try_join_all;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use marquee_core::clock::now_ms;
use marquee_core::domain::{Preferences, User};
use marquee_proto::v1;
use marquee_proto::v1::user_service_server::UserService;
use tonic::{Request, Response, Status};

use crate::access::accounts::{Accounts, Held};
use crate::catalog::CatalogError;
use crate::edge::page::List;
use crate::edge::{ApiError, KeyNumbers, convert, token};
use crate::profiles::ConsistencyToken;
use crate::users::{HistoryPage, UserSummary, Users, UsersPage};
use crate::writes::{PreferencesError, WriteCoordinator};

/// Interactions or users on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 50;

/// Genres shown with a user's numbers.
const SHOWN_GENRES: usize = 10;

/// The service.
pub(crate) struct UserApi {
    users: Users,
    coordinator: WriteCoordinator,
    accounts: Arc<Accounts>,
    numbers: KeyNumbers,
}

impl UserApi {
    /// The service over what is known of users, the coordinator that writes it, the accounts that own users, and their
    /// keys.
    pub(crate) fn new(
        users: Users,
        coordinator: WriteCoordinator,
        accounts: Arc<Accounts>,
        numbers: KeyNumbers,
    ) -> Self {
        Self { users, coordinator, accounts, numbers }
    }

    async fn shown(&self, user: User) -> Result<v1::User, ApiError> {
        let user_key = self.numbers.of_user(user.user_id).await?;
        let movie_keys = self.numbers.of_movies(&user.preferences.movie_ids);
        Ok(convert::user(user, user_key, movie_keys))
    }
}

fn refused_preferences(error: PreferencesError) -> ApiError {
    match error {
        PreferencesError::UnknownMovie(movie_id) => ApiError::UnknownMovie(movie_id),
        PreferencesError::Genres(CatalogError::UnknownGenre { name, known, .. }) => {
            let description = format!("has {name:?}, which is no genre; the genres are {known}");
            ApiError::invalid("preferences.genres", description)
        }
        PreferencesError::Store(error) => error.into(),
    }
}

#[tonic::async_trait]
impl UserService for UserApi {
    async fn register_user(
        &self,
        request: Request<v1::RegisterUserRequest>,
    ) -> Result<Response<v1::RegisterUserResponse>, Status> {
        let (request, by_key) = self.numbers.creating(request)?;
        self.numbers.keep(by_key).await?;
        self.coordinator.check_user(request.user_id()).await.map_err(ApiError::from)?;
        let (user, created) = self.coordinator.register(request.user_id()).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::RegisterUserResponse { user: Some(self.shown(user).await?), created }))
    }

    async fn set_preferences(
        &self,
        request: Request<v1::SetPreferencesRequest>,
    ) -> Result<Response<v1::SetPreferencesResponse>, Status> {
        let (request, by_key) = self.numbers.creating(request)?;
        self.numbers.keep(by_key).await?;
        let user_id = request.user_id();
        self.coordinator.check_user(user_id).await.map_err(ApiError::from)?;
        let preferences = request.preferences.unwrap_or_default();
        let preferences = Preferences { genres: preferences.genres, movie_ids: preferences.movie_ids };
        let written = self.coordinator.set_preferences(user_id, preferences).await;
        let user = written.map_err(refused_preferences)?;
        let consistency_token = token::of(&ConsistencyToken::Stored);
        let user = Some(self.shown(user).await?);
        Ok(Response::new(v1::SetPreferencesResponse { user, consistency_token }))
    }

    async fn get_user(
        &self,
        request: Request<v1::GetUserRequest>,
    ) -> Result<Response<v1::GetUserResponse>, Status> {
        let (request, by_key) = self.numbers.about(request).await?;
        let user = self.users.find(request.user_id()).await.map_err(ApiError::from)?;
        let user = user.ok_or_else(|| by_key.unknown(request.user_id()))?;
        Ok(Response::new(v1::GetUserResponse { user: Some(self.shown(user).await?) }))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let mut request = self.numbers.valid(request).await?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListUsers", &request);
        let after = list.users_after(&page_token)?;
        let UsersPage { users, next } = self.users.list(after, page_size).await.map_err(ApiError::from)?;
        let users = try_join_all(users.into_iter().map(|user| self.shown(user))).await?;
        let next_page_token = next.map(|after| list.users_token(after)).unwrap_or_default();
        Ok(Response::new(v1::ListUsersResponse { users, next_page_token }))
    }

    async fn get_user_stats(
        &self,
        request: Request<v1::GetUserStatsRequest>,
    ) -> Result<Response<v1::GetUserStatsResponse>, Status> {
        let (request, by_key) = self.numbers.about(request).await?;
        let summary = self.users.summary(request.user_id()).await.map_err(ApiError::from)?;
        let UserSummary { stats, average_rating, genres } =
            summary.ok_or_else(|| by_key.unknown(request.user_id()))?;
        let genre = |(genre, movies): (Arc<str>, u32)| v1::GenreCount { genre: genre.to_string(), movies };
        Ok(Response::new(v1::GetUserStatsResponse {
            interactions: stats.interactions as u32,
            ratings: stats.ratings as u32,
            average_rating,
            first_time: stats.first_ms.map(convert::timestamp),
            last_time: stats.last_ms.map(convert::timestamp),
            genres: genres.into_iter().take(SHOWN_GENRES).map(genre).collect(),
        }))
    }

    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        let (mut request, by_key) = self.numbers.about(request).await?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListHistory", &request);
        let after = list.events_after(&page_token)?;
        let page = self.users.history(request.user_id(), after, page_size).await.map_err(ApiError::from)?;
        let HistoryPage { events, next } = page.ok_or_else(|| by_key.unknown(request.user_id()))?;
        let next_page_token = next.map(|key| list.events_token(key)).unwrap_or_default();
        let interactions = events
            .iter()
            .map(|(event, movie)| v1::HistoryEntry {
                interaction: Some(convert::stored_interaction(event)),
                title: movie.as_ref().map(|movie| movie.title.to_string()).unwrap_or_default(),
                movie_key: convert::key(movie.as_ref()),
            })
            .collect();
        Ok(Response::new(v1::ListHistoryResponse { interactions, next_page_token }))
    }

    type ExportUserStream =
        Pin<Box<dyn Stream<Item = Result<v1::ExportUserResponse, Status>> + Send + 'static>>;

    async fn export_user(
        &self,
        request: Request<v1::ExportUserRequest>,
    ) -> Result<Response<Self::ExportUserStream>, Status> {
        let (request, by_key) = self.numbers.about(request).await?;
        let user_id = request.user_id();
        let held = self.accounts.held_of_user(user_id, now_ms()).await.map_err(ApiError::from)?;
        let account = held.iter().flat_map(Held::lines).collect::<Vec<_>>();
        let user_key = self.numbers.of_user(user_id).await?;
        let about = self.users.lines(user_id, &user_key).await.map_err(ApiError::from)?;
        let about = about.ok_or_else(|| by_key.unknown(user_id))?;
        let lines = about.chain(stream::iter(account).map(Ok)).map_err(|error| ApiError::from(error).into());
        Ok(Response::new(Box::pin(lines.map_ok(|line| v1::ExportUserResponse { line: line.to_string() }))))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let deleted = self.accounts.delete_user(request.user_id(), now_ms()).await;
        let deleted_interactions = deleted.map_err(ApiError::from)?;
        let consistency_token = token::of(&ConsistencyToken::Stored);
        Ok(Response::new(v1::DeleteUserResponse { deleted_interactions, consistency_token }))
    }
}
