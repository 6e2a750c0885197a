//! The keys of users: which number each makes, and which key each such user has.

use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::now_ms;
use marquee_core::domain::UserId;
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// The first number that keys make. Below it are those that callers choose, above its double those of people.
const FIRST: UserId = 1 << 61;

/// The only document of a user's part.
const NAME: &str = "key";

/// Users whose keys are remembered.
const REMEMBERED: usize = 100_000;

/// For how long: the bound for what other nodes remove.
const TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// The number that a key makes.
pub fn user_of_key(key: &str) -> UserId {
    let digest = Sha256::digest(key.as_bytes());
    let first = digest[..size_of::<UserId>()].try_into().expect("a digest has 32 bytes");
    FIRST | (UserId::from_be_bytes(first) >> 3)
}

/// Whether keys make such numbers.
pub const fn is_keyed(user_id: UserId) -> bool {
    FIRST <= user_id && user_id < 2 * FIRST
}

/// Whether the server gives this id: it makes it of a key, or gives it to a person.
pub const fn is_given(user_id: UserId) -> bool {
    FIRST <= user_id
}

/// A number is another key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("makes the number of another key, {0}; name this user by another key")]
pub struct OtherKey(pub UserId);

/// Why a key is not used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UserKeyError {
    /// Its number is another key's.
    #[error(transparent)]
    Other(#[from] OtherKey),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys of users, remembered for a while.
#[derive(Clone)]
pub struct UserKeys {
    store: Arc<dyn Store>,
    remembered: Arc<Cache<UserId, Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    key: Arc<str>,
    end: Instant,
}

impl UserKeys {
    /// Those that a store keeps.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, remembered: Arc::new(Cache::new(REMEMBERED)) }
    }

    /// The key of a user; `None` for one who has a number alone.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    pub async fn key_of(&self, user_id: UserId) -> Result<Option<Arc<str>>, StoreError> {
        if !is_keyed(user_id) {
            return Ok(None);
        }
        if let Some(remembered) = self.remembered.get(&user_id).filter(|it| Instant::now() < it.end) {
            return Ok(Some(remembered.key));
        }
        let Some(key) = kept_key(self.store.as_ref(), user_id).await? else { return Ok(None) };
        let key = key.into();
        self.remember(user_id, &key);
        Ok(Some(key))
    }

    /// Refuses a key whose number is another one's.
    ///
    /// # Errors
    /// [`UserKeyError`].
    pub async fn check(&self, user_id: UserId, key: &str) -> Result<(), UserKeyError> {
        match self.key_of(user_id).await? {
            Some(kept) if *kept != *key => Err(OtherKey(user_id).into()),
            _ => Ok(()),
        }
    }

    /// Keeps the key with its user, before anything is written about the user.
    ///
    /// # Errors
    /// [`UserKeyError`] when the number is another key's.
    pub async fn keep(&self, user_id: UserId, key: &str) -> Result<(), UserKeyError> {
        if let Some(kept) = self.key_of(user_id).await? {
            return if *kept == *key { Ok(()) } else { Err(OtherKey(user_id).into()) };
        }
        keep_key(self.store.as_ref(), user_id, key).await?;
        self.remember(user_id, &key.into());
        Ok(())
    }

    /// Forgets the key of a user who goes.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not acknowledge it.
    pub async fn forget(&self, user_id: UserId) -> Result<(), StoreError> {
        if is_keyed(user_id) {
            let removed =
                self.store.documents().remove_part(DocumentKind::UserKey, &user_id.to_string()).await;
            self.remembered.remove(&user_id);
            removed?;
        }
        Ok(())
    }

    fn remember(&self, user_id: UserId, key: &Arc<str>) {
        let end = Instant::now() + TIME_TO_LIVE;
        self.remembered.insert(user_id, Remembered { key: Arc::clone(key), end });
    }
}

/// Keeps a key with its user in the store.
///
/// # Errors
/// [`UserKeyError`] when the number is another key's.
pub async fn keep_key(store: &dyn Store, user_id: UserId, key: &str) -> Result<(), UserKeyError> {
    let (part, content) = (user_id.to_string(), Content::lasting(key));
    if store.documents().insert(document(&part), &content, now_ms()).await? {
        return Ok(());
    }
    match kept_key(store, user_id).await? {
        Some(kept) if kept != key => Err(OtherKey(user_id).into()),
        _ => Ok(()),
    }
}

/// The key that the store keeps with a user.
///
/// # Errors
/// [`StoreError`] when the store cannot be asked.
pub async fn kept_key(store: &dyn Store, user_id: UserId) -> Result<Option<String>, StoreError> {
    let part = user_id.to_string();
    let kept = store.documents().get(document(&part), now_ms()).await?;
    let corrupt = |_| StoreError::Corrupt(format!("the key of user {user_id} is not UTF-8"));
    kept.map(String::from_utf8).transpose().map_err(corrupt)
}

fn document(part: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::UserKey, part, key: NAME }
}

#[cfg(test)]
mod tests {
    use marquee_store::RedbStore;

    use super::*;

    fn keys(folder: &tempfile::TempDir) -> UserKeys {
        UserKeys::new(Arc::new(RedbStore::open(folder.path()).unwrap()))
    }

    #[test]
    fn a_key_makes_the_same_number_everywhere_in_a_range_of_its_own() {
        assert_eq!(user_of_key("anna@example.org"), user_of_key("anna@example.org"));
        assert_ne!(user_of_key("anna"), user_of_key("Anna"));
        assert_eq!(user_of_key("anna"), 3_074_537_335_163_116_057);
        for number in 0..1_000 {
            assert!(is_keyed(user_of_key(&number.to_string())));
        }
        assert!(!is_keyed(FIRST - 1) && !is_keyed(1 << 62));
    }

    #[tokio::test]
    async fn a_key_is_kept_with_its_user_until_that_goes() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let user = user_of_key("anna");
        assert_eq!(keys.key_of(user).await.unwrap(), None);
        keys.keep(user, "anna").await.unwrap();
        keys.keep(user, "anna").await.unwrap();
        assert_eq!(keys.key_of(user).await.unwrap().as_deref(), Some("anna"));
        let others = UserKeys::new(Arc::clone(&keys.store));
        assert_eq!(others.key_of(user).await.unwrap().as_deref(), Some("anna"));

        keys.forget(user).await.unwrap();
        assert_eq!(keys.key_of(user).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_key_whose_number_is_anothers_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let user = user_of_key("anna");
        keys.keep(user, "anna").await.unwrap();
        for refused in [keys.check(user, "bert").await, keys.keep(user, "bert").await] {
            assert!(matches!(refused, Err(UserKeyError::Other(OtherKey(other))) if other == user));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_node_removed_is_remembered_for_a_minute_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let user = user_of_key("anna");
        keys.keep(user, "anna").await.unwrap();
        UserKeys::new(Arc::clone(&keys.store)).forget(user).await.unwrap();
        assert!(keys.key_of(user).await.unwrap().is_some());
        tokio::time::advance(TIME_TO_LIVE).await;
        assert_eq!(keys.key_of(user).await.unwrap(), None);
    }
}
