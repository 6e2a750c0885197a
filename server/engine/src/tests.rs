//! The engine as a whole, on the fixture bundle: real sessions, real threads.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::future::join_all;
use marquee_retrieval::{BackendError, ExactScorer, ItemRow, Method, Query, Scorer, ScorerQuery, TopK};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::scheduler::{Padding, Policy};
use super::serving::{Core, Pool, worker};
use super::*;

pub(super) fn fixture() -> PathBuf {
    repository("onnx/fixtures/tiny")
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Networks of several heads and of one, with learnt positions and with a bias by distance.
pub(super) fn bundles() -> [Arc<Bundle>; 4] {
    let distances = ["onnx/fixtures/distances", "onnx/fixtures/distances-one-head"];
    let [distances, of_one_head] = distances.map(repository);
    [fixture(), repository("onnx/bundles/movielens-small"), distances, of_one_head]
        .map(|folder| Arc::new(Bundle::open(&folder).unwrap()))
}

pub(super) fn exact(bundle: &Arc<Bundle>) -> Result<Arc<dyn Scorer>, marquee_retrieval::RetrievalError> {
    let scorer = ExactScorer::build(bundle.output_embeddings(), bundle.dimension(), &bundle.vocabulary)?;
    Ok(Arc::new(scorer))
}

async fn started(options: EngineOptions) -> (Engine, Arc<Model>) {
    let engine = Engine::start(options);
    let model = engine.load(&fixture(), Device::Cpu, Precision::Fp32, exact).await.unwrap();
    engine.activate(model.bundle().version()).unwrap();
    (engine, model)
}

fn top(k: usize) -> Want {
    Want::TopK(Query::exact(k))
}

fn job(sequence: &[ItemRow], want: Want) -> Job {
    Job { input: Input::Sequence(sequence.into()), want, deadline: None, priority: Priority::Interactive }
}

fn random_sequences(count: usize, model: &Model) -> Vec<Vec<ItemRow>> {
    let (items, longest) = (model.bundle().items() as u32, model.bundle().maximum_length());
    let mut random = SmallRng::seed_from_u64(7);
    (0..count)
        .map(|_| {
            let length = random.random_range(1..=longest);
            (0..length).map(|_| random.random_range(0..items)).collect()
        })
        .collect()
}

/// A scorer that does what a test tells it, then scores exactly.
struct Scripted<F> {
    before: F,
    scorer: Arc<dyn Scorer>,
}

impl<F: Fn() -> Result<(), BackendError> + Send + Sync> Scorer for Scripted<F> {
    fn top_k(&self, queries: &[ScorerQuery<'_>]) -> Result<Vec<TopK>, BackendError> {
        (self.before)()?;
        self.scorer.top_k(queries)
    }
}

async fn scripted<F>(options: EngineOptions, before: F) -> (Engine, Arc<Model>)
where
    F: Fn() -> Result<(), BackendError> + Send + Sync + 'static,
{
    let engine = Engine::start(options);
    let make = move |bundle: &Arc<Bundle>| -> Result<Arc<dyn Scorer>, marquee_retrieval::RetrievalError> {
        Ok(Arc::new(Scripted { before, scorer: exact(bundle)? }))
    };
    let model = engine.load(&fixture(), Device::Cpu, Precision::Fp32, make).await.unwrap();
    engine.activate(model.bundle().version()).unwrap();
    (engine, model)
}

/// Holds a scorer back until it is dropped.
struct Gate {
    _closed: mpsc::Sender<()>,
    reached: Arc<AtomicU32>,
}

/// An engine whose scorer waits at a gate before each batch.
async fn gated(options: EngineOptions) -> (Engine, Arc<Model>, Gate) {
    let (closed, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let reached = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reached);
    let (engine, model) = scripted(options, move || {
        counted.fetch_add(1, Ordering::SeqCst);
        // It returns when the sender is dropped, from then on at once.
        let _ = gate.lock().unwrap().recv();
        Ok(())
    })
    .await;
    (engine, model, Gate { _closed: closed, reached })
}

/// Waits, without sleeping, until the engine's state is as it should be.
async fn until(mut is: impl FnMut() -> bool) {
    while !is() {
        tokio::task::yield_now().await;
    }
}

/// An encoder that counts its batches.
struct Counted {
    encoder: Box<dyn Encoder>,
    batches: Arc<AtomicU32>,
}

impl Encoder for Counted {
    fn encode(&mut self, sequences: &[&[ItemRow]], out: &mut EncodedBatch) -> Result<(), BackendError> {
        self.encoder.encode(sequences, out)?;
        self.batches.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A model on a worker with a partner, as on a GPU.
struct Partnered {
    model: Model,
    threads: Vec<JoinHandle<()>>,
    /// Batches that the worker has encoded.
    encoded: Arc<AtomicU32>,
}

fn partnered<F>(before: F) -> Partnered
where
    F: Fn() -> Result<(), BackendError> + Send + Sync + 'static,
{
    let bundle = Arc::new(Bundle::open(&fixture()).unwrap());
    let longest = bundle.maximum_length();
    let padding = Padding::Buckets {
        lengths: session::gpu_buckets(longest),
        sizes: session::GPU_BATCHES.to_vec(),
        misfit_bound: Duration::from_millis(3),
        side_by_side: 1,
        worth_joining: 1,
    };
    let policy = Policy {
        workers: 1,
        queue_limit: 100,
        batch_jobs: 10,
        batch_tokens: 10 * longest,
        encode_tokens: 0,
        bulk_handicap: Duration::ZERO,
        padding,
    };
    let pool = Arc::new(Pool::new(policy, tokio::runtime::Handle::current()));
    let scorer = Arc::new(Scripted { before, scorer: exact(&bundle).unwrap() });
    let encoded = Arc::new(AtomicU32::new(0));
    let encoder = bare_encoder(&bundle, Device::Cpu, EncoderBackend::default(), Precision::Fp32).unwrap();
    let encoder = Counted { encoder, batches: Arc::clone(&encoded) };
    let rebuilt = Box::new(|| unreachable!("the encoder does not fail"));
    let core = Arc::new(Core::new(0, bundle, scorer, rebuilt, vec![Box::new(encoder)]));
    let threads = worker::spawn(&pool, 0, "test", None, Some(1)).unwrap();
    let [placement, kernels, arithmetic] = ["test"; 3].map(str::to_owned);
    Partnered { model: Model::new(core, pool, placement, kernels, arithmetic, 0), threads, encoded }
}

fn one_worker() -> EngineOptions {
    EngineOptions { workers: 1, ..EngineOptions::default() }
}

#[tokio::test]
async fn a_batched_answer_is_bitwise_that_of_the_job_alone() {
    let (engine, model) = started(EngineOptions { workers: 2, ..EngineOptions::default() }).await;
    let sequences = random_sequences(300, &model);
    let mut alone = Vec::new();
    for sequence in &sequences {
        alone.push(model.submit(job(sequence, top(10))).await.unwrap());
    }
    let together = join_all(sequences.iter().map(|sequence| model.submit(job(sequence, top(10))))).await;
    for (alone, together) in alone.into_iter().zip(together) {
        let together = together.unwrap();
        assert_eq!(alone.vector, together.vector);
        assert_eq!(alone.items, together.items);
        assert_eq!(together.method, Some(Method::Exact));
    }
    assert!(engine.stats().batches < 600, "jobs that wait together run together");
    assert_eq!(engine.stats().completed, 600);
    engine.shutdown(Duration::from_secs(5)).await;
}

/// The cores that so many workers' threads may use, as they scored.
#[cfg(target_os = "linux")]
async fn cpus_of(workers: usize) -> Vec<Vec<affinity::Cpu>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let (engine, model) = scripted(EngineOptions { workers, ..EngineOptions::default() }, move || {
        noted.lock().unwrap().push(affinity::allowed());
        Ok(())
    })
    .await;
    let sequences = random_sequences(8 * workers, &model);
    for answer in join_all(sequences.iter().map(|sequence| model.submit(job(sequence, top(1))))).await {
        answer.unwrap();
    }
    engine.shutdown(Duration::from_secs(5)).await;
    std::mem::take(&mut *seen.lock().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_worker_stays_on_a_core_if_each_can_have_one() {
    let cores = affinity::allowed();
    assert!(cpus_of(cores.len()).await.iter().all(|of_worker| of_worker.len() == 1));
    assert!(cpus_of(cores.len() + 1).await.iter().all(|of_worker| *of_worker == cores));
}

#[tokio::test]
async fn the_probe_comes_back_through_the_engine() {
    let (engine, model) = started(one_worker()).await;
    let (rows, expected) = model.bundle().probe();
    let answer = model.submit(job(&rows, Want::Vector)).await.unwrap();
    for (got, expected) in answer.vector.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-4);
    }
    assert!(answer.items.is_empty() && answer.method.is_none());
    let vector = Job { input: Input::Vector(Arc::clone(&answer.vector)), ..job(&rows, top(5)) };
    assert_eq!(
        model.submit(vector).await.unwrap().items,
        model.submit(job(&rows, top(5))).await.unwrap().items
    );
    engine.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_job_that_does_not_fit_the_model_is_refused() {
    let (_engine, model) = started(one_worker()).await;
    let items = model.bundle().items() as u32;
    let long = vec![0; model.bundle().maximum_length() + 1];
    for sequence in [&[][..], &long, &[items], &[0, u32::MAX]] {
        let refused = model.submit(job(sequence, top(10))).await;
        assert!(matches!(refused, Err(EngineError::BadJob(_))), "{refused:?}");
    }
    for vector in [vec![0.0; 3], vec![f32::NAN; model.bundle().dimension()]] {
        let refused = model.submit(Job { input: Input::Vector(vector.into()), ..job(&[0], top(10)) }).await;
        assert!(matches!(refused, Err(EngineError::BadJob(_))), "{refused:?}");
    }
    assert!(matches!(model.submit(job(&[0], top(0))).await, Err(EngineError::BadJob(_))));
}

#[tokio::test]
async fn over_the_bound_a_job_is_refused_at_once() {
    let (engine, model, gate) = gated(EngineOptions { queue_limit: 3, ..one_worker() }).await;
    let mut waiting: Vec<_> = (0..4).map(|row| Box::pin(model.submit(job(&[row], top(3))))).collect();
    for future in &mut waiting {
        assert!(futures::poll!(future).is_pending());
    }
    assert_eq!(engine.stats().queue_depth, 3);
    let refused = model.submit(job(&[9], top(3))).await;
    assert!(matches!(refused, Err(EngineError::Overloaded { depth: 3, .. })), "{refused:?}");
    drop(gate);
    for answer in join_all(waiting).await {
        assert_eq!(answer.unwrap().items.len(), 3);
    }
}

#[tokio::test]
async fn a_dropped_future_leaves_the_queue() {
    let (engine, model, gate) = gated(one_worker()).await;
    let mut running = Box::pin(model.submit(job(&[0], top(3))));
    assert!(futures::poll!(&mut running).is_pending());
    let mut waiting = Box::pin(model.submit(job(&[1], top(3))));
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(engine.stats().queue_depth, 1);
    drop(waiting);
    assert_eq!(engine.stats().queue_depth, 0);
    assert_eq!(engine.stats().cancelled, 1);
    drop(gate);
    running.await.unwrap();
}

#[tokio::test]
async fn a_job_whose_deadline_passes_in_the_queue_is_answered_then() {
    let (engine, model, gate) = gated(one_worker()).await;
    let mut running = Box::pin(model.submit(job(&[0], top(3))));
    assert!(futures::poll!(&mut running).is_pending());
    let late = Job { deadline: Some(Instant::now() + Duration::from_millis(20)), ..job(&[1], top(3)) };
    let refused = model.submit(late).await;
    assert!(
        matches!(refused, Err(EngineError::DeadlineExceeded { point: DeadlinePoint::Queue })),
        "{refused:?}"
    );
    assert_eq!(engine.stats().queue_depth, 0);
    drop(gate);
    running.await.unwrap();
}

#[tokio::test]
async fn a_sequence_without_a_finite_vector_fails_alone() {
    let folder = other_version("spoilt");
    bundle::spoil_item(folder.path(), 1);
    let engine = Engine::start(one_worker());
    let model = engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await.unwrap();
    engine.activate(model.bundle().version()).unwrap();
    let answers = join_all((0..4).map(|row| model.submit(job(&[row], top(3))))).await;
    for (row, answer) in answers.iter().enumerate() {
        match row {
            1 => assert!(matches!(answer, Err(EngineError::BadJob(_))), "{answer:?}"),
            _ => assert!(answer.is_ok(), "row {row}: {answer:?}"),
        }
    }
    assert_eq!(engine.stats().failed_batches, 0);
}

#[tokio::test]
async fn a_failure_fails_its_batch_only_and_a_panic_is_one() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let (engine, model) = scripted(one_worker(), move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("a scorer that panics"),
        1 => Err(BackendError("a scorer that fails".to_owned())),
        _ => Ok(()),
    })
    .await;
    for reason in ["panics", "fails"] {
        let failed = model.submit(job(&[0], top(3))).await;
        assert!(matches!(&failed, Err(EngineError::Backend(why)) if why.contains(reason)), "{failed:?}");
    }
    model.submit(job(&[0], top(3))).await.unwrap();
    assert!(model.in_service());
    assert_eq!(engine.stats().failed_batches, 2);
}

#[tokio::test]
async fn a_worker_encodes_the_next_batch_while_its_partner_ranks() {
    let (closed, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let Partnered { model, threads, encoded } = partnered(move || {
        let _ = gate.lock().unwrap().recv();
        Ok(())
    });
    let mut jobs: Vec<_> = (1..=2).map(|row| Box::pin(model.submit(job(&[row], top(3))))).collect();
    for (batches, job) in (1..).zip(&mut jobs) {
        assert!(futures::poll!(job).is_pending());
        until(|| encoded.load(Ordering::SeqCst) == batches).await;
    }
    model.pool.emptied().await;
    model.pool.stop();
    drop(closed);
    tokio::task::spawn_blocking(|| threads.into_iter().try_for_each(JoinHandle::join))
        .await
        .unwrap()
        .unwrap();
    let (_engine, alone) = started(one_worker()).await;
    for (row, answer) in (1..).zip(join_all(jobs).await) {
        let answer = answer.expect("a stop waits for what the partner has");
        assert_eq!(answer.items, alone.submit(job(&[row], top(3))).await.unwrap().items);
    }
}

#[tokio::test]
async fn a_partner_who_fails_fails_his_batch_and_three_times_the_model() {
    let calls = AtomicU32::new(0);
    let Partnered { model, threads, .. } = partnered(move || match calls.fetch_add(1, Ordering::SeqCst) {
        1 => Ok(()),
        2 => panic!("a scorer that panics"),
        _ => Err(BackendError("a scorer that fails".to_owned())),
    });
    for reason in ["fails", "", "panics", "fails", "fails"] {
        let answer = model.submit(job(&[0], top(3))).await;
        match answer {
            Err(EngineError::Backend(why)) => assert!(why.contains(reason) && !reason.is_empty(), "{why}"),
            answer => assert!(reason.is_empty() && answer.is_ok(), "{answer:?}"),
        }
    }
    until(|| !model.in_service()).await;
    assert_eq!(model.pool.counts.failed.load(Ordering::SeqCst), 4);
    model.pool.stop();
    tokio::task::spawn_blocking(|| threads.into_iter().try_for_each(JoinHandle::join))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn three_failures_in_a_row_take_the_model_out_of_service() {
    let (engine, model) = scripted(one_worker(), || Err(BackendError("always".to_owned()))).await;
    for _ in 0..3 {
        assert!(matches!(model.submit(job(&[0], top(3))).await, Err(EngineError::Backend(_))));
    }
    until(|| !model.in_service()).await;
    assert!(matches!(model.submit(job(&[0], top(3))).await, Err(EngineError::OutOfService(_))));
    assert!(matches!(engine.state(&model), ModelState::Failed(why) if why.contains("always")));
}

#[tokio::test]
async fn an_out_of_service_version_can_be_loaded_again() {
    let (engine, model) = scripted(one_worker(), || Err(BackendError("always".to_owned()))).await;
    for _ in 0..3 {
        model.submit(job(&[0], top(3))).await.unwrap_err();
    }
    until(|| !model.in_service()).await;
    let again = engine.load(&fixture(), Device::Cpu, Precision::Fp32, exact).await.unwrap();
    assert_eq!(engine.models().len(), 1, "it takes the place of the one that failed");
    assert_eq!(engine.state(&again), ModelState::Active);
    again.submit(job(&[0], top(3))).await.unwrap();
}

/// Loads the fixture under another version.
async fn load_version(engine: &Engine, version: &str) -> Result<Arc<Model>, BundleError> {
    engine.load(other_version(version).path(), Device::Cpu, Precision::Fp32, exact).await
}

fn versions(engine: &Engine) -> Vec<String> {
    engine.models().iter().map(|model| model.bundle().version().to_owned()).collect()
}

/// The fixture under another version.
fn other_version(version: &str) -> tempfile::TempDir {
    let folder = bundle::copy();
    bundle::rename(folder.path(), version);
    folder
}

#[tokio::test]
async fn a_swap_loses_no_request_and_the_old_version_can_still_be_pinned() {
    let (engine, old) = started(one_worker()).await;
    let folder = other_version("2");
    let sequences = random_sequences(64, &old);
    let before = join_all(sequences.iter().map(|sequence| old.submit(job(sequence, top(5)))));
    let swap = async {
        let new = engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await.unwrap();
        engine.activate("tiny@2").unwrap();
        new
    };
    let (answers, new) = futures::join!(before, swap);
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(engine.model(None).unwrap().bundle().version(), "tiny@2");
    assert!(Arc::ptr_eq(&engine.model(Some("tiny@1")).unwrap(), &old));
    assert!(matches!(engine.model(Some("tiny@3")), Err(EngineError::UnknownVersion(_))));
    assert_eq!(engine.state(&old), ModelState::Standby);
    assert_eq!(engine.state(&new), ModelState::Active);
    engine.activate("tiny@1").unwrap();
    assert_eq!(engine.model(None).unwrap().bundle().version(), "tiny@1");
    drop((old, new));
}

#[tokio::test]
async fn an_activation_that_is_repeated_keeps_the_model_on_standby() {
    let (engine, old) = started(one_worker()).await;
    let folder = other_version("2");
    let load = async || engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await.unwrap();
    let first = load().await;
    engine.activate("tiny@2").unwrap();
    assert!(Arc::ptr_eq(&load().await, &first));
    engine.activate("tiny@2").unwrap();
    assert_eq!(engine.models().len(), 2);
    assert!(Arc::ptr_eq(&engine.model(Some("tiny@1")).unwrap(), &old));
}

#[tokio::test]
async fn going_back_ends_at_the_model_before_however_often_it_is_repeated() {
    let (engine, old) = started(one_worker()).await;
    assert_eq!(engine.roll_back().err(), Some(ModelSetError::NothingBefore));
    let new = load_version(&engine, "2").await.unwrap();
    engine.activate("tiny@2").unwrap();
    for _ in 0..2 {
        let (model, left) = engine.roll_back().unwrap();
        assert!(Arc::ptr_eq(&model, &old));
        assert_eq!(left, "tiny@2");
    }
    assert_eq!(engine.state(&new), ModelState::Standby);
    engine.activate("tiny@2").unwrap();
    engine.unload("tiny@1").unwrap();
    assert_eq!(engine.roll_back().err(), Some(ModelSetError::NothingBefore));
    assert_eq!(engine.state(&new), ModelState::Active);
}

#[tokio::test]
async fn what_is_taken_over_goes_back_to_what_it_did_elsewhere() {
    let (engine, _) = started(one_worker()).await;
    load_version(&engine, "2").await.unwrap();
    let elsewhere = Before::Active("tiny@3".to_owned());
    engine.take_over("tiny@2", elsewhere.clone()).unwrap();
    assert_eq!((engine.model(None).unwrap().bundle().version(), engine.before()), ("tiny@2", elsewhere));
    assert_eq!(engine.roll_back().err(), Some(ModelSetError::NothingBefore), "it is not loaded yet");
    load_version(&engine, "3").await.unwrap();
    assert_eq!(engine.roll_back().unwrap().0.bundle().version(), "tiny@3");
    let left = Before::Left("tiny@1".to_owned());
    engine.take_over("tiny@2", left.clone()).unwrap();
    assert_eq!(engine.roll_back().unwrap().1, "tiny@1");
    assert_eq!(engine.before(), left);
}

#[tokio::test]
async fn another_bundle_under_a_loaded_version_is_refused() {
    let (engine, old) = started(one_worker()).await;
    let folder = other_version("1");
    bundle::say_other_metrics(folder.path());
    let refused = engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await;
    assert!(matches!(refused.err(), Some(BundleError::VersionTaken { version, .. }) if version == "tiny@1"));
    assert!(Arc::ptr_eq(&engine.model(None).unwrap(), &old));
}

#[tokio::test]
async fn the_seal_is_compared_before_anything_else_is_read() {
    let (engine, old) = started(one_worker()).await;
    let load = async |folder: &tempfile::TempDir| {
        std::fs::remove_file(folder.path().join("tables.safetensors")).unwrap();
        engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await
    };
    let same = other_version("1");
    std::fs::copy(fixture().join("bundle.json"), same.path().join("bundle.json")).unwrap();
    assert!(Arc::ptr_eq(&load(&same).await.unwrap(), &old));
    let other = other_version("1");
    bundle::say_other_metrics(other.path());
    assert!(matches!(load(&other).await.err(), Some(BundleError::VersionTaken { .. })));
}

type Built = Result<Arc<dyn Scorer>, marquee_retrieval::RetrievalError>;

/// A scorer that says when it is built, and is built when it may be.
struct Building {
    began: std::sync::mpsc::Receiver<()>,
    go_on: std::sync::mpsc::Sender<()>,
}

impl Building {
    fn gated() -> (Self, impl FnOnce(&Arc<Bundle>) -> Built) {
        let ((say, began), (go_on, may)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let make = move |bundle: &Arc<Bundle>| {
            say.send(()).unwrap();
            may.recv().unwrap();
            exact(bundle)
        };
        (Self { began, go_on }, make)
    }
}

#[tokio::test]
async fn one_bundle_is_loaded_at_a_time_and_another_hears_so_at_once() {
    let engine = Engine::start(one_worker());
    let (building, make) = Building::gated();
    let fixture = fixture();
    let mut first = std::pin::pin!(engine.load(&fixture, Device::Cpu, Precision::Fp32, make));
    assert!(futures::poll!(&mut first).is_pending());
    building.began.recv().unwrap();
    let folder = other_version("2");
    let load = async || engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await;
    let busy = load().await.err();
    assert!(
        matches!(&busy, Some(BundleError::Busy { loading, .. }) if *loading == fixture.display().to_string()),
        "{busy:?}"
    );
    assert_eq!(engine.loading(), Some(fixture.clone()));
    building.go_on.send(()).unwrap();
    first.await.unwrap();
    assert_eq!(load().await.unwrap().bundle().version(), "tiny@2");
}

#[tokio::test]
async fn a_load_whose_caller_went_away_ends_and_leaves_nothing() {
    let engine = Engine::start(one_worker());
    let (building, make) = Building::gated();
    let fixture = fixture();
    {
        let mut load = std::pin::pin!(engine.load(&fixture, Device::Cpu, Precision::Fp32, make));
        assert!(futures::poll!(&mut load).is_pending());
        building.began.recv().unwrap();
    }
    building.go_on.send(()).unwrap();
    until(|| engine.loading().is_none()).await;
    assert!(engine.models().is_empty());
    engine.load(&fixture, Device::Cpu, Precision::Fp32, exact).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_waits_for_the_step_that_a_load_is_at_and_nothing_is_loaded_after_it() {
    let engine = Engine::start(one_worker());
    let (building, make) = Building::gated();
    let fixture = fixture();
    let mut load = std::pin::pin!(engine.load(&fixture, Device::Cpu, Precision::Fp32, make));
    assert!(futures::poll!(&mut load).is_pending());
    building.began.recv().unwrap();
    let mut shutdown = std::pin::pin!(engine.shutdown(Duration::ZERO));
    for _ in 0..10 {
        assert!(futures::poll!(&mut shutdown).is_pending());
        tokio::task::yield_now().await;
    }
    building.go_on.send(()).unwrap();
    shutdown.await;
    assert!(matches!(load.await, Err(BundleError::GivenUp { .. })));
    assert!(engine.loading().is_none() && engine.models().is_empty());
    let refused = engine.load(&fixture, Device::Cpu, Precision::Fp32, never_made).await.unwrap_err();
    assert!(refused.to_string().contains("shutting down"), "{refused}");
}

fn never_made(_: &Arc<Bundle>) -> Built {
    unreachable!("the bundle is loaded already")
}

#[tokio::test]
async fn who_asks_for_the_bundle_that_is_being_loaded_waits_for_it() {
    let engine = Engine::start(one_worker());
    let (building, make) = Building::gated();
    let fixture = fixture();
    let mut first = std::pin::pin!(engine.load(&fixture, Device::Cpu, Precision::Fp32, make));
    assert!(futures::poll!(&mut first).is_pending());
    building.began.recv().unwrap();
    let mut second = std::pin::pin!(engine.load(&fixture, Device::Cpu, Precision::Fp32, never_made));
    assert!(futures::poll!(&mut second).is_pending());
    building.go_on.send(()).unwrap();
    let (first, second) = futures::join!(first, second);
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
}

#[tokio::test]
async fn the_same_folder_by_another_path_is_the_same_bundle() {
    let engine = Engine::start(one_worker());
    let (building, make) = Building::gated();
    let (fixture, whole) = (fixture(), fixture().canonicalize().unwrap());
    assert_ne!(fixture, whole);
    let mut first = std::pin::pin!(engine.load(&fixture, Device::Cpu, Precision::Fp32, make));
    assert!(futures::poll!(&mut first).is_pending());
    building.began.recv().unwrap();
    let second = engine.load(&whole, Device::Cpu, Precision::Fp32, never_made);
    let go_on = async {
        tokio::task::yield_now().await;
        building.go_on.send(()).unwrap();
    };
    let (first, second, ()) = futures::join!(first, second, go_on);
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
}

#[tokio::test]
async fn a_load_goes_on_while_one_of_its_callers_waits() {
    let engine = Engine::start(one_worker());
    let (building, make) = Building::gated();
    let fixture = fixture();
    let mut first = Box::pin(engine.load(&fixture, Device::Cpu, Precision::Fp32, make));
    assert!(futures::poll!(&mut first).is_pending());
    building.began.recv().unwrap();
    let mut second = std::pin::pin!(engine.load(&fixture, Device::Cpu, Precision::Fp32, never_made));
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    building.go_on.send(()).unwrap();
    assert_eq!(second.await.unwrap().bundle().version(), "tiny@1");
}

#[tokio::test]
async fn models_stay_until_they_are_unloaded_and_each_can_be_pinned() {
    let (engine, first) = started(one_worker()).await;
    for version in ["2", "3"] {
        load_version(&engine, version).await.unwrap();
        engine.activate(&format!("tiny@{version}")).unwrap();
    }
    assert_eq!(versions(&engine), ["tiny@1", "tiny@2", "tiny@3"]);
    assert!(Arc::ptr_eq(&engine.model(Some("tiny@1")).unwrap(), &first));
    engine.unload("tiny@2").unwrap();
    assert_eq!(versions(&engine), ["tiny@1", "tiny@3"]);
    assert!(matches!(engine.model(Some("tiny@2")), Err(EngineError::UnknownVersion(_))));
}

#[tokio::test]
async fn the_active_model_and_an_unknown_one_are_not_unloaded() {
    let (engine, _) = started(one_worker()).await;
    assert_eq!(engine.unload("tiny@1").err(), Some(ModelSetError::Active("tiny@1".to_owned())));
    assert_eq!(engine.unload("tiny@2").err(), Some(ModelSetError::NotLoaded("tiny@2".to_owned())));
    assert_eq!(engine.activate("tiny@2").err(), Some(ModelSetError::NotLoaded("tiny@2".to_owned())));
    assert_eq!(versions(&engine), ["tiny@1"]);
}

#[tokio::test]
async fn a_model_that_failed_is_not_activated() {
    let (engine, _) = started(one_worker()).await;
    let failing = load_version(&engine, "2").await.unwrap();
    failing.core.take_out_of_service("it failed".to_owned());
    let refused = engine.activate("tiny@2").err();
    assert!(matches!(refused, Some(ModelSetError::Failed { why, .. }) if why == "it failed"));
    assert_eq!(engine.model(None).unwrap().bundle().version(), "tiny@1");
}

/// Says when it is dropped.
struct Mourned(Arc<AtomicU32>);

impl Drop for Mourned {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn jobs_in_flight_finish_on_an_unloaded_model_and_then_all_of_it_goes() {
    let (engine, model, gate) = gated(one_worker()).await;
    load_version(&engine, "2").await.unwrap();
    engine.activate("tiny@2").unwrap();
    let dropped = Arc::new(AtomicU32::new(0));
    model.extension(|| Mourned(Arc::clone(&dropped)));
    let (bundle, core) = (Arc::downgrade(model.bundle()), Arc::downgrade(&model.core));
    let mut running = Box::pin(model.submit(job(&[0], top(3))));
    assert!(futures::poll!(&mut running).is_pending());
    drop(engine.unload("tiny@1").unwrap());
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    drop(gate);
    assert_eq!(running.await.unwrap().items.len(), 3);
    drop(model);
    until(|| dropped.load(Ordering::SeqCst) == 1).await;
    until(|| core.strong_count() == 0 && bundle.strong_count() == 0).await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_those_who_hold_an_unloaded_model() {
    let (engine, held) = started(one_worker()).await;
    load_version(&engine, "2").await.unwrap();
    engine.activate("tiny@2").unwrap();
    engine.unload("tiny@1").unwrap();
    engine.shutdown(Duration::from_secs(5)).await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn over_the_bound_of_models_a_bundle_is_refused_until_one_is_unloaded() {
    let (engine, _) = started(EngineOptions { max_models: 2, ..one_worker() }).await;
    load_version(&engine, "2").await.unwrap();
    let refused = load_version(&engine, "3").await.unwrap_err();
    assert!(matches!(&refused, BundleError::TooManyModels { most: 2, .. }), "{refused}");
    let why = refused.to_string();
    for named in ["tiny@1 (active, ", "tiny@2 (", "UnloadModel", "--max-models"] {
        assert!(why.contains(named), "{named} in: {why}");
    }
    assert_eq!(load_version(&engine, "2").await.unwrap().bundle().version(), "tiny@2", "it is loaded");
    engine.unload("tiny@2").unwrap();
    load_version(&engine, "3").await.unwrap();
}

#[tokio::test]
async fn a_model_that_failed_leaves_its_room_to_the_one_that_replaces_it() {
    let (engine, model) = started(EngineOptions { max_models: 1, ..one_worker() }).await;
    model.core.take_out_of_service("it failed".to_owned());
    let refused = load_version(&engine, "2").await.unwrap_err();
    assert!(matches!(refused, BundleError::TooManyModels { .. }), "{refused}");
    let again = engine.load(&fixture(), Device::Cpu, Precision::Fp32, exact).await.unwrap();
    assert_eq!(engine.state(&again), ModelState::Active);
}

#[tokio::test]
async fn a_bundle_that_would_take_more_memory_than_is_left_is_refused_before_it_is_read() {
    let (_, alone) = started(one_worker()).await;
    let bytes = alone.memory_bytes();
    assert!(bytes > fixture().join("tables.safetensors").metadata().unwrap().len());
    let options = EngineOptions { max_model_bytes: Some(2 * bytes - 1), ..one_worker() };
    let (engine, _) = started(options).await;
    let folder = other_version("2");
    let vocabulary = folder.path().join("vocabulary.u32");
    std::fs::write(&vocabulary, vec![0; vocabulary.metadata().unwrap().len() as usize]).unwrap();
    let refused = engine.load(folder.path(), Device::Cpu, Precision::Fp32, never_made).await.unwrap_err();
    assert!(matches!(refused, BundleError::TooMuchMemory { .. }), "{refused}");
    let why = refused.to_string();
    assert!(why.contains("tiny@1 (active, 1 MiB)") && why.contains("--model-memory-mib"), "{why}");
    let (fits, _) = started(EngineOptions { max_model_bytes: Some(2 * bytes), ..one_worker() }).await;
    load_version(&fits, "2").await.unwrap();
}

#[tokio::test]
async fn what_computes_differently_has_an_arithmetic_of_its_own() {
    let arithmetic = async |folder: &Path, precision| {
        let engine = Engine::start(one_worker());
        let model = engine.load(folder, Device::Cpu, precision, exact).await.unwrap();
        model.arithmetic().to_owned()
    };
    let fp32 = arithmetic(&fixture(), Precision::Fp32).await;
    assert_eq!(arithmetic(&fixture(), Precision::Fp32).await, fp32);
    assert_ne!(arithmetic(&fixture(), Precision::Int8).await, fp32);
    assert_ne!(arithmetic(other_version("2").path(), Precision::Fp32).await, fp32);
    let on_cpu = session::kernels(session::Placement::Cpu);
    assert!(fp32.contains(&on_cpu) && on_cpu.contains(std::env::consts::ARCH), "{fp32}");
    assert_ne!(session::kernels(session::Placement::Cuda(0)), on_cpu);
}

#[tokio::test]
async fn a_model_that_is_loaded_again_after_it_failed_keeps_the_one_on_standby() {
    let (engine, old) = started(one_worker()).await;
    let folder = other_version("2");
    let load = async || engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await.unwrap();
    let failing = load().await;
    engine.activate("tiny@2").unwrap();
    failing.core.take_out_of_service("it failed".to_owned());
    load().await;
    assert!(engine.model(None).unwrap().in_service());
    assert!(Arc::ptr_eq(&engine.model(Some("tiny@1")).unwrap(), &old));
}

#[tokio::test]
async fn a_bundle_that_is_refused_leaves_what_serves_in_place() {
    let (engine, model) = started(one_worker()).await;
    let folder = other_version("2");
    std::fs::write(folder.path().join("vocabulary.u32"), b"spoilt").unwrap();
    let refused = engine.load(folder.path(), Device::Cpu, Precision::Fp32, exact).await;
    assert!(matches!(refused, Err(BundleError::HashMismatch { .. })));
    assert!(Arc::ptr_eq(&engine.model(None).unwrap(), &model));
    assert_eq!(engine.models().len(), 1);
}

#[tokio::test]
async fn an_explicit_device_that_cannot_be_had_is_an_error() {
    let engine = Engine::start(one_worker());
    if !runtime::has_cuda().unwrap() {
        let refused = engine.load(&fixture(), Device::Cuda(0), Precision::Fp32, exact).await;
        assert!(matches!(refused, Err(BundleError::Runtime(runtime::RuntimeError::Cuda(_)))));
    }
    assert!(matches!(engine.model(None), Err(EngineError::OutOfService(_))));
}

#[tokio::test]
async fn the_int8_graph_answers_nearly_what_the_fp32_graph_does() {
    let (_engine, fp32) = started(one_worker()).await;
    let engine = Engine::start(one_worker());
    let int8 = engine.load(&fixture(), Device::Cpu, Precision::Int8, exact).await.unwrap();
    assert_eq!(int8.placement(), "cpu int8");
    let (rows, _) = fp32.bundle().probe();
    let exact = fp32.submit(job(&rows, Want::Vector)).await.unwrap().vector;
    let near = int8.submit(job(&rows, Want::Vector)).await.unwrap().vector;
    assert!(exact.iter().zip(near.iter()).all(|(exact, near)| (exact - near).abs() < 0.1));
    assert_ne!(exact, near);
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_flight_and_refuses_the_rest() {
    let (engine, model, gate) = gated(one_worker()).await;
    let mut running = Box::pin(model.submit(job(&[0], top(3))));
    assert!(futures::poll!(&mut running).is_pending());
    let mut shutdown = Box::pin(engine.shutdown(Duration::from_secs(30)));
    assert!(futures::poll!(&mut shutdown).is_pending());
    assert!(matches!(model.submit(job(&[1], top(3))).await, Err(EngineError::ShuttingDown)));
    drop(gate);
    shutdown.await;
    assert_eq!(running.await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_shutdown_at_its_limit_answers_the_rest_with_an_error() {
    let (engine, model, gate) = gated(one_worker()).await;
    let mut jobs: Vec<_> = (0..2).map(|row| Box::pin(model.submit(job(&[row], top(3))))).collect();
    for future in &mut jobs {
        assert!(futures::poll!(future).is_pending());
    }
    until(|| gate.reached.load(Ordering::SeqCst) == 1).await;
    let mut shutdown = Box::pin(engine.shutdown(Duration::ZERO));
    while engine.stats().queue_depth > 0 {
        assert!(futures::poll!(&mut shutdown).is_pending());
        tokio::task::yield_now().await;
    }
    drop(gate);
    shutdown.await;
    let answers = join_all(jobs).await;
    assert!(answers[0].is_ok(), "what ran is answered");
    for answer in &answers[1..] {
        assert!(matches!(answer, Err(EngineError::ShuttingDown)), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_cancelled_jobs_leave_nothing_behind() {
    let (engine, model) = started(EngineOptions { workers: 2, ..EngineOptions::default() }).await;
    let sequences = random_sequences(64, &model);
    let mut random = SmallRng::seed_from_u64(11);
    for _ in 0..1000 {
        let mut jobs: Vec<_> =
            (0..100).map(|at| Box::pin(model.submit(job(&sequences[at % 64], top(3))))).collect();
        for job in &mut jobs {
            let _ = futures::poll!(job);
        }
        while !jobs.is_empty() {
            drop(jobs.swap_remove(random.random_range(0..jobs.len())));
        }
    }
    until(|| engine.stats().queue_depth == 0).await;
    model.submit(job(&sequences[0], top(3))).await.unwrap();
    engine.shutdown(Duration::from_secs(5)).await;
    assert_eq!(Arc::strong_count(&model), 1);
}
