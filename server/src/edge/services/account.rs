//! `marquee.v1.AccountService`.

use std::sync::Arc;

use http::Extensions;
use http::header::SET_COOKIE;
use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_proto::v1;
use marquee_proto::v1::account_service_server::AccountService;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::access::accounts::{Account, AccountError, AccountName, Accounts, Entrance, NewSession};
use crate::edge::layers::{ConnectionInfo, Origin, Protocol, caller_of, session_of};
use crate::edge::{ApiError, KeyNumbers, convert, cookie, valid};

/// The service.
pub(crate) struct AccountApi {
    accounts: Arc<Accounts>,
    numbers: KeyNumbers,
}

impl AccountApi {
    /// The service over the accounts; users that are there already may be named by keys.
    pub(crate) fn new(accounts: Arc<Accounts>, numbers: KeyNumbers) -> Self {
        Self { accounts, numbers }
    }
}

#[tonic::async_trait]
impl AccountService for AccountApi {
    async fn sign_up(
        &self,
        request: Request<v1::SignUpRequest>,
    ) -> Result<Response<v1::SignUpResponse>, Status> {
        let now_ms = now_ms();
        let (origin, browser) = (origin(request.extensions()), Browser::of(request.extensions()));
        let v1::SignUpRequest { email, password } = valid(request)?;
        let entrance = self.accounts.sign_up(&email, password, &origin, now_ms).await.map_err(refused)?;
        let Entrance { account, session, .. } = entrance;
        let kept = browser.keep(&session, now_ms);
        let (account, session) = (Some(shown(account)), Some(begun(session)));
        Ok(kept.with(v1::SignUpResponse { account, session }))
    }

    async fn sign_in(
        &self,
        request: Request<v1::SignInRequest>,
    ) -> Result<Response<v1::SignInResponse>, Status> {
        let now_ms = now_ms();
        let (origin, browser) = (origin(request.extensions()), Browser::of(request.extensions()));
        let v1::SignInRequest { email, password } = valid(request)?;
        let entrance = self.accounts.sign_in(&email, password, &origin, now_ms).await.map_err(refused)?;
        let Entrance { account, session, must_change_password } = entrance;
        let kept = browser.keep(&session, now_ms);
        let (account, session) = (Some(shown(account)), Some(begun(session)));
        Ok(kept.with(v1::SignInResponse { account, session, must_change_password }))
    }

    async fn sign_out(
        &self,
        request: Request<v1::SignOutRequest>,
    ) -> Result<Response<v1::SignOutResponse>, Status> {
        let session = session_of(request.extensions())?;
        let browser = Browser::of(request.extensions());
        let everywhere = valid(request)?.everywhere();
        let signed_out = self.accounts.sign_out(&session.session, everywhere, now_ms()).await;
        signed_out.map_err(ApiError::from)?;
        Ok(browser.forget().with(v1::SignOutResponse {}))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let identity = caller_of(request.extensions())?;
        let session = session_of(request.extensions()).ok();
        valid(request)?;
        let account = match session {
            Some(session) => Some(self.accounts.account(session.account_id(), now_ms()).await),
            None => None,
        };
        let account = account.transpose().map_err(ApiError::from)?;
        let roles = identity.roles.iter().map(|role| role.name.clone()).collect();
        let (name, user_id) = (identity.name.clone(), identity.user_id);
        Ok(Response::new(v1::WhoAmIResponse { name, roles, user_id, account: account.map(shown) }))
    }

    async fn change_password(
        &self,
        request: Request<v1::ChangePasswordRequest>,
    ) -> Result<Response<v1::ChangePasswordResponse>, Status> {
        let now_ms = now_ms();
        let session = session_of(request.extensions())?;
        let browser = Browser::of(request.extensions());
        let v1::ChangePasswordRequest { current_password, new_password } = valid(request)?;
        let account_id = session.account_id();
        let changed = self.accounts.change_password(account_id, current_password, new_password, now_ms).await;
        let session = changed.map_err(ApiError::from)?;
        let kept = browser.keep(&session, now_ms);
        Ok(kept.with(v1::ChangePasswordResponse { session: Some(begun(session)) }))
    }

