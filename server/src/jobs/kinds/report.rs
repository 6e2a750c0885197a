//! `report`: a page of users, catalogue, quality and performance, in the data folder of the node that runs it.
//!
//! The page stands alone: no script, no other file, and every text in it is escaped.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquee_core::clock::now_ms;
use marquee_store::{Store, StoreStats};
use roaring::RoaringBitmap;
use tokio::task::spawn_blocking;

use super::super::job::{Job, Outcome, State};
use super::super::kind::{Failure, Kind};
use super::super::ledger::{Filter, Ledger};
use super::super::run::Run;
use super::super::text::time_text;
use crate::catalog::Catalog;
use crate::recommend::Recommender;
use crate::telemetry::{PAST, Samples};

/// The folder in the data folder.
const FOLDER: &str = "reports";

/// Movies that are listed.
const MOVIES: usize = 20;

/// Jobs of a kind whose figures are shown, the newest.
const JOBS: usize = 10;

/// The kinds that measure quality.
const QUALITY: [&str; 3] = ["evaluate", "recall", "sync"];

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
     table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}\
     td.n{text-align:right;font-variant-numeric:tabular-nums}h1,h2{font-weight:600}";

/// The kind.
pub(super) struct Report {
    pub(super) store: Arc<dyn Store>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) recommender: Arc<Recommender>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) samples: Arc<Samples>,
    pub(super) data_dir: PathBuf,
}

#[async_trait]
impl Kind for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    fn about(&self) -> &'static str {
        "Writes an HTML page of users, catalogue, quality and performance into the folder reports of the data folder of the \
         node that runs it."
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        run.reached(0, 4, "users and catalogue");
        let stats = self.store.stats().await.map_err(Failure::of)?;
        let mut page = Page::new(now_ms());
        page.section("Users and catalogue");
        page.table(&["", ""], sizes(&stats));
        page.section("Most popular movies");
        page.table(&["movie", "users"], self.popular());
        run.breathe().await;
        run.reached(1, 4, "quality");
        page.section("Quality");
        page.table(&["", ""], self.model());
        for kind in QUALITY {
            let jobs = self.newest(kind).await?;
            page.paragraph(&format!("The newest jobs of the kind {kind}, newest first."));
            page.table(&["when", "figure", "value"], figures(&jobs));
        }
        run.reached(2, 4, "performance");
        page.section("Performance of this node in the last quarter of an hour");
        page.table(&["method", "calls", "failed", "p50", "p95", "p99"], self.performance());
        run.reached(3, 4, "writing");
        let name = format!("report-{}.html", time_text(now_ms()).replace(':', ""));
        let (folder, text) = (self.data_dir.join(FOLDER), page.end());
        let (file, bytes) = (folder.join(&name), text.len());
        let written = spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(name), text)
        });
        written.await.map_err(Failure::of)?.map_err(Failure::of)?;
        run.reached(4, 4, "done");
        Ok(Outcome::said(format!("wrote {}", file.display())).figure("bytes", bytes as f64))
    }
}

impl Report {
    fn popular(&self) -> Vec<Vec<String>> {
        let movies = self.catalog.movies();
        let popular = self.catalog.popular(None, &RoaringBitmap::new(), None, MOVIES);
        let row = |(index, users): &(u32, f64)| {
            let title = movies.at(*index).map(|movie| movie.title.to_string()).unwrap_or_default();
            vec![title, format!("{users:.0}")]
        };
        popular.iter().map(row).collect()
    }

    fn model(&self) -> Vec<Vec<String>> {
        let Ok(model) = self.recommender.model() else {
            return vec![vec!["model".to_owned(), "none is loaded".to_owned()]];
        };
        let bundle = model.bundle();
        vec![
            vec!["model".to_owned(), bundle.version().to_owned()],
            vec!["movies that it knows".to_owned(), bundle.items().to_string()],
        ]
    }

