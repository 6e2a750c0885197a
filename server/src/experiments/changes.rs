//! What is done with experiments: they are added and changed, started, paused and stopped.

use std::sync::Arc;

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_experiments::{PARTS, Ranges, parts_of};
use marquee_store::{Content, DocumentId, DocumentKind, StoreError, to_its_end};

use super::definition::{Arm, Definition, Experiment, Places, State};
use super::held::Held;
use super::{ExperimentError, Experiments, MAX_EXPERIMENTS};

/// What is stored of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it.
    All,
    /// Nothing: it is only asked whether the change could be made, and what would come of it.
    Nothing,
}

impl Experiments {
    /// Adds an experiment.
    ///
    /// # Errors
    /// [`ExperimentError`] when it is none, its name is taken, there are too many, or the store fails.
    pub async fn create(
        self: &Arc<Self>,
        definition: Definition,
        written: Written,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        definition.check()?;
        self.change(definition.name.clone(), written, move |held, before, now_ms| {
            if before.is_some() {
                return Err(ExperimentError::Taken(definition.name));
            }
            if held.len() >= MAX_EXPERIMENTS {
                return Err(ExperimentError::TooMany);
            }
            Ok(Experiment::draft(definition, now_ms))
        })
        .await
    }

    /// Replaces the definition of an experiment, as far as that may change.
    ///
    /// # Errors
    /// [`ExperimentError`] when it is none, there is none of the name, it may not change so, or the store fails.
    pub async fn update(
        self: &Arc<Self>,
        definition: Definition,
        written: Written,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        definition.check()?;
        self.change(definition.name.clone(), written, move |held, before, _| {
            let mut experiment = before.ok_or_else(|| ExperimentError::Unknown(definition.name.clone()))?;
            if experiment.definition == definition {
                return Ok(experiment);
            }
            if experiment.state == State::Stopped {
                return Err(ExperimentError::NotNow("the experiment is over; add another one".to_owned()));
            }
            if experiment.state != State::Draft {
                if let Some(field) = experiment.definition.differs_from(&definition) {
                    let why =
                        format!("{field} of an experiment that was started cannot change; add another one");
                    return Err(ExperimentError::NotNow(why));
                }
                let places = places(held, &definition, &experiment.places)?;
                if places.arms != experiment.places.arms {
                    experiment.phase += 1;
                }
                experiment.places = places;
            }
            experiment.definition = definition;
            Ok(experiment)
        })
        .await
    }

    /// Begins to divide users, or goes on.
    ///
    /// # Errors
    /// [`ExperimentError`] when there is none, it is over, the layer has no room, another layer overrides the same, or
    /// the store fails.
    pub async fn start(self: &Arc<Self>, name: String) -> Result<Arc<Experiment>, ExperimentError> {
        self.write(name.clone(), move |held, before, now_ms| {
            let mut experiment = before.ok_or(ExperimentError::Unknown(name))?;
            match experiment.state {
                State::Running => return Ok(experiment),
                State::Paused => {}
                State::Draft => experiment.places = places(held, &experiment.definition, &experiment.places)?,
                State::Stopped => {
                    return Err(ExperimentError::NotNow(
                        "the experiment is over; add another one".to_owned(),
                    ));
                }
            }
            if let Some((other, field)) = held.conflict(&experiment) {
                return Err(ExperimentError::NotNow(format!(
                    "the experiment {other:?} of another layer overrides {field} too; make it one layer"
                )));
            }
            experiment.state = State::Running;
            experiment.started_ms.get_or_insert(now_ms);
            Ok(experiment)
        })
        .await
    }

    /// Divides users no longer, until it is started again.
    ///
    /// # Errors
    /// [`ExperimentError`] when there is none, it does not run, or the store fails.
    pub async fn pause(self: &Arc<Self>, name: String) -> Result<Arc<Experiment>, ExperimentError> {
        self.write(name.clone(), move |_, before, _| {
            let mut experiment = before.ok_or(ExperimentError::Unknown(name))?;
            match experiment.state {
                State::Running | State::Paused => experiment.state = State::Paused,
                State::Draft | State::Stopped => {
                    return Err(ExperimentError::NotNow("the experiment does not run".to_owned()));
                }
            }
            Ok(experiment)
        })
        .await
    }

