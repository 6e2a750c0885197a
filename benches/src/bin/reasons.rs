//! What reasons cost and how faithful they are: whether the newest movies of a history name the reason that all of it
//! names, how much a movie loses without its reason, and what explaining an answer takes in encodings.
//!
//! Histories are those of users of a MovieLens folder, each cut at random. Drops are measured by taking a movie out and
//! asking again for all candidates, apart from the code that names reasons.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use comfy_table::Table;
use marquee_benches::bundle::described;
use marquee_benches::figures::{Spread, short};
use marquee_benches::machine::Machine;
use marquee_core::domain::{MovieId, Rating};
use marquee_engine::{Bundle, Device, Engine, EngineOptions, Input, Job, Model, Precision, Priority, Want};
use marquee_retrieval::{Method, Planner, PlannerOptions, RetrievalError, Scorer};
use marquee_server::catalog::{Catalog, Filter};
use marquee_server::profiles::{ConsistencyToken, Profiles};
use marquee_server::recommend::{
    Because, Explanation, Question, Recommended, Recommender, RequestOptions, Subject,
};
use marquee_store::RedbStore;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Movies of an answer.
const K: usize = 10;
/// Candidates that drops are measured among, which are those of the server for so many movies.
const CANDIDATES: usize = 100;
/// How many of the newest movies are tried.
const NEWEST: [usize; 4] = [4, 8, 16, 32];
/// The fewest and the most movies of a history.
const LENGTHS: std::ops::RangeInclusive<usize> = 10..=100;
/// Ratings from so many stars on are taste.
const TASTE_FROM_STARS: f64 = 3.0;

/// Measure reasons: agreement with the whole history, deletion, and cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// The bundle.
    #[arg(long, default_value = "onnx/bundles/movielens-small")]
    bundle: PathBuf,
    /// A folder with the ratings.csv of a MovieLens release, whose users' histories are explained.
    #[arg(long, default_value = "onnx/data/ml-latest-small")]
    ratings: PathBuf,
    /// How many histories.
    #[arg(long, default_value_t = 150)]
    histories: usize,
    /// Movies in the history whose explanation is timed.
    #[arg(long, default_value_t = 94)]
    timed_length: usize,
    /// Calls for each figure of time.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Seed of the histories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let pipeline = Pipeline::start(&arguments.bundle).await?;
    println!("{}\n{}\n", Machine::look().processor, described(pipeline.model.bundle()));
    let mut random = StdRng::seed_from_u64(arguments.seed);
    let histories = histories(&arguments, pipeline.model.bundle(), &mut random)?;
    print_agreement(&pipeline, &histories).await?;
    print_deletion(&pipeline, &histories, &mut random).await?;
    print_cost(&pipeline, &arguments, &mut random).await
}

/// The server's own pipeline over one model, without users and without a catalogue.
struct Pipeline {
    recommender: Recommender,
    model: Arc<Model>,
    _engine: Arc<Engine>,
    _store: tempfile::TempDir,
}

impl Pipeline {
    async fn start(bundle: &Path) -> anyhow::Result<Self> {
        marquee_engine::runtime::init()?;
        let engine = Arc::new(Engine::start(EngineOptions { workers: 1, ..EngineOptions::default() }));
        let model = engine.load(bundle, Device::Cpu, Precision::Fp32, planner).await?;
        engine.activate(model.bundle().version())?;
        let store = tempfile::tempdir()?;
        let profiles = Profiles::new(Arc::new(RedbStore::open(store.path())?), 0, None)?;
        let catalog = Arc::new(Catalog::new(Vec::new(), Vec::new()));
        let recommender = Recommender::new(Arc::clone(&engine), catalog, Arc::new(profiles), None);
        Ok(Self { recommender, model, _engine: engine, _store: store })
    }

    async fn answer(
        &self,
        history: &[MovieId],
        k: usize,
        newest: Option<usize>,
    ) -> anyhow::Result<Recommended> {
        let question = Question {
            subject: Subject::History(history.to_vec()),
            k,
            method: Method::Exact,
            objective: None,
            exploration: None,
            filter: Filter::default(),
            exclude_seen: true,
            context: String::new(),
            consistency_token: ConsistencyToken::default(),
            explain_newest: newest,
            options: RequestOptions::default(),
        };
        Ok(self.recommender.recommend(&question).await?)
    }

