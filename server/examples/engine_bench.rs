use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use marquee_server::engine::*;
use marquee_server::retrieval::{ItemTable, ScanScorer};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

fn sequences(items: u32, longest: usize, count: usize) -> Vec<Arc<[u32]>> {
    let mut r = SmallRng::seed_from_u64(1);
    (0..count)
        .map(|_| {
            // normal by sum of 12 uniforms
            let z: f64 = (0..12).map(|_| r.random::<f64>()).sum::<f64>() - 6.0;
            let n = (19.0 + (3.93 + 1.42 * z).exp()) as usize;
            (0..n.clamp(1, longest)).map(|_| r.random_range(0..items)).collect()
        })
        .collect()
}

fn scorer(bundle: &Arc<Bundle>) -> Arc<dyn Scorer> {
    Arc::new(ScanScorer::new(
        ItemTable::new(bundle.output_embeddings().into(), bundle.dimension(), &bundle.vocabulary).unwrap(),
    ))
}

fn query() -> Query {
    Query { k: 10, allowed: None, excluded: Arc::default(), method: Method::Exact }
}

fn bare(
    encoders: &mut [Box<dyn Encoder>],
    scorer: &Arc<dyn Scorer>,
    d: usize,
    seqs: &[Arc<[u32]>],
    batch: usize,
    time: Duration,
) -> f64 {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|s| {
        for e in encoders {
            let (next, done) = (&next, &done);
            s.spawn(move || {
                let mut out = EncodedBatch::default();
                let q = query();
                while began.elapsed() < time {
                    let at = next.fetch_add(batch, Ordering::Relaxed);
                    let b: Vec<&[u32]> = (at..at + batch).map(|i| &*seqs[i % seqs.len()]).collect();
                    e.encode(&b, &mut out).unwrap();
                    let qs: Vec<_> =
                        out.vectors.chunks(d).map(|v| ScorerQuery { vector: v, query: &q }).collect();
                    scorer.top_k(&qs).unwrap();
                    done.fetch_add(batch, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

fn p50(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2] * 1e3
}

fn bare_single(e: &mut dyn Encoder, scorer: &Arc<dyn Scorer>, seqs: &[Arc<[u32]>], n: usize) -> f64 {
    let mut out = EncodedBatch::default();
    let q = query();
    p50((0..n)
        .map(|i| {
            let t = Instant::now();
            e.encode(&[&seqs[i % seqs.len()]], &mut out).unwrap();
            scorer.top_k(&[ScorerQuery { vector: &out.vectors, query: &q }]).unwrap();
            t.elapsed().as_secs_f64()
        })
        .collect())
}

async fn engine_loop(model: &Arc<Model>, seqs: &[Arc<[u32]>], callers: usize, time: Duration) -> (f64, f64) {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (model, next, seqs) = (model.clone(), next.clone(), seqs.to_vec());
            tokio::spawn(async move {
                let mut lat = Vec::new();
                while began.elapsed() < time {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let t = Instant::now();
                    model
                        .submit(Job {
                            input: Input::Sequence(seqs[at % seqs.len()].clone()),
                            want: Want::TopK(query()),
                            deadline: None,
                            priority: Priority::Interactive,
                        })
                        .await
                        .unwrap();
                    lat.push(t.elapsed().as_secs_f64());
                }
                lat
            })
        })
        .collect();
    let mut lat = Vec::new();
    for t in tasks {
        lat.extend(t.await.unwrap());
    }
    (lat.len() as f64 / began.elapsed().as_secs_f64(), p50(lat))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let precision: Precision = std::env::args().nth(2).unwrap_or("fp32".into()).parse().unwrap();
    let secs: f64 = std::env::args().nth(3).unwrap_or("3".into()).parse().unwrap();
    let time = Duration::from_secs_f64(secs);
    let t = Instant::now();
    let bundle = Arc::new(Bundle::open(Path::new(&folder)).unwrap());
    println!("open {:?}", t.elapsed());
    let sc = scorer(&bundle);
    let rss = || {
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    println!("before sessions {}", rss());
    let mut encoders: Vec<_> =
        (0..2).map(|_| bare_encoder(&bundle, Device::Cpu, precision).unwrap()).collect();
    println!("after 2 sessions {}", rss());
    let seqs = sequences(bundle.items() as u32, bundle.maximum_length(), 4096);
    let eng = Engine::start(EngineOptions { workers: 2, ..EngineOptions::default() });
    let sc2 = sc.clone();
    let t = Instant::now();
    let model =
        eng.load(Path::new(&folder), Device::Cpu, precision, move |_| Ok::<_, RetErr>(sc2)).await.unwrap();
    println!("load {:?}", t.elapsed());
    for round in 0..3 {
        for batch in [1, 8, 16, 32] {
            println!(
                "round {round} bare batch {batch}: {:.1}/s",
                bare(&mut encoders, &sc, bundle.dimension(), &seqs, batch, time)
            );
        }
        for callers in [64, 16, 2] {
            let (rate, p) = engine_loop(&model, &seqs, callers, time).await;
            println!("round {round} engine {callers} callers: {rate:.1}/s p50 {p:.2} ms");
        }
        let single = bare_single(encoders[0].as_mut(), &sc, &seqs, 600);
        let (_, p) = engine_loop(&model, &seqs, 1, time).await;
        println!("round {round} single bare p50 {single:.3} ms, engine {p:.3} ms, ratio {:.3}", p / single);
    }
    println!("{:?}", eng.stats());
    println!("end {}", rss());
    eng.shutdown(Duration::from_secs(1)).await;
}
type RetErr = marquee_server::retrieval::RetrievalError;
