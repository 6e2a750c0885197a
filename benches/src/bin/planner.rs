//! Measures the plans of retrieval against each other and prints the crossover points that
//! `retrieval::planner` holds as constants.
//!
//! Times are processor times of one thread, for one query of k = 10, in milliseconds. "Joining" is what
//! one of 32 queries in a scan costs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use comfy_table::Table;
use marquee_benches::clock::{Spread, cpu_time_of};
use marquee_benches::tables::ClusteredTable;
use marquee_loadgen::plot::{Axis, Kind, Plot, Series, picture};
use marquee_retrieval::exact::rank_allowed;
use marquee_retrieval::{
    AnnIndex, AnnOptions, ItemTable, Query, ScanScorer, Scored, Scorer, ScorerQuery, planner,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roaring::RoaringBitmap;

const K: usize = 10;
const COMPANY: usize = 32;
const SELECTIVITIES: [f64; 9] = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// Measure exact, filtered and approximate retrieval and print where they cross.
#[derive(Debug, Parser)]
struct Arguments {
    /// Catalogue sizes.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 84_432, 1_000_000])]
    items: Vec<usize>,
    /// The dimension of the tables.
    #[arg(long, default_value_t = 256)]
    dimension: usize,
    /// Build an index for tables of up to so many rows; a million take most of an hour.
    #[arg(long, default_value_t = 100_000)]
    index_up_to: usize,
    /// Calls for each figure.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Write a plot of time against selectivity here, as SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut plots = Vec::new();
    for items in &arguments.items {
        let catalogue = Catalogue::new(*items, &arguments)?;
        let rows = SELECTIVITIES.map(|share| catalogue.measure(share, arguments.rounds));
        catalogue.print(&rows);
        plots.push(plot(*items, &rows));
    }
    if let Some(path) = &arguments.plot {
        std::fs::write(path, picture(&plots))
            .with_context(|| format!("cannot write the plot to {}", path.display()))?;
    }
    Ok(())
}

struct Catalogue {
    scan: ScanScorer,
    index: Option<AnnIndex>,
    users: Vec<Vec<f32>>,
}

/// What one selectivity cost.
#[derive(Clone, Copy)]
struct Row {
    selectivity: f64,
    scan_alone: Spread,
    scan_joining: f64,
    rows: Spread,
    index: Option<(Spread, f64)>,
}

impl Catalogue {
    fn new(items: usize, arguments: &Arguments) -> anyhow::Result<Self> {
        let mut clustered = ClusteredTable::new(items, arguments.dimension, 1);
        let users = clustered.users(COMPANY);
        let movie_ids = clustered.movie_ids();
        let scan = ScanScorer::new(ItemTable::new(clustered.values.into(), arguments.dimension, &movie_ids)?);
        let index = (items <= arguments.index_up_to)
            .then(|| AnnIndex::build(&scan, 1, AnnOptions::DEFAULT))
            .transpose()?;
        Ok(Self { scan, index, users })
    }

    fn measure(&self, selectivity: f64, rounds: usize) -> Row {
        let query = query(self.scan.table().items(), selectivity);
        let batch: Vec<ScorerQuery<'_>> =
            self.users.iter().map(|vector| ScorerQuery { vector, query: &query }).collect();
        let mut turn = 0;
        let mut next = || {
            turn = (turn + 1) % batch.len();
            &batch[turn..=turn]
        };
        let scan_alone = cpu_time_of(rounds, || drop(self.scan.top_k(next())));
        let together = cpu_time_of(rounds.div_ceil(4), || drop(self.scan.top_k(&batch)));
        let rows = cpu_time_of(rounds, || drop(rank_allowed(self.scan.table(), &next()[0])));
        let index = self.index.as_ref().map(|index| {
            let spread = cpu_time_of(rounds, || drop(index.rank(&next()[0], selectivity)));
            (spread, self.recall(index, &batch, selectivity))
        });
        Row { selectivity, scan_alone, scan_joining: milliseconds(together) / COMPANY as f64, rows, index }
    }

    fn recall(&self, index: &AnnIndex, batch: &[ScorerQuery<'_>], selectivity: f64) -> f64 {
        let expected: Vec<Vec<Scored>> =
            batch.iter().map(|query| rank_allowed(self.scan.table(), query)).collect();
        let found: usize = batch
            .iter()
            .zip(&expected)
            .map(|(query, expected)| {
                let answer = index.rank(query, selectivity).ok().flatten().unwrap_or_default();
                expected.iter().filter(|item| answer.contains(item)).count()
            })
            .sum();
        found as f64 / expected.iter().map(Vec::len).sum::<usize>() as f64
    }

    fn print(&self, rows: &[Row]) {
        let table = self.scan.table();
        println!(
            "\n{} items, dimension {}, {} clustered rows, kernel {}",
            table.items(),
            table.dimension(),
            table.items(),
            self.scan.kernel_name()
        );
        let mut lines = Table::new();
        lines.set_header(["selectivity", "scan alone", "scan joining", "rows", "index", "recall@10"]);
        for row in rows {
            lines.add_row([
                format!("{}%", row.selectivity * 100.0),
                format!("{:.3}", milliseconds(row.scan_alone)),
                format!("{:.3}", row.scan_joining),
                format!("{:.3}", milliseconds(row.rows)),
                row.index.map_or("-".into(), |(spread, _)| format!("{:.3}", milliseconds(spread))),
                row.index.map_or("-".into(), |(_, recall)| format!("{recall:.3}")),
            ]);
        }
        println!("{lines}");
        let alone = crossover(rows, |row| milliseconds(row.rows) - milliseconds(row.scan_alone));
        let company = crossover(rows, |row| milliseconds(row.rows) - row.scan_joining);
        println!("rows cost as much as a scan alone at {alone} (constant: {})", planner::ROWS_SHARE_ALONE);
        println!(
            "rows cost as much as joining one at {company} (constant: {} rows)",
            planner::ROWS_IN_COMPANY
        );
        println!("AUTO uses the index from {} items on", planner::INDEX_FROM_ITEMS);
    }
}

/// The selectivity at which `difference` turns positive, interpolated.
fn crossover(rows: &[Row], difference: impl Fn(&Row) -> f64) -> String {
    let Some(after) = rows.iter().position(|row| difference(row) > 0.0) else {
        return "no selectivity".into();
    };
    if after == 0 {
        return format!("less than {}", rows[0].selectivity);
    }
    let (low, high) = (&rows[after - 1], &rows[after]);
    let part = difference(low) / (difference(low) - difference(high));
    format!("{:.3}", low.selectivity + part * (high.selectivity - low.selectivity))
}

fn query(items: usize, selectivity: f64) -> Query {
    let mut random = StdRng::seed_from_u64(7);
    let rows = 0..items as u32;
    let allowed: RoaringBitmap = rows.clone().filter(|_| random.random_bool(selectivity)).collect();
    let excluded: RoaringBitmap = (0..100).map(|_| random.random_range(rows.clone())).collect();
    Query { allowed: Some(Arc::new(allowed)), excluded: Arc::new(excluded), ..Query::exact(K) }
}

/// Times against selectivity.
fn plot(items: usize, rows: &[Row]) -> Plot {
    type Time = fn(&Row) -> Option<f64>;
    let times: [(&str, Time); 4] = [
        ("scan alone, ms", |row| Some(milliseconds(row.scan_alone))),
        ("scan joining, ms", |row| Some(row.scan_joining)),
        ("rows, ms", |row| Some(milliseconds(row.rows))),
        ("index, ms", |row| row.index.map(|(spread, _)| milliseconds(spread))),
    ];
    let series = times.map(|(name, time)| {
        Series::new(name, rows.iter().filter_map(|row| Some((row.selectivity, time(row)?))))
    });
    Plot {
        title: format!("{items} movies"),
        x: Axis::logarithmic("share of the movies that a filter allows").in_percent(),
        y: Axis::logarithmic(""),
        kind: Kind::Dots,
        series: series.into(),
    }
}

fn milliseconds(spread: Spread) -> f64 {
    spread.median.as_secs_f64() * 1e3
}
