//! Everything that a store holds, as records that any store can take: what backups are made of.

use marquee_core::domain::{Interaction, MovieRecord, User};

use crate::{Content, DocumentKind, RuleRecord};

/// One thing that is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A movie.
    Movie(MovieRecord),
    /// A rule.
    Rule(RuleRecord),
    /// A note of other code.
    Note {
        /// Its name.
        key: String,
        /// What it says.
        value: Vec<u8>,
    },
    /// A document.
    Document(DocumentRecord),
    /// A user with the whole history.
    User(UserRecord),
}

/// A document with its whole name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRecord {
    /// Of which kind.
    pub kind: DocumentKind,
    /// Its part of the kind.
    pub part: String,
    /// Its name within the part.
    pub key: String,
    /// What it says, and until when.
    pub content: Content,
}

/// A user with the whole history.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRecord {
    /// Who.
    pub user: User,
    /// All events, oldest first.
    pub events: Vec<Interaction>,
}
