//! A GPU without a server: is it right, and how fast is it? One part of `benches/gpu/run.py`.
//!
//! Right comes first: vectors against the fp32 encoder on the CPU, answers against the exact scan; nothing is
//! timed when they differ. Then the encoder alone by batch and length, and the whole answer to the load
//! generator's requests, in large batches (bare) and one request at a time (naive).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use marquee_benches::loops::{Runner, scan, speed};
use marquee_benches::requests::{Request, decoded, workload};
use marquee_engine::{
    Ask, AskInput, Bundle, Device, EncodedBatch, Encoder, EncoderBackend, Precision, bare_encoder,
};
use marquee_retrieval::{ExactScorer, ItemTable, ScanScorer, Scored, Scorer, ScorerQuery, TopK};
use serde_json::{Value, json};

/// Batch and length of the encoder's figures.
const SHAPES: [(usize, usize); 7] =
    [(1, 200), (16, 200), (64, 200), (256, 200), (1024, 200), (256, 96), (1024, 64)];
/// Requests that the loops go round.
const REQUESTS: usize = 8192;
/// Requests of a batch of the bare loop.
const GROUP: usize = 1024;
/// The largest difference of a vector, relative to its largest number.
const MAX_ERROR: f32 = 2e-3;
/// The least share of the exact ten best that the answers hold.
const MIN_OVERLAP: f64 = 0.99;

/// Check a GPU's answers, then time it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The bundle.
    #[arg(long)]
    bundle: PathBuf,
    /// cuda, cuda:N, or cpu to try the program out.
    #[arg(long, default_value = "cuda")]
    device: Device,
    /// The most sessions at a time, each on a thread of its own.
    #[arg(long, default_value_t = 4)]
    sessions: usize,
    /// Seconds a figure.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Requests that are checked.
    #[arg(long, default_value_t = 512)]
    checked: usize,
    /// Leave out shapes of more tokens than this.
    #[arg(long, default_value_t = usize::MAX)]
    max_tokens: usize,
    /// Where the figures go, as JSON; to the terminal when absent.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One session, and the exact ranking behind it.
struct Session {
    encoder: Box<dyn Encoder>,
    exact: Arc<ExactScorer>,
    scan: Arc<ScanScorer>,
    out: EncodedBatch,
    dimension: usize,
}

impl Session {
    /// The answers to a group of requests, as the server's worker makes them.
    fn answers(&mut self, requests: &[Request]) -> anyhow::Result<Vec<TopK>> {
        let asks: Vec<Ask<'_>> = requests
            .iter()
            .map(|request| Ask { input: AskInput::Sequence(&request.sequence), query: Some(&request.query) })
            .collect();
        self.encoder.encode_asks(&asks, &mut self.out)?;
        let vectors = self.out.vectors.chunks_exact(self.dimension);
        let queries: Vec<ScorerQuery<'_>> = vectors
            .zip(requests)
            .map(|(vector, request)| ScorerQuery { vector, query: &request.query })
            .collect();
        let listed = |(index, query): (usize, &ScorerQuery<'_>)| {
            self.exact.rank_shortlist(query, self.out.shortlists.get(index))
        };
        let found: Vec<Option<TopK>> = queries.iter().enumerate().map(listed).collect();
        let rest: Vec<ScorerQuery<'_>> = queries
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(query, _)| *query)
            .collect();
        let mut scanned = self.scan.top_k(&rest)?.into_iter();
        Ok(found.into_iter().filter_map(|found| found.or_else(|| scanned.next())).collect())
    }
}

