//! The promises of the scheduler, held against random events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::engine::job::ItemRow;

const LIMIT: usize = 24;
const HANDICAP: Duration = Duration::from_millis(40);

/// One random event; numbers are reduced to what exists when it happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit { model: ModelKey, sequence: Option<(u32, usize)>, bulk: bool, deadline_ms: Option<u64> },
    Cancel(usize),
    Encode(usize),
    Finish(usize),
    Fail(usize),
    Recover(usize),
    Close(ModelKey),
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let sequence = proptest::option::weighted(0.8, (0_u32..6, 1_usize..60));
    let deadline = proptest::option::weighted(0.3, 1_u64..80);
    let submit = (0_u64..2, sequence, any::<bool>(), deadline)
        .prop_map(|(model, sequence, bulk, deadline_ms)| Step::Submit { model, sequence, bulk, deadline_ms });
    let event = prop_oneof![
        12 => submit,
        3 => any::<usize>().prop_map(Step::Cancel),
        8 => any::<usize>().prop_map(Step::Encode),
        8 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Fail),
        2 => any::<usize>().prop_map(Step::Recover),
        1 => (0_u64..2).prop_map(Step::Close),
    ];
    (0_u64..6, event)
}

/// What the test knows of an admitted job.
#[derive(Clone, Debug)]
struct Known {
    model: ModelKey,
    due: Instant,
    deadline: Option<Instant>,
    sequence: Option<Arc<[ItemRow]>>,
}

/// What a busy worker holds.
#[derive(Debug)]
struct Running {
    model: ModelKey,
    /// The groups' sequences.
    groups: Vec<Option<Arc<[ItemRow]>>>,
    shape: BatchShape,
    earliest: Option<Instant>,
}

/// The scheduler and, beside it, what it should know.
struct Model {
    scheduler: Scheduler<JobId>,
    policy: Policy,
    now: Instant,
    next: JobId,
    waiting: BTreeMap<JobId, Known>,
    busy: HashMap<WorkerId, Running>,
    recovering: BTreeSet<WorkerId>,
    answered: BTreeSet<JobId>,
}

impl Model {
    fn new(padding: Padding) -> Self {
        let policy = Policy {
            workers: 3,
            queue_limit: LIMIT,
            batch_jobs: 5,
            batch_tokens: 120,
            bulk_handicap: HANDICAP,
            padding,
        };
        Self {
            scheduler: Scheduler::new(policy.clone()),
            policy,
            now: Instant::now(),
            next: 0,
            waiting: BTreeMap::new(),
            busy: HashMap::new(),
            recovering: BTreeSet::new(),
            answered: BTreeSet::new(),
        }
    }

    fn run(&mut self, after_ms: u64, step: Step) {
        self.now += Duration::from_millis(after_ms);
        let busy: Vec<WorkerId> =
            (0..self.policy.workers).filter(|worker| self.busy.contains_key(worker)).collect();
        let pick = |number: usize, from: &[WorkerId]| (!from.is_empty()).then(|| from[number % from.len()]);
        match step {
            Step::Submit { model, sequence, bulk, deadline_ms } => {
                self.submit(model, sequence, bulk, deadline_ms);
            }
            Step::Cancel(number) => {
                let ids: Vec<JobId> = self.waiting.keys().copied().collect();
                if let Some(id) = ids.get(number % ids.len().max(1)).copied() {
                    self.waiting.remove(&id);
                    self.step(Event::Cancel(id));
                }
            }
            Step::Encode(number) => {
                if let Some(worker) = pick(number, &busy)
                    && matches!(self.policy.padding, Padding::None)
                {
                    self.step(Event::Encoded { worker });
                }
            }
            Step::Finish(number) => {
                if let Some(worker) = pick(number, &busy) {
                    let groups = self.busy.remove(&worker).map(|running| running.groups).unwrap_or_default();
                    let vectors = groups.iter().map(|_| Arc::from([0.5])).collect();
                    let ran = Some(Ran { encode: Duration::from_millis(3), score: Duration::from_millis(1) });
                    self.step(Event::Finished { worker, vectors, ran });
                }
            }
            Step::Fail(number) => {
                if let Some(worker) = pick(number, &busy) {
                    self.busy.remove(&worker);
                    self.recovering.insert(worker);
                    self.step(Event::Failed { worker });
                }
            }
            Step::Recover(number) => {
                let recovering: Vec<WorkerId> = self.recovering.iter().copied().collect();
                if let Some(worker) = pick(number, &recovering) {
                    self.recovering.remove(&worker);
                    self.step(Event::Recovered { worker });
                }
            }
            Step::Close(model) => {
                self.step(Event::Close { model: Some(model), why: EngineError::OutOfService(String::new()) });
                assert!(
                    self.waiting.values().all(|known| known.model != model),
                    "a closed model has jobs waiting"
                );
            }
        }
    }

