//! The one way to the cluster: a session that heals itself, and a bounded number of statements.
//!
//! The driver waits up to ten seconds before it tries a lost node again. So a probe runs every second;
//! when it fails and no new session can be made either, the link is down: statements fail at once
//! instead of waiting for nobody, and four times a second another session is tried. A new session
//! takes the place of the old one; statements under way end on the one that they began with.
//!
//! More statements than [`IN_FLIGHT`] wait for a permit with their callers, and no longer than a
//! statement may take. A caller that gives up, which the edge does at the request's deadline, drops
//! its statement and with it the permit.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::{CqlValue, Row};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::connect::{Connected, connect};
use super::failure::{Failure, IN_FLIGHT};
use super::metrics::Metrics;
use super::settings::ScyllaSettings;
use super::statements::Statement;
use super::writes::Write;
use crate::StoreError;

const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries to make a session while the link is down.
const RECONNECT_EVERY: Duration = Duration::from_millis(250);

/// The link. Dropping it ends its probes.
pub(super) struct Link {
    shared: Arc<Shared>,
    _healer: AbortOnDropHandle<()>,
}

struct Shared {
    settings: ScyllaSettings,
    connected: ArcSwap<Connected>,
    is_down: AtomicBool,
    permits: Semaphore,
    metrics: Metrics,
}

impl Link {
    /// Connects, checks the schema, prepares all statements and begins to probe.
    ///
    /// # Errors
    /// As [`connect`].
    pub(super) async fn open(settings: ScyllaSettings) -> Result<Self, StoreError> {
        let connected = ArcSwap::from_pointee(connect(&settings).await?);
        let shared = Arc::new(Shared {
            settings,
            connected,
            is_down: AtomicBool::new(false),
            permits: Semaphore::new(IN_FLIGHT),
            metrics: Metrics::default(),
        });
        let healer = AbortOnDropHandle::new(tokio::spawn(heal(Arc::clone(&shared))));
        Ok(Self { shared, _healer: healer })
    }

    /// Runs a statement whose answer is one page at most.
    pub(super) async fn execute(
        &self,
        statement: Statement,
        values: impl SerializeRow,
    ) -> Result<QueryResult, StoreError> {
        self.in_turn(statement, async |connected| {
            connected.session.execute_unpaged(connected.statements.get(statement), values).await
        })
        .await
    }

    /// The first row, if there is one.
    pub(super) async fn first<R>(
        &self,
        statement: Statement,
        values: impl SerializeRow,
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let rows = self.execute(statement, values).await?.into_rows_result().map_err(corrupt)?;
        rows.maybe_first_row::<R>().map_err(corrupt)
    }

    /// All rows, held in memory: for what is bounded.
    pub(super) async fn all<R>(
        &self,
        statement: Statement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let mut all = Vec::new();
        self.each(statement, values, |row| {
            all.push(row);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Hands every row to `take`, page by page. A permit is taken for each page.
    pub(super) async fn each<R>(
        &self,
        statement: Statement,
        values: impl SerializeRow,
        mut take: impl FnMut(R) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let mut place = PagingState::start();
        loop {
            let (page, next) = self
                .in_turn(statement, async |connected| {
                    let prepared = connected.statements.get(statement);
                    connected.session.execute_single_page(prepared, &values, place).await
                })
                .await?;
            let page = page.into_rows_result().map_err(corrupt)?;
            for row in page.rows::<R>().map_err(corrupt)? {
                take(row.map_err(corrupt)?)?;
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(()),
                ControlFlow::Continue(after) => place = after,
            }
        }
    }

    /// Writes rows, all of one partition: together or not at all.
    pub(super) async fn batch(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        self.in_turn(Statement::InsertEvent, async |connected| {
            let prepared = |write: &Write<'_>| connected.statements.get(write.statement()).clone();
            let mut batch = Batch::new(BatchType::Unlogged);
            for write in writes {
                batch.append_statement(prepared(write));
            }
            let of_writes = connected.statements.get(Statement::InsertEvent);
            batch.set_is_idempotent(true);
            batch.set_execution_profile_handle(of_writes.get_execution_profile_handle().cloned());
            connected.session.batch(&batch, writes).await.map(drop)
        })
        .await
    }

    /// The session of this moment, for statements that are not prepared.
    #[cfg(test)]
    pub(super) fn connected(&self) -> Arc<Connected> {
        self.shared.connected.load_full()
    }

    /// Waits for a permit, works, and counts what came of it.
    async fn in_turn<T>(
        &self,
        statement: Statement,
        work: impl AsyncFnOnce(&Connected) -> Result<T, ExecutionError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let outcome = self.shared.attempt(statement, work).await;
        self.shared.metrics.ended(statement, outcome.as_ref().err(), began.elapsed());
        Ok(outcome?)
    }
}

impl Shared {
    async fn attempt<T>(
        &self,
        statement: Statement,
        work: impl AsyncFnOnce(&Connected) -> Result<T, ExecutionError>,
    ) -> Result<T, Failure> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Failure::Down);
        }
        let permit = timeout(statement.timeout(&self.settings), self.permits.acquire()).await;
        let _permit = permit.map_err(|_| Failure::Full)?;
        let connected = self.connected.load_full();
        Ok(work(&connected).await?)
    }

    /// Whether some node answers on the session of this moment.
    async fn answers(&self) -> bool {
        let connected = self.connected.load_full();
        let ping = connected.session.execute_unpaged(connected.statements.get(Statement::Ping), ());
        matches!(timeout(PROBE_TIMEOUT, ping).await, Ok(Ok(_)))
    }

    /// Whether a new session could be made; it is the one in use then.
    async fn reconnects(&self) -> Result<(), StoreError> {
        self.connected.store(Arc::new(connect(&self.settings).await?));
        Ok(())
    }
}

/// Probes for as long as the link lives.
async fn heal(shared: Arc<Shared>) {
    loop {
        sleep(PROBE_EVERY).await;
        if shared.answers().await {
            continue;
        }
        let Err(error) = shared.reconnects().await else { continue };
        tracing::warn!(%error, "CQL store unreachable: refusing calls that need it");
        shared.metrics.lost();
        shared.is_down.store(true, Ordering::Relaxed);
        while !shared.answers().await && shared.reconnects().await.is_err() {
            sleep(RECONNECT_EVERY).await;
        }
        shared.is_down.store(false, Ordering::Relaxed);
        tracing::info!("CQL store reachable again");
    }
}

/// An answer that is not what the statement promises.
pub(super) fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// Whether a conditional write was done: its answer's first column says so, whatever follows.
pub(super) fn applied(answer: QueryResult) -> Result<bool, StoreError> {
    let rows = answer.into_rows_result().map_err(corrupt)?;
    let row = rows.first_row::<Row>().map_err(corrupt)?;
    Ok(matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true)))))
}
