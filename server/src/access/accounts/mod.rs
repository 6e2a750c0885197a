//! Accounts of people: how they are made, how their owners sign in, and how they end.
//!
//! An account owns one user. Its id is chosen here, from a range that callers cannot take (see
//! [`is_persons`](crate::writes::is_persons)), so that nobody has data of that user before its owner has.
//!
//! Nothing that is secret is kept: of a password its Argon2id hash, of a session the hash of its text. Whether an address
//! has an account is told by SignUp alone, which is off unless it is asked for: [`Accounts::sign_in`] answers alike,
//! after the same work, whatever is wrong.

mod attempts;
mod email;
mod password;
mod record;
mod session;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::millis;
use marquee_core::domain::{TimeMs, UserId};
use marquee_store::{Store, StoreError, to_its_end};
use serde_json::{Value, json};

use self::attempts::{Attempts, Place};
pub use self::email::Email;
pub(crate) use self::password::METRICS;
use self::password::{Checked, Passwords};
pub use self::record::Account;
use self::record::{Found, OneTime};
use self::session::Sessions;
pub use self::session::{NewSession, SessionDates, SessionError, SessionTimes, SignedIn};
pub use self::token::SessionId;
use crate::access::Role;
use crate::shared::cache::Cache;
use crate::writes::{WriteCoordinator, random_persons_id};

/// How long a password lasts that signs in once.
const ONE_TIME: Duration = Duration::from_hours(24);

/// Ids that are tried for a new user. Each is free, but for one time in 2^62 for each user that there is.
const IDS_TRIED: usize = 4;

/// Why something is not done with an account.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody signs up here.
    #[error("people cannot sign up here; ask who runs the server for an account, or for --sign-up on")]
    SignUpOff,
    /// It is no address.
    #[error("the email is none; give one such as ada@example.org")]
    NoEmail,
    /// The address has an account.
    #[error("there is an account with this email; sign in, or ask who runs the server for another password")]
    EmailTaken,
    /// There is no such account, or the password is wrong or over; which of these is not said.
    #[error("the email or the password is wrong")]
    SignInRefused,
    /// The password of who has signed in is another one.
    #[error("the current password is another one")]
    WrongPassword,
    /// There is no such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// There is no such user.
    #[error("user {0} is unknown; RegisterUser or RecordInteraction creates users")]
    UnknownUser(UserId),
    /// Another account owns the user.
    #[error("user {0} is owned by another account")]
    UserTaken(UserId),
    /// More attempts than there may be.
    #[error("too many attempts; wait for the time in RetryInfo")]
    TooOften {
        /// When there may be another one.
        retry_after: Duration,
    },
    /// More passwords are being checked than may be.
    #[error("too many people sign in at this moment; wait for the time in RetryInfo")]
    Busy {
        /// When there may be room again.
        retry_after: Duration,
    },
    /// Somebody else changed the account at this moment.
    #[error("the account was changed by somebody else at this moment; try again")]
    Changed,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which account.
#[derive(Clone, Debug)]
pub enum AccountName {
    /// That of this id.
    Id(String),
    /// That of this address.
    Email(String),
}

/// What came of signing in.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The account.
    pub account: Account,
    /// Its new session.
    pub session: NewSession,
    /// Whether the password signs in no second time.
    pub must_change_password: bool,
}

/// What is known of a person, without secrets.
#[derive(Clone, Debug)]
pub struct Held {
    /// The account.
    pub account: Account,
    /// Its sessions.
    pub sessions: Vec<SessionDates>,
}

/// The accounts of a store. All methods may be called from many tasks at once.
pub struct Accounts {
    store: Arc<dyn Store>,
    writes: WriteCoordinator,
    passwords: Passwords,
    sessions: Sessions,
    attempts: Attempts,
    sign_up: bool,
}

impl Accounts {
    /// Accounts of people, who have the role `person` once they have signed in; whether anybody may make one. Nodes that
    /// share the store tell each other of sessions by `shared`.
    pub fn new(
        store: Arc<dyn Store>,
        shared: Option<Arc<dyn Cache>>,
        writes: WriteCoordinator,
        person: Arc<Role>,
        times: SessionTimes,
        sign_up: bool,
    ) -> Self {
        Self {
            sessions: Sessions::new(Arc::clone(&store), shared, person, times),
            store,
            writes,
            passwords: Passwords::default(),
            attempts: Attempts::default(),
            sign_up,
        }
    }

