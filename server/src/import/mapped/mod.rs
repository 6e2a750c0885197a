//! Bringing in anything tabular: a map says which column of a file is the user, the item, the time.
//!
//! Rows are read twice. The first look finds every item with what is said of it, and what is wrong, and stores nothing;
//! it is all that a dry run does. Then items are stored, those with keys under the numbers that they are given, and then
//! events, in batches. Every write is idempotent, so an import that stopped is begun again and counts nothing twice.

mod column_map;
mod files;
mod left_out;
mod lines;
mod look;
mod objects;
mod preset;
mod proposal;
mod records;
mod report;
mod rows;
mod write;

use std::path::Path;
use std::time::Instant;

use marquee_store::Store;

pub use self::column_map::{ColumnMap, IdKind, MapError};
pub use self::look::{Look, MappedEvent};
pub use self::preset::{Collections, collections};
pub use self::proposal::propose;
pub use self::report::MappedReport;
use super::sample::SampleMark;
use super::{ImportError, ImportOptions, OnSample, Progress};

/// Reads everything and stores nothing: what an import would find.
///
/// # Errors
/// [`ImportError`] when a file cannot be read, or lacks a column of the map.
pub async fn look(path: &Path, map: &ColumnMap, options: ImportOptions) -> Result<Look, ImportError> {
    let (path, map) = (path.to_owned(), map.clone());
    tokio::task::spawn_blocking(move || look::look(&path, &map, options.units)).await?
}

/// Imports what lies at `path`, a file, a folder or a pattern such as `logs/*.csv.gz`, as the map says.
///
/// # Errors
/// [`ImportError`]; what was stored before stays, and the same import may be repeated.
pub async fn import_mapped(
    path: &Path,
    map: &ColumnMap,
    store: &dyn Store,
    options: ImportOptions,
    progress: &dyn Progress,
) -> Result<MappedReport, ImportError> {
    let began = Instant::now();
    let sample = SampleMark::of(store).await?;
    if sample.is_some() && options.sample == OnSample::Refuse {
        return Err(ImportError::HoldsSample);
    }
    let look = look(path, map, options).await?;
    look.check(options.strict)?;
    if let Some(sample) = sample {
        sample.remove(store).await?;
    }
    let mut report = MappedReport::of(&look);
    let written = write::Write { store, options, progress, path, map, look };
    written.run(&mut report).await?;
    progress.finished();
    report.elapsed = began.elapsed();
    Ok(report)
}
