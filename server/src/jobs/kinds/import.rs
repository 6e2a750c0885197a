//! `import`: a MovieLens release goes into the store, and what is held in memory is read anew.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquee_core::clock::now_ms;
use marquee_store::Store;

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind, Restart};
use super::super::places::Places;
use super::super::run::Run;
use crate::catalog::{Catalog, reread};
use crate::import::{ImportOptions, OnSample, Part, Progress, Reached, import};
use crate::profiles::Profiles;

/// Ratings of a write, and writes at once: fewer than where an import has the store for itself, so that the writes of
/// callers do not wait behind it.
const BATCH_ROWS: usize = 1_024;
const BATCHES_IN_FLIGHT: usize = 2;

/// Users whose profiles are forgotten at once.
const PAGE: usize = 1_000;

const PATH: Argument =
    Argument::required("path", "a source of the configuration; on loopback also a folder or zip file");
const STRICT: Argument =
    Argument::optional("strict", "true to refuse the release at its first malformed row; false when absent");
const REPLACE: Argument = Argument::optional(
    "replace_sample",
    "true to remove the sample from the store first: its users with their histories, and its movies; false when absent",
);

/// The kind.
pub(super) struct Import {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    profiles: Arc<Profiles>,
    sources: Places,
}

impl Import {
    pub(super) fn new(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        profiles: Arc<Profiles>,
        sources: Places,
    ) -> Self {
        Self { store, catalog, profiles, sources }
    }

    /// What is held of movies and users is no longer what the store says.
    async fn forget(&self, run: &Run) -> Result<(), Failure> {
        self.store.sum_up(Duration::ZERO, now_ms()).await.map_err(Failure::of)?;
        reread(self.store.as_ref(), &self.catalog).await.map_err(Failure::of)?;
        let mut last = None;
        loop {
            let users = self.store.users(last, PAGE).await.map_err(Failure::of)?;
            let Some(next) = users.last() else { return Ok(()) };
            last = Some(*next);
            self.profiles.changed(users).await;
            run.breathe().await;
        }
    }
}

#[async_trait]
impl Kind for Import {
    fn name(&self) -> &'static str {
        "import"
    }

    fn about(&self) -> &'static str {
        "Brings a MovieLens release into the store. One that was interrupted goes on where it was."
    }

    fn arguments(&self) -> &'static [Argument] {
        const { &[PATH, STRICT, REPLACE] }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), String> {
        for argument in [STRICT, REPLACE] {
            truth(arguments.get(argument.name).map(String::as_str), argument.name)?;
        }
        let path = arguments.get(PATH.name).map(String::as_str).unwrap_or_default();
        self.sources.find_path(PATH.name, path).map(drop)
    }

    fn restart(&self) -> Restart {
        Restart::Resumes
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let path = run.argument(PATH.name).unwrap_or_default();
        let path = self.sources.find_path(PATH.name, path).map_err(Failure::new)?;
        let is_said = |argument: Argument| truth(run.argument(argument.name), argument.name);
        let sample =
            if is_said(REPLACE).map_err(Failure::new)? { OnSample::Replace } else { OnSample::Refuse };
        let options = ImportOptions {
            strict: is_said(STRICT).map_err(Failure::new)?,
            sample,
            batch_rows: BATCH_ROWS,
            batches_in_flight: BATCHES_IN_FLIGHT,
            ..ImportOptions::new(now_ms())
        };
        let report = import(&path, self.store.as_ref(), options, &Shown(run)).await.map_err(Failure::of)?;
        self.forget(run).await?;
        for line in report.to_string().lines() {
            run.log(line);
        }
        Ok(Outcome::said(format!("{} movies and {} ratings", report.movies, report.ratings))
            .figure("movies", report.movies as f64)
            .figure("new_movies", report.new_movies as f64)
            .figure("ratings", report.ratings as f64)
            .figure("duplicates", report.duplicates as f64)
            .figure("malformed", report.malformed as f64))
    }
}

fn truth(value: Option<&str>, argument: &str) -> Result<bool, String> {
    match value {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(format!("have {argument} that is neither true nor false")),
    }
}

/// Says of a job how far its import is.
struct Shown<'a>(&'a Run);

impl Progress for Shown<'_> {
    fn reached(&self, reached: Reached) {
        let message = match reached.part {
            Part::Movies => "movies".to_owned(),
            Part::Ratings { stored, per_second } => format!("{stored} ratings, {per_second:.0}/s"),
        };
        self.0.reached(reached.bytes, reached.total_bytes, message);
    }

    fn finished(&self) {}
}
