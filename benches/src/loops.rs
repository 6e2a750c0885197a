//! Recommending without a server: the ceiling (bare) and the starting point (naive).
//!
//! *Bare* is what a program could do at best with the project's own parts: a one-thread session a core,
//! each sequence encoded at its own length, the exact int8 scan over a group of queries at a time, the
//! largest group being whatever was fastest. *Scan* is bare with the vectors at hand. *Naive* is what one
//! would write first: contrib MultiHeadAttention, then a product with the whole catalogue and TopK, one
//! sequence at a time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cpu_time::ThreadTime;
use marquee_engine::{
    Bundle, Device, EncodedBatch, Encoder, EncoderBackend, Precision, bare_encoder, runtime,
};
use marquee_retrieval::{ItemTable, ScanScorer, Scorer, ScorerQuery};
use ort::session::Session;
use ort::value::TensorRef;

use crate::figures::Spread;
use crate::requests::{K, Request};

/// The groups that are tried before the measurement.
const GROUPS: [usize; 5] = [1, 4, 8, 16, 32];
/// For how long each of them, and how often.
const TRIAL: Duration = Duration::from_millis(700);
const TRIALS: usize = 3;
/// For how long every contestant runs before it is measured. A loop that was measured from its first request, and
/// a server only after such a time, would be measured on different requests: half a percent, at times.
pub const WARMUP: Duration = Duration::from_millis(700);

/// What one thread needs to answer requests.
pub trait Runner: Send {
    /// Answers a group of requests.
    ///
    /// # Errors
    /// When the runtime fails.
    fn answer(&mut self, requests: &[Request]) -> anyhow::Result<()>;
}

/// The exact scan over a bundle's items, shared by all threads.
///
/// # Errors
/// When the table is not fit for a scan.
pub fn scan(bundle: &Bundle) -> anyhow::Result<Arc<ScanScorer>> {
    let table = ItemTable::new(bundle.output_embeddings().into(), bundle.dimension(), &bundle.vocabulary)?;
    Ok(Arc::new(ScanScorer::new(table)))
}

/// The best loop that the project has.
pub struct Bare {
    encoder: Box<dyn Encoder>,
    scorer: Arc<ScanScorer>,
    encoded: EncodedBatch,
    dimension: usize,
}

impl Bare {
    /// For one thread.
    ///
    /// # Errors
    /// When the bundle has no such graph or ONNX Runtime refuses it.
    pub fn new(
        bundle: &Arc<Bundle>,
        backend: EncoderBackend,
        precision: Precision,
        scorer: Arc<ScanScorer>,
    ) -> anyhow::Result<Self> {
        let encoder = bare_encoder(bundle, Device::Cpu, backend, precision)?;
        Ok(Self { encoder, scorer, encoded: EncodedBatch::default(), dimension: bundle.dimension() })
    }

    /// The vector of every request, in order.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn encode(&mut self, requests: &[Request]) -> anyhow::Result<Vec<Vec<f32>>> {
        let sequences: Vec<&[u32]> = requests.iter().map(|request| &*request.sequence).collect();
        self.encoder.encode(&sequences, &mut self.encoded)?;
        Ok(self.encoded.vectors.chunks_exact(self.dimension).map(<[f32]>::to_vec).collect())
    }
}

impl Runner for Bare {
    fn answer(&mut self, requests: &[Request]) -> anyhow::Result<()> {
        let sequences: Vec<&[u32]> = requests.iter().map(|request| &*request.sequence).collect();
        self.encoder.encode(&sequences, &mut self.encoded)?;
        let vectors = self.encoded.vectors.chunks_exact(self.dimension);
        let queries: Vec<ScorerQuery<'_>> = vectors
            .zip(requests)
            .map(|(vector, request)| ScorerQuery { vector, query: &request.query })
            .collect();
        self.scorer.top_k(&queries)?;
        Ok(())
    }
}

/// The scan alone, over vectors that are at hand.
pub struct Scan {
    scorer: Arc<ScanScorer>,
    vectors: Arc<Vec<Vec<f32>>>,
    next: usize,
}

impl Scan {
    /// For one thread; which vector meets which exclusions does not matter for the time.
    pub fn new(scorer: Arc<ScanScorer>, vectors: Arc<Vec<Vec<f32>>>) -> Self {
        Self { scorer, vectors, next: 0 }
    }
}

impl Runner for Scan {
    fn answer(&mut self, requests: &[Request]) -> anyhow::Result<()> {
        let vectors = self.vectors.iter().cycle().skip(self.next);
        let queries: Vec<ScorerQuery<'_>> = vectors
            .zip(requests)
            .map(|(vector, request)| ScorerQuery { vector, query: &request.query })
            .collect();
        self.scorer.top_k(&queries)?;
        self.next = (self.next + requests.len()) % self.vectors.len();
        Ok(())
    }
}

/// The loop that one would write first.
pub struct Naive {
    encoder: Session,
    scorer: Session,
    items: Vec<i64>,
    longest: usize,
    dimension: usize,
}

impl Naive {
    /// For one thread.
    ///
    /// # Errors
    /// When the bundle was made without the naive graphs.
    pub fn new(bundle: &Bundle) -> anyhow::Result<Self> {
        let open = |file: &str| {
            session(&bundle.folder().join(file)).with_context(|| {
                format!("{file} cannot be loaded; make the bundle with `marquee-onnx random --with-naive`")
            })
        };
        Ok(Self {
            encoder: open("naive.encoder.cpu.onnx")?,
            scorer: open("naive.scorer.cpu.onnx")?,
            items: Vec::new(),
            longest: bundle.maximum_length(),
            dimension: bundle.dimension(),
        })
    }

