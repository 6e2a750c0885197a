//! The encoder on a GPU, and the scorer behind it: two sessions on one stream of their own.
//!
//! Everything about a batch is queued at once, copy to the device, encoder, scorer, copies back, and waited
//! for once: the user vectors go from the encoder to the scorer on the device. The scorer's best items come
//! back as a shortlist, a little longer than asked for, because it ranks in 16 bits; ranking it exactly is
//! retrieval's work, on the host, for which the vectors come back too.
//!
//! Only the shapes of [`shapes`] run, each with buffers and bindings of its own that are made once. Small
//! ones are captured as CUDA graphs and replayed, if a replay answers what the plain run does. Nothing may
//! fall back to the CPU: a graph with a node that CUDA does not have is refused when its session is made.

mod cudart;
mod memory;
mod shapes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use marquee_retrieval::{BackendError, ItemRow};
use ort::ep::cuda::AttentionBackend;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _};
use ort::memory::Allocator;
use ort::session::{IoBinding, RunOptions, Session};
use ort::value::Tensor;

use cudart::CudaGraph;
pub(crate) use memory::Place;
use memory::{Buffer, Stream, device_allocator};
pub(crate) use shapes::{BATCHES, buckets};
use shapes::{Scoring, Shape, Shapes};

use super::builder;
use crate::bundle::{Bundle, EncoderGraph, ScorerGraph};
use crate::job::{Ask, AskInput, EncodedBatch, Encoder};
use crate::metrics;

/// The largest difference between a replayed vector and a plain one, relative to the vector's largest number:
/// what the vector of a request may differ by alone and in a batch.
const REPLAY_TOLERANCE: f32 = 2e-3;

/// How long the wait for a large batch sleeps before it asks again.
const NAP: Duration = Duration::from_micros(50);

/// Two sessions, their stream, and what they work on.
pub(super) struct GpuEncoder {
    // Fields drop in order: what uses the stream goes before it.
    graphs: HashMap<Shape, CudaGraph>,
    encodings: HashMap<(usize, usize), Encoding>,
    scorings: HashMap<(usize, Scoring), ScoringRun>,
    excluded: HashMap<(usize, usize), Buffer<i64>>,
    /// The user vectors, by batch size: what the encoder writes and the scorer reads.
    users: HashMap<usize, Buffer<f32>>,
    encoder: Session,
    scorer: Option<Session>,
    stream: Stream,
    options: RunOptions,
    shapes: Shapes,
    longest: usize,
    dimension: usize,
}

/// The inputs of the encoder in one shape, bound.
struct Encoding {
    items: Buffer<i64>,
    positions: Buffer<i64>,
    lengths: Buffer<i32>,
    binding: IoBinding,
}

/// The output of the scorer in one shape, bound. Exclusions and vectors are shared with other shapes.
struct ScoringRun {
    found: Buffer<i64>,
    binding: IoBinding,
}

impl GpuEncoder {
    /// Makes the sessions, warms every shape and captures the small ones.
    pub(super) fn new(
        bundle: &Bundle,
        encoder: &EncoderGraph,
        scorer: Option<&ScorerGraph>,
        place: Place,
    ) -> ort::Result<Self> {
        let shapes = Shapes::new(bundle.maximum_length(), scorer.map_or(0, |graph| graph.largest_k));
        Self::with_shapes(bundle, encoder, scorer, place, shapes)
    }

    fn with_shapes(
        bundle: &Bundle,
        encoder: &EncoderGraph,
        scorer: Option<&ScorerGraph>,
        place: Place,
        shapes: Shapes,
    ) -> ort::Result<Self> {
        let stream = Stream::new(place)?;
        // The tables come from the bundle's folder, where the graphs look for them: a device has its own copy.
        let open = |path| session(&stream, place)?.commit_from_file(path);
        let (encoder, scorer) = (open(&encoder.path)?, scorer.map(|graph| open(&graph.path)).transpose()?);
        let mut options = RunOptions::new()?;
        // The stream is waited for once, after the copies back.
        options.disable_device_sync()?;
        let mut made = Self {
            graphs: HashMap::new(),
            encodings: HashMap::new(),
            scorings: HashMap::new(),
            excluded: HashMap::new(),
            users: HashMap::new(),
            encoder,
            scorer,
            stream,
            options,
            shapes,
            longest: bundle.maximum_length(),
            dimension: bundle.dimension(),
        };
        made.allocate(place)?;
        made.warm_up(bundle.items())?;
        Ok(made)
    }

    fn allocate(&mut self, place: Place) -> ort::Result<()> {
        let allocator = device_allocator(&self.encoder, place)?;
        for batch in self.shapes.batches.clone() {
            self.users.insert(batch, Buffer::new(&self.stream, &allocator, [batch, self.dimension])?);
        }
        for shape in self.shapes.all().collect::<Vec<_>>() {
            if let Some(length) = shape.length {
                self.allocate_encoding(&allocator, shape.batch, length)?;
            }
            if let Some(scoring) = shape.scoring {
                self.allocate_scoring(&allocator, shape.batch, scoring)?;
            }
        }
        Ok(())
    }