    async fn explained(&self, history: &[MovieId], newest: usize) -> anyhow::Result<Explanation> {
        let answer = self.answer(history, K, Some(newest)).await?;
        Ok(*answer.explanation.context("an answer that was to be explained is not")?)
    }

    /// The scores of some movies for a history, in their order.
    async fn scores(&self, history: &[MovieId], movies: &[MovieId]) -> anyhow::Result<Vec<f64>> {
        let subject = Subject::History(history.to_vec());
        let vector = self.recommender.encode(&subject, &RequestOptions::default()).await?.vector;
        let bundle = self.model.bundle();
        let score = |movie: &MovieId| {
            let row = bundle.row_of(*movie).context("the model answered what it does not know")?;
            let embedding = bundle.output_embedding(row);
            Ok(embedding.iter().zip(&*vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
        };
        movies.iter().map(score).collect()
    }
}

fn planner(bundle: &Arc<Bundle>) -> Result<Arc<dyn Scorer>, RetrievalError> {
    let values = bundle.output_embeddings().into();
    let options = PlannerOptions::default();
    Ok(Arc::new(Planner::build(values, bundle.dimension(), &bundle.vocabulary, options)?))
}

/// Histories of taste that the model knows, oldest first, of as many users as are wanted and there.
fn histories(
    arguments: &Arguments,
    bundle: &Bundle,
    random: &mut StdRng,
) -> anyhow::Result<Vec<Vec<MovieId>>> {
    let file = arguments.ratings.join("ratings.csv");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut events: BTreeMap<u64, HashMap<MovieId, (i64, MovieId)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let (user, movie, stars, time) =
            rating(line).with_context(|| format!("{}: {line:?} is no rating", file.display()))?;
        if stars >= TASTE_FROM_STARS && bundle.row_of(movie).is_some() {
            events.entry(user).or_default().insert(movie, (time, movie));
        }
    }
    let mut users: Vec<_> = events.into_values().filter(|user| user.len() >= *LENGTHS.start()).collect();
    let count = arguments.histories.min(users.len());
    let cut = |_| {
        let user = users.swap_remove(random.random_range(0..users.len()));
        let mut events: Vec<(i64, MovieId)> = user.into_values().collect();
        events.sort_unstable();
        events.truncate(random.random_range(LENGTHS));
        events.into_iter().map(|(_, movie)| movie).collect()
    };
    Ok((0..count).map(cut).collect())
}

/// A line of ratings.csv: user, movie, stars, seconds.
fn rating(line: &str) -> Option<(u64, MovieId, f64, i64)> {
    let mut columns = line.trim().split(',');
    let (user, movie) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
    let stars = Rating::from_stars(columns.next()?.parse().ok()?)?.stars();
    Some((user, movie, stars, columns.next()?.parse().ok()?))
}

/// Prints how often the newest movies name the first reason that the whole history names.
async fn print_agreement(pipeline: &Pipeline, histories: &[Vec<MovieId>]) -> anyhow::Result<()> {
    let first = |because: &[Because]| because.first().map(|because| because.movie_id);
    let (mut same, mut cases) = ([0; NEWEST.len()], 0);
    for history in histories {
        let all = pipeline.explained(history, usize::MAX).await?;
        cases += all.movies.len();
        for (newest, same) in NEWEST.into_iter().zip(&mut same) {
            let some = pipeline.explained(history, newest).await?;
            let pairs = some.movies.iter().zip(&all.movies);
            *same += pairs.filter(|(some, all)| first(&some.because) == first(&all.because)).count();
        }
    }
    println!("First reason as by the whole history, {cases} movies of {} histories:\n", histories.len());
    let mut table = table(["newest that are tried", "same", "standard error"]);
    for (newest, same) in NEWEST.into_iter().zip(same) {
        let share = f64::from(u32::try_from(same)?) / cases as f64;
        let error = (share * (1.0 - share) / cases as f64).sqrt();
        table.add_row([newest.to_string(), format!("{share:.3}"), format!("{error:.3}")]);
    }
    println!("{table}\n");
    Ok(())
}

/// A movie that is taken out of a history, by how it is chosen.
#[derive(Clone, Debug, Default)]
struct Deleted {
    drops: Vec<f64>,
    left: usize,
}

/// Prints what a movie loses without its reason, without what is most like it, without the newest, and by chance.
async fn print_deletion(
    pipeline: &Pipeline,
    histories: &[Vec<MovieId>],
    random: &mut StdRng,
) -> anyhow::Result<()> {
    let names = ["first reason", "nearest by cosine", "newest", "at random"];
    let mut deleted = vec![Deleted::default(); names.len()];
    for history in histories {
        let answer = pipeline.answer(history, K, Some(16)).await?;
        let explanation = answer.explanation.as_ref().context("an answer that was to be explained is not")?;
        let wide = pipeline.answer(history, CANDIDATES, None).await?;
        let candidates: Vec<MovieId> = wide.picks.iter().map(|pick| pick.movie_id).collect();
        let place = random.random_range(0..explanation.movies.len());
        let reasons = &explanation.movies[place];
        let (Some(because), Some(similar)) = (reasons.because.first(), &reasons.similar_to) else { continue };
        let newest = *history.last().context("a history is empty")?;
        let chance = history[random.random_range(0..history.len())];
        let outs = [because.movie_id, similar.movie_id, newest, chance];
        let before = log_share(&pipeline.scores(history, &candidates).await?, place);
        for (out, deleted) in outs.into_iter().zip(&mut deleted) {
            let rest: Vec<MovieId> = history.iter().copied().filter(|movie| *movie != out).collect();
            let scores = pipeline.scores(&rest, &candidates).await?;
            deleted.drops.push(before - log_share(&scores, place));
            let better = scores.iter().filter(|score| **score > scores[place]).count();
            deleted.left += usize::from(better >= K);
        }
    }
    let cases = deleted[0].drops.len();
    println!("What a movie of the first ten loses without a movie of the history, {cases} movies:\n");
    let mut table = table(["taken out", "drop of log p", "standard error", "leaves the ten"]);
    for (name, Deleted { drops, left }) in names.into_iter().zip(&deleted) {
        let (mean, error) = mean(drops);
        let left = format!("{:.0}%", 100.0 * *left as f64 / cases as f64);
        table.add_row([name.to_owned(), format!("{mean:.2}"), format!("{error:.2}"), left]);
    }
    println!("{table}\n");
    Ok(())
}

/// The log-softmax of the score at a place.
fn log_share(scores: &[f64], place: usize) -> f64 {
    -scores.iter().map(|score| (score - scores[place]).exp()).sum::<f64>().ln()
}

/// The mean, and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

/// Prints the time of an encoding, of an answer, and of an answer with reasons, on one worker.
async fn print_cost(pipeline: &Pipeline, arguments: &Arguments, random: &mut StdRng) -> anyhow::Result<()> {
    let bundle = pipeline.model.bundle();
    let (mut encoding, mut plain, mut explained) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds.max(1) {
        let rows: Vec<u32> =
            (0..arguments.timed_length).map(|_| random.random_range(0..bundle.items() as u32)).collect();
        let history: Vec<MovieId> = rows.iter().map(|row| bundle.vocabulary[*row as usize]).collect();
        let job = Job {
            input: Input::Sequence(rows[..].into()),
            want: Want::Vector,
            deadline: None,
            priority: Priority::Interactive,
        };
        encoding.push(us(pipeline.model.submit(job).await?.timings.encode));
        let began = Instant::now();
        pipeline.answer(&history, K, None).await?;
        plain.push(us(began.elapsed()));
        let began = Instant::now();
        pipeline.answer(&history, K, Some(16)).await?;
        explained.push(us(began.elapsed()));
    }
    let [encoding, plain, explained] = [encoding, plain, explained].map(|times| Spread::of(&times));
    let (Some(encoding), Some(plain), Some(explained)) = (encoding, plain, explained) else { return Ok(()) };
    println!(
        "Time for a history of {} movies, one worker, the median of {} rounds:\n",
        arguments.timed_length, arguments.rounds
    );
    let mut table = table(["", "us", "encodings"]);
    let reasons = explained.median - plain.median;
    for (name, time) in [
        ("an encoding", encoding.median),
        ("an answer of ten", plain.median),
        ("the same with reasons", explained.median),
        ("its reasons alone", reasons),
    ] {
        table.add_row([name.to_owned(), short(time), short(time / encoding.median)]);
    }
    println!("{table}");
    Ok(())
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(header);
    table
}