    /// Whose session a text is at this time.
    ///
    /// # Errors
    /// [`SessionError`] when it is none, or cannot be asked for.
    pub async fn identify(&self, text: &str, now_ms: TimeMs) -> Result<Arc<SignedIn>, SessionError> {
        self.sessions.identify(text, now_ms).await
    }

    /// Makes an account and begins its first session; `origin` is where the call comes from.
    ///
    /// # Errors
    /// [`AccountError`] when nobody may, the address is none or taken, too many ask, or the store fails.
    pub async fn sign_up(
        self: &Arc<Self>,
        email: &str,
        password: String,
        origin: &str,
        now_ms: TimeMs,
    ) -> Result<Entrance, AccountError> {
        if !self.sign_up {
            return Err(AccountError::SignUpOff);
        }
        let email = Email::parse(email).ok_or(AccountError::NoEmail)?;
        self.attempts.sign_up(origin).await.map_err(too_often)?;
        if record::find_by_email(self.store.as_ref(), &email, now_ms).await?.is_some() {
            return Err(AccountError::EmailTaken);
        }
        let password = self.passwords.hash(password).await?;
        let (accounts, origin) = (Arc::clone(self), origin.to_owned());
        to_its_end(async move {
            let account = accounts.make(email, password, &origin, now_ms).await?;
            let session = accounts.sessions.begin(&account, now_ms).await?;
            Ok(Entrance { account, session, must_change_password: false })
        })
        .await
    }

    /// Makes an account and its user. One that is not finished goes by itself.
    async fn make(
        &self,
        email: Email,
        password: String,
        origin: &str,
        now_ms: TimeMs,
    ) -> Result<Account, AccountError> {
        let store = self.store.as_ref();
        let mut account = Account {
            id: token::new_account_id(),
            email: email.as_str().to_owned(),
            user_id: random_persons_id(),
            created_ms: now_ms,
            password,
            one_time: None,
            generation: 0,
            origins: Vec::new(),
        };
        account.learn(origin);
        record::begin(store, &account, now_ms).await?;
        let made = self.complete(&email, &mut account, now_ms).await;
        if made.is_err() {
            // What is left over of it goes by itself.
            _ = record::remove(store, &account, now_ms).await;
        }
        made.map(|()| account)
    }

    /// Lets the address lead to a new account, and gives it a user.
    async fn complete(
        &self,
        email: &Email,
        account: &mut Account,
        now_ms: TimeMs,
    ) -> Result<(), AccountError> {
        let store = self.store.as_ref();
        if !record::claim_email(store, email, &account.id, now_ms).await? {
            return Err(AccountError::EmailTaken);
        }
        for _ in 0..IDS_TRIED {
            if record::claim_user(store, account.user_id, &account.id, now_ms).await? {
                let (_, is_new) = self.writes.register(account.user_id).await?;
                if is_new {
                    return Ok(record::finish(store, account, now_ms).await?);
                }
                record::release_user(store, account.user_id, &account.id, now_ms).await?;
            }
            account.user_id = random_persons_id();
        }
        Err(AccountError::Changed)
    }

    /// Begins a session; `origin` is where the call comes from.
    ///
    /// # Errors
    /// [`AccountError::SignInRefused`] whatever is wrong with address and password, and other variants when too many
    /// ask, or the store fails.
    pub async fn sign_in(
        &self,
        email: &str,
        password: String,
        origin: &str,
        now_ms: TimeMs,
    ) -> Result<Entrance, AccountError> {
        self.attempts.sign_in(origin).await.map_err(too_often)?;
        // What is no address has no account either.
        let email = Email::parse(email);
        let by = email.as_ref().map_or_else(|| "none".to_owned(), Email::hash);
        let found = match &email {
            Some(email) => record::find_by_email(self.store.as_ref(), email, now_ms).await?,
            None => None,
        };
        let is_known = found.as_ref().is_some_and(|found| found.account.knows(origin));
        let place = if is_known { Place::Known } else { Place::Strange };
        self.attempts.password(&by, origin, place).await.map_err(too_often)?;
        let hash = found.as_ref().map(|found| found.account.password.clone());
        let checked = self.passwords.check(password.clone(), hash).await?;
        let found = found.filter(|found| found.account.may_enter(now_ms) && checked != Checked::Wrong);
        let Some(found) = found else { return Err(AccountError::SignInRefused) };
        let account = self.entered(found, password, checked, origin, now_ms).await?;
        let session = self.sessions.begin(&account, now_ms).await?;
        Ok(Entrance { must_change_password: account.one_time.is_some(), account, session })
    }

