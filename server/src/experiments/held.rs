//! The experiments in memory, and who is in which arm of those that run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use marquee_core::domain::{TimeMs, UserId};
use marquee_experiments::{Ranges, Salt, Subject, Unit, parts_of};

use super::definition::{Experiment, ExperimentKind, Salts, State};

/// All experiments.
#[derive(Default)]
pub(super) struct Held {
    all: BTreeMap<String, Arc<Experiment>>,
    /// Those that divide users, by layer and name.
    running: Vec<Dividing>,
    /// Those whose users are counted, or were until lately.
    counting: Vec<Dividing>,
}

/// An experiment and what divides users.
struct Dividing {
    experiment: Arc<Experiment>,
    salts: Salts,
}

/// An experiment that a user takes part in.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The experiment.
    pub experiment: Arc<Experiment>,
    /// The place of the arm; the first one where two are merged.
    pub arm: usize,
    /// Whether the user is in it by being named, and left out of the results.
    pub forced: bool,
}

impl Held {
    pub(super) fn new(experiments: impl Iterator<Item = Experiment>) -> Self {
        let all: BTreeMap<_, _> =
            experiments.map(|experiment| (experiment.name().to_owned(), Arc::new(experiment))).collect();
        let dividing = |experiment: &Arc<Experiment>| Dividing {
            salts: Salts::of(&experiment.definition),
            experiment: Arc::clone(experiment),
        };
        let with = |is_one: &dyn Fn(&Experiment) -> bool| {
            all.values().filter(|experiment| is_one(experiment)).map(dividing).collect()
        };
        let running = with(&|experiment| experiment.state == State::Running);
        let counting = with(&|experiment| experiment.started_ms.is_some());
        Self { all, running, counting }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Experiment>> {
        self.all.get(name)
    }

    /// All by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Experiment>> {
        self.all.values()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether any experiment divides users.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// The experiments that a user may take part in, by arm, before it is asked whom they are for.
    pub(super) fn candidates(&self, user_id: UserId, holdout: &Holdout) -> Vec<Applied> {
        let held_out = holdout.has(user_id);
        let applied = self.running.iter().filter_map(|Dividing { experiment, salts }| {
            let forced = experiment.forced_arm_of(user_id);
            let arm = forced.or_else(|| experiment.arm_of(salts, user_id).filter(|_| !held_out))?;
            let mut applied = Applied { experiment: Arc::clone(experiment), arm, forced: forced.is_some() };
            if applied.interleaves() {
                applied.arm = 0;
            }
            Some(applied)
        });
        applied.collect()
    }

    /// The experiments that may have a row of this user to count in.
    pub(super) fn counting(&self, user_id: UserId, now_ms: TimeMs) -> impl Iterator<Item = &Arc<Experiment>> {
        let counts = move |dividing: &&Dividing| {
            dividing.experiment.counts_at(now_ms)
                && dividing.experiment.arm_of(&dividing.salts, user_id).is_some()
        };
        self.counting.iter().filter(counts).map(|dividing| &dividing.experiment)
    }

    /// The places of a layer that experiments other than this one have.
    pub(super) fn taken(&self, layer: &str, name: &str) -> Vec<&Ranges> {
        let others = self.all.values().filter(|experiment| {
            experiment.definition.layer == layer
                && experiment.name() != name
                && matches!(experiment.state, State::Running | State::Paused)
        });
        others.map(|experiment| &experiment.places.traffic).collect()
    }

    /// A running experiment of another layer that overrides what this one does, and what that is.
    pub(super) fn conflict(&self, experiment: &Experiment) -> Option<(&str, &'static str)> {
        let own = experiment.definition.overridden();
        let others = self.all.values().filter(|other| {
            other.definition.layer != experiment.definition.layer
                && matches!(other.state, State::Running | State::Paused)
        });
        others.into_iter().find_map(|other| {
            let both = other.definition.overridden().into_iter().find(|name| own.contains(name))?;
            Some((other.name(), both))
        })
    }
}

impl Applied {
    /// Whether the answer is merged of both arms.
    pub fn interleaves(&self) -> bool {
        !self.forced && self.experiment.definition.kind == ExperimentKind::Interleaving
    }

    /// Whether it has to be known how many events the user has.
    pub(super) fn asks_for_events(&self) -> bool {
        !self.forced && self.experiment.definition.target.asks_for_events()
    }

    /// Whether the experiment is for who asks.
    pub(super) fn is_for(&self, labels: &HashMap<String, String>, events: u64) -> bool {
        self.forced || self.experiment.definition.target.holds(&Subject { labels, events })
    }
}

/// Users who take part in no experiment, so that all experiments together can be read against them.
pub(super) struct Holdout {
    salt: Salt,
    parts: u32,
}

impl Holdout {
    /// This share of all users.
    pub(super) fn new(share: f64) -> Self {
        Self { salt: Salt::new("holdout", ""), parts: parts_of(share) }
    }

    fn has(&self, user_id: UserId) -> bool {
        self.parts > 0 && self.salt.place(Unit::User(user_id)) < self.parts
    }
}