    fn answer_one(&mut self, request: &Request) -> ort::Result<()> {
        let length = request.sequence.len();
        self.items.clear();
        self.items.extend(request.sequence.iter().map(|row| i64::from(*row) + 1));
        let positions: Vec<i64> = ((self.longest - length) as i64..self.longest as i64).collect();
        let encoded = self.encoder.run(ort::inputs![
            "items" => TensorRef::from_array_view(([1, length], self.items.as_slice()))?,
            "positions" => TensorRef::from_array_view(([1, length], positions.as_slice()))?,
            "lengths" => TensorRef::from_array_view(([1], [length as i32].as_slice()))?,
        ])?;
        let (_, user) = encoded["user"].try_extract_tensor::<f32>()?;
        let found = self.scorer.run(ort::inputs![
            "user" => TensorRef::from_array_view(([1, self.dimension], user))?,
            "k" => TensorRef::from_array_view(([1], [K as i64].as_slice()))?,
        ])?;
        found["items"].try_extract_tensor::<i64>()?;
        Ok(())
    }
}

impl Runner for Naive {
    fn answer(&mut self, requests: &[Request]) -> anyhow::Result<()> {
        requests.iter().try_for_each(|request| self.answer_one(request)).map_err(Into::into)
    }
}

fn session(path: &Path) -> anyhow::Result<Session> {
    let environment = runtime::init()?;
    let open = || -> ort::Result<Session> {
        Session::builder(environment)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .commit_from_file(path)
    };
    Ok(open()?)
}

/// How fast a loop was.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Answers a second, all threads together.
    pub per_second: f64,
    /// Processor time of one answer, in microseconds.
    pub cpu_us: f64,
}

/// All runners at once, each on a thread of its own, for `time` after the [`WARMUP`], over the requests again and
/// again.
///
/// # Errors
/// When a runner fails.
pub fn speed<R: Runner>(
    runners: &mut [R],
    requests: &[Request],
    group: usize,
    time: Duration,
) -> anyhow::Result<Speed> {
    speed_after(WARMUP, runners, requests, group, time)
}

fn speed_after<R: Runner>(
    warmup: Duration,
    runners: &mut [R],
    requests: &[Request],
    group: usize,
    time: Duration,
) -> anyhow::Result<Speed> {
    let groups: Vec<&[Request]> = requests.chunks_exact(group).collect();
    let next = AtomicUsize::new(0);
    let work = |runner: &mut R| -> anyhow::Result<(f64, f64)> {
        let mut answer = |time| -> anyhow::Result<usize> {
            let (began, mut answers) = (Instant::now(), 0);
            while began.elapsed() < time {
                runner.answer(groups[next.fetch_add(1, Ordering::Relaxed) % groups.len()])?;
                answers += group;
            }
            Ok(answers)
        };
        answer(warmup)?;
        let (began, cpu) = (Instant::now(), ThreadTime::now());
        let answers = answer(time)?;
        let answers = answers as f64;
        Ok((answers / began.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64() * 1e6 / answers))
    };
    let threads: Vec<anyhow::Result<(f64, f64)>> = thread::scope(|scope| {
        let spawned: Vec<_> = runners.iter_mut().map(|runner| scope.spawn(|| work(runner))).collect();
        let panicked = |_| anyhow::anyhow!("a thread of the loop panicked");
        spawned.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
    });
    let threads = threads.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let per_second: f64 = threads.iter().map(|(rate, _)| rate).sum();
    let cpu_us = threads.iter().map(|(rate, cpu)| rate * cpu).sum::<f64>() / per_second;
    Ok(Speed { per_second, cpu_us })
}

/// The median time of a single call, in milliseconds, one after another on one thread for `time` after the
/// [`WARMUP`].
///
/// # Errors
/// When the runner fails.
pub fn single_call_ms(runner: &mut impl Runner, requests: &[Request], time: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut calls = Vec::new();
    for request in requests.chunks_exact(1).cycle() {
        let call = Instant::now();
        runner.answer(request)?;
        if call.duration_since(began) >= WARMUP {
            calls.push(call.elapsed());
        }
        if began.elapsed() >= WARMUP + time {
            break;
        }
    }
    calls.sort_unstable();
    anyhow::ensure!(!calls.is_empty(), "no call began after the warm-up");
    Ok(calls[calls.len() / 2].as_secs_f64() * 1e3)
}

/// How many requests at a time make a loop fastest, by the medians of a few rounds: one trial of each took now and
/// then a group that costs three hundredths.
///
/// # Errors
/// When a runner fails.
pub fn best_group<R: Runner>(runners: &mut [R], requests: &[Request]) -> anyhow::Result<usize> {
    let mut rates = GROUPS.map(|group| (group, Vec::new()));
    for _ in 0..TRIALS {
        for (group, rates) in &mut rates {
            rates.push(speed_after(Duration::ZERO, runners, requests, *group, TRIAL)?.per_second);
        }
    }
    let median = |rates: &[f64]| Spread::of(rates).map_or(0.0, |spread| spread.median);
    let best = rates.iter().max_by(|a, b| median(&a.1).total_cmp(&median(&b.1)));
    Ok(best.map_or(1, |(group, _)| *group))
}
