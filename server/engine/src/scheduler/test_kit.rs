//! What the tests of the rules work on: a scheduler whose events, clock and workers are the test's.

use std::collections::HashMap;

use super::*;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const MODEL: ModelKey = 1;

/// What the scheduler said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Actions {
    /// Workers and the jobs of their batches.
    pub(super) dispatched: Vec<(WorkerId, Vec<u64>)>,
    pub(super) refused: Vec<(u64, String)>,
}

impl Actions {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A scheduler with a clock that the test moves.
pub(super) struct TestKit {
    pub(super) scheduler: Scheduler<u64>,
    pub(super) now: Instant,
    /// What the workers do.
    pub(super) running: HashMap<WorkerId, Batch<u64>>,
}

pub(super) fn cpu(workers: usize) -> TestKit {
    kit(cpu_policy(workers))
}

/// The same, where up to so many tokens are encoded together.
pub(super) fn cpu_together(workers: usize, encode_tokens: usize) -> TestKit {
    kit(Policy { encode_tokens, ..cpu_policy(workers) })
}

fn cpu_policy(workers: usize) -> Policy {
    Policy {
        workers,
        queue_limit: 100,
        batch_jobs: 8,
        batch_tokens: 1000,
        encode_tokens: 0,
        bulk_handicap: 100 * MS,
        padding: Padding::None,
    }
}

pub(super) fn gpu(batch_jobs: usize) -> TestKit {
    shared_gpu(1, batch_jobs)
}

/// A GPU on which two batches run side by side, and further ones of three jobs or more.
pub(super) fn shared_gpu(workers: usize, batch_jobs: usize) -> TestKit {
    kit(Policy {
        workers,
        queue_limit: 100,
        batch_jobs,
        batch_tokens: 1000,
        encode_tokens: 0,
        bulk_handicap: 100 * MS,
        padding: Padding::Buckets {
            lengths: vec![10, 50, 200],
            sizes: vec![1, 2, 4, 8],
            misfit_bound: 5 * MS,
            side_by_side: 2,
            worth_joining: 3,
        },
    })
}

pub(super) fn kit(policy: Policy) -> TestKit {
    TestKit { scheduler: Scheduler::new(policy), now: Instant::now(), running: HashMap::new() }
}

/// A sequence of its own for each job.
pub(super) fn sequence(id: JobId, length: usize) -> Input {
    Input::Sequence(std::iter::once(id as u32).chain(0..).take(length).collect())
}

pub(super) fn submission(id: JobId, length: usize) -> Submission<u64> {
    let input = sequence(id, length);
    Submission { id, model: MODEL, input, deadline: None, priority: Priority::Interactive, payload: id }
}

impl TestKit {
    pub(super) fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// What is done now; a batch's groups are kept here, and its jobs in what is returned.
    pub(super) fn step(&mut self, event: Event<u64>) -> Actions {
        let mut actions = Actions::default();
        for action in self.scheduler.step(self.now, event) {
            match action {
                Action::Dispatch { worker, batch } => {
                    actions.dispatched.push((worker, jobs(&batch)));
                    self.running.insert(worker, batch);
                }
                Action::Refuse { payload, error } => actions.refused.push((payload, format!("{error:?}"))),
            }
        }
        actions
    }

    /// The one batch that runs.
    pub(super) fn batch(&self) -> &Batch<u64> {
        assert_eq!(self.running.len(), 1);
        self.running.values().next().expect("one runs")
    }

    pub(super) fn submit(&mut self, id: JobId) -> Actions {
        self.step(Event::Submit(submission(id, 10)))
    }

    pub(super) fn submit_long(&mut self, id: JobId, length: usize) -> Actions {
        self.step(Event::Submit(submission(id, length)))
    }

    pub(super) fn submit_bulk(&mut self, id: JobId) -> Actions {
        self.step(Event::Submit(Submission { priority: Priority::Bulk, ..submission(id, 10) }))
    }

    pub(super) fn submit_by(&mut self, id: JobId, deadline: Duration) -> Actions {
        let deadline = Some(self.now + deadline);
        self.step(Event::Submit(Submission { deadline, ..submission(id, 10) }))
    }

    pub(super) fn submit_vector(&mut self, id: JobId) -> Actions {
        let input = Input::Vector(Arc::from([1.0]));
        self.step(Event::Submit(Submission { input, ..submission(id, 1) }))
    }

    pub(super) fn submit_same(&mut self, id: JobId) -> Actions {
        self.step(Event::Submit(Submission { input: sequence(0, 10), ..submission(id, 10) }))
    }

    /// The worker's batch is done, and nobody of it wants items.
    pub(super) fn finish(&mut self, worker: WorkerId) -> Actions {
        self.finished(worker, None)
    }

    /// The same, after so long.
    pub(super) fn finish_after(&mut self, worker: WorkerId, time: Duration) -> Actions {
        self.pass(time).finished(worker, Some(time))
    }

    pub(super) fn finished(&mut self, worker: WorkerId, time: Option<Duration>) -> Actions {
        if let Some(Batch { phase: Phase::Encode, groups, .. }) = self.running.remove(&worker) {
            let answered = groups.into_iter().map(|group| Group { members: Vec::new(), ..group });
            return self.hand_back(worker, answered.collect(), time);
        }
        let ran = time.map(|time| Ran { encode: Duration::ZERO, score: time, turnaround: time });
        self.step(Event::Finished { worker, vectors: Vec::new(), ran })
    }

    /// The worker has encoded what it was given, and its jobs want items.
    pub(super) fn encoded(&mut self, worker: WorkerId) -> Actions {
        let batch = self.running.remove(&worker).expect("the worker runs");
        assert_eq!(batch.phase, Phase::Encode);
        self.hand_back(worker, batch.groups, None)
    }

    pub(super) fn hand_back(
        &mut self,
        worker: WorkerId,
        groups: Vec<Group<u64>>,
        encode: Option<Duration>,
    ) -> Actions {
        let encoded = |group| Group { input: Input::Vector(Arc::from([1.0])), ..group };
        self.step(Event::Encoded { worker, groups: groups.into_iter().map(encoded).collect(), encode })
    }

    /// The worker encodes one sequence after the other until it is given vectors to score: which, and why then.
    pub(super) fn scored(&mut self, worker: WorkerId) -> (Vec<u64>, Reason) {
        while self.running[&worker].phase == Phase::Encode {
            self.encoded(worker);
        }
        let batch = &self.running[&worker];
        (jobs(batch), batch.reason)
    }
}

/// The jobs of the one batch that was dispatched.
pub(super) fn dispatched(actions: &Actions) -> Vec<u64> {
    assert!(actions.dispatched.len() <= 1, "{actions:?}");
    actions.dispatched.iter().flat_map(|(_, jobs)| jobs.clone()).collect()
}

pub(super) fn jobs(batch: &Batch<u64>) -> Vec<u64> {
    batch.groups.iter().flat_map(|group| &group.members).map(|member| member.id).collect()
}

pub(super) fn refused(actions: &Actions) -> Vec<(u64, String)> {
    actions.refused.clone()
}
