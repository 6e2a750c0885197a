//! Building a table from what the store's users did.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::{Kind, MovieId, UserId};
use marquee_ranking::CoOccurrence;
use marquee_store::{Store, StoreError};
use tokio::task::spawn_blocking;

use super::table::{BuiltFrom, Table};

/// Neighbours that a movie has at most.
const NEIGHBOURS: usize = 128;

/// Events of a user that are read, the newest: who did far more would have everything in common with everything.
const NEWEST: usize = 1000;

/// Users of a page, and those whose histories are read at once.
const PAGE: usize = 1000;
const AT_ONCE: usize = 16;

/// The table of a store as it is now.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub async fn built(store: &Arc<dyn Store>) -> Result<Table, StoreError> {
    let stats = store.stats().await?;
    let from = BuiltFrom { users: stats.users, interactions: stats.interactions };
    let (mut histories, mut last) = (Vec::new(), None);
    loop {
        let users = store.users(last, PAGE).await?;
        let Some(next) = users.last() else { break };
        last = Some(*next);
        let read = stream::iter(users).map(|user_id| history(store, user_id)).buffered(AT_ONCE);
        histories.extend(read.try_collect::<Vec<_>>().await?);
    }
    let counted = spawn_blocking(move || of_histories(from, &histories)).await;
    counted.map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The movies that a user did not turn away from.
async fn history(store: &Arc<dyn Store>, user_id: UserId) -> Result<Vec<MovieId>, StoreError> {
    let Some(profile) = store.profile(user_id, NEWEST).await? else { return Ok(Vec::new()) };
    let taken = profile.newest.iter().filter(|event| !matches!(event.kind, Kind::Dislike | Kind::Hide));
    Ok(taken.map(|event| event.movie_id).collect())
}

/// The table of these histories, whatever their order.
pub fn of_histories(from: BuiltFrom, histories: &[Vec<MovieId>]) -> Table {
    let mut movies: Vec<MovieId> = histories.concat();
    movies.sort_unstable();
    movies.dedup();
    let place = |movie_id: &MovieId| movies.binary_search(movie_id).map_or(0, |place| place as u32);
    let users: Vec<Vec<u32>> = histories.iter().map(|history| history.iter().map(place).collect()).collect();
    let taken = CoOccurrence::new(movies.len(), users.iter().map(Vec::as_slice));
    let mut counts = taken.counts();
    let neighbours = (0..movies.len() as u32).map(|item| {
        let neighbours = taken.neighbours(item, NEIGHBOURS, &mut counts);
        let named = neighbours.into_iter().map(|(other, likeness)| (movies[other as usize], likeness));
        (movies[item as usize], named.collect())
    });
    Table::new(from, neighbours)
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::Interaction;
    use marquee_store::RedbStore;

    use super::*;

    #[test]
    fn neighbours_are_named_by_their_ids() {
        let table = of_histories(BuiltFrom::default(), &[vec![70, 5], vec![5, 70, 900], vec![]]);
        assert_eq!(table.len(), 3);
        assert_eq!(table.neighbours(5).map(|(movie_id, _)| movie_id).collect::<Vec<_>>(), [70, 900]);
    }

    #[tokio::test]
    async fn what_users_turned_away_from_is_not_what_they_have_in_common() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
        let event =
            |user_id, movie_id, kind| Interaction { user_id, movie_id, time_ms: 1, kind, rating: None };
        let mut events = Vec::new();
        for user_id in 1..=20 {
            events.extend([event(user_id, 1, Kind::Like), event(user_id, 2, Kind::View)]);
            events.push(event(user_id, 3, Kind::Dislike));
        }
        store.record(&events, 1).await.unwrap();
        let table = built(&store).await.unwrap();
        assert_eq!(table.from, BuiltFrom { users: 20, interactions: 60 });
        assert_eq!(table.neighbours(1).map(|(movie_id, _)| movie_id).collect::<Vec<_>>(), [2]);
        assert!(table.neighbours(3).next().is_none());
    }
}
