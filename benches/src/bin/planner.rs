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
use marquee_server::engine::{Method, Query, Scored, Scorer, ScorerQuery};
use marquee_server::retrieval::exact::rank_allowed;
use marquee_server::retrieval::{AnnIndex, ItemTable, ScanScorer, planner};
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
    let mut measured = Vec::new();
    for items in &arguments.items {
        let catalogue = Catalogue::new(*items, &arguments)?;
        let rows = SELECTIVITIES.map(|share| catalogue.measure(share, arguments.rounds));
        catalogue.print(&rows);
        measured.push((*items, rows));
    }
    if let Some(path) = &arguments.plot {
        std::fs::write(path, plot::svg(&measured))
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
        let index = (items <= arguments.index_up_to).then(|| AnnIndex::build(&scan, 1)).transpose()?;
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
    Query { k: K, allowed: Some(Arc::new(allowed)), excluded: Arc::new(excluded), method: Method::Exact }
}

fn milliseconds(spread: Spread) -> f64 {
    spread.median.as_secs_f64() * 1e3
}

/// Times against selectivity, both on logarithmic scales, one panel a catalogue.
mod plot {
    use std::fmt::Write;

    use super::{Row, SELECTIVITIES, milliseconds};

    const WIDTH: f64 = 360.0;
    const HEIGHT: f64 = 260.0;
    const MARGIN: f64 = 50.0;
    /// The range of the time axis, in milliseconds.
    const TIMES: [f64; 2] = [0.001, 1000.0];

    type Series = (&'static str, &'static str, fn(&Row) -> Option<f64>);

    const SERIES: [Series; 4] = [
        ("scan alone", "#1f77b4", |row| Some(milliseconds(row.scan_alone))),
        ("scan joining", "#17becf", |row| Some(row.scan_joining)),
        ("rows", "#d62728", |row| Some(milliseconds(row.rows))),
        ("index", "#2ca02c", |row| row.index.map(|(spread, _)| milliseconds(spread))),
    ];

    pub(super) fn svg(measured: &[(usize, [Row; SELECTIVITIES.len()])]) -> String {
        let mut out = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' width='{}' height='{}' font-family='sans-serif' font-size='11'>\n<rect width='100%' height='100%' fill='white'/>\n",
            measured.len() as f64 * (WIDTH + MARGIN) + MARGIN,
            HEIGHT + 2.0 * MARGIN
        );
        for (panel, (items, rows)) in measured.iter().enumerate() {
            let left = MARGIN + panel as f64 * (WIDTH + MARGIN);
            draw(&mut out, left, *items, rows).expect("writing to a string does not fail");
        }
        out + "</svg>\n"
    }

    fn draw(out: &mut String, left: f64, items: usize, rows: &[Row]) -> std::fmt::Result {
        writeln!(out, "<text x='{left}' y='20'>{items} items: ms against share of rows allowed</text>")?;
        writeln!(
            out,
            "<rect x='{left}' y='{MARGIN}' width='{WIDTH}' height='{HEIGHT}' fill='none' stroke='#888'/>"
        )?;
        for exponent in -3..=3 {
            let y = height_of(10f64.powi(exponent));
            writeln!(out, "<line x1='{left}' x2='{}' y1='{y}' y2='{y}' stroke='#eee'/>", left + WIDTH)?;
            writeln!(out, "<text x='{}' y='{}' text-anchor='end'>1e{exponent}</text>", left - 4.0, y + 4.0)?;
        }
        for exponent in -3..=0 {
            let x = left + offset_of(10f64.powi(exponent));
            let percent = 100.0 * 10f64.powi(exponent);
            writeln!(
                out,
                "<text x='{x}' y='{}' text-anchor='middle'>{percent}%</text>",
                MARGIN + HEIGHT + 16.0
            )?;
        }
        for (nth, (name, colour, time)) in SERIES.iter().enumerate() {
            let points: Vec<String> = rows
                .iter()
                .filter_map(|row| Some((row.selectivity, time(row)?)))
                .map(|(share, time)| format!("{:.1},{:.1}", left + offset_of(share), height_of(time)))
                .collect();
            writeln!(
                out,
                "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>",
                points.join(" ")
            )?;
            let x = left + nth as f64 * 90.0;
            writeln!(out, "<text x='{x}' y='40' fill='{colour}'>{name}</text>")?;
        }
        Ok(())
    }

    fn offset_of(share: f64) -> f64 {
        WIDTH * (1.0 + share.log10() / 3.0)
    }

    fn height_of(time: f64) -> f64 {
        let [least, greatest] = TIMES;
        let part = (time.clamp(least, greatest) / least).log10() / (greatest / least).log10();
        MARGIN + HEIGHT * (1.0 - part)
    }
}