    fn allocate_encoding(&mut self, allocator: &Allocator, batch: usize, length: usize) -> ort::Result<()> {
        let items = Buffer::new(&self.stream, allocator, [batch, length])?;
        let positions = Buffer::new(&self.stream, allocator, [batch, length])?;
        let lengths = Buffer::new(&self.stream, allocator, [batch])?;
        let mut binding = self.encoder.create_binding()?;
        binding.bind_input("items", &items.device)?;
        binding.bind_input("positions", &positions.device)?;
        binding.bind_input("lengths", &lengths.device)?;
        binding.bind_output("user", &mut missing(self.users.get_mut(&batch))?.device)?;
        self.encodings.insert((batch, length), Encoding { items, positions, lengths, binding });
        Ok(())
    }

    fn allocate_scoring(&mut self, allocator: &Allocator, batch: usize, scoring: Scoring) -> ort::Result<()> {
        let Some(scorer) = &self.scorer else { return Ok(()) };
        let shared = (batch, scoring.exclusions);
        if !self.excluded.contains_key(&shared) {
            let buffer = Buffer::new(&self.stream, allocator, [batch, scoring.exclusions])?;
            self.excluded.insert(shared, buffer);
        }
        let mut found = Buffer::new(&self.stream, allocator, [batch, scoring.width])?;
        let mut binding = scorer.create_binding()?;
        binding.bind_input("user", &missing(self.users.get(&batch))?.device)?;
        binding.bind_input("excluded", &missing(self.excluded.get(&shared))?.device)?;
        binding.bind_input("k", &Tensor::from_array(([1], vec![scoring.width as i64]))?)?;
        binding.bind_output("items", &mut found.device)?;
        self.scorings.insert((batch, scoring), ScoringRun { found, binding });
        Ok(())
    }

