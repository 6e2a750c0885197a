//! The rows that are written of a user.

use marquee_core::domain::{Interaction, Preferences, TimeMs, UserId};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;

use super::statements::Statement;

/// What is written by its key, and when that was so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write<'a> {
    pub(super) what: What<'a>,
    pub(super) timestamp: i64,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// That the user is there since then.
    User(UserId, TimeMs),
    /// What the user likes.
    Preferences(UserId, &'a Preferences),
    /// An event of the user.
    Event(&'a Interaction),
}

impl<'a> What<'a> {
    /// As a row of that moment.
    pub(super) fn at(self, timestamp: i64) -> Write<'a> {
        Write { what: self, timestamp }
    }
}

impl Write<'_> {
    /// What writes it.
    pub(super) fn statement(&self) -> Statement {
        match self.what {
            What::User(..) => Statement::CreateUser,
            What::Preferences(..) => Statement::SetPreferences,
            What::Event(_) => Statement::InsertEvent,
        }
    }
}

impl SerializeRow for Write<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let timestamp = self.timestamp;
        match self.what {
            What::User(user_id, created_ms) => {
                (user_id as i64, created_ms, timestamp).serialize(context, writer)
            }
            What::Preferences(user_id, Preferences { genres, movie_ids }) => {
                let movies: Vec<_> = movie_ids.iter().map(|id| i64::from(*id)).collect();
                (user_id as i64, genres, movies, timestamp).serialize(context, writer)
            }
            What::Event(event) => {
                let half_stars = event.rating.map_or(0, |rating| rating.half_stars() as i8);
                let key = (event.user_id as i64, event.time_ms, i64::from(event.movie_id));
                let kind = event.kind as u8 as i8;
                (key.0, key.1, key.2, kind, half_stars, timestamp).serialize(context, writer)
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}
