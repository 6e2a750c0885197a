//! What is wrong with a store's files, and whether to go on without it.

use std::fmt::Display;

use crate::StoreError;

/// What to do about a damaged store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// Refuse to open it.
    #[default]
    Refuse,
    /// Say what was lost and go on with what is left.
    GoOn,
}

/// Something that was acknowledged and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("{name} is missing: the events since the last checkpoint are lost, if it held any")]
    NoJournal { name: &'static str },
    #[error(
        "{name} ends after {found} of {expected} bytes: the events since the last checkpoint that were behind that are \
         lost, if there were any"
    )]
    ShortJournal { name: &'static str, found: u64, expected: u64 },
    #[error(
        "{name} has bad bytes in {places} places between good ones: {bytes} bytes, in which at most {events} \
         acknowledged events are lost"
    )]
    BadBlocks { name: &'static str, places: usize, bytes: u64, events: u64 },
    #[error(
        "the tables are of before a checkpoint that the journal is of after: what was only in that is lost"
    )]
    OldTables,
}

impl OnDamage {
    /// Lets the start go on, if it may, and says once and for all what is lost.
    pub(super) fn decide(self, damage: &[Damage], folder: &impl Display) -> Result<(), StoreError> {
        let all = || damage.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match self {
            _ if damage.is_empty() => Ok(()),
            Self::Refuse => Err(StoreError::Damaged(format!("{folder}: {}", all()))),
            Self::GoOn => {
                for lost in damage {
                    tracing::error!(%folder, "recovered with data loss: {lost}");
                }
                Ok(())
            }
        }
    }
}