    fn submit(
        &mut self,
        model: ModelKey,
        sequence: Option<(u32, usize)>,
        bulk: bool,
        deadline_ms: Option<u64>,
    ) {
        let id = self.next;
        self.next += 1;
        let sequence: Option<Arc<[ItemRow]>> =
            sequence.map(|(first, length)| std::iter::once(first).chain(0..).take(length).collect());
        let input = sequence
            .as_ref()
            .map_or_else(|| Input::Vector(Arc::from([1.0])), |rows| Input::Sequence(Arc::clone(rows)));
        let deadline = deadline_ms.map(|ms| self.now + Duration::from_millis(ms));
        let priority = if bulk { Priority::Bulk } else { Priority::Interactive };
        let due = self.now + if bulk { HANDICAP } else { Duration::ZERO };
        self.waiting.insert(id, Known { model, due, deadline, sequence });
        self.step(Event::Submit(Submission { id, model, input, deadline, priority, payload: id }));
    }

    fn step(&mut self, event: Event<JobId>) {
        let encoded = match event {
            Event::Encoded { worker } => Some(worker),
            _ => None,
        };
        let actions = self.scheduler.step(self.now, event);
        for action in actions {
            match action {
                Action::Refuse { payload, .. } => self.answer(payload),
                Action::Dispatch { worker, batch } => self.dispatch(worker, &batch),
                Action::Extend { more } => self.extend(encoded, &more),
            }
        }
        assert_eq!(self.scheduler.depth(), self.waiting.len(), "the depth is the number of waiting jobs");
        assert!(self.waiting.len() <= LIMIT, "the queue is bounded");
        if self.busy.len() + self.recovering.len() < self.policy.workers {
            self.assert_all_follow();
        }
        let quiet = self.waiting.is_empty() && self.busy.is_empty() && self.recovering.is_empty();
        assert_eq!(self.scheduler.is_empty(), quiet);
    }

    /// A worker idles only when every waiting job waits for an encoding that runs.
    fn assert_all_follow(&self) {
        for known in self.waiting.values() {
            assert!(self.is_following(known), "a worker idles while {known:?} waits");
        }
    }

    /// Whether the job waits for an encoding that runs.
    fn is_following(&self, known: &Known) -> bool {
        let mut running = self.busy.values().flat_map(|running| &running.groups);
        known.sequence.is_some() && running.any(|sequence| *sequence == known.sequence)
    }

    fn dispatch(&mut self, worker: WorkerId, batch: &Batch<JobId>) {
        assert!(
            !self.busy.contains_key(&worker) && !self.recovering.contains(&worker),
            "the worker is not idle"
        );
        assert!(!batch.groups.is_empty());
        self.assert_one_lane(batch);
        let model = self.waiting[&batch.groups[0].members[0].id].model;
        let running = Running { model, groups: Vec::new(), shape: BatchShape::default(), earliest: None };
        self.take(worker, running, batch);
    }

    fn extend(&mut self, encoded: Option<WorkerId>, more: &Batch<JobId>) {
        let worker = encoded.expect("a batch grows when it was encoded");
        let running = self.busy.remove(&worker).expect("only a busy worker's batch grows");
        self.take(worker, running, more);
    }

