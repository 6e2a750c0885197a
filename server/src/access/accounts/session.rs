//! Sessions: who has signed in, in the store, and for a moment in memory and in the cache that nodes share.
//!
//! A session lasts for a while without a call, and for a longer while at most. Its document says when it was used last,
//! to the hour, and the number that its account had when it began: an account whose number is another one has ended
//! all its sessions, whatever became of their documents.
//!
//! A node asks the store for a session, tells the other nodes what it said by the cache, and answers from memory for a
//! moment. Both moments together are less than a second, so that a session that another node ends is over here within
//! that time, without a word of that node: nothing depends on what the cache takes or loses, and one that is dead signs
//! nobody out. What this node ends is over at once, since it leaves the cache out until that has forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use marquee_core::clock::millis;
use marquee_core::domain::{TimeMs, UserId};
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::record::{self, Account};
use super::token::SessionId;
use crate::access::{Identity, Refusal, Role};
use crate::shared::cache::{Cache as SharedCache, Key, Space};

/// How long a node answers for a session from memory.
const REMEMBERED_MS: TimeMs = 400;

/// How long after a node has asked the store the others need not.
const SHARED: Duration = Duration::from_millis(400);

/// For how long a node that has ended a session of an account leaves out what nodes share of that account.
const DOUBTED_MS: TimeMs = 2_000;

/// The first byte of what is shared.
const VERSION: u8 = 1;

/// Sessions that are remembered.
const REMEMBERED: usize = 100_000;

/// How often the use of a session is written, if it is to last for days.
const WRITE_EVERY_MS: TimeMs = 60 * 60 * 1_000;

/// What part of the time that a session lasts without a call its last use may lie back unwritten.
const WRITE_PARTS: TimeMs = 4;

/// Sessions of an account that are told of.
const SHOWN: usize = 1_000;

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// Without a call.
    pub idle: Duration,
    /// At most.
    pub most: Duration,
}

/// A person who has signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// Who calls.
    pub identity: Arc<Identity>,
    /// By which session.
    pub session: SessionId,
}

impl SignedIn {
    /// The account.
    pub fn account_id(&self) -> &str {
        &self.session.account_id
    }
}

/// A session that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// What later calls show.
    pub token: String,
    /// When it ends at the latest.
    pub expires_ms: TimeMs,
    /// After how long without a call it ends.
    pub idle: Duration,
}

/// When a session began, and when it was used last, to the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionDates {
    /// When it began.
    pub created_ms: TimeMs,
    /// When it was used last.
    pub used_ms: TimeMs,
}

/// Why nobody is recognised by a session.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// It is none, or over.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a session says in the store.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stored {
    created_ms: TimeMs,
    used_ms: TimeMs,
    generation: u64,
}

#[derive(Clone)]
struct Remembered {
    signed_in: Arc<SignedIn>,
    asked_ms: TimeMs,
}

/// The sessions of a store.
pub(super) struct Sessions {
    store: Arc<dyn Store>,
    /// What the nodes share that share the store.
    shared: Option<Arc<dyn SharedCache>>,
    /// The accounts of which this node has ended sessions lately, and when.
    doubted: Cache<String, TimeMs>,
    person: Arc<Role>,
    times: SessionTimes,
    remembered: Cache<SessionId, Remembered>,
    /// How often this node has ended sessions.
    ends: AtomicU64,
}

impl Sessions {
    /// The sessions of people, who have this role.
    pub(super) fn new(
        store: Arc<dyn Store>,
        shared: Option<Arc<dyn SharedCache>>,
        person: Arc<Role>,
        times: SessionTimes,
    ) -> Self {
        let (doubted, remembered) = (Cache::new(REMEMBERED), Cache::new(REMEMBERED));
        Self { store, shared, doubted, person, times, remembered, ends: AtomicU64::default() }
    }

    /// Begins a session of an account.
    pub(super) async fn begin(&self, account: &Account, now_ms: TimeMs) -> Result<NewSession, StoreError> {
        let (id, token) = SessionId::new(&account.id);
        let stored = Stored { created_ms: now_ms, used_ms: now_ms, generation: account.generation };
        self.store.documents().put(place(&id), &self.content(stored), now_ms).await?;
        Ok(NewSession { token, expires_ms: self.end(stored), idle: self.times.idle })
    }

    /// Whose session a text is at this time.
    pub(super) async fn identify(&self, text: &str, now_ms: TimeMs) -> Result<Arc<SignedIn>, SessionError> {
        let id = SessionId::parse(text).ok_or(Refusal::Unreadable)?;
        if let Some(Remembered { signed_in, asked_ms }) = self.remembered.get(&id)
            && (asked_ms..asked_ms.saturating_add(REMEMBERED_MS)).contains(&now_ms)
        {
            return Ok(signed_in);
        }
        let ends = self.ends.load(Ordering::SeqCst);
        let Some(signed_in) = self.look_up(&id, now_ms).await? else {
            self.remembered.remove(&id);
            return Err(Refusal::SessionOver.into());
        };
        self.remembered
            .insert(id.clone(), Remembered { signed_in: Arc::clone(&signed_in), asked_ms: now_ms });
        // It may have ended since the store was asked.
        if self.ends.load(Ordering::SeqCst) != ends {
            self.remembered.remove(&id);
        }
        Ok(signed_in)
    }

