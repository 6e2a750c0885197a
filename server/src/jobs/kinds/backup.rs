//! `backup`: the store is written to a folder or a bucket, while everything goes on.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use marquee_store::backup::{self, Counts, Made};
use marquee_store::{Store, StoreStats};

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind};
use super::super::places::Places;
use super::super::run::Run;
use super::number::Number;

const TARGET: Argument = Argument::required(
    "target",
    "a target of the configuration; on loopback also a folder by its whole path",
);
/// 0 stands for all.
const KEEP: Number = Number {
    argument: Argument::optional(
        "keep",
        "how many backups stay in the target, the newest; older ones are removed once this one is made. All when absent",
    ),
    default: 0,
    most: 10_000,
};

/// The kind.
pub(super) struct Backup {
    store: Arc<dyn Store>,
    targets: Places,
    /// Where a backup is written that goes to a bucket from there.
    staging: PathBuf,
}

impl Backup {
    pub(super) fn new(store: Arc<dyn Store>, targets: Places, staging: PathBuf) -> Self {
        Self { store, targets, staging }
    }
}

#[async_trait]
impl Kind for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn about(&self) -> &'static str {
        "Writes everything in the store to a folder or a bucket that `marquee-server restore` reads."
    }

    fn arguments(&self) -> &'static [Argument] {
        const { &[TARGET, KEEP.argument] }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), String> {
        KEEP.check(arguments)?;
        let target = arguments.get(TARGET.name).map(String::as_str).unwrap_or_default();
        self.targets.find(TARGET.name, target).map(drop)
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let target = run.argument(TARGET.name).unwrap_or_default();
        let target = self.targets.find(TARGET.name, target).map_err(Failure::new)?;
        let keep = KEEP.asked(run)? as usize;
        let StoreStats { users: all, .. } = self.store.stats().await.map_err(Failure::of)?;
        let pace = |Counts { movies, users, interactions, .. }| -> backup::Rest<'_> {
            let message = format!("{movies} movies, {users} users with {interactions} interactions");
            run.reached(users, all.max(users), message);
            Box::pin(run.breathe())
        };
        let Made { at, manifest } =
            target.write(self.store.as_ref(), &self.staging, &pace).await.map_err(Failure::of)?;
        if keep > 0 {
            for removed in target.keep(keep).await.map_err(Failure::of)? {
                run.log(format!("removed {removed}"));
            }
        }
        let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
        let counts = manifest.counts;
        Ok(Outcome::said(format!("{at} with {} users", counts.users))
            .figure("users", counts.users as f64)
            .figure("interactions", counts.interactions as f64)
            .figure("movies", counts.movies as f64)
            .figure("bytes", bytes as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_kept_unless_a_number_is_said() {
        assert_eq!((KEEP.read(None), KEEP.read(Some("14"))), (Ok(0), Ok(14)));
        for text in ["0", "-1", "all", "10001"] {
            assert!(KEEP.read(Some(text)).is_err_and(|error| error.contains("keep")), "{text}");
        }
    }
}
