//! Small documents that other code keeps in the store: who may call, and what is known of them.
//!
//! A document has a kind, a part and a key; a part is what is listed or removed together, such as all keys, or the
//! sessions of one account. What a document says is its writer's. Two writers of the same document cannot overwrite
//! each other unseen: [`Documents::insert`] and [`Documents::replace`] say whether they were the ones.
//!
//! A document may expire. It is gone at that moment for whoever reads, by the time that the caller gives, and its place
//! in the store is given back some time later.

use async_trait::async_trait;
use marquee_core::domain::TimeMs;

use crate::StoreError;

/// One line a kind: its name in the store, which never changes, and whether nodes hold all of its documents in memory.
macro_rules! kinds {
    ($($(#[doc = $about:literal])+ $kind:ident = $name:literal, $held:literal;)+) => {
        /// What a document is of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DocumentKind {
            $($(#[doc = $about])+ $kind,)+
        }

        impl DocumentKind {
            /// Its name in the store.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The kind of this name.
            pub fn of_name(name: &str) -> Option<Self> {
                [$(Self::$kind),+].into_iter().find(|kind| kind.name() == name)
            }

            /// Whether nodes hold all documents of this kind in memory: a change of one is a change of
            /// [`Revision::access`](crate::Revision::access).
            pub const fn is_held(self) -> bool {
                match self {
                    $(Self::$kind => $held,)+
                }
            }
        }
    };
}

kinds! {
    /// An API key.
    Key = "key", true;
    /// When an API key was used last.
    KeyUse = "key_use", false;
    /// The account of a person.
    Account = "account", false;
    /// The id of the account with an address, by the address's hash.
    AccountOfEmail = "account_of_email", false;
    /// The id of the account that owns a user.
    AccountOfUser = "account_of_user", false;
    /// A session; the sessions of an account are a part.
    Session = "session", false;
    /// What was recorded of a call; the records of a day are a part.
    AuditRecord = "audit_record", false;
    /// What a user's pseudonym in those records is made with; a user is a part.
    AuditSalt = "audit_salt", false;
    /// An experiment.
    Experiment = "experiment", true;
    /// What an experiment counts of a user; a few users are a part.
    ExperimentUnit = "experiment_unit", false;
    /// An answer that is of an experiment; a user is a part.
    Exposure = "exposure", false;
    /// The key by which its owner knows a user; a user is a part.
    UserKey = "user_key", false;
    /// The number that was given to the key of a movie; a few keys are a part.
    MovieKey = "movie_key", false;
    /// The next number for the key of a movie.
    MovieNumber = "movie_number", false;
    /// A job; those that are to be done are a part, those that are over another one.
    Job = "job", false;
    /// The newest lines that a job logged.
    JobLog = "job_log", false;
    /// Who runs the job of a key.
    JobLease = "job_lease", false;
    /// When jobs run by themselves.
    JobSchedule = "job_schedule", false;
    /// Which version of a model is active.
    Activation = "activation", false;
}

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DocumentId<'a> {
    /// Of which kind.
    pub kind: DocumentKind,
    /// Its part of the kind; may be empty.
    pub part: &'a str,
    /// Its name within the part, which is not empty.
    pub key: &'a str,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What it says: some KiB at most.
    pub value: Vec<u8>,
    /// From when on it is gone.
    pub expires_ms: Option<TimeMs>,
}

impl Content {
    /// What stays until it is removed.
    pub fn lasting(value: impl Into<Vec<u8>>) -> Self {
        Self { value: value.into(), expires_ms: None }
    }

    /// Whether it is gone at this time.
    pub fn is_over(&self, now_ms: TimeMs) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

/// A document of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its key.
    pub key: String,
    /// What it says.
    pub value: Vec<u8>,
}

/// The documents of a store. All methods may be called from many tasks at once; `now_ms` is the time by which
/// documents expire.
#[async_trait]
pub trait Documents: Send + Sync {
    /// What the document says; `None` where there is none.
    async fn get(&self, id: DocumentId<'_>, now_ms: TimeMs) -> Result<Option<Vec<u8>>, StoreError>;

    /// Adds the document if there is none; whether it did.
    async fn insert(&self, id: DocumentId<'_>, content: &Content, now_ms: TimeMs)
    -> Result<bool, StoreError>;

    /// Replaces the document if it says what is expected; whether it did.
    async fn replace(
        &self,
        id: DocumentId<'_>,
        expected: &[u8],
        content: &Content,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError>;

    /// Adds or replaces the document, whatever it says.
    async fn put(&self, id: DocumentId<'_>, content: &Content, now_ms: TimeMs) -> Result<(), StoreError>;

    /// Removes the document; whether it was there.
    async fn remove(&self, id: DocumentId<'_>, now_ms: TimeMs) -> Result<bool, StoreError>;

    /// Documents of a part by ascending key, as bytes, after `after`, at most `limit`.
    async fn list(
        &self,
        kind: DocumentKind,
        part: &str,
        after: Option<&str>,
        limit: usize,
        now_ms: TimeMs,
    ) -> Result<Vec<Document>, StoreError>;

    /// Removes all documents of a part.
    async fn remove_part(&self, kind: DocumentKind, part: &str) -> Result<(), StoreError>;
}
