//! Under which name a user stands in records.
//!
//! HMAC-SHA-256 of the user's id under a salt of the user's own. The salt is kept while there is the user, so that the
//! records about one user can be told together; once it is deleted nobody can make the name again, not even by trying
//! all ids.

use std::sync::Arc;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use marquee_core::domain::{TimeMs, UserId};
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError};

/// Bytes of the HMAC that are shown.
const SHOWN: usize = 16;

/// The key of a salt in its user's part.
const SALT: &str = "salt";

type Salt = [u8; 32];

/// Makes pseudonyms.
pub(super) struct Pseudonyms {
    store: Arc<dyn Store>,
}

impl Pseudonyms {
    /// With the salts in this store.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The user's name in records; another one at each call for a user that there is not.
    pub(super) async fn of(&self, user_id: UserId, now_ms: TimeMs) -> Result<String, StoreError> {
        let part = user_id.to_string();
        let id = DocumentId { kind: DocumentKind::AuditSalt, part: &part, key: SALT };
        let salt = match self.store.documents().get(id, now_ms).await? {
            Some(salt) => salt,
            None => self.make(user_id, id, now_ms).await?,
        };
        Ok(name(&salt, user_id))
    }

    /// The name under which the user stands in records, if it has one.
    pub(super) async fn known(&self, user_id: UserId, now_ms: TimeMs) -> Result<Option<String>, StoreError> {
        let part = user_id.to_string();
        let id = DocumentId { kind: DocumentKind::AuditSalt, part: &part, key: SALT };
        let salt = self.store.documents().get(id, now_ms).await?;
        Ok(salt.map(|salt| name(&salt, user_id)))
    }

    /// A salt, which is kept if there is such a user.
    async fn make(&self, user_id: UserId, id: DocumentId<'_>, now_ms: TimeMs) -> Result<Vec<u8>, StoreError> {
        let salt = rand::random::<Salt>().to_vec();
        if self.store.user(user_id).await?.is_none() {
            return Ok(salt);
        }
        let documents = self.store.documents();
        let is_first = documents.insert(id, &Content::lasting(salt.clone()), now_ms).await?;
        let kept = if is_first { None } else { documents.get(id, now_ms).await? };
        // Whoever deletes a user removes the salt afterwards; this one may have come later still.
        if self.store.user(user_id).await?.is_none() {
            documents.remove(id, now_ms).await?;
        }
        Ok(kept.unwrap_or(salt))
    }
}

fn name(salt: &[u8], user_id: UserId) -> String {
    let name = sign(&Key::new(HMAC_SHA256, salt), &user_id.to_be_bytes());
    hex::encode(&name.as_ref()[..SHOWN])
}