    fn take(&mut self, worker: WorkerId, mut running: Running, batch: &Batch<JobId>) {
        self.assert_order(batch);
        let members: Vec<_> = batch.groups.iter().flat_map(|group| &group.members).collect();
        assert_eq!(members.len(), batch.shape.queries);
        assert!(batch.used_tokens <= batch.shape.tokens);
        running.shape = running.shape + batch.shape;
        assert!(running.shape.queries <= self.policy.batch_jobs, "too many jobs");
        let many = running.shape.sequences > 1;
        assert!(!many || running.shape.tokens <= self.policy.batch_tokens, "too many tokens");
        for member in &members {
            let known = &self.waiting[&member.id];
            assert_eq!(known.model, running.model, "two models in a batch");
            assert!(known.deadline.is_none_or(|deadline| self.now < deadline), "work for the dead");
            running.earliest = running.earliest.into_iter().chain(known.deadline).min();
        }
        let end = self.now + batch.predicted;
        let kept = members.is_empty() || running.earliest.is_none_or(|deadline| end <= deadline);
        assert!(kept, "somebody would be answered after the deadline");
        for member in members {
            self.answer(member.id);
        }
        running.groups.extend(batch.groups.iter().map(|group| match &group.input {
            Input::Sequence(rows) => Some(Arc::clone(rows)),
            Input::Vector(_) => None,
        }));
        self.busy.insert(worker, running);
    }

    /// A batch begins with ready vectors, with one sequence, or with sequences that are padded alike.
    fn assert_one_lane(&self, batch: &Batch<JobId>) {
        let lanes: BTreeSet<usize> = batch
            .groups
            .iter()
            .enumerate()
            .map(|(number, group)| match (&group.input, &self.policy.padding) {
                (Input::Vector(_), _) => 0,
                (Input::Sequence(_), Padding::None) => 1 + number,
                (Input::Sequence(rows), Padding::Buckets { .. }) => self.policy.padding.padded(rows.len()),
            })
            .collect();
        assert_eq!(lanes.len(), 1);
    }

    /// On a CPU nobody who is due earlier stays behind, unless it waits for an encoding that runs. So bulk
    /// work waits only for what arrived until its handicap had passed: it never starves.
    fn assert_order(&self, batch: &Batch<JobId>) {
        if !matches!(self.policy.padding, Padding::None) {
            return;
        }
        let taken: BTreeSet<JobId> =
            batch.groups.iter().flat_map(|group| &group.members).map(|member| member.id).collect();
        let first = taken.iter().map(|id| self.waiting[id].due).min();
        let overtaken = self.waiting.iter().find(|(id, known)| {
            !taken.contains(id) && first.is_some_and(|due| known.due < due) && !self.is_following(known)
        });
        assert!(overtaken.is_none(), "{overtaken:?} was overtaken");
    }

    fn answer(&mut self, id: JobId) {
        assert!(self.waiting.remove(&id).is_some(), "job {id} was not waiting");
        assert!(self.answered.insert(id), "job {id} was answered twice");
    }

    /// Lets everything run dry: nothing may be left behind.
    fn finish(&mut self) {
        for round in 0..1000 {
            for step in [Step::Recover(round), Step::Finish(round)] {
                self.run(1, step);
            }
        }
        assert!(self.waiting.is_empty(), "{:?} starved", self.waiting);
        assert!(self.scheduler.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(9),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn without_padding_the_promises_hold_for_any_events(steps in prop::collection::vec(step(), 200..400)) {
        let mut model = Model::new(Padding::None);
        for (after_ms, step) in steps {
            model.run(after_ms, step);
        }
        model.finish();
    }

    #[test]
    fn with_buckets_the_promises_hold_for_any_events(steps in prop::collection::vec(step(), 200..400)) {
        let padding = Padding::Buckets { lengths: vec![8, 20, 40, 60], misfit_bound: Duration::from_millis(5) };
        let mut model = Model::new(padding);
        for (after_ms, step) in steps {
            model.run(after_ms, step);
        }
        model.finish();
    }
}
