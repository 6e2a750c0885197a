//! Accounts as the store has them: found by their id, by the hash of their address, and by the user that they own.

use marquee_core::domain::{TimeMs, UserId};
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Email;

/// For how long an account may be half made.
const HALF_MADE_MS: TimeMs = 60 * 60 * 1_000;

/// Network addresses that are known again of an owner.
const ORIGINS: usize = 8;

/// Bytes of the hash of each.
const ORIGIN_BYTES: usize = 8;

/// The one document of a part.
const ONLY: &str = "it";

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    #[serde(skip)]
    pub id: String,
    /// The address that it signs in with.
    pub email: String,
    /// The user that it owns.
    pub user_id: UserId,
    /// When it was made.
    pub created_ms: TimeMs,
    /// The hash of its password, as a PHC string.
    pub(super) password: String,
    /// What there is to say of a password that signs in once.
    pub(super) one_time: Option<OneTime>,
    /// Sessions that began under another number are over.
    pub(super) generation: u64,
    /// Hashes of the network addresses from which its owner has signed in, the newest last.
    #[serde(default)]
    pub(super) origins: Vec<String>,
}

/// A password that signs in once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OneTime {
    /// Until when.
    pub(super) expires_ms: TimeMs,
    /// Whether it has.
    pub(super) used: bool,
}

/// An account, and what its document says, by which it is replaced.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) account: Account,
    written: Vec<u8>,
}

impl Account {
    /// Whether its owner has signed in from this network address.
    pub(super) fn knows(&self, origin: &str) -> bool {
        self.origins.contains(&self.origin_hash(origin))
    }

    /// Keeps in mind that its owner has signed in from this network address, and forgets the one that is oldest.
    pub(super) fn learn(&mut self, origin: &str) {
        if !self.knows(origin) {
            self.origins.push(self.origin_hash(origin));
            let over = self.origins.len().saturating_sub(ORIGINS);
            self.origins.drain(..over);
        }
    }

    /// Not the address itself: nothing here is done with it but to know it again.
    fn origin_hash(&self, origin: &str) -> String {
        hex::encode(&Sha256::digest(format!("{} {origin}", self.id))[..ORIGIN_BYTES])
    }

    fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }
}

/// Where the account of an id stands.
fn place(account_id: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::Account, part: account_id, key: ONLY }
}

fn place_by_email(hash: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::AccountOfEmail, part: hash, key: ONLY }
}

fn place_by_user(user: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::AccountOfUser, part: user, key: ONLY }
}

/// The account of an id.
pub(super) async fn find(
    store: &dyn Store,
    account_id: &str,
    now_ms: TimeMs,
) -> Result<Option<Found>, StoreError> {
    let Some(written) = store.documents().get(place(account_id), now_ms).await? else { return Ok(None) };
    let account = serde_json::from_slice(&written)
        .map_err(|error| StoreError::Corrupt(format!("account {account_id} cannot be read: {error}")))?;
    Ok(Some(Found { account: Account { id: account_id.to_owned(), ..account }, written }))
}

/// The account of an address. Where there is none, as much is read.
pub(super) async fn find_by_email(
    store: &dyn Store,
    email: &Email,
    now_ms: TimeMs,
) -> Result<Option<Found>, StoreError> {
    let id = store.documents().get(place_by_email(&email.hash()), now_ms).await?;
    let found = find(store, &id_in(id.unwrap_or_default()), now_ms).await?;
    Ok(found.filter(|found| found.account.email == email.as_str()))
}

/// The account that owns a user.
pub(super) async fn find_by_user(
    store: &dyn Store,
    user_id: UserId,
    now_ms: TimeMs,
) -> Result<Option<Found>, StoreError> {
    let id = store.documents().get(place_by_user(&user_id.to_string()), now_ms).await?;
    let Some(id) = id else { return Ok(None) };
    let found = find(store, &id_in(id), now_ms).await?;
    Ok(found.filter(|found| found.account.user_id == user_id))
}

fn id_in(written: Vec<u8>) -> String {
    // No account has an empty id, but a place has one.
    String::from_utf8(written).ok().filter(|id| !id.is_empty()).unwrap_or_else(|| "none".to_owned())
}