    /// The account as it is once its owner has signed in: a password that signs in once has, a hash of another cost is
    /// made anew, and its owner is known there.
    async fn entered(
        &self,
        found: Found,
        password: String,
        checked: Checked,
        origin: &str,
        now_ms: TimeMs,
    ) -> Result<Account, AccountError> {
        let mut account = found.account.clone();
        if let Some(one_time) = &mut account.one_time {
            one_time.used = true;
        }
        if checked == Checked::RightAndOld {
            account.password = self.passwords.hash(password).await?;
        }
        account.learn(origin);
        if account == found.account {
            return Ok(account);
        }
        if record::replace(self.store.as_ref(), &found, &account, now_ms).await? {
            return Ok(account);
        }
        // Of two who use the password that signs in once, one does; the rest can be done the next time.
        if account.one_time.is_some() { Err(AccountError::SignInRefused) } else { Ok(found.account) }
    }

    /// Ends a session, or all of its account.
    ///
    /// # Errors
    /// [`AccountError`] when the store fails.
    pub async fn sign_out(
        self: &Arc<Self>,
        session: &SessionId,
        everywhere: bool,
        now_ms: TimeMs,
    ) -> Result<(), AccountError> {
        if !everywhere {
            return Ok(self.sessions.end_one(session, now_ms).await?);
        }
        let found = self.find(&session.account_id, now_ms).await?;
        self.replaced(found, |_| {}, now_ms).await.map(drop)
    }

    /// The account of who has signed in.
    ///
    /// # Errors
    /// [`AccountError`] when there is none any more, or the store fails.
    pub async fn account(&self, account_id: &str, now_ms: TimeMs) -> Result<Account, AccountError> {
        Ok(self.find(account_id, now_ms).await?.account)
    }

    /// Gives an account another password, ends its sessions, and begins a new one.
    ///
    /// # Errors
    /// [`AccountError`] when the current password is another one, too many ask, or the store fails.
    pub async fn change_password(
        self: &Arc<Self>,
        account_id: &str,
        current: String,
        new: String,
        now_ms: TimeMs,
    ) -> Result<NewSession, AccountError> {
        let found = self.with_password(account_id, current, now_ms).await?;
        let password = self.passwords.hash(new).await?;
        let change = move |account: &mut Account| {
            account.password = password;
            account.one_time = None;
        };
        let account = self.replaced(found, change, now_ms).await?;
        Ok(self.sessions.begin(&account, now_ms).await?)
    }

    /// Gives an account a password that signs in once, and ends its sessions; the password, and until when it does.
    ///
    /// # Errors
    /// [`AccountError`] when there is no such account, or the store fails.
    pub async fn reset_password(
        self: &Arc<Self>,
        name: &AccountName,
        now_ms: TimeMs,
    ) -> Result<(Account, String, TimeMs), AccountError> {
        let found = self.named(name, now_ms).await?;
        let one_time = password::one_time();
        let password = self.passwords.hash(one_time.clone()).await?;
        let expires_ms = now_ms.saturating_add(millis(ONE_TIME));
        let change = move |account: &mut Account| {
            account.password = password;
            account.one_time = Some(OneTime { expires_ms, used: false });
        };
        let account = self.replaced(found, change, now_ms).await?;
        Ok((account, one_time, expires_ms))
    }

    /// Lets an account own another user.
    ///
    /// # Errors
    /// [`AccountError`] when there is no such account or user, another account owns the user, or the store fails.
    pub async fn link_user(
        self: &Arc<Self>,
        name: &AccountName,
        user_id: UserId,
        now_ms: TimeMs,
    ) -> Result<Account, AccountError> {
        let found = self.named(name, now_ms).await?;
        let store = self.store.as_ref();
        if store.user(user_id).await?.is_none() {
            return Err(AccountError::UnknownUser(user_id));
        }
        let before = found.account.user_id;
        if before == user_id {
            return Ok(found.account);
        }
        if !record::claim_user(store, user_id, &found.account.id, now_ms).await? {
            return Err(AccountError::UserTaken(user_id));
        }
        let account = Account { user_id, ..found.account.clone() };
        if !record::replace(store, &found, &account, now_ms).await? {
            return Err(AccountError::Changed);
        }
        record::release_user(store, before, &account.id, now_ms).await?;
        self.sessions.forget_account(&account.id, now_ms);
        Ok(account)
    }

