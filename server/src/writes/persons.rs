//! The ids of users that callers do not choose: those of people, which the server gives out, and those that keys make.
//!
//! Callers choose the ids of their users. If they could choose one of these, its owner would find their data, so an id of
//! this range is written to only if there is such a user already.

use marquee_core::domain::UserId;
use marquee_store::StoreError;

use super::WriteCoordinator;
use crate::keys::is_keyed;

/// The first id of people, above those that keys make. Below 2^63, so that languages without unsigned numbers have them.
const FIRST: UserId = 1 << 62;

/// Why nothing may be written about a user.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UserIdError {
    /// It is nobody's, and the server alone gives it out.
    #[error(
        "is {0}; the server makes such ids of keys, and gives them to people who sign up, and this is nobody's"
    )]
    Reserved(UserId),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether the server gives this id to people.
pub const fn is_persons(user_id: UserId) -> bool {
    user_id >= FIRST
}

/// An id for a person, which is most likely nobody's.
pub fn random_persons_id() -> UserId {
    FIRST | (rand::random::<UserId>() >> 2)
}

impl WriteCoordinator {
    /// Whether a caller may write about a user.
    ///
    /// # Errors
    /// [`UserIdError`] when the id is one of people or of keys, and nobody's.
    pub async fn check_user(&self, user_id: UserId) -> Result<(), UserIdError> {
        let is_free = !is_persons(user_id) && !is_keyed(user_id);
        if is_free || self.parts.user_keys.key_of(user_id).await?.is_some() {
            return Ok(());
        }
        let is_somebodys = self.parts.store.user(user_id).await?.is_some();
        if is_somebodys { Ok(()) } else { Err(UserIdError::Reserved(user_id)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_people_are_positive_wherever_they_are_read() {
        for _ in 0..1_000 {
            let user_id = random_persons_id();
            assert!(is_persons(user_id) && i64::try_from(user_id).is_ok(), "{user_id}");
        }
        assert!(!is_persons(FIRST - 1) && is_persons(FIRST));
    }
}