    async fn newest(&self, kind: &str) -> Result<Vec<Job>, Failure> {
        let of_kind = Some(kind.to_owned());
        let filter = Filter { kind: of_kind, state: Some(State::Succeeded), ..Filter::default() };
        self.ledger.list(&filter, None, JOBS, now_ms()).await.map_err(Failure::of)
    }

    fn performance(&self) -> Vec<Vec<String>> {
        let milliseconds = |seconds: f64| format!("{:.2} ms", 1e3 * seconds);
        let mut rows = Vec::new();
        for method in self.samples.methods(&[PAST.max(Duration::from_secs(1))]) {
            let Some(calls) = method.windows.first() else { continue };
            let failed = calls.count() - calls.by_code.get("OK").copied().unwrap_or_default();
            let mut row = vec![
                method.method.clone().unwrap_or_else(|| "all".to_owned()),
                calls.count().to_string(),
                failed.to_string(),
            ];
            match calls.latencies {
                Some(taken) => row.extend([taken.p50, taken.p95, taken.p99].map(milliseconds)),
                None => row.extend(["", "", ""].map(str::to_owned)),
            }
            rows.push(row);
        }
        rows
    }
}

fn sizes(stats: &StoreStats) -> Vec<Vec<String>> {
    let row = |name: &str, count: u64| vec![name.to_owned(), count.to_string()];
    vec![row("users", stats.users), row("interactions", stats.interactions), row("movies", stats.movies)]
}

fn figures(jobs: &[Job]) -> Vec<Vec<String>> {
    let of_job = |job: &Job| {
        let when = job.ended_ms.map(time_text).unwrap_or_default();
        let figures = job.outcome.iter().flat_map(|outcome| &outcome.figures);
        figures
            .map(|(name, value)| vec![when.clone(), name.clone(), format!("{value:.4}")])
            .collect::<Vec<_>>()
    };
    jobs.iter().flat_map(of_job).collect()
}

/// A page that is being written.
struct Page(String);

impl Page {
    fn new(time_ms: i64) -> Self {
        let title = format!("Marquee, {}", time_text(time_ms));
        let title = escaped(&title);
        Self(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
             <style>{STYLE}</style></head><body><h1>{title}</h1>\n"
        ))
    }

    fn section(&mut self, title: &str) {
        let _infallible = writeln!(self.0, "<h2>{}</h2>", escaped(title));
    }

    fn paragraph(&mut self, text: &str) {
        let _infallible = writeln!(self.0, "<p>{}</p>", escaped(text));
    }

    /// A table; all cells but the first of a row that are numbers stand at the right.
    fn table(&mut self, heads: &[&str], rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            return self.paragraph("There is nothing yet.");
        }
        self.0.push_str("<table><tr>");
        for head in heads {
            let _infallible = write!(self.0, "<th>{}</th>", escaped(head));
        }
        self.0.push_str("</tr>\n");
        for row in rows {
            self.0.push_str("<tr>");
            for cell in row {
                let is_number = cell.starts_with(|first: char| first.is_ascii_digit());
                let class = if is_number { " class=\"n\"" } else { "" };
                let _infallible = write!(self.0, "<td{class}>{}</td>", escaped(&cell));
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</table>\n");
    }

    fn end(mut self) -> String {
        self.0.push_str("</body></html>\n");
        self.0
    }
}

/// The text without what a browser would take for more than that.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_a_text_and_nothing_else() {
        let mut page = Page::new(0);
        page.table(&["movie"], vec![vec!["<script>alert('x')</script> & \"Co\"".to_owned()]]);
        let page = page.end();
        assert!(!page.contains("<script"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;Co&quot;"),
            "{page}"
        );
        assert!(page.contains("1970-01-01T00:00Z") && page.ends_with("</html>\n"), "{page}");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        let mut page = Page::new(0);
        page.table(&["movie"], Vec::new());
        assert!(page.end().contains("There is nothing yet."));
    }
}
