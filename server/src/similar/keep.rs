//! Keeps a table up with the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use marquee_store::{Store, StoreError};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::build::built;
use super::table::{BuiltFrom, Table, TableError};

/// The file in the data folder.
const FILE: &str = "similar.safetensors";

/// How often the store is asked how much there is.
const ASK_EVERY: Duration = Duration::from_mins(10);

/// The newest table; none before the first one is built or read.
pub type Kept = ArcSwapOption<Table>;

/// Builds tables, and keeps the newest in memory and in the data folder.
pub struct Keeper {
    store: Arc<dyn Store>,
    kept: Arc<Kept>,
    file: PathBuf,
}

impl Keeper {
    /// Of this store, in the folder `data_dir`; the newest table is put into `kept`.
    pub fn new(store: Arc<dyn Store>, kept: Arc<Kept>, data_dir: &std::path::Path) -> Self {
        Self { store, kept, file: data_dir.join(FILE) }
    }

    /// Keeps up until it is aborted.
    pub async fn run(&self) {
        if let Some(table) = self.read().await {
            self.kept.store(Some(Arc::new(table)));
        }
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.keep_up().await {
                tracing::warn!(%error, "similar movies are as they were: not built anew");
            }
        }
    }

    /// Builds a table and keeps it, whatever there was before.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn build(&self) -> Result<Arc<Table>, StoreError> {
        let table = Arc::new(built(&self.store).await?);
        tracing::info!(movies = table.len(), users = table.from.users, "built the table of similar movies");
        self.kept.store(Some(Arc::clone(&table)));
        let (written, file) = (Arc::clone(&table), self.file.clone());
        if let Ok(Err(error)) = spawn_blocking(move || written.write(&file)).await {
            tracing::warn!(%error, "the table of similar movies is not kept for the next start");
        }
        Ok(table)
    }

    async fn keep_up(&self) -> Result<(), StoreError> {
        let stats = self.store.stats().await?;
        let now = BuiltFrom { users: stats.users, interactions: stats.interactions };
        let before = self.kept.load().as_ref().map(|table| table.from);
        if is_due(before, now) { self.build().await.map(drop) } else { Ok(()) }
    }

    async fn read(&self) -> Option<Table> {
        let file = self.file.clone();
        match spawn_blocking(move || Table::read(&file)).await.ok()? {
            Ok(table) => Some(table),
            Err(TableError::File(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, "the table of similar movies is built anew");
                None
            }
        }
    }
}

/// Whether a table of before is too old: there is a tenth more or less.
fn is_due(before: Option<BuiltFrom>, now: BuiltFrom) -> bool {
    before.is_none_or(|before| before.interactions.abs_diff(now.interactions) * 10 > before.interactions)
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Interaction, Kind};
    use marquee_store::RedbStore;

    use super::*;

    #[test]
    fn a_table_is_built_anew_when_there_is_a_tenth_more_or_less() {
        let of = |interactions| BuiltFrom { users: 1, interactions };
        assert!(is_due(None, of(0)));
        assert!(!is_due(Some(of(0)), of(0)));
        assert!(is_due(Some(of(0)), of(1)));
        assert!(!is_due(Some(of(1000)), of(1100)));
        assert!(is_due(Some(of(1000)), of(1101)));
        assert!(is_due(Some(of(1000)), of(899)));
    }

    #[tokio::test]
    async fn the_next_start_reads_what_was_built() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
        let event =
            |user_id, movie_id| Interaction { user_id, movie_id, time_ms: 1, kind: Kind::Like, rating: None };
        store.record(&[event(1, 1), event(1, 2)], 1).await.unwrap();
        let kept = Arc::new(Kept::empty());
        let keeper = Keeper::new(Arc::clone(&store), Arc::clone(&kept), folder.path());
        assert!(keeper.read().await.is_none());
        keeper.keep_up().await.unwrap();
        let built = kept.load_full().unwrap();
        assert_eq!(keeper.read().await.as_ref(), Some(&*built));
        store.record(&[event(1, 3)], 1).await.unwrap();
        keeper.keep_up().await.unwrap();
        assert_eq!(kept.load().as_ref().unwrap().neighbours(1).count(), 2);
        std::fs::write(folder.path().join(FILE), b"no table").unwrap();
        assert!(keeper.read().await.is_none());
    }
}
