//! `export`: interactions and movies are written to a folder for other programs, while everything goes on.

use std::sync::Arc;

use async_trait::async_trait;
use marquee_core::clock::now_ms;
use marquee_store::Store;

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind};
use super::super::places::Places;
use super::super::run::Run;
use super::super::text::time_text;
use super::number::Number;
use crate::export::{Format, Range, Rest, to_folder};

const TARGET: Argument = Argument::required(
    "target",
    "a target of the configuration; on loopback also a folder by its whole path. The export becomes a folder in it",
);
const FORMAT: Argument = Argument::optional("format", "csv, in MovieLens' form, or jsonl; csv when absent");
/// 0 stands for all.
const DAYS: Number = Number {
    argument: Argument::optional("days", "interactions of so many days up to now; all when absent"),
    default: 0,
    most: 36_500,
};
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The kind.
pub(super) struct Export {
    store: Arc<dyn Store>,
    targets: Places,
}

impl Export {
    pub(super) fn new(store: Arc<dyn Store>, targets: Places) -> Self {
        Self { store, targets }
    }
}

#[async_trait]
impl Kind for Export {
    fn name(&self) -> &'static str {
        "export"
    }

    fn about(&self) -> &'static str {
        "Writes interactions and movies to a folder that the trainer and other programs read."
    }

    fn arguments(&self) -> &'static [Argument] {
        const { &[TARGET, FORMAT, DAYS.argument] }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), String> {
        DAYS.check(arguments)?;
        format(arguments.get(FORMAT.name).map(String::as_str))?;
        let target = arguments.get(TARGET.name).map(String::as_str).unwrap_or_default();
        self.targets.find_path(TARGET.name, target).map(drop)
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let target = run.argument(TARGET.name).unwrap_or_default();
        let target = self.targets.find_path(TARGET.name, target).map_err(Failure::new)?;
        let format = format(run.argument(FORMAT.name)).map_err(Failure::new)?;
        let days = DAYS.asked(run)?.cast_signed();
        let range = Range { since_ms: (days > 0).then(|| now_ms() - days * DAY_MS), until_ms: None };
        let all = self.store.stats().await.map_err(Failure::of)?.interactions;
        let pace = |interactions| -> Rest<'_> {
            run.reached(interactions, all.max(interactions), format!("{interactions} interactions"));
            Box::pin(run.breathe())
        };
        // Two within a minute have names of their own.
        let now_ms = now_ms();
        let name = format!("export-{}-{:05}", time_text(now_ms).replace(':', ""), now_ms % 60_000);
        let folder = target.join(name);
        let made =
            to_folder(self.store.as_ref(), &folder, format, range, &pace).await.map_err(Failure::of)?;
        Ok(Outcome::said(format!("{} with {} users", folder.display(), made.users))
            .figure("users", made.users as f64)
            .figure("interactions", made.interactions as f64)
            .figure("movies", made.movies as f64))
    }
}

fn format(argument: Option<&str>) -> Result<Format, String> {
    let wrong = |error| format!("have a format that is none: {error}");
    argument.map_or(Ok(Format::default()), |text| text.parse().map_err(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_csv_unless_another_one_is_said() {
        assert_eq!((format(None), format(Some("jsonl"))), (Ok(Format::Csv), Ok(Format::Jsonl)));
        assert!(format(Some("parquet")).is_err_and(|error| error.contains("csv or jsonl")));
    }
}