    /// Removes the account of who has signed in, with its user; how many events that had.
    ///
    /// # Errors
    /// [`AccountError`] when the password is another one, too many ask, or the store fails.
    pub async fn delete(
        self: &Arc<Self>,
        account_id: &str,
        password: String,
        now_ms: TimeMs,
    ) -> Result<u64, AccountError> {
        let found = self.with_password(account_id, password, now_ms).await?;
        Ok(self.delete_user(found.account.user_id, now_ms).await?)
    }

    /// Removes everything of a user, with the account that owns it; how many events there were.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; repeating the call ends it.
    pub async fn delete_user(self: &Arc<Self>, user_id: UserId, now_ms: TimeMs) -> Result<u64, StoreError> {
        let accounts = Arc::clone(self);
        let deleting = async move {
            let store = accounts.store.as_ref();
            match record::find_by_user(store, user_id, now_ms).await? {
                Some(Found { account, .. }) => {
                    record::remove(store, &account, now_ms).await?;
                    accounts.sessions.end_all(&account.id, now_ms).await?;
                }
                None => record::forget_user(store, user_id, now_ms).await?,
            }
            Ok(accounts.writes.delete_user(user_id).await?)
        };
        to_its_end(deleting).await.map_err(|error| match error {
            AccountError::Store(error) => error,
            other => StoreError::Unavailable(other.to_string()),
        })
    }

    /// What is held of the account that owns a user, if one does.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn held_of_user(&self, user_id: UserId, now_ms: TimeMs) -> Result<Option<Held>, StoreError> {
        let found = record::find_by_user(self.store.as_ref(), user_id, now_ms).await?;
        let Some(Found { account, .. }) = found else { return Ok(None) };
        let sessions = self.sessions.dates(&account.id, now_ms).await?;
        Ok(Some(Held { account, sessions }))
    }

    async fn find(&self, account_id: &str, now_ms: TimeMs) -> Result<Found, AccountError> {
        let found = record::find(self.store.as_ref(), account_id, now_ms).await?;
        found.ok_or(AccountError::UnknownAccount)
    }

    async fn named(&self, name: &AccountName, now_ms: TimeMs) -> Result<Found, AccountError> {
        match name {
            AccountName::Id(id) => self.find(id, now_ms).await,
            AccountName::Email(email) => {
                let email = Email::parse(email).ok_or(AccountError::NoEmail)?;
                let found = record::find_by_email(self.store.as_ref(), &email, now_ms).await?;
                found.ok_or(AccountError::UnknownAccount)
            }
        }
    }

    /// The account, if this is its password.
    async fn with_password(
        &self,
        account_id: &str,
        password: String,
        now_ms: TimeMs,
    ) -> Result<Found, AccountError> {
        self.attempts.own_password(account_id).await.map_err(too_often)?;
        let found = self.find(account_id, now_ms).await?;
        match self.passwords.check(password, Some(found.account.password.clone())).await? {
            Checked::Wrong => Err(AccountError::WrongPassword),
            Checked::Right | Checked::RightAndOld => Ok(found),
        }
    }

    /// Changes an account and ends all its sessions.
    async fn replaced(
        self: &Arc<Self>,
        found: Found,
        change: impl FnOnce(&mut Account),
        now_ms: TimeMs,
    ) -> Result<Account, AccountError> {
        let mut account = found.account.clone();
        change(&mut account);
        account.generation += 1;
        let accounts = Arc::clone(self);
        to_its_end(async move {
            let is_replaced = record::replace(accounts.store.as_ref(), &found, &account, now_ms).await?;
            if !is_replaced {
                return Err(AccountError::Changed);
            }
            accounts.sessions.end_all(&account.id, now_ms).await?;
            Ok(account)
        })
        .await
    }
}

impl Held {
    /// What is held, an object of JSON each.
    pub fn lines(&self) -> Vec<Value> {
        let Account { id, email, user_id, created_ms, origins, .. } = &self.account;
        let account = json!({
            "kind": "account", "account_id": id, "email": email, "user_id": user_id.to_string(), "created_ms": created_ms,
            "origin_hashes": origins,
        });
        let session = |SessionDates { created_ms, used_ms }: &SessionDates| json!({ "kind": "session", "created_ms": created_ms, "used_ms": used_ms });
        [account].into_iter().chain(self.sessions.iter().map(session)).collect()
    }
}

impl Account {
    /// Whether its password signs in.
    fn may_enter(&self, now_ms: TimeMs) -> bool {
        self.one_time.is_none_or(|one_time| !one_time.used && now_ms < one_time.expires_ms)
    }
}

fn too_often(retry_after: Duration) -> AccountError {
    AccountError::TooOften { retry_after }
}
