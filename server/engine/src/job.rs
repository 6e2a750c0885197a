//! What goes into the engine and what comes out, and the two traits between it and the hardware.

use std::sync::Arc;
use std::time::{Duration, Instant};

use marquee_retrieval::{BackendError, ItemRow, Method, Query, Scored};

use super::sequence::Sequence;

/// One piece of work.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it starts from.
    pub input: Input,
    /// What it wants.
    pub want: Want,
    /// The moment after which nobody waits for the answer.
    pub deadline: Option<Instant>,
    /// Which jobs go first.
    pub priority: Priority,
}

/// What a job starts from.
#[derive(Clone, Debug)]
pub enum Input {
    /// 1 to the model's maximum length of items.
    Sequence(Sequence),
    /// A ready vector of the model's dimension.
    Vector(Arc<[f32]>),
}

/// What a job wants.
#[derive(Clone, Debug)]
pub enum Want {
    /// The vector.
    Vector,
    /// The best items for it.
    TopK(Query),
}

/// Which jobs go first when there is more work than can be done at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// A person waits.
    #[default]
    Interactive,
    /// Nobody waits; such work ages, so that it never starves.
    Bulk,
}

/// The engine's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The user vector: what was encoded, or what came in ready.
    pub vector: Arc<[f32]>,
    /// The best items, best first, ties by ascending movie id; empty for [`Want::Vector`].
    pub items: Vec<Scored>,
    /// How they were found: [`Method::Exact`] or [`Method::Ann`]; `None` for [`Want::Vector`].
    pub method: Option<Method>,
    /// Where the time went.
    pub timings: JobTimings,
    /// How many jobs were in the batch.
    pub batch_size: usize,
}

/// Where the time of one job went. Stages of a shared batch count whole for each of its jobs.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobTimings {
    /// From admission until a worker began.
    pub queue: Duration,
    /// Encoding.
    pub encode: Duration,
    /// Scoring and selection.
    pub score: Duration,
}

/// Why the engine did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// The queue is full.
    #[error("the engine has {depth} jobs waiting, its limit; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// Jobs that wait.
        depth: usize,
        /// When room is expected, computed from the queue's state.
        retry_after: Duration,
    },
    /// The deadline cannot be met, or has passed.
    #[error("the deadline passed {}", point.describe())]
    DeadlineExceeded {
        /// Where it was noticed.
        point: DeadlinePoint,
    },
    /// The named model version is not loaded.
    #[error(
        "model version {0:?} is not loaded; leave model_version empty for the active one or ask ListModels"
    )]
    UnknownVersion(String),
    /// The job does not fit the model: an empty or too long sequence, a row outside the table, a vector
    /// of another dimension.
    #[error("the job does not fit the model: {0}")]
    BadJob(String),
    /// The batch failed on its worker.
    #[error("the model failed: {0}; the worker was rebuilt, try again")]
    Backend(String),
    /// No worker is in service.
    #[error("the model is out of service: {0}")]
    OutOfService(String),
    /// The engine is shutting down.
    #[error("the server is shutting down; try another node")]
    ShuttingDown,
}

/// Where a missed deadline was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlinePoint {
    /// Predicted wait and compute do not fit before it.
    Admission,
    /// While waiting.
    Queue,
    /// When a worker took the job.
    Submission,
}

impl DeadlinePoint {
    fn describe(self) -> &'static str {
        match self {
            Self::Admission => "or would pass before the answer: the engine is too busy for it",
            Self::Queue => "while the job waited for a worker",
            Self::Submission => "when a worker took the job",
        }
    }
}

/// What an encoder found for a batch.
#[derive(Clone, Debug, Default)]
pub struct EncodedBatch {
    /// `sequences x dimension` numbers, row-major.
    pub vectors: Vec<f32>,
    /// One for each [`Ask`]; none where the encoder makes no shortlists.
    pub shortlists: Shortlists,
}

impl EncodedBatch {
    /// Forgets the batch before, and keeps its memory.
    pub fn clear(&mut self) {
        self.vectors.clear();
        self.shortlists.clear();
    }
}

/// For each input of a batch, the rows among which its best items are.
#[derive(Clone, Debug, Default)]
pub struct Shortlists {
    rows: Vec<ItemRow>,
    ends: Vec<usize>,
}

impl Shortlists {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.ends.clear();
    }

    /// Adds the shortlist of the next input; an empty one where there is none.
    pub fn push(&mut self, rows: impl IntoIterator<Item = ItemRow>) {
        self.rows.extend(rows);
        self.ends.push(self.rows.len());
    }

    /// The shortlist of an input, empty where there is none.
    pub fn get(&self, input: usize) -> &[ItemRow] {
        let Some(end) = self.ends.get(input) else { return &[] };
        let start = input.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rows[start..*end]
    }
}

/// An input of a batch, and the query whose best items are wanted for it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What it starts from.
    pub input: AskInput<'a>,
    /// `None` when a vector is all that is wanted.
    pub query: Option<&'a Query>,
}

/// [`Input`], borrowed.
#[derive(Clone, Copy, Debug)]
pub enum AskInput<'a> {
    /// Item rows, oldest first.
    Sequence(&'a [ItemRow]),
    /// A ready vector.
    Vector(&'a [f32]),
}

impl<'a> AskInput<'a> {
    /// Borrows an input.
    pub fn new(input: &'a Input) -> Self {
        match input {
            Input::Sequence(rows) => Self::Sequence(rows),
            Input::Vector(vector) => Self::Vector(vector),
        }
    }
}

impl Ask<'_> {
    pub(crate) fn is_sequence(&self) -> bool {
        matches!(self.input, AskInput::Sequence(_))
    }

    /// Refuses what has no room in buffers for sequences of `longest` and vectors of `dimension`.
    pub(crate) fn check(&self, longest: usize, dimension: usize) -> Result<(), BackendError> {
        match self.input {
            AskInput::Sequence(rows) if rows.len() > longest => {
                Err(BackendError(format!("{} items, at most {longest} fit", rows.len())))
            }
            AskInput::Vector(vector) if vector.len() != dimension => {
                Err(BackendError(format!("a vector of {} numbers, not {dimension}", vector.len())))
            }
            _ => Ok(()),
        }
    }
}

/// Turns sequences into vectors. Owned by one worker thread, with its session and its buffers.
pub trait Encoder: Send {
    /// The vectors of `sequences` (item rows, oldest first), in order, into `out` (cleared first).
    ///
    /// # Errors
    /// [`BackendError`] when the runtime fails; the worker is then rebuilt.
    fn encode(&mut self, sequences: &[&[ItemRow]], out: &mut EncodedBatch) -> Result<(), BackendError>;

    /// The vectors of those inputs that are sequences, in order, and where the device can tell, a shortlist
    /// for each input with a query: rows that hold the best items by the inner product which are not excluded.
    /// It obeys no other filter, and is somewhat longer than the query wants. Into `out` (cleared first).
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encode_asks(&mut self, asks: &[Ask<'_>], out: &mut EncodedBatch) -> Result<(), BackendError> {
        out.clear();
        let sequences: Vec<&[ItemRow]> = asks
            .iter()
            .filter_map(|ask| match ask.input {
                AskInput::Sequence(rows) => Some(rows),
                AskInput::Vector(_) => None,
            })
            .collect();
        if sequences.is_empty() { Ok(()) } else { self.encode(&sequences, out) }
    }
}
