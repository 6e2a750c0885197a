//! The scheduler by itself: what it decides, and what deciding costs.
//!
//! An engine hands batches to threads that run a model. Here nothing runs: a batch ends when the caller
//! says so, at the caller's time. Benchmarks measure the scheduler's own time this way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::{Input, Priority};
use super::scheduler::{
    Action, Batch, Event, Group, JobId, ModelKey, Padding, Phase, Policy, Ran, Scheduler, Submission,
    WorkerId,
};
use super::sequence::Sequence;

/// All jobs are for one model.
const MODEL: ModelKey = 1;
const QUEUE_LIMIT: usize = 100_000;
const BATCH_JOBS: usize = 64;
const BATCH_TOKENS: usize = 16_384;
const BULK_HANDICAP: Duration = Duration::from_millis(100);
const MISFIT_BOUND: Duration = Duration::from_millis(5);

/// A scheduler whose workers only pretend to work.
#[derive(Debug)]
pub struct SchedulerSimulator {
    scheduler: Scheduler<()>,
    running: VecDeque<Running>,
    next: JobId,
    /// What every sequence is encoded to.
    vector: Arc<[f32]>,
}

#[derive(Debug)]
struct Running {
    worker: WorkerId,
    batch: Batch<()>,
}

impl SchedulerSimulator {
    /// So many idle workers. Sequences run at their own length, as on a CPU, or padded to the `buckets`
    /// (their upper ends, ascending) when there are any, as on a GPU.
    pub fn new(workers: usize, buckets: &[usize]) -> Self {
        let padding = if buckets.is_empty() {
            Padding::None
        } else {
            Padding::Buckets {
                lengths: buckets.to_vec(),
                sizes: vec![1, BATCH_JOBS],
                misfit_bound: MISFIT_BOUND,
                side_by_side: workers,
                worth_joining: 1,
            }
        };
        let policy = Policy {
            workers,
            queue_limit: QUEUE_LIMIT,
            batch_jobs: BATCH_JOBS,
            batch_tokens: BATCH_TOKENS,
            encode_tokens: 0,
            bulk_handicap: BULK_HANDICAP,
            padding,
        };
        Self {
            scheduler: Scheduler::new(policy),
            running: VecDeque::new(),
            next: 0,
            vector: Arc::from([0.0]),
        }
    }

    /// A job arrives at `now`, which never goes back.
    pub fn submit(&mut self, now: Instant, sequence: Sequence, priority: Priority) {
        self.next += 1;
        let submission = Submission {
            id: self.next,
            model: MODEL,
            input: Input::Sequence(sequence),
            deadline: None,
            priority,
            payload: (),
        };
        self.step(now, Event::Submit(submission));
    }

    /// What runs longest ends at `now` after `took`, and so on until jobs are answered; how many they are, 0 when
    /// nothing runs.
    pub fn finish(&mut self, now: Instant, took: Duration) -> usize {
        while let Some(Running { worker, batch }) = self.running.pop_front() {
            match batch.phase {
                Phase::Encode => self.encode(now, took, worker, batch),
                Phase::Answer => {
                    let vectors = vec![Arc::clone(&self.vector); batch.groups.len()];
                    let ran = Some(Ran { encode: took, score: Duration::ZERO, turnaround: took });
                    self.step(now, Event::Finished { worker, vectors, ran });
                    return batch.shape.queries;
                }
            }
        }
        0
    }

    /// The jobs that wait.
    pub fn waiting(&self) -> usize {
        self.scheduler.depth()
    }

    fn encode(&mut self, now: Instant, took: Duration, worker: WorkerId, batch: Batch<()>) {
        let encoded = |group| Group { input: Input::Vector(Arc::clone(&self.vector)), ..group };
        let groups = batch.groups.into_iter().map(encoded).collect();
        self.step(now, Event::Encoded { worker, groups, encode: Some(took) });
    }

    fn step(&mut self, now: Instant, event: Event<()>) {
        for action in self.scheduler.step(now, event) {
            if let Action::Dispatch { worker, batch } = action {
                self.running.push_back(Running { worker, batch });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_in_one_batch_that_ends() {
        let mut simulator = SchedulerSimulator::new(2, &[]);
        let now = Instant::now();
        for row in 0..10 {
            simulator.submit(now, [row][..].into(), Priority::Interactive);
        }
        assert_eq!(simulator.waiting(), 8);
        assert_eq!(
            simulator.finish(now, Duration::from_millis(1)),
            5,
            "they are scored when no more wait than are ready"
        );
        let mut answered = 5;
        while let jobs @ 1.. = simulator.finish(now, Duration::from_millis(1)) {
            answered += jobs;
        }
        assert_eq!((answered, simulator.waiting()), (10, 0));
    }
}