impl Runner for Session {
    fn answer(&mut self, requests: &[Request]) -> anyhow::Result<()> {
        self.answers(requests).map(drop)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let bundle = Arc::new(Bundle::open(&arguments.bundle)?);
    let requests = decoded(&workload(&bundle, 1)?, &bundle, REQUESTS)?;
    let table = ItemTable::new(bundle.output_embeddings().into(), bundle.dimension(), &bundle.vocabulary)?;
    let (exact, scan) = (Arc::new(ExactScorer::new(table)), scan(&bundle)?);
    let session = |_| -> anyhow::Result<Session> {
        Ok(Session {
            encoder: bare_encoder(&bundle, arguments.device, EncoderBackend::OrtOnly, Precision::Fp32)?,
            exact: Arc::clone(&exact),
            scan: Arc::clone(&scan),
            out: EncodedBatch::default(),
            dimension: bundle.dimension(),
        })
    };
    let began = Instant::now();
    let mut sessions = (0..arguments.sessions.max(1)).map(session).collect::<anyhow::Result<Vec<_>>>()?;
    let start_s = began.elapsed().as_secs_f64() / sessions.len() as f64;
    let checked = check(&mut sessions[0], &bundle, &requests[..arguments.checked.clamp(1, REQUESTS)])?;
    let time = Duration::from_secs_f64(arguments.seconds);
    let encoder = time_shapes(&mut sessions, &bundle, &arguments, time)?;
    let answers = time_answers(&mut sessions, requests, time)?;
    let figures = json!({
        "start_s": start_s, "checked": checked, "encoder": encoder, "answers": answers,
        "model": bundle.version(), "items": bundle.items(),
    });
    let text = serde_json::to_string_pretty(&figures)? + "\n";
    match &arguments.json {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print!("{text}"),
    }
    Ok(())
}

/// The vectors against the CPU's, answers against the exact scan of the CPU's vectors.
fn check(session: &mut Session, bundle: &Arc<Bundle>, requests: &[Request]) -> anyhow::Result<Value> {
    let mut cpu = bare_encoder(bundle, Device::Cpu, EncoderBackend::OrtOnly, Precision::Fp32)?;
    let sequences: Vec<&[u32]> = requests.iter().map(|request| &*request.sequence).collect();
    let mut expected = EncodedBatch::default();
    cpu.encode(&sequences, &mut expected)?;
    let answers = session.answers(requests)?;
    let error = relative_error(&session.out.vectors, &expected.vectors);
    let vectors = expected.vectors.chunks_exact(bundle.dimension());
    let mut shared = 0;
    let mut wanted = 0;
    for ((vector, request), answer) in vectors.zip(requests).zip(&answers) {
        let exact = session.scan.top_k(&[ScorerQuery { vector, query: &request.query }])?.remove(0);
        let holds = |item: &&Scored| answer.items.iter().any(|found| found.row == item.row);
        shared += exact.items.iter().filter(holds).count();
        wanted += exact.items.len();
    }
    let overlap = shared as f64 / wanted.max(1) as f64;
    anyhow::ensure!(error <= MAX_ERROR, "vectors are {error:.2e} off, {MAX_ERROR:.0e} is allowed");
    anyhow::ensure!(overlap >= MIN_OVERLAP, "answers hold {overlap:.4} of the exact ten best");
    Ok(json!({ "requests": requests.len(), "error": error, "overlap": overlap }))
}

fn relative_error(got: &[f32], expected: &[f32]) -> f32 {
    if got.len() != expected.len() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(1.0_f32, |largest, number| largest.max(number.abs()));
    let off = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs() / largest);
    off.fold(0.0, |worst: f32, off| if off > worst || off.is_nan() { off } else { worst })
}

/// The encoder alone: the median time of a call on one session, and sequences a second on one and on all.
fn time_shapes(
    sessions: &mut [Session],
    bundle: &Bundle,
    arguments: &Arguments,
    time: Duration,
) -> anyhow::Result<Vec<Value>> {
    let mut figures = Vec::new();
    for (batch, length) in SHAPES {
        let length = length.min(bundle.maximum_length());
        if batch * length > arguments.max_tokens {
            continue;
        }
        let rows: Vec<Vec<u32>> = (0..batch)
            .map(|index| {
                (0..length).map(|at| ((index * 7919 + at * 104_729) % bundle.items()) as u32).collect()
            })
            .collect();
        let (mut one, one_per_second) = encode_for(&mut sessions[..1], &rows, time)?;
        let (_, all_per_second) = encode_for(sessions, &rows, time)?;
        one.sort_by(f64::total_cmp);
        figures.push(json!({
            "batch": batch, "length": length, "ms": one[one.len() / 2] * 1e3,
            "per_s": one_per_second, "sessions": sessions.len(), "per_s_all": all_per_second,
        }));
    }
    Ok(figures)
}

/// The seconds of every call that the sessions made together in `time` or a little longer, and how many sequences a
/// second that were.
fn encode_for(
    sessions: &mut [Session],
    rows: &[Vec<u32>],
    time: Duration,
) -> anyhow::Result<(Vec<f64>, f64)> {
    let sequences: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let work = |session: &mut Session| -> anyhow::Result<(Vec<f64>, f64)> {
        session.encoder.encode(&sequences, &mut session.out)?;
        let (began, mut calls) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            let call = Instant::now();
            session.encoder.encode(&sequences, &mut session.out)?;
            calls.push(call.elapsed().as_secs_f64());
        }
        // The last call ends after the time is over.
        let per_second = (calls.len() * sequences.len()) as f64 / began.elapsed().as_secs_f64();
        Ok((calls, per_second))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = sessions.iter_mut().map(|session| scope.spawn(|| work(session))).collect();
        let panicked = |_| anyhow::anyhow!("a thread of the loop panicked");
        let mut all = (Vec::new(), 0.0);
        for thread in threads {
            let (calls, per_second) = thread.join().map_err(panicked)??;
            all.0.extend(calls);
            all.1 += per_second;
        }
        Ok(all)
    })
}

/// Whole answers a second: batches of requests of about one length on all sessions, and one request at a
/// time on one.
fn time_answers(
    sessions: &mut [Session],
    mut requests: Vec<Request>,
    time: Duration,
) -> anyhow::Result<Value> {
    let naive = speed(&mut sessions[..1], &requests, 1, time)?;
    requests.sort_by_key(|request| request.sequence.len());
    let one = speed(&mut sessions[..1], &requests, GROUP, time)?;
    let bare = speed(sessions, &requests, GROUP, time)?;
    Ok(json!({
        "naive_per_s": naive.per_second, "bare_one_session_per_s": one.per_second,
        "bare_per_s": bare.per_second, "bare_cpu_us": bare.cpu_us, "sessions": sessions.len(),
    }))
}
