//! The promises of the scheduler, held against random events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

const LIMIT: usize = 24;
const WORKERS: usize = 3;
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
        16 => any::<usize>().prop_map(Step::Finish),
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
    sequence: Option<Sequence>,
    form: Form,
}

/// What the test knows of how a job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Sequence,
    Vector,
    /// It may have got the vector of an identical sequence.
    Either,
}

/// What a busy worker does.
#[derive(Debug)]
struct Running {
    batch: Batch<JobId>,
    /// Its jobs that are encoded only; they wait again after it.
    unscored: BTreeMap<JobId, Known>,
}

impl Running {
    /// The sequences that are encoded.
    fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.batch.groups.iter().filter_map(|group| match &group.input {
            Input::Sequence(rows) => Some(rows),
            Input::Vector(_) => None,
        })
    }
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
    fn new(padding: Padding, encode_tokens: usize) -> Self {
        let policy = Policy {
            workers: WORKERS,
            queue_limit: LIMIT,
            batch_jobs: 5,
            batch_tokens: 120,
            encode_tokens,
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
                if let Some(running) = pick(number, &busy).and_then(|worker| self.busy.remove_entry(&worker))
                {
                    self.finish_batch(running.0, running.1);
                }
            }
            Step::Fail(number) => {
                if let Some(worker) = pick(number, &busy) {
                    let running = self.busy.remove(&worker);
                    for id in running.into_iter().flat_map(|running| running.unscored.into_keys()) {
                        assert!(self.answered.insert(id), "job {id} was answered twice");
                    }
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
        let sequence: Option<Sequence> =
            sequence.map(|(first, length)| std::iter::once(first).chain(0..).take(length).collect());
        let input = sequence
            .as_ref()
            .map_or_else(|| Input::Vector(Arc::from([1.0])), |rows| Input::Sequence(rows.clone()));
        let deadline = deadline_ms.map(|ms| self.now + Duration::from_millis(ms));
        let priority = if bulk { Priority::Bulk } else { Priority::Interactive };
        let due = self.now + if bulk { HANDICAP } else { Duration::ZERO };
        let has_twin = self
            .waiting
            .values()
            .any(|known| known.model == model && known.sequence == sequence && known.form != Form::Sequence);
        let form = match sequence {
            None => Form::Vector,
            Some(_) if has_twin => Form::Either,
            Some(_) => Form::Sequence,
        };
        self.waiting.insert(id, Known { model, due, deadline, sequence, form });
        self.step(Event::Submit(Submission { id, model, input, deadline, priority, payload: id }));
    }

    /// What was encoded only waits again; every third vector is all that its job wants.
    fn finish_batch(&mut self, worker: WorkerId, running: Running) {
        for known in self.waiting.values_mut().filter(|known| known.form == Form::Sequence) {
            if running.sequences().any(|sequence| Some(sequence) == known.sequence.as_ref()) {
                known.form = Form::Either;
            }
        }
        let Running { batch, unscored } = running;
        let vector: Arc<[f32]> = Arc::from([0.5]);
        if batch.phase == Phase::Answer {
            let vectors = vec![vector; batch.groups.len()];
            let (encode, score) = (Duration::from_millis(3), Duration::from_millis(1));
            let ran = Some(Ran { encode, score, turnaround: encode + score });
            return self.step(Event::Finished { worker, vectors, ran });
        }
        for (id, known) in unscored {
            if id % 3 == 0 {
                assert!(self.answered.insert(id), "job {id} was answered twice");
            } else {
                self.waiting.insert(id, Known { form: Form::Vector, ..known });
            }
        }
        let groups = batch.groups.into_iter().map(|group| {
            let members = group.members.into_iter().filter(|member| member.id % 3 != 0).collect();
            Group { input: Input::Vector(Arc::clone(&vector)), members }
        });
        let groups = groups.collect();
        self.step(Event::Encoded { worker, groups, encode: Some(Duration::from_millis(3)) });
    }

    fn step(&mut self, event: Event<JobId>) {
        if let Event::Encoded { worker, .. } = &event {
            assert!(!self.busy.contains_key(worker));
        }
        let actions = self.scheduler.step(self.now, event);
        for action in actions {
            match action {
                Action::Refuse { payload, .. } => self.answer(payload),
                Action::Dispatch { worker, batch } => self.dispatch(worker, batch),
            }
        }
        assert_eq!(self.scheduler.depth(), self.waiting.len(), "the depth is the number of waiting jobs");
        assert!(self.waiting.len() <= LIMIT, "the queue is bounded");
        let at_once = match self.policy.padding {
            Padding::None => self.policy.workers,
            Padding::Buckets { side_by_side, .. } => side_by_side,
        };
        if self.busy.len() < at_once && self.busy.len() + self.recovering.len() < self.policy.workers {
            self.assert_all_follow();
        }
        let quiet = self.waiting.is_empty() && self.busy.is_empty() && self.recovering.is_empty();
        assert_eq!(self.scheduler.is_empty(), quiet);
    }

    /// A worker that may run idles only when every waiting job waits for an encoding that runs.
    fn assert_all_follow(&self) {
        for known in self.waiting.values() {
            assert!(self.is_following(known), "a worker idles while {known:?} waits");
        }
    }

    /// Whether the job waits for an encoding that runs.
    fn is_following(&self, known: &Known) -> bool {
        let mut running = self.busy.values().flat_map(Running::sequences);
        known.form != Form::Vector
            && known.sequence.as_ref().is_some_and(|sequence| running.any(|other| other == sequence))
    }

    fn dispatch(&mut self, worker: WorkerId, batch: Batch<JobId>) {
        assert!(
            !self.busy.contains_key(&worker) && !self.recovering.contains(&worker),
            "the worker is not idle"
        );
        assert!(!batch.groups.is_empty());
        self.assert_one_lane(&batch);
        let ids: Vec<JobId> = members(&batch).map(|member| member.id).collect();
        self.assert_bounds(&batch, &ids);
        if matches!(self.policy.padding, Padding::None) {
            self.assert_order(&batch, &ids);
        }
        let mut unscored = BTreeMap::new();
        for id in ids {
            match batch.phase {
                Phase::Encode => {
                    let known = self.waiting.remove(&id).expect("what runs was waiting");
                    unscored.insert(id, known);
                }
                Phase::Answer => self.answer(id),
            }
        }
        self.busy.insert(worker, Running { batch, unscored });
    }

    fn assert_bounds(&self, batch: &Batch<JobId>, ids: &[JobId]) {
        let queries = if batch.phase == Phase::Encode { 0 } else { ids.len() };
        assert_eq!(queries, batch.shape.queries);
        assert!(ids.len() <= self.policy.batch_jobs, "too many jobs");
        assert!(batch.used_tokens <= batch.shape.tokens);
        let many = batch.shape.sequences > 1;
        assert!(!many || batch.shape.tokens <= self.policy.batch_tokens, "too many tokens");
        let end = self.now + batch.predicted;
        for id in ids {
            let known = &self.waiting[id];
            assert_eq!(known.model, self.waiting[&ids[0]].model, "two models in a batch");
            assert!(known.deadline.is_none_or(|deadline| self.now < deadline), "work for the dead");
            assert!(known.deadline.is_none_or(|deadline| end <= deadline), "answered after the deadline");
        }
    }

    /// A batch is of ready vectors, of one sequence, of sequences that are encoded together within their bound, or of
    /// sequences that are padded alike: those of its bucket, and shorter ones that fill it up.
    fn assert_one_lane(&self, batch: &Batch<JobId>) {
        let lengths: Vec<usize> = batch
            .groups
            .iter()
            .filter_map(|group| match &group.input {
                Input::Vector(_) => None,
                Input::Sequence(rows) => Some(self.policy.padding.padded(rows.len())),
            })
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        assert!(lengths.is_empty() || lengths.len() == batch.groups.len(), "vectors among sequences");
        match &self.policy.padding {
            Padding::None => {
                assert_eq!(batch.shape.tokens, lengths.iter().sum::<usize>());
                assert!(lengths.len() <= 1 || batch.shape.tokens <= self.policy.encode_tokens);
            }
            Padding::Buckets { sizes, .. } => {
                assert_eq!(batch.shape.tokens, lengths.len() * longest);
                let of_its_bucket = lengths.iter().filter(|length| **length == longest).count();
                let runs_as = sizes.iter().copied().find(|size| *size >= of_its_bucket);
                assert!(lengths.len() <= runs_as.unwrap_or(of_its_bucket), "taken along for a price");
            }
        }
    }

    /// Among sequences, and among the vectors of a model, no job that is due earlier stays behind, unless it waits
    /// for an encoding that runs; and no vector goes before a sequence that is due before it. So bulk work waits
    /// only for what arrived until its handicap had passed, and vectors only for as many encodings as fill a batch:
    /// nothing starves.
    fn assert_order(&self, batch: &Batch<JobId>, ids: &[JobId]) {
        let first = ids.iter().map(|id| self.waiting[id].due).min();
        let model = self.waiting[&ids[0]].model;
        let vectors = batch.phase == Phase::Answer;
        let overtaken = self.waiting.iter().find(|(id, known)| {
            let competes = match known.form {
                Form::Vector => vectors && known.model == model,
                Form::Sequence => true,
                Form::Either => false,
            };
            competes
                && !ids.contains(id)
                && first.is_some_and(|due| known.due < due)
                && !self.is_following(known)
        });
        assert!(overtaken.is_none(), "{overtaken:?} was overtaken");
        let held = self.waiting.values().filter(|known| {
            known.form == Form::Vector && known.model == model && first.is_some_and(|due| known.due < due)
        });
        assert!(vectors || held.count() < self.policy.batch_jobs, "a full batch of vectors waits");
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

fn members(batch: &Batch<JobId>) -> impl Iterator<Item = &Member<JobId>> {
    batch.groups.iter().flat_map(|group| &group.members)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(9),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn without_padding_the_promises_hold_for_any_events(
        steps in prop::collection::vec(step(), 200..400),
        encode_tokens in prop_oneof![Just(0_usize), 20..100_usize],
    ) {
        let mut model = Model::new(Padding::None, encode_tokens);
        for (after_ms, step) in steps {
            model.run(after_ms, step);
        }
        model.finish();
    }

    #[test]
    fn with_buckets_the_promises_hold_for_any_events(
        steps in prop::collection::vec(step(), 200..400),
        side_by_side in 1..=WORKERS,
    ) {
        let padding = Padding::Buckets {
            lengths: vec![8, 20, 40, 60],
            sizes: vec![1, 3, 8],
            misfit_bound: Duration::from_millis(5),
            side_by_side,
            worth_joining: 3,
        };
        let mut model = Model::new(padding, 0);
        for (after_ms, step) in steps {
            model.run(after_ms, step);
        }
        model.finish();
    }
}
