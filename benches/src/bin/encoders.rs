//! The encoders of a bundle on this processor against each other: processor time of one thread for a sequence, by
//! length, alone and together, and how far their vectors are from ONNX Runtime's fp32.
//!
//! Every round draws new histories and gives them to all encoders in turn.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use comfy_table::Table;
use cpu_time::ThreadTime;
use marquee_benches::arguments::Measured;
use marquee_benches::machine::Machine;
use marquee_engine::{Bundle, Device, EncodedBatch, Encoder, EncoderBackend, Precision, bare_encoder};
use marquee_retrieval::ItemRow;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution as _, LogNormal};

/// How many of the best items are compared.
const K: usize = 10;

/// Measure the encoders of a bundle by length.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    measured: Measured,
    /// Items in a history.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 20, 70, 94, 200])]
    lengths: Vec<usize>,
    /// Sequences that are encoded together.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8])]
    together: Vec<usize>,
    /// Calls of every encoder for a figure.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Histories as long as those of MovieLens users for the comparison of vectors; 0 to leave it out.
    #[arg(long, default_value_t = 500)]
    compared: usize,
    /// Seed of the histories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is measured; the first is what the others are compared with.
const CONTESTANTS: [(&str, EncoderBackend, Precision); 6] = [
    ("ort-only fp32", EncoderBackend::OrtOnly, Precision::Fp32),
    ("ort-only int8", EncoderBackend::OrtOnly, Precision::Int8),
    ("ort fp32", EncoderBackend::Ort, Precision::Fp32),
    ("ort int8", EncoderBackend::Ort, Precision::Int8),
    ("native fp32", EncoderBackend::Native, Precision::Fp32),
    ("native bf16", EncoderBackend::Native, Precision::Bf16),
];

struct Contestant {
    name: &'static str,
    encoder: Box<dyn Encoder>,
    encoded: EncodedBatch,
}

impl Contestant {
    /// Encodes, and says how long this thread took.
    fn encode(&mut self, sequences: &[Vec<ItemRow>]) -> anyhow::Result<Duration> {
        let sequences: Vec<&[ItemRow]> = sequences.iter().map(Vec::as_slice).collect();
        let began = ThreadTime::now();
        self.encoder.encode(&sequences, &mut self.encoded)?;
        Ok(began.elapsed())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let bundle = Arc::new(Bundle::open(&arguments.measured.folder()?)?);
    let mut contestants = contestants(&bundle);
    let mut random = StdRng::seed_from_u64(arguments.seed);
    println!("{}\n", Machine::look().processor);
    println!("Microseconds of processor time for a sequence, the median of {} calls:\n", arguments.rounds);
    let mut table = Table::new();
    let names = contestants.iter().map(|contestant| contestant.name);
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["items", "together"].into_iter().chain(names));
    for length in &arguments.lengths {
        for together in &arguments.together {
            let mut draw = || histories(&bundle, &mut random, std::iter::repeat_n(*length, *together));
            let times = measure(&mut contestants, arguments.rounds, &mut draw)?;
            let each = times.iter().map(|time| format!("{:.0}", time.as_secs_f64() * 1e6 / *together as f64));
            table.add_row([length.to_string(), together.to_string()].into_iter().chain(each));
        }
    }
    println!("{table}\n");
    if arguments.compared > 0 {
        compare(&bundle, &mut contestants, &mut random, arguments.compared)?;
    }
    Ok(())
}

/// Those that the bundle and the processor have.
fn contestants(bundle: &Arc<Bundle>) -> Vec<Contestant> {
    let made = CONTESTANTS.into_iter().filter_map(|(name, backend, precision)| {
        match bare_encoder(bundle, Device::Cpu, backend, precision) {
            Ok(encoder) => Some(Contestant { name, encoder, encoded: EncodedBatch::default() }),
            Err(error) => {
                eprintln!("left out: {name}: {error}");
                None
            }
        }
    });
    made.collect()
}

/// Histories of such lengths, of items drawn evenly.
fn histories(
    bundle: &Bundle,
    random: &mut StdRng,
    lengths: impl Iterator<Item = usize>,
) -> Vec<Vec<ItemRow>> {
    let (items, longest) = (bundle.items() as ItemRow, bundle.maximum_length());
    lengths
        .map(|length| (0..length.clamp(1, longest)).map(|_| random.random_range(0..items)).collect())
        .collect()
}

/// The median time of every contestant.
fn measure(
    contestants: &mut [Contestant],
    rounds: usize,
    draw: &mut impl FnMut() -> Vec<Vec<ItemRow>>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = vec![Vec::with_capacity(rounds); contestants.len()];
    for _ in 0..rounds.max(1) {
        let sequences = draw();
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            times.push(contestant.encode(&sequences)?);
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Ok(times.into_iter().map(median).collect())
}

/// Prints how far the vectors of every contestant are from those of the first.
fn compare(
    bundle: &Bundle,
    contestants: &mut [Contestant],
    random: &mut StdRng,
    count: usize,
) -> anyhow::Result<()> {
    let spread = LogNormal::new(3.93, 1.42)?;
    let lengths: Vec<usize> = (0..count).map(|_| 19 + spread.sample(random) as usize).collect();
    let sequences = histories(bundle, random, lengths.into_iter());
    for contestant in contestants.iter_mut() {
        contestant.encode(&sequences)?;
    }
    println!("Against the first, over {count} histories as long as those of MovieLens users:\n");
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["encoder", "median error", "largest error", "overlap of the ten best"]);
    let Some((first, others)) = contestants.split_first() else { return Ok(()) };
    for other in others {
        let pairs = first
            .encoded
            .vectors
            .chunks(bundle.dimension())
            .zip(other.encoded.vectors.chunks(bundle.dimension()));
        let mut errors = Vec::new();
        let mut common = 0;
        for (expected, got) in pairs {
            errors.push(error(expected, got));
            common += best(bundle, expected).intersection(&best(bundle, got)).count();
        }
        errors.sort_unstable_by(f32::total_cmp);
        let overlap = common as f64 / (K * errors.len()) as f64;
        table.add_row([
            other.name.to_owned(),
            format!("{:.1e}", errors[errors.len() / 2]),
            format!("{:.1e}", errors[errors.len() - 1]),
            format!("{overlap:.4}"),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// The largest difference, relative to the largest number.
fn error(expected: &[f32], got: &[f32]) -> f32 {
    let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    expected.iter().zip(got).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

/// The rows of the best items.
fn best(bundle: &Bundle, vector: &[f32]) -> HashSet<usize> {
    let rows = bundle.output_embeddings().chunks_exact(bundle.dimension());
    let score = |row: &[f32]| row.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
    let mut scores: Vec<(usize, f32)> = rows.map(score).enumerate().collect();
    if scores.len() > K {
        scores.select_nth_unstable_by(K, |a, b| b.1.total_cmp(&a.1));
    }
    scores.into_iter().take(K).map(|(row, _)| row).collect()
}
