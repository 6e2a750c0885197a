//! The interactions of a running server, user by user.

use marquee_core::domain::{EventKey, Interaction, UserId};
use marquee_store::{Store, StoreError};

use super::Range;

/// Interactions of a user that are read at once.
const EVENTS_A_READ: usize = 10_000;

/// All interactions of one user in a range, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserEvents {
    /// Who.
    pub(crate) user_id: UserId,
    /// What was done; empty for a user who did nothing in the range, or is gone.
    pub(crate) events: Vec<Interaction>,
}

/// The next users after one, in an order of the store's own, with what they did, at most so many; none at the end.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(crate) async fn users_after(
    store: &dyn Store,
    after: Option<UserId>,
    range: Range,
    limit: usize,
) -> Result<Vec<UserEvents>, StoreError> {
    let mut found = Vec::with_capacity(limit);
    for user_id in store.users(after, limit).await? {
        found.push(UserEvents { user_id, events: events_of(store, user_id, range).await? });
    }
    Ok(found)
}

async fn events_of(store: &dyn Store, user_id: UserId, range: Range) -> Result<Vec<Interaction>, StoreError> {
    let (mut events, mut after) = (Vec::new(), None);
    while let Some(page) = store.history(user_id, after, EVENTS_A_READ).await? {
        let Some(last) = page.last() else { break };
        after = Some(EventKey::from(last));
        // Newest first: what comes after one that is too old is older still.
        let is_over = range.since_ms.is_some_and(|since| last.time_ms < since) || page.len() < EVENTS_A_READ;
        events.extend(page.into_iter().filter(|event| range.has(event.time_ms)));
        if is_over {
            break;
        }
    }
    events.reverse();
    Ok(events)
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::Kind;
    use marquee_store::RedbStore;

    use super::*;

    #[tokio::test]
    async fn users_follow_one_another_with_what_they_did_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path()).unwrap();
        let view =
            |user_id, time_ms| Interaction { user_id, movie_id: 1, time_ms, kind: Kind::View, rating: None };
        let events: Vec<_> =
            (1..=3).flat_map(|user| (1..=user as i64).map(move |time| view(user, time))).collect();
        store.record(&events, 1).await.unwrap();

        let first = users_after(&store, None, Range::default(), 2).await.unwrap();
        let rest =
            users_after(&store, first.last().map(|user| user.user_id), Range::default(), 2).await.unwrap();
        let all: Vec<_> = first.iter().chain(&rest).flat_map(|user| user.events.clone()).collect();
        assert_eq!((first.len(), rest.len(), all), (2, 1, events));
        assert!(users_after(&store, Some(rest[0].user_id), Range::default(), 2).await.unwrap().is_empty());

        let late = Range { since_ms: Some(2), until_ms: Some(3) };
        let counts: Vec<_> =
            users_after(&store, None, late, 10).await.unwrap().iter().map(|user| user.events.len()).collect();
        assert_eq!(counts, [0, 1, 1]);
    }
}
