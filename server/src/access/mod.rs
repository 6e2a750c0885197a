//! Who calls, and what they may do.
//!
//! A caller shows an API key, or a token of an identity provider; [`Access::identify`] says whose it is, from memory
//! unless a token names a key that is new. One who shows neither may be known by its certificate. What a caller may do is said by [`Role`]s: the methods, and
//! the bounds within which requests have to stay. Both are asked by one layer of the edge, and the bounds where requests
//! are checked, so that no handler decides about rights.
//!
//! Keys are stored objects, held in memory by each node as rules are; a node that shares its store looks four times a
//! second whether another one has changed them, whatever else it reads, so that a revoked key is refused everywhere
//! within a second. While the store cannot be reached, what was read last holds.

pub mod accounts;
pub mod audit;
mod certificates;
mod keys;
mod roles;
mod secret;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use marquee_core::domain::{TimeMs, UserId};
use marquee_store::StoreError;

pub use self::certificates::{Certificates, CertificatesError};
pub use self::keys::{Key, KeyError, Keys, NewKey, UsedKey};
pub use self::roles::{Asked, Bounds, Conditions, Role, Roles, UnknownRole};
pub(crate) use self::tokens::METRICS as TOKEN_METRICS;
pub use self::tokens::{
    ClaimRoles, ClaimRolesError, KeySource, KeySourceError, TokenOptions, Tokens, TokensError,
};

/// How often it is asked whether another node has changed who may call.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Who calls.
#[derive(Debug)]
pub struct Identity {
    /// The name of the key, or the subject of the token, for the log and for what is shared out by caller.
    pub name: String,
    /// What its roles are.
    pub roles: Vec<Arc<Role>>,
    /// The user that it owns, if it owns one.
    pub user_id: Option<UserId>,
    /// Whether it is a person with an account of this store, of whom nothing is to be left once the user is deleted.
    pub has_account: bool,
}

/// Why nobody is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error("say who you are: give an API key as `authorization: Bearer KEY` or `x-api-key: KEY`")]
    Nothing,
    /// What was shown cannot be one.
    #[error(
        "the credentials cannot be read: give one API key or token, as `authorization: Bearer KEY` or `x-api-key: KEY`"
    )]
    Unreadable,
    /// It is unknown, wrong or revoked; which of these is not said.
    #[error("the credentials are not accepted; ask who runs the server for new ones")]
    Unknown,
    /// It was right until it expired.
    #[error("the credentials have expired; ask who runs the server for new ones")]
    Expired,
    /// A session that there is not, or that has ended; which of these is not said.
    #[error("the session is over; sign in again")]
    SessionOver,
}

/// What a caller may do with a method.
#[derive(Clone, Debug)]
pub enum Permission {
    /// Call it with any request.
    Free,
    /// Call it with requests that stay within these bounds.
    Within(Bounds),
    /// Nothing.
    Denied,
}

impl Identity {
    /// What this caller may do with a method, as `package.Service/Method`.
    pub fn may(&self, method: &str) -> Permission {
        let mut conditions = Vec::new();
        for role in self.roles.iter().filter(|role| role.has(method)) {
            if role.conditions.is_none() {
                return Permission::Free;
            }
            conditions.push(Arc::clone(role));
        }
        if conditions.is_empty() {
            return Permission::Denied;
        }
        Permission::Within(Bounds::new(conditions, self.user_id))
    }
}

/// Recognises callers.
pub struct Access {
    keys: Arc<Keys>,
    tokens: Option<Arc<Tokens>>,
    certificates: Arc<Certificates>,
}

impl Access {
    /// By these keys, by tokens where those are taken, and by these names on certificates.
    pub fn new(keys: Arc<Keys>, tokens: Option<Arc<Tokens>>, certificates: Arc<Certificates>) -> Self {
        Self { keys, tokens, certificates }
    }

    /// Whose certificate has this name, where nothing else is shown.
    ///
    /// # Errors
    /// [`Refusal::Nothing`] for one that has no role.
    pub fn identify_certificate(&self, name: &str) -> Result<Arc<Identity>, Refusal> {
        self.certificates.identify(name).ok_or(Refusal::Nothing)
    }

    /// Whose credentials these are at this time.
    ///
    /// # Errors
    /// [`Refusal`] when they are nobody's.
    pub async fn identify(&self, credentials: &str, now_ms: TimeMs) -> Result<Arc<Identity>, Refusal> {
        match &self.tokens {
            Some(tokens) if !secret::is_like_a_key(credentials) => tokens.identify(credentials, now_ms).await,
            _ => self.keys.identify(credentials, now_ms),
        }
    }
}

/// Reads the keys anew whenever another node that shares the store has changed them; until it is aborted.
pub async fn follow(keys: Arc<Keys>) {
    let mut seen = None;
    loop {
        if let Err(error) = step(&keys, &mut seen).await {
            tracing::debug!(%error, "keys of other nodes not read; trying again");
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Reads the keys if their revision is not the one that was `seen`.
async fn step(keys: &Keys, seen: &mut Option<i64>) -> Result<(), StoreError> {
    let revision = keys.revision().await?;
    if *seen != Some(revision) {
        keys.reread().await?;
        *seen = Some(revision);
    }
    Ok(())
}
