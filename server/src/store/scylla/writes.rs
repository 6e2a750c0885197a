//! The rows of a batch: a user who is new, and events.

use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;

use super::statements::Statement;
use crate::domain::{Interaction, TimeMs, UserId};

/// One row that is written by its key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write<'a> {
    /// That the user is there.
    User(UserId, TimeMs),
    /// An event of the user.
    Event(&'a Interaction),
}

impl Write<'_> {
    /// What writes it.
    pub(super) fn statement(&self) -> Statement {
        match self {
            Self::User(..) => Statement::CreateUser,
            Self::Event(_) => Statement::InsertEvent,
        }
    }
}

impl SerializeRow for Write<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::User(user_id, created_ms) => (*user_id as i64, created_ms).serialize(context, writer),
            Self::Event(event) => values(event).serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// User, time, movie, kind, half stars (0 for none).
fn values(event: &Interaction) -> (i64, i64, i64, i8, i8) {
    let half_stars = event.rating.map_or(0, |rating| rating.half_stars() as i8);
    let kind = event.kind as u8 as i8;
    (event.user_id as i64, event.time_ms, i64::from(event.movie_id), kind, half_stars)
}