    /// Whose session it is by what nodes share, or else by the store.
    async fn look_up(&self, id: &SessionId, now_ms: TimeMs) -> Result<Option<Arc<SignedIn>>, StoreError> {
        let is_doubted = |at: TimeMs| (at..at.saturating_add(DOUBTED_MS)).contains(&now_ms);
        let shared = match &self.shared {
            Some(shared) if !self.doubted.get(&id.account_id).is_some_and(is_doubted) => shared,
            _ => return self.ask(id, now_ms).await,
        };
        let key = key(id);
        if let Some(user_id) = shared.get(key).await.and_then(|value| read_shared(&value, id)) {
            return Ok(Some(self.signed_in(id, user_id)));
        }
        let asked = Instant::now();
        let found = self.ask(id, now_ms).await?;
        let time_left = SHARED.saturating_sub(asked.elapsed());
        if let Some(user_id) = found.as_ref().and_then(|signed_in| signed_in.identity.user_id)
            && !time_left.is_zero()
        {
            shared.put(key, written_shared(id, user_id), time_left).await;
        }
        Ok(found)
    }

    /// Whose session it is by the store, where its use is noted.
    async fn ask(&self, id: &SessionId, now_ms: TimeMs) -> Result<Option<Arc<SignedIn>>, StoreError> {
        let Some(written) = self.store.documents().get(place(id), now_ms).await? else { return Ok(None) };
        let Ok(stored) = serde_json::from_slice::<Stored>(&written) else { return Ok(None) };
        // By the times of today, which the settings may have shortened.
        if self.content(stored).is_over(now_ms) {
            return Ok(None);
        }
        let found = record::find(self.store.as_ref(), &id.account_id, now_ms).await?;
        let live = |account: &Account| account.generation == stored.generation;
        let Some(account) = found.map(|found| found.account).filter(live) else { return Ok(None) };
        if now_ms.saturating_sub(stored.used_ms) >= self.write_every() {
            let used = Stored { used_ms: now_ms, ..stored };
            // Another node may have written it, or have ended the session, which stays as it is then.
            self.store.documents().replace(place(id), &written, &self.content(used), now_ms).await?;
        }
        Ok(Some(self.signed_in(id, account.user_id)))
    }

    /// The person whose session this is, and who owns this user.
    fn signed_in(&self, id: &SessionId, user_id: UserId) -> Arc<SignedIn> {
        let identity = Arc::new(Identity {
            name: format!("account-{}", id.account_id),
            roles: vec![Arc::clone(&self.person)],
            user_id: Some(user_id),
            has_account: true,
        });
        Arc::new(SignedIn { identity, session: id.clone() })
    }

    /// Ends one session.
    pub(super) async fn end_one(&self, id: &SessionId, now_ms: TimeMs) -> Result<(), StoreError> {
        let ended = self.store.documents().remove(place(id), now_ms).await;
        self.forget(&id.account_id, |other| other == id, now_ms);
        ended.map(drop)
    }

    /// Removes the sessions of an account whose number has changed.
    pub(super) async fn end_all(&self, account_id: &str, now_ms: TimeMs) -> Result<(), StoreError> {
        self.forget_account(account_id, now_ms);
        self.store.documents().remove_part(DocumentKind::Session, account_id).await
    }

    /// Asks the store for the sessions of an account at their next calls.
    pub(super) fn forget_account(&self, account_id: &str, now_ms: TimeMs) {
        self.forget(account_id, |id| id.account_id == account_id, now_ms);
    }

    fn forget(&self, account_id: &str, is_over: impl Fn(&SessionId) -> bool, now_ms: TimeMs) {
        if self.shared.is_some() {
            self.doubted.insert(account_id.to_owned(), now_ms);
        }
        self.ends.fetch_add(1, Ordering::SeqCst);
        self.remembered.retain(|id, _| !is_over(id));
    }

    /// The sessions of an account.
    pub(super) async fn dates(
        &self,
        account_id: &str,
        now_ms: TimeMs,
    ) -> Result<Vec<SessionDates>, StoreError> {
        let documents =
            self.store.documents().list(DocumentKind::Session, account_id, None, SHOWN, now_ms).await?;
        let stored = documents.iter().filter_map(|it| serde_json::from_slice::<Stored>(&it.value).ok());
        Ok(stored.map(|Stored { created_ms, used_ms, .. }| SessionDates { created_ms, used_ms }).collect())
    }

    fn content(&self, stored: Stored) -> Content {
        let value = serde_json::to_vec(&stored).expect("numbers are JSON");
        let idle_until = stored.used_ms.saturating_add(millis(self.times.idle));
        Content { value, expires_ms: Some(idle_until.min(self.end(stored))) }
    }

    fn end(&self, stored: Stored) -> TimeMs {
        stored.created_ms.saturating_add(millis(self.times.most))
    }

    fn write_every(&self) -> TimeMs {
        WRITE_EVERY_MS.min(millis(self.times.idle) / WRITE_PARTS)
    }
}

fn place(id: &SessionId) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::Session, part: &id.account_id, key: &id.hash }
}

/// Where nodes share what they know of a session. What stands there says itself which session it is of.
pub(super) fn key(id: &SessionId) -> Key {
    let digest = Sha256::digest(format!("{}_{}", id.account_id, id.hash));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Key { space: Space::Session, model: 0, id: u128::from_be_bytes(bytes) }
}

/// That a session is live, and which user its account owns.
fn written_shared(id: &SessionId, user_id: UserId) -> Bytes {
    let of = format!("{}_{}", id.account_id, id.hash);
    [&[VERSION], user_id.to_le_bytes().as_slice(), of.as_bytes()].concat().into()
}

/// The user of a live session, if this was written of it.
fn read_shared(value: &[u8], id: &SessionId) -> Option<UserId> {
    let (user_id, of) = value.strip_prefix(&[VERSION])?.split_first_chunk()?;
    let (account_id, hash) = str::from_utf8(of).ok()?.split_once('_')?;
    (account_id == id.account_id && hash == id.hash).then(|| UserId::from_le_bytes(*user_id))
}