    /// Runs every shape once, so that no request pays for first-time work, and captures the small ones.
    fn warm_up(&mut self, items: usize) -> ort::Result<()> {
        for shape in self.shapes.all().collect::<Vec<_>>() {
            self.fill_for_trial(shape, items, 0)?;
            self.launch(shape)?;
            self.stream.synchronize()?;
        }
        for shape in self.shapes.captured() {
            match self.capture(shape, items) {
                Ok(Some(graph)) => drop(self.graphs.insert(shape, graph)),
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.graphs.clear();
                    metrics::graphs_refused();
                    tracing::warn!(%error, ?shape, "CUDA graphs are not used: small batches will be slower");
                    return Ok(());
                }
            }
        }
        tracing::info!(graphs = self.graphs.len(), "captured the small shapes as CUDA graphs");
        Ok(())
    }

    /// A graph of the shape that answers what the plain run does; `None` where nothing can be captured.
    fn capture(&mut self, shape: Shape, items: usize) -> ort::Result<Option<CudaGraph>> {
        self.fill_for_trial(shape, items, 1)?;
        if !self.stream.begin_capture()? {
            return Ok(None);
        }
        let launched = self.launch(shape);
        // A capture has to be ended, whatever came of it.
        let graph = self.stream.end_capture();
        launched?;
        let graph = graph?;
        self.fill_for_trial(shape, items, 2)?;
        self.launch(shape)?;
        self.stream.synchronize()?;
        let plain = self.results(shape)?;
        self.poison(shape)?;
        self.stream.replay(&graph)?;
        self.stream.synchronize()?;
        let replayed = self.results(shape)?;
        if plain.agrees(&replayed) {
            Ok(Some(graph))
        } else {
            Err(ort::Error::new("a replay answered otherwise than the plain run"))
        }
    }

    /// Inputs that differ from trial to trial.
    fn fill_for_trial(&mut self, shape: Shape, items: usize, trial: usize) -> ort::Result<()> {
        let row = |at: usize| ((at * 7919 + trial * 104_729) % items) as ItemRow;
        if let Some(length) = shape.length {
            let sequences: Vec<Vec<ItemRow>> = (0..shape.batch)
                .map(|index| (0..=(index + trial) % length).map(|at| row(index + at)).collect())
                .collect();
            for (index, sequence) in sequences.iter().enumerate() {
                self.write_sequence(shape.batch, length, index, sequence)?;
            }
        } else {
            let users = missing(self.users.get_mut(&shape.batch))?.host_mut();
            for (at, number) in users.iter_mut().enumerate() {
                *number = f32::from((at * 37 + trial * 11) as u8) / 128.0 - 1.0;
            }
        }
        if let Some(scoring) = shape.scoring {
            let excluded = missing(self.excluded.get_mut(&(shape.batch, scoring.exclusions)))?.host_mut();
            excluded.fill(0);
            for (at, places) in excluded.chunks_exact_mut(scoring.exclusions).enumerate() {
                places[0] = i64::from(row(at)) + 1;
            }
        }
        Ok(())
    }

    /// Writes inputs into the host's buffers; places without an input hold one padding item, or zeros.
    fn fill(&mut self, shape: Shape, asks: &[Ask<'_>]) -> ort::Result<()> {
        for index in 0..shape.batch {
            match (shape.length, asks.get(index).map(|ask| ask.input)) {
                (Some(length), Some(AskInput::Sequence(rows))) => {
                    self.write_sequence(shape.batch, length, index, rows)?;
                }
                (Some(length), _) => self.write_sequence(shape.batch, length, index, &[])?,
                (None, input) => {
                    let dimension = self.dimension;
                    let users = missing(self.users.get_mut(&shape.batch))?.host_mut();
                    let place = &mut users[index * dimension..(index + 1) * dimension];
                    match input {
                        Some(AskInput::Vector(vector)) => place.copy_from_slice(vector),
                        _ => place.fill(0.0),
                    }
                }
            }
        }
        let Some(scoring) = shape.scoring else { return Ok(()) };
        let excluded = missing(self.excluded.get_mut(&(shape.batch, scoring.exclusions)))?.host_mut();
        for (index, places) in excluded.chunks_exact_mut(scoring.exclusions).enumerate() {
            let query = asks.get(index).and_then(|ask| ask.query);
            let mut rows = query.into_iter().flat_map(|query| query.excluded.iter());
            for place in places {
                *place = rows.next().map_or(0, |row| i64::from(row) + 1);
            }
        }
        Ok(())
    }

    fn write_sequence(
        &mut self,
        batch: usize,
        length: usize,
        index: usize,
        rows: &[ItemRow],
    ) -> ort::Result<()> {
        let longest = self.longest;
        let encoding = missing(self.encodings.get_mut(&(batch, length)))?;
        let places = index * length..(index + 1) * length;
        let items = &mut encoding.items.host_mut()[places.clone()];
        items.fill(0);
        for (place, row) in items.iter_mut().zip(rows) {
            *place = i64::from(*row) + 1;
        }
        let positions = &mut encoding.positions.host_mut()[places];
        positions.fill(0);
        for (place, position) in positions.iter_mut().zip(longest - rows.len()..longest) {
            *place = position as i64;
        }
        encoding.lengths.host_mut()[index] = rows.len().max(1) as i32;
        Ok(())
    }

    /// Queues a shape's work: copies to the device, encoder, scorer, copies back.
    fn launch(&mut self, shape: Shape) -> ort::Result<()> {
        let Self { encodings, scorings, excluded, users, encoder, scorer, stream, options, .. } = self;
        let users = missing(users.get_mut(&shape.batch))?;
        if let Some(length) = shape.length {
            let encoding = missing(encodings.get_mut(&(shape.batch, length)))?;
            encoding.items.upload(stream)?;
            encoding.positions.upload(stream)?;
            encoding.lengths.upload(stream)?;
            encoder.run_binding_with_options(&encoding.binding, options)?;
            users.download(stream)?;
        } else {
            users.upload(stream)?;
        }
        if let (Some(scoring), Some(scorer)) = (shape.scoring, scorer) {
            missing(excluded.get_mut(&(shape.batch, scoring.exclusions)))?.upload(stream)?;
            let run = missing(scorings.get_mut(&(shape.batch, scoring)))?;
            scorer.run_binding_with_options(&run.binding, options)?;
            run.found.download(stream)?;
        }
        Ok(())
    }

    /// Runs up to the largest batch of inputs, all sequences or all vectors.
    fn run(&mut self, asks: &[Ask<'_>], out: &mut EncodedBatch) -> ort::Result<()> {
        let shape = self.shapes.of(asks);
        if shape.length.is_none() && shape.scoring.is_none() {
            for _ in asks {
                out.shortlists.push([]);
            }
            return Ok(());
        }
        self.stream.enter()?;
        self.fill(shape, asks)?;
        match self.graphs.get(&shape) {
            Some(graph) => self.stream.replay(graph)?,
            None => self.launch(shape)?,
        }
        if shape.is_short() {
            self.stream.synchronize()?;
        } else {
            self.sleep_until_done()?;
        }
        self.read(shape, asks, out)
    }

    /// Waits for a large batch, which runs for milliseconds. `synchronize` asks all the time: eight workers took three
    /// cores for it, which the threads that submit the next jobs need.
    fn sleep_until_done(&self) -> ort::Result<()> {
        while !self.stream.is_done()? {
            thread::sleep(NAP);
        }
        Ok(())
    }

    fn read(&self, shape: Shape, asks: &[Ask<'_>], out: &mut EncodedBatch) -> ort::Result<()> {
        if shape.length.is_some() {
            let users = missing(self.users.get(&shape.batch))?.host();
            out.vectors.extend_from_slice(&users[..asks.len() * self.dimension]);
        }
        let found = match shape.scoring {
            Some(scoring) => missing(self.scorings.get(&(shape.batch, scoring)))?.found.host(),
            None => &[],
        };
        let width = shape.scoring.map_or(0, |scoring| scoring.width);
        for (index, ask) in asks.iter().enumerate() {
            let listed = ask.query.is_some_and(|query| self.shapes.width(query).is_some());
            let places = if listed { &found[index * width..(index + 1) * width] } else { &[] };
            // Item 0 stands behind the last when fewer are left.
            out.shortlists
                .push(places.iter().take_while(|item| **item > 0).map(|item| (item - 1) as ItemRow));
        }
        Ok(())
    }

    /// What a run of the shape left on the host.
    fn results(&self, shape: Shape) -> ort::Result<Results> {
        let found = match shape.scoring {
            Some(scoring) => missing(self.scorings.get(&(shape.batch, scoring)))?.found.host().to_vec(),
            None => Vec::new(),
        };
        Ok(Results { users: missing(self.users.get(&shape.batch))?.host().to_vec(), found })
    }

    /// Overwrites the results on the host, so that a replay that writes nothing is noticed.
    fn poison(&mut self, shape: Shape) -> ort::Result<()> {
        if shape.length.is_some() {
            missing(self.users.get_mut(&shape.batch))?.host_mut().fill(f32::NAN);
        }
        if let Some(scoring) = shape.scoring {
            missing(self.scorings.get_mut(&(shape.batch, scoring)))?.found.host_mut().fill(-1);
        }
        Ok(())
    }
}

impl Drop for GpuEncoder {
    fn drop(&mut self) {
        // After a failure something may still be queued that uses the buffers.
        let _ = self.stream.synchronize();
    }
}

impl Encoder for GpuEncoder {
    fn encode(&mut self, sequences: &[&[ItemRow]], out: &mut EncodedBatch) -> Result<(), BackendError> {
        let asks: Vec<Ask<'_>> =
            sequences.iter().map(|rows| Ask { input: AskInput::Sequence(rows), query: None }).collect();
        self.encode_asks(&asks, out)
    }

    fn encode_asks(&mut self, asks: &[Ask<'_>], out: &mut EncodedBatch) -> Result<(), BackendError> {
        out.clear();
        for ask in asks {
            ask.check(self.longest, self.dimension)?;
        }
        for alike in asks.chunk_by(|one, next| one.is_sequence() == next.is_sequence()) {
            for chunk in alike.chunks(self.shapes.largest_batch()) {
                self.run(chunk, out).map_err(|error| BackendError(error.to_string()))?;
            }
        }
        Ok(())
    }
}

/// The results of a run, to be compared.
struct Results {
    users: Vec<f32>,
    found: Vec<i64>,
}

impl Results {
    /// Whether vectors are equal up to rounding and the shortlists the same but for one place in a hundred,
    /// where scores that differ in their last bit change places.
    fn agrees(&self, other: &Self) -> bool {
        let largest = self.users.iter().fold(1.0_f32, |largest, number| largest.max(number.abs()));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= REPLAY_TOLERANCE * largest;
        let moved = self.found.iter().zip(&other.found).filter(|(a, b)| a != b).count();
        self.users.iter().zip(&other.users).all(near) && moved <= self.found.len() / 100
    }
}

/// What every session of a place has in common.
fn session(stream: &Stream, place: Place) -> ort::Result<ort::session::builder::SessionBuilder> {
    match (stream, place) {
        (Stream::Cuda(stream), Place::Cuda(number)) => {
            let cuda = ep::CUDA::default()
                .with_device_id(number as i32)
                // No node needs cuDNN, and it need not be there. Where it is, attention would prefer it all the same, and
                // with three sessions side by side that ended in an illegal memory access.
                .with_arbitrary_config("enable_cudnn", "0")
                .with_attention_backend(
                    AttentionBackend::FLASH_ATTENTION | AttentionBackend::EFFICIENT_ATTENTION,
                );
            // SAFETY: the sessions go before the stream.
            let cuda = unsafe { cuda.with_compute_stream(stream.handle()) }.build().error_on_failure();
            Ok(builder()?.with_execution_providers([cuda])?.with_disable_cpu_fallback()?)
        }
        #[cfg(test)]
        _ => builder(),
    }
}

/// Every shape has its buffers from the start; one without is a mistake of this file.
fn missing<T>(of_shape: Option<T>) -> ort::Result<T> {
    of_shape.ok_or_else(|| ort::Error::new("there are no buffers for this shape"))
}