    /// Ends an experiment; `reason` where nobody asked for that.
    ///
    /// # Errors
    /// [`ExperimentError`] when there is none, or the store fails.
    pub async fn stop(
        self: &Arc<Self>,
        name: String,
        reason: Option<String>,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        self.write(name.clone(), move |_, before, now_ms| {
            let mut experiment = before.ok_or(ExperimentError::Unknown(name))?;
            if experiment.state != State::Stopped {
                experiment.state = State::Stopped;
                experiment.stopped_ms = Some(now_ms);
                experiment.stop_reason = reason;
            }
            Ok(experiment)
        })
        .await
    }

    /// Writes what `change` makes of an experiment, to the end even when the caller goes away.
    async fn write(
        self: &Arc<Self>,
        name: String,
        change: impl FnOnce(&Held, Option<Experiment>, TimeMs) -> Result<Experiment, ExperimentError>
        + Send
        + 'static,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        self.change(name, Written::All, change).await
    }

    /// The same, or only what would come of it.
    async fn change(
        self: &Arc<Self>,
        name: String,
        written: Written,
        change: impl FnOnce(&Held, Option<Experiment>, TimeMs) -> Result<Experiment, ExperimentError>
        + Send
        + 'static,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        let experiments = Arc::clone(self);
        to_its_end(async move {
            let _one_at_a_time = experiments.writing.lock().await;
            experiments.read().await?;
            let held = experiments.held.load_full();
            let before = held.get(&name).map(|experiment| Experiment::clone(experiment));
            let now_ms = now_ms();
            let after = change(&held, before.clone(), now_ms)?;
            if written == Written::Nothing {
                return Ok(Arc::new(after));
            }
            let written = experiments.put(before.as_ref(), &after, now_ms).await;
            // What was not acknowledged may be stored nevertheless.
            experiments.read().await?;
            if written? { Ok(Arc::new(after)) } else { Err(ExperimentError::Changed) }
        })
        .await
    }

    /// Stores an experiment if it is still what it was; whether it was.
    async fn put(
        &self,
        before: Option<&Experiment>,
        after: &Experiment,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let id = DocumentId { kind: DocumentKind::Experiment, part: "", key: after.name() };
        let content = Content::lasting(stored(after));
        match before {
            Some(before) => self.store.documents().replace(id, &stored(before), &content, now_ms).await,
            None => self.store.documents().insert(id, &content, now_ms).await,
        }
    }
}

/// The places of an experiment and its arms under this definition: those that it has, and more.
fn places(held: &Held, definition: &Definition, before: &Places) -> Result<Places, ExperimentError> {
    let full = || {
        ExperimentError::NotNow(format!(
            "the layer {:?} has no room for it; stop an experiment of the layer, give it less traffic, or take another layer",
            definition.layer
        ))
    };
    let shrinks = || {
        ExperimentError::NotNow(
            "traffic and shares of an experiment that was started can only grow".to_owned(),
        )
    };
    let traffic = parts_of(definition.traffic);
    let mut arms = before.arms.clone();
    arms.resize(definition.arms.len(), Ranges::default());
    let is_less = |(arm, has): (&Arm, &Ranges)| parts_of(arm.share) < has.parts();
    if traffic < before.traffic.parts() || definition.arms.iter().zip(&arms).any(is_less) {
        return Err(shrinks());
    }
    for place in 0..arms.len() {
        let others: Vec<&Ranges> =
            arms.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, ranges)| ranges).collect();
        // Shares of a third are not whole numbers of parts.
        let free = PARTS - others.iter().map(|other| other.parts()).sum::<u32>();
        let wanted = parts_of(definition.arms[place].share).min(free);
        arms[place] = arms[place].resized(wanted, &others).ok_or_else(full)?;
    }
    let taken = held.taken(&definition.layer, &definition.name);
    Ok(Places { traffic: before.traffic.resized(traffic, &taken).ok_or_else(full)?, arms })
}

fn stored(experiment: &Experiment) -> Vec<u8> {
    serde_json::to_vec(experiment).expect("an experiment has no maps whose keys are no texts")
}