    async fn reset_password(
        &self,
        request: Request<v1::ResetPasswordRequest>,
    ) -> Result<Response<v1::ResetPasswordResponse>, Status> {
        use v1::reset_password_request::Account::{AccountId, Email};
        let name = match valid(request)?.account {
            Some(Email(email)) => AccountName::Email(email),
            Some(AccountId(id)) => AccountName::Id(id),
            None => AccountName::Id(String::new()),
        };
        let (account, one_time_password, expires_ms) =
            self.accounts.reset_password(&name, now_ms()).await.map_err(refused)?;
        Ok(Response::new(v1::ResetPasswordResponse {
            account: Some(shown(account)),
            one_time_password,
            expire_time: Some(convert::timestamp(expires_ms)),
        }))
    }

    async fn link_user(
        &self,
        request: Request<v1::LinkUserRequest>,
    ) -> Result<Response<v1::LinkUserResponse>, Status> {
        use v1::link_user_request::Account::{AccountId, Email};
        let (request, by_key) = self.numbers.about(request).await?;
        let user_id = request.user_id();
        let name = match request.account {
            Some(Email(email)) => AccountName::Email(email),
            Some(AccountId(id)) => AccountName::Id(id),
            None => AccountName::Id(String::new()),
        };
        let account =
            self.accounts.link_user(&name, user_id, now_ms()).await.map_err(|error| match error {
                AccountError::UnknownUser(user_id) => by_key.unknown(user_id),
                error => refused(error),
            })?;
        Ok(Response::new(v1::LinkUserResponse { account: Some(shown(account)) }))
    }

    async fn delete_account(
        &self,
        request: Request<v1::DeleteAccountRequest>,
    ) -> Result<Response<v1::DeleteAccountResponse>, Status> {
        let session = session_of(request.extensions())?;
        let browser = Browser::of(request.extensions());
        let password = valid(request)?.password;
        let deleted = self.accounts.delete(session.account_id(), password, now_ms()).await;
        let deleted_interactions = deleted.map_err(ApiError::from)?;
        Ok(browser.forget().with(v1::DeleteAccountResponse { deleted_interactions }))
    }
}

/// What may keep a session as a cookie: whoever does not speak gRPC, as a browser never does.
#[derive(Clone, Copy)]
struct Browser {
    keeps_cookies: bool,
    is_encrypted: bool,
}

impl Browser {
    fn of(extensions: &Extensions) -> Self {
        let protocol = extensions.get::<Protocol>().copied().unwrap_or_default();
        let connection = extensions.get::<ConnectionInfo>();
        Self {
            keeps_cookies: protocol != Protocol::Grpc,
            is_encrypted: connection.is_some_and(ConnectionInfo::is_encrypted),
        }
    }

    /// Lets it keep a session as long as that may last.
    fn keep(self, session: &NewSession, now_ms: TimeMs) -> Cookie {
        self.cookie(&session.token, (session.expires_ms - now_ms) / 1_000)
    }

    /// Lets it keep none.
    fn forget(self) -> Cookie {
        self.cookie("", 0)
    }

    fn cookie(self, token: &str, seconds: TimeMs) -> Cookie {
        Cookie(self.keeps_cookies.then(|| cookie::set(token, seconds, self.is_encrypted)).flatten())
    }
}

/// What a reply tells a browser of its session.
struct Cookie(Option<http::HeaderValue>);

impl Cookie {
    fn with<T>(self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        if let Some(cookie) = self.0 {
            let headers = http::HeaderMap::from_iter([(SET_COOKIE, cookie)]);
            *response.metadata_mut() = MetadataMap::from_headers(headers);
        }
        response
    }
}

fn origin(extensions: &Extensions) -> String {
    Origin::of(extensions).to_string()
}

/// Why an account is refused, by its field.
fn refused(error: AccountError) -> ApiError {
    match error {
        AccountError::NoEmail => ApiError::invalid("email", "is no address such as ada@example.org"),
        other => other.into(),
    }
}

fn begun(session: NewSession) -> v1::Session {
    v1::Session {
        expire_time: Some(convert::timestamp(session.expires_ms)),
        idle_seconds: u32::try_from(session.idle.as_secs()).unwrap_or(u32::MAX),
        token: session.token,
    }
}

fn shown(account: Account) -> v1::Account {
    let Account { id, email, user_id, created_ms, .. } = account;
    let create_time = Some(convert::timestamp(created_ms));
    v1::Account { account_id: id, email, user_id, create_time }
}
