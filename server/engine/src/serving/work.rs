//! A batch in the hands of a worker: its vectors, its ranking, and the replies to all who wait.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use marquee_retrieval::{BackendError, ItemRow, Query, ScorerQuery, TopK};

use super::model_core::Core;
use super::pool::{Pending, Pool, Reply};
use crate::cost::BatchShape;
use crate::job::{Answer, EngineError, Input, JobTimings, Want};
use crate::scheduler::{Batch, Group, Member, Phase, Reason};
use crate::shortlist;

/// A batch while it runs.
pub(super) struct Work {
    pub(super) core: Arc<Core>,
    pub(super) phase: Phase,
    pub(super) tasks: Vec<Task>,
    pub(super) reason: Reason,
    pub(super) shape: BatchShape,
    pub(super) used_tokens: usize,
    pub(super) predicted: Duration,
    /// Whether all that was formed was done: only then does it teach the cost model.
    pub(super) as_formed: bool,
    /// How long the encoder had it.
    pub(super) encode: Duration,
}

/// A group that was taken by the worker.
pub(super) struct Task {
    pub(super) group: Group<Pending>,
    /// Empty when nobody waited for it any more.
    pub(super) vector: Arc<[f32]>,
    /// Where the device made one: the rows that hold the best items for [`Task::query`].
    pub(super) shortlist: Vec<ItemRow>,
}

/// How long a batch took by stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) encode: Duration,
    pub(super) score: Duration,
}

/// What the answers of a batch have in common.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    pub(super) answered: Instant,
    pub(super) score: Duration,
    pub(super) batch_size: usize,
}

impl Work {
    /// A batch without the members that were cancelled; `None` when it has no model, for it is empty.
    pub(super) fn new(batch: Batch<Pending>, taken: Instant) -> Option<Self> {
        let core = core_of(&batch)?;
        let Batch { phase, reason, shape, used_tokens, predicted, groups } = batch;
        let mut as_formed = true;
        let tasks = groups.into_iter().map(|mut group| {
            let formed = group.members.len();
            group.members.retain(|member| !member.payload.reply.is_closed());
            as_formed &= group.members.len() == formed;
            for member in &mut group.members {
                member.payload.begun.get_or_insert(taken);
            }
            let vector = match &group.input {
                Input::Vector(vector) => Arc::clone(vector),
                Input::Sequence(_) => Arc::from([]),
            };
            Task { group, vector, shortlist: Vec::new() }
        });
        let tasks = tasks.collect();
        let encode = Duration::ZERO;
        Some(Self { core, phase, tasks, reason, shape, used_tokens, predicted, as_formed, encode })
    }

    /// When a worker took the first of its jobs.
    pub(super) fn begun(&self) -> Instant {
        let members = self.tasks.iter().flat_map(|task| &task.group.members);
        members.filter_map(|member| member.payload.begun).min().unwrap_or_else(Instant::now)
    }

    /// The vectors of its groups, in order.
    pub(super) fn vectors(&self) -> Vec<Arc<[f32]>> {
        self.tasks.iter().map(|task| Arc::clone(&task.vector)).collect()
    }

    /// How long the encoder took for what. A device that was given ready vectors has only scored: its time is the
    /// price of the queries.
    pub(super) fn spent(&self) -> Spent {
        let time = self.encode;
        if self.shape.tokens == 0 {
            Spent { encode: Duration::ZERO, score: time }
        } else {
            Spent { encode: time, score: Duration::ZERO }
        }
    }

    /// The best items of every member that wants some, in order, and how long the batch took by stage. The model has
    /// done its part then: it is counted as a success.
    pub(super) fn rank(&self, pool: &Pool) -> Result<(Vec<TopK>, Spent), BackendError> {
        let (mut spent, began) = (self.spent(), Instant::now());
        let found = caught(|| best_items(&self.core, &self.tasks))?;
        if !found.is_empty() {
            spent.score += began.elapsed();
        }
        self.core.succeeded();
        pool.metrics.stages(spent.encode, spent.score);
        Ok((found, spent))
    }