/// Puts an account that is not found yet, and goes by itself if it is never [finished](finish).
pub(super) async fn begin(store: &dyn Store, account: &Account, now_ms: TimeMs) -> Result<(), StoreError> {
    let expires_ms = Some(now_ms.saturating_add(HALF_MADE_MS));
    let content = Content { value: account.written(), expires_ms };
    store.documents().put(place(&account.id), &content, now_ms).await
}

/// Lets an account stay.
pub(super) async fn finish(store: &dyn Store, account: &Account, now_ms: TimeMs) -> Result<(), StoreError> {
    store.documents().put(place(&account.id), &Content::lasting(account.written()), now_ms).await
}

/// Puts an account in the place of what was found; whether that was still so.
pub(super) async fn replace(
    store: &dyn Store,
    found: &Found,
    account: &Account,
    now_ms: TimeMs,
) -> Result<bool, StoreError> {
    let content = Content::lasting(account.written());
    store.documents().replace(place(&account.id), &found.written, &content, now_ms).await
}

/// Lets an address lead to an account; whether it does. One that leads to no account any more is taken over.
pub(super) async fn claim_email(
    store: &dyn Store,
    email: &Email,
    account_id: &str,
    now_ms: TimeMs,
) -> Result<bool, StoreError> {
    let hash = email.hash();
    claim(store, place_by_email(&hash), account_id, now_ms).await
}

/// Lets a user lead to an account, as [`claim_email`] does.
pub(super) async fn claim_user(
    store: &dyn Store,
    user_id: UserId,
    account_id: &str,
    now_ms: TimeMs,
) -> Result<bool, StoreError> {
    let user = user_id.to_string();
    claim(store, place_by_user(&user), account_id, now_ms).await
}

async fn claim(
    store: &dyn Store,
    place: DocumentId<'_>,
    account_id: &str,
    now_ms: TimeMs,
) -> Result<bool, StoreError> {
    let documents = store.documents();
    let claimed = Content::lasting(account_id);
    if documents.insert(place, &claimed, now_ms).await? {
        return Ok(true);
    }
    let Some(owner) = documents.get(place, now_ms).await? else { return Ok(false) };
    if owner == account_id.as_bytes() {
        return Ok(true);
    }
    if find(store, &id_in(owner.clone()), now_ms).await?.is_some() {
        return Ok(false);
    }
    documents.replace(place, &owner, &claimed, now_ms).await
}

/// Lets a user lead to no account, if it leads to this one.
pub(super) async fn release_user(
    store: &dyn Store,
    user_id: UserId,
    account_id: &str,
    now_ms: TimeMs,
) -> Result<(), StoreError> {
    let user = user_id.to_string();
    release(store, place_by_user(&user), account_id, now_ms).await
}

async fn release(
    store: &dyn Store,
    place: DocumentId<'_>,
    account_id: &str,
    now_ms: TimeMs,
) -> Result<(), StoreError> {
    let owner = store.documents().get(place, now_ms).await?;
    if owner.is_some_and(|owner| owner == account_id.as_bytes()) {
        store.documents().remove(place, now_ms).await?;
    }
    Ok(())
}

/// Removes an account and all that leads to it. What breaks off in between is ended by the next call: the way from the
/// user goes last.
pub(super) async fn remove(store: &dyn Store, account: &Account, now_ms: TimeMs) -> Result<(), StoreError> {
    store.documents().remove_part(DocumentKind::Session, &account.id).await?;
    if let Some(email) = Email::parse(&account.email) {
        release(store, place_by_email(&email.hash()), &account.id, now_ms).await?;
    }
    store.documents().remove(place(&account.id), now_ms).await?;
    release_user(store, account.user_id, &account.id, now_ms).await
}

/// Removes the way from a user to an account that there is no more.
pub(super) async fn forget_user(
    store: &dyn Store,
    user_id: UserId,
    now_ms: TimeMs,
) -> Result<(), StoreError> {
    store.documents().remove(place_by_user(&user_id.to_string()), now_ms).await.map(drop)
}
