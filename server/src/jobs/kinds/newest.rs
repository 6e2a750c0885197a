//! The users who did something last.

use std::cmp::Reverse;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::{TimeMs, UserId};
use marquee_store::{Store, StoreError};

use super::super::run::Run;

/// Users of a page.
const PAGE: usize = 500;

/// Users who are asked about at once.
const AT_ONCE: usize = 4;

/// Users who are looked at, at most: the choice is among these.
const LOOKED_AT: usize = 200_000;

/// The `wanted` users with the newest events, the newest first.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub(super) async fn newest_users(
    store: &dyn Store,
    wanted: usize,
    run: &Run,
) -> Result<Vec<UserId>, StoreError> {
    let mut newest: Vec<(Reverse<TimeMs>, UserId)> = Vec::new();
    let (mut last, mut looked_at) = (None, 0);
    while looked_at < LOOKED_AT {
        let users = store.users(last, PAGE).await?;
        let Some(next) = users.last() else { break };
        last = Some(*next);
        looked_at += users.len();
        let of_user = async |user_id| -> Result<_, StoreError> {
            let stats = store.user_stats(user_id).await?;
            Ok(stats.and_then(|stats| stats.last_ms).map(|last_ms| (Reverse(last_ms), user_id)))
        };
        let read = stream::iter(users).map(of_user).buffered(AT_ONCE);
        newest.extend(read.try_collect::<Vec<_>>().await?.into_iter().flatten());
        if newest.len() > 4 * wanted.max(PAGE) {
            keep(&mut newest, wanted);
        }
        run.reached(0, 0, format!("looking for the newest events of {looked_at} users"));
        run.breathe().await;
    }
    keep(&mut newest, wanted);
    Ok(newest.into_iter().map(|(_, user_id)| user_id).collect())
}

fn keep(newest: &mut Vec<(Reverse<TimeMs>, UserId)>, wanted: usize) {
    newest.sort_unstable();
    newest.truncate(wanted);
}