    /// Answers everybody with what was found.
    pub(super) fn answer(self, pool: &Pool, found: Vec<TopK>, score: Duration) {
        let outcome = Outcome { answered: Instant::now(), score, batch_size: self.shape.queries };
        let mut found = found.into_iter();
        let mut replies = Vec::new();
        for Task { group, vector, .. } in self.tasks {
            for member in group.members {
                let top = match member.payload.want {
                    Want::Vector => None,
                    Want::TopK(_) => found.next(),
                };
                replies.push(reply(pool, member, &vector, top, outcome));
            }
        }
        pool.answer(replies);
    }

    /// Answers everybody with an error.
    pub(super) fn refuse(self, pool: &Pool, error: &BackendError) {
        for member in self.tasks.into_iter().flat_map(|task| task.group.members) {
            pool.refuse(member.payload, EngineError::Backend(error.0.clone()));
        }
    }
}

impl Task {
    /// What the device is asked to make a shortlist for.
    pub(super) fn query(&self, items: usize) -> Option<&Query> {
        shortlist::query_for(self.group.members.iter().map(|member| &member.payload.want), items)
    }

    /// The answer of one of its queries from the shortlist; `None` where that does not suffice.
    fn answer_from_shortlist(&self, core: &Core, wanted: &ScorerQuery<'_>) -> Option<TopK> {
        if self.shortlist.is_empty() {
            return None;
        }
        let made_for = self.query(core.bundle.items())?;
        let served = shortlist::serves(made_for, wanted.query);
        if served { core.scorer.rank_shortlist(wanted, &self.shortlist) } else { None }
    }
}

/// The reply to a member, which is counted.
pub(super) fn reply(
    pool: &Pool,
    member: Member<Pending>,
    vector: &Arc<[f32]>,
    top: Option<TopK>,
    outcome: Outcome,
) -> Reply {
    let Outcome { answered, score, batch_size } = outcome;
    let begun = member.payload.begun.unwrap_or(answered);
    let queue = begun.saturating_duration_since(member.submitted);
    pool.metrics.waited(queue);
    pool.counts.completed.fetch_add(1, Ordering::Relaxed);
    let (items, method) = top.map_or((Vec::new(), None), |top| (top.items, Some(top.method)));
    let encode = answered.saturating_duration_since(begun).saturating_sub(score);
    let timings = JobTimings { queue, encode, score };
    let answer = Answer { vector: Arc::clone(vector), items, method, timings, batch_size };
    Reply { to: member.payload.reply, answer }
}

/// Turns a panic into an error.
pub(super) fn caught<R>(work: impl FnOnce() -> Result<R, BackendError>) -> Result<R, BackendError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(BackendError(format!("panicked: {}", text(&*panic)))))
}

/// The model of a batch.
fn core_of(batch: &Batch<Pending>) -> Option<Arc<Core>> {
    let mut members = batch.groups.iter().flat_map(|group| &group.members);
    members.next().map(|member| Arc::clone(&member.payload.core))
}

/// From shortlists where they suffice, else by the scorer.
fn best_items(core: &Core, tasks: &[Task]) -> Result<Vec<TopK>, BackendError> {
    let mut found: Vec<Option<TopK>> = Vec::new();
    let mut rest: Vec<ScorerQuery<'_>> = Vec::new();
    for task in tasks {
        for member in &task.group.members {
            let Want::TopK(query) = &member.payload.want else { continue };
            let wanted = ScorerQuery { vector: &task.vector, query };
            let answer = task.answer_from_shortlist(core, &wanted);
            if answer.is_none() {
                rest.push(wanted);
            }
            found.push(answer);
        }
    }
    if rest.is_empty() {
        return Ok(found.into_iter().flatten().collect());
    }
    let mut scored = core.scorer.top_k(&rest)?;
    if scored.len() != rest.len() {
        return Err(BackendError(format!("the scorer answered {} of {} queries", scored.len(), rest.len())));
    }
    if rest.len() == found.len() {
        return Ok(scored);
    }
    let mut scored = scored.drain(..);
    Ok(found.into_iter().filter_map(|answer| answer.or_else(|| scored.next())).collect())
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
