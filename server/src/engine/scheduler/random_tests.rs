//! The promises of the scheduler, held against random events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

const LIMIT: usize = 24;
const HANDICAP: Duration = Duration::from_millis(40);

/// One random event; numbers are reduced to what exists when it happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit { model: ModelKey, sequence: Option<(u32, usize)>, bulk: bool, deadline_ms: Option<u64> },
    Cancel(usize),
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

/// The scheduler and, beside it, what it should know.
struct Model {
    scheduler: Scheduler<JobId>,
    policy: Policy,
    now: Instant,
    next: JobId,
    waiting: BTreeMap<JobId, Known>,
    /// The batch of each busy worker: its groups' sequences.
    busy: HashMap<WorkerId, Vec<Option<Arc<[ItemRow]>>>>,
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
            Step::Finish(number) => {
                if let Some(worker) = pick(number, &busy) {
                    let groups = self.busy.remove(&worker).unwrap_or_default();
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
        let actions = self.scheduler.step(self.now, event);
        for action in actions {
            match action {
                Action::Refuse { payload, .. } => self.answer(payload),
                Action::Dispatch { worker, batch } => self.dispatch(worker, &batch),
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
            let runs = self.busy.values().flatten().any(|sequence| *sequence == known.sequence);
            assert!(known.sequence.is_some() && runs, "a worker idles while {known:?} waits");
        }
    }

    fn dispatch(&mut self, worker: WorkerId, batch: &Batch<JobId>) {
        assert!(
            !self.busy.contains_key(&worker) && !self.recovering.contains(&worker),
            "the worker is not idle"
        );
        let members: Vec<_> = batch.groups.iter().flat_map(|group| &group.members).collect();
        assert!(!members.is_empty());
        assert_eq!(members.len(), batch.shape.queries);
        assert!(members.len() <= self.policy.batch_jobs, "too many jobs");
        let many = batch.shape.sequences > 1;
        assert!(!many || batch.shape.tokens <= self.policy.batch_tokens, "too many tokens");
        assert!(batch.used_tokens <= batch.shape.tokens);
        self.assert_one_lane(batch);
        self.assert_order(batch);
        let model = self.waiting[&members[0].id].model;
        for member in &members {
            let known = &self.waiting[&member.id];
            assert_eq!(known.model, model, "two models in a batch");
            let end = self.now + batch.predicted;
            assert!(
                known.deadline.is_none_or(|deadline| self.now < deadline && end <= deadline),
                "work for the dead"
            );
        }
        for member in members {
            self.answer(member.id);
        }
        let sequences = batch.groups.iter().map(|group| match &group.input {
            Input::Sequence(rows) => Some(Arc::clone(rows)),
            Input::Vector(_) => None,
        });
        self.busy.insert(worker, sequences.collect());
    }

    /// Ready vectors run apart, and sequences that are padded with their bucket.
    fn assert_one_lane(&self, batch: &Batch<JobId>) {
        let lanes: BTreeSet<usize> = batch
            .groups
            .iter()
            .map(|group| match (&group.input, &self.policy.padding) {
                (Input::Vector(_), _) => 0,
                (Input::Sequence(_), Padding::None) => 1,
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
        let first = batch
            .groups
            .iter()
            .flat_map(|group| &group.members)
            .map(|member| self.waiting[&member.id].due)
            .min();
        let taken: BTreeSet<JobId> =
            batch.groups.iter().flat_map(|group| &group.members).map(|member| member.id).collect();
        let following = |known: &Known| {
            known.sequence.is_some()
                && self.busy.values().flatten().any(|sequence| *sequence == known.sequence)
        };
        let overtaken = self.waiting.iter().find(|(id, known)| {
            !taken.contains(id) && first.is_some_and(|due| known.due < due) && !following(known)
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
