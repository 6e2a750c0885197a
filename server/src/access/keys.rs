//! API keys: stored by the hash of their secret, held in memory by their id.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use marquee_core::clock::millis;
use marquee_core::domain::TimeMs;
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError, to_its_end};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::secret::{self, Hash};
use super::{Identity, Refusal, Roles, UnknownRole};

/// Keys at most.
const MAX_KEYS: usize = 1_000;

/// Keys of one name that may be live at once: the one in use, and the one that takes its place.
const LIVE_OF_A_NAME: usize = 2;

/// How long an expired key is still listed.
const LISTED_AFTER_MS: TimeMs = 30 * 24 * 60 * 60 * 1_000;

/// How exactly the last use of a key is known.
const USE_MS: TimeMs = 60 * 1_000;

/// What is known of a key. Nobody can make the key itself of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id, which its text begins with.
    pub id: String,
    /// Who it is for.
    pub name: String,
    /// The name of its role.
    pub role: String,
    /// When it was made.
    pub created_ms: TimeMs,
    /// From when on it is refused.
    pub expires_ms: Option<TimeMs>,
    hash: Hash,
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// The key.
    pub key: Key,
    /// When it was used last, to the minute.
    pub used_ms: Option<TimeMs>,
}

/// A key that was made, and its text, which nobody can ask for again.
#[derive(Debug)]
pub struct NewKey {
    /// What is known of it from now on.
    pub key: Key,
    /// What its caller shows.
    pub text: String,
}

/// Why a key is not made or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such role.
    #[error(transparent)]
    UnknownRole(#[from] UnknownRole),
    /// Somebody has a key by this name.
    #[error("{0:?} has a key already; rotate or revoke that, or choose another name")]
    NameTaken(String),
    /// Two keys of this name are live.
    #[error("{0:?} has two keys already; revoke the older one first")]
    TwoLive(String),
    /// There is no such key.
    #[error("there is no key {0:?}; ListKeys says which there are")]
    UnknownKey(String),
    /// There are as many as there may be.
    #[error("there are {MAX_KEYS} keys, as many as there may be; revoke some")]
    TooMany,
    /// Somebody else changed the key at this moment.
    #[error("the key was changed by somebody else at this moment; try again")]
    Changed,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a key says in the store.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    role: String,
    created_ms: TimeMs,
    expires_ms: Option<TimeMs>,
    sha256: String,
}

impl Key {
    /// Whether it is refused at this time.
    pub fn is_over(&self, now_ms: TimeMs) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }

    fn read(id: &str, bytes: &[u8]) -> Option<Self> {
        let Stored { name, role, created_ms, expires_ms, sha256 } = serde_json::from_slice(bytes).ok()?;
        let hash = Hash(hex::decode(sha256).ok()?.try_into().ok()?);
        Some(Self { id: id.to_owned(), name, role, created_ms, expires_ms, hash })
    }

    fn written(&self) -> Vec<u8> {
        let stored = Stored {
            name: self.name.clone(),
            role: self.role.clone(),
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            sha256: hex::encode(self.hash.0),
        };
        serde_json::to_vec(&stored).expect("texts and numbers are JSON")
    }

    fn content(&self) -> Content {
        Content {
            value: self.written(),
            expires_ms: self.expires_ms.map(|at| at.saturating_add(LISTED_AFTER_MS)),
        }
    }
}

/// A key in memory.
struct HeldKey {
    key: Key,
    identity: Arc<Identity>,
    used_ms: AtomicI64,
}

/// All keys. All methods may be called from many tasks at once.
pub struct Keys {
    store: Arc<dyn Store>,
    roles: Arc<Roles>,
    held: ArcSwap<HashMap<String, HeldKey>>,
    /// Held from a write until it is read back, so that what is read last is what was written last.
    writing: Mutex<()>,
}

impl Keys {
    /// The keys of a store, for these roles.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn open(store: Arc<dyn Store>, roles: Arc<Roles>) -> Result<Self, StoreError> {
        let keys = Self { store, roles, held: ArcSwap::default(), writing: Mutex::default() };
        keys.read().await?;
        Ok(keys)
    }

    /// Who shows this key at this time.
    ///
    /// # Errors
    /// [`Refusal`] for a text that is no key, and one that is not accepted.
    pub fn identify(&self, text: &str, now_ms: TimeMs) -> Result<Arc<Identity>, Refusal> {
        let (id, secret) = secret::parse(text).ok_or(Refusal::Unreadable)?;
        let held = self.held.load();
        let known = held.get(id).filter(|held| held.key.hash.is_of(secret)).ok_or(Refusal::Unknown)?;
        if known.key.is_over(now_ms) {
            return Err(Refusal::Expired);
        }
        self.note_use(known, now_ms);
        Ok(Arc::clone(&known.identity))
    }

    /// Who has a key of this name that is live at this time.
    pub fn identity_of(&self, name: &str, now_ms: TimeMs) -> Option<Arc<Identity>> {
        let held = self.held.load();
        let live = held.values().find(|held| held.key.name == name && !held.key.is_over(now_ms));
        live.map(|held| Arc::clone(&held.identity))
    }

    /// Makes a key for somebody who has none, for so long or for good.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such role, the name has a key, there are too many, or the store fails.
    pub async fn create(
        self: &Arc<Self>,
        name: String,
        role: String,
        lifetime: Option<Duration>,
        now_ms: TimeMs,
    ) -> Result<NewKey, KeyError> {
        self.roles.find(&role)?;
        let keys = Arc::clone(self);
        to_its_end(async move {
            let making = async {
                if keys.live_of(&name, now_ms) > 0 {
                    return Err(KeyError::NameTaken(name));
                }
                keys.add(name, role, lifetime.map(|lifetime| after(now_ms, lifetime)), now_ms).await
            };
            keys.alone(making).await
        })
        .await
    }

    /// Makes another key of the same name and role, and lets the one of this id go on for `overlap`. The new one lives
    /// as long as that one was to live.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such key, its name has two, there are too many, or the store fails.
    pub async fn rotate(
        self: &Arc<Self>,
        id: String,
        overlap: Duration,
        now_ms: TimeMs,
    ) -> Result<NewKey, KeyError> {
        let keys = Arc::clone(self);
        to_its_end(async move { keys.alone(keys.replace(id, overlap, now_ms)).await }).await
    }

    async fn replace(&self, id: String, overlap: Duration, now_ms: TimeMs) -> Result<NewKey, KeyError> {
        let Some(old) = self.live(&id, now_ms) else { return Err(KeyError::UnknownKey(id)) };
        if self.live_of(&old.name, now_ms) >= LIVE_OF_A_NAME {
            return Err(KeyError::TwoLive(old.name));
        }
        let expires_ms = old.expires_ms.map(|at| now_ms.saturating_add(at.saturating_sub(old.created_ms)));
        let end = after(now_ms, overlap);
        let end = old.expires_ms.map_or(end, |at| at.min(end));
        let ending = Key { expires_ms: Some(end), ..old.clone() };
        let (name, role) = (old.name.clone(), old.role.clone());
        let new = self.add(name, role, expires_ms, now_ms).await?;
        let documents = self.store.documents();
        if documents.replace(place(&old.id), &old.written(), &ending.content(), now_ms).await? {
            Ok(new)
        } else {
            Err(KeyError::Changed)
        }
    }

    /// Refuses a key from now on; whether there was one.
    ///
    /// # Errors
    /// [`KeyError::Store`] when the store does not acknowledge it.
    pub async fn revoke(self: &Arc<Self>, id: String, now_ms: TimeMs) -> Result<bool, KeyError> {
        let keys = Arc::clone(self);
        to_its_end(async move {
            let revoking = async {
                let documents = keys.store.documents();
                let removed = documents.remove(place(&id), now_ms).await?;
                documents.remove(use_of(&id), now_ms).await?;
                Ok(removed)
            };
            keys.alone(revoking).await
        })
        .await
    }

    /// All keys by name, those that expired a while ago too.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn list(&self, now_ms: TimeMs) -> Result<Vec<UsedKey>, StoreError> {
        let uses = self.store.documents().list(DocumentKind::KeyUse, "", None, MAX_KEYS, now_ms).await?;
        let uses: HashMap<_, _> =
            uses.into_iter().filter_map(|used| Some((used.key, read_time(&used.value)?))).collect();
        let held = self.held.load();
        let mut keys: Vec<_> = held
            .values()
            .map(|HeldKey { key, used_ms, .. }| {
                let here = Some(used_ms.load(Ordering::Relaxed)).filter(|used_ms| *used_ms > 0);
                UsedKey { key: key.clone(), used_ms: here.max(uses.get(&key.id).copied()) }
            })
            .collect();
        keys.sort_by(|one, other| {
            let order = |it: &UsedKey| (it.key.name.clone(), it.key.created_ms, it.key.id.clone());
            order(one).cmp(&order(other))
        });
        Ok(keys)
    }

    /// Changes when another node has changed the keys.
    pub(super) async fn revision(&self) -> Result<i64, StoreError> {
        Ok(self.store.revision().await?.access)
    }

    /// Reads the keys anew.
    pub(super) async fn reread(&self) -> Result<(), StoreError> {
        let _no_write = self.writing.lock().await;
        self.read().await
    }

    /// Adds a key under an id that none has.
    async fn add(
        &self,
        name: String,
        role: String,
        expires_ms: Option<TimeMs>,
        now_ms: TimeMs,
    ) -> Result<NewKey, KeyError> {
        if self.held.load().len() >= MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        loop {
            let (id, text) = secret::generate();
            let (_, secret) = secret::parse(&text).expect("it was made just now");
            let hash = Hash::of(secret);
            let key =
                Key { id, name: name.clone(), role: role.clone(), created_ms: now_ms, expires_ms, hash };
            if self.store.documents().insert(place(&key.id), &key.content(), now_ms).await? {
                return Ok(NewKey { key, text });
            }
        }
    }

    /// Changes keys after having read what there is, and reads back what came of it.
    async fn alone<T>(&self, change: impl Future<Output = Result<T, KeyError>>) -> Result<T, KeyError> {
        let _one_at_a_time = self.writing.lock().await;
        self.read().await?;
        let changed = change.await;
        // What was not acknowledged may be stored nevertheless.
        self.read().await?;
        changed
    }

    async fn read(&self) -> Result<(), StoreError> {
        let documents =
            self.store.documents().list(DocumentKind::Key, "", None, 2 * MAX_KEYS, TimeMs::MIN).await?;
        let before = self.held.load();
        let mut held = HashMap::with_capacity(documents.len());
        for document in documents {
            let Some(key) = Key::read(&document.key, &document.value) else {
                tracing::warn!(key_id = document.key, "a key in the store cannot be read and is refused");
                continue;
            };
            let used_ms = before.get(&key.id).map_or(0, |held| held.used_ms.load(Ordering::Relaxed));
            let roles = self.roles.get(&key.role).cloned().into_iter().collect();
            let name = key.name.clone();
            let identity = Arc::new(Identity { name, roles, user_id: None, has_account: false });
            held.insert(key.id.clone(), HeldKey { key, identity, used_ms: AtomicI64::new(used_ms) });
        }
        self.held.store(Arc::new(held));
        Ok(())
    }

    fn live(&self, id: &str, now_ms: TimeMs) -> Option<Key> {
        self.held.load().get(id).map(|held| held.key.clone()).filter(|key| !key.is_over(now_ms))
    }

    /// How many live keys a name has.
    fn live_of(&self, name: &str, now_ms: TimeMs) -> usize {
        let held = self.held.load();
        held.values().filter(|held| held.key.name == name && !held.key.is_over(now_ms)).count()
    }

    /// Remembers that a key is used, and has it written once in a while.
    fn note_use(&self, held: &HeldKey, now_ms: TimeMs) {
        let before = held.used_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(before) < USE_MS {
            return;
        }
        if held.used_ms.compare_exchange(before, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let (store, id) = (Arc::clone(&self.store), held.key.id.clone());
        let expires_ms = held.key.content().expires_ms;
        tokio::spawn(async move {
            let content = Content { value: now_ms.to_le_bytes().to_vec(), expires_ms };
            if let Err(error) = store.documents().put(use_of(&id), &content, now_ms).await {
                tracing::debug!(%error, "the use of a key is not written");
            }
        });
    }
}

fn place(id: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::Key, part: "", key: id }
}

fn use_of(id: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::KeyUse, part: "", key: id }
}

fn read_time(bytes: &[u8]) -> Option<TimeMs> {
    Some(TimeMs::from_le_bytes(bytes.try_into().ok()?))
}

fn after(now_ms: TimeMs, time: Duration) -> TimeMs {
    now_ms.saturating_add(millis(time))
}
