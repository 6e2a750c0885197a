//! One experiment: what is compared, on whom, by what, and where it stands.

use std::collections::BTreeSet;

use marquee_core::domain::{Kind, TimeMs, UserId, showable};
use marquee_experiments::{Ranges, Salt, Target, Unit};
use serde::{Deserialize, Serialize};

/// An experiment as its makers write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The caller's name of it.
    pub name: String,
    /// Experiments of one layer have no user in common.
    pub layer: String,
    /// Why it is made.
    #[serde(default)]
    pub description: String,
    /// What is compared, the control first; at least two.
    pub arms: Vec<Arm>,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// Which share of the layer takes part.
    pub traffic: f64,
    /// Who takes part, of these.
    #[serde(default)]
    pub target: Target,
    /// The chance that a goal is called wrongly.
    pub alpha: f64,
    /// For how long after the first answer a user is counted.
    pub window_ms: TimeMs,
    /// A model that answers beside the arms, unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// How arms are compared.
    #[serde(default, skip_serializing_if = "ExperimentKind::is_split")]
    pub kind: ExperimentKind,
}

/// How arms are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentKind {
    /// Each user is answered by one of them.
    #[default]
    Split,
    /// Each user is answered by two of them, merged.
    Interleaving,
}

impl ExperimentKind {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "so it is called")]
    fn is_split(&self) -> bool {
        *self == Self::Split
    }
}

/// A model that answers some requests a second time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// Its version.
    pub model_version: String,
    /// Of which share of answers.
    pub share: f64,
}

/// One of the things that are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Its share of those who take part.
    pub share: f64,
    /// What is different in it.
    #[serde(default)]
    pub overrides: Overrides,
    /// Users who are always in it, and left out of the results.
    #[serde(default)]
    pub user_ids: Vec<UserId>,
}

/// How candidates are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retrieval {
    /// As the planner picks.
    Auto,
    /// By full products.
    Exact,
    /// By the index.
    Ann,
}

/// What an arm says in the place of requests that do not. What is not said is left to them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// The model version.
    pub model_version: Option<String>,
    /// How candidates are found.
    pub method: Option<Retrieval>,
    /// How many movies.
    pub k: Option<u32>,
    /// The name of a preset.
    pub preset: Option<String>,
    /// As `diversity` of an objective; so are the following.
    pub diversity: Option<f64>,
    /// See `diversity`.
    pub calibration: Option<f64>,
    /// See `diversity`.
    pub popularity_weight: Option<f64>,
    /// See `diversity`.
    pub freshness_weight: Option<f64>,
    /// See `diversity`.
    pub freshness_half_life: Option<f64>,
    /// See `diversity`.
    pub rating_weight: Option<f64>,
    /// See `diversity`.
    pub candidates_limit: Option<u32>,
    /// See `diversity`.
    pub max_per_genre: Option<u32>,
    /// See `diversity`.
    pub first_events_popularity: Option<f64>,
    /// Places for new movies.
    pub new_movie_slots: Option<u32>,
}

impl Overrides {
    /// The names of what it says.
    pub fn said(&self) -> Vec<&'static str> {
        let said = [
            ("model_version", self.model_version.is_some()),
            ("method", self.method.is_some()),
            ("k", self.k.is_some()),
            ("preset", self.preset.is_some()),
            ("diversity", self.diversity.is_some()),
            ("calibration", self.calibration.is_some()),
            ("popularity_weight", self.popularity_weight.is_some()),
            ("freshness_weight", self.freshness_weight.is_some()),
            ("freshness_half_life", self.freshness_half_life.is_some()),
            ("rating_weight", self.rating_weight.is_some()),
            ("candidates_limit", self.candidates_limit.is_some()),
            ("max_per_genre", self.max_per_genre.is_some()),
            ("first_events_popularity", self.first_events_popularity.is_some()),
            ("new_movie_slots", self.new_movie_slots.is_some()),
        ];
        said.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name).collect()
    }
}

/// What a metric is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// It decides.
    Goal,
    /// It must not be harmed.
    Guardrail,
    /// It is shown.
    Information,
}

/// How a metric is made of what a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Whether the user did any of it.
    Conversion,
    /// How often.
    Count,
    /// The mean of the ratings.
    MeanRating,
    /// What it is worth.
    Value,
    /// Seconds until the first of it; the window where there is none.
    TimeToFirst,
    /// Whether any was of the first movies of an answer.
    TakenAtK,
    /// How high in answers that stood which was taken.
    AnswerNdcg,
    /// How long answers took.
    AnswerMilliseconds,
    /// Hours in which all answers came.
    Answered,
    /// Merged answers that the second arm won.
    Preference,
}

impl What {
    /// Whether it is made of what was answered.
    pub(super) fn is_of_answers(self) -> bool {
        match self {
            Self::TakenAtK
            | Self::AnswerNdcg
            | Self::AnswerMilliseconds
            | Self::Answered
            | Self::Preference => true,
            Self::Conversion | Self::Count | Self::MeanRating | Self::Value | Self::TimeToFirst => false,
        }
    }
}

/// The greatest amount of a metric: see [`marquee_experiments::Amount`].
const MOST_SECONDS: f64 = 1_000_000.0;
/// How many movies of an answer count when nobody says it.
pub const DEFAULT_TOP: u32 = 10;

/// What an arm may say that does not rank.
const UNRANKING: [&str; 2] = ["k", "new_movie_slots"];

fn default_top() -> u32 {
    DEFAULT_TOP
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "so it is called")]
fn is_default_top(top: &u32) -> bool {
    *top == DEFAULT_TOP
}

/// Something that is measured of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// How it is made of what a user did.
    pub what: What,
    /// The numbers of the kinds of interactions that count; all when empty.
    #[serde(default)]
    pub kinds: Vec<u8>,
    /// What kinds are worth, by their numbers; 1 for those that are not named.
    #[serde(default)]
    pub values: Vec<(u8, f64)>,
    /// Whether less of it is better.
    #[serde(default)]
    pub less_is_better: bool,
    /// What a user counts for at most.
    #[serde(default)]
    pub cap: Option<f64>,
    /// By how much a guardrail may become worse.
    pub margin: f64,
    /// How many movies of an answer count, from the top.
    #[serde(default = "default_top", skip_serializing_if = "is_default_top")]
    pub top: u32,
}

impl Metric {
    /// Whether a user did anything.
    pub fn conversion() -> Self {
        Self {
            name: "conversion".to_owned(),
            purpose: Purpose::Goal,
            what: What::Conversion,
            kinds: Vec::new(),
            values: Vec::new(),
            less_is_better: false,
            cap: None,
            margin: 0.0,
            top: DEFAULT_TOP,
        }
    }

    /// Which of two rankings is preferred.
    pub fn preference() -> Self {
        Self { name: "preference".to_owned(), what: What::Preference, ..Self::conversion() }
    }

    /// Whether interactions of this kind count.
    pub(super) fn counts(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&(kind as u8))
    }

    /// What an interaction of this kind is worth.
    pub(super) fn value_of(&self, kind: Kind) -> f64 {
        self.values.iter().find(|(number, _)| *number == kind as u8).map_or(1.0, |(_, value)| *value)
    }
}

/// Where an experiment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not been started.
    Draft,
    /// Users are divided.
    Running,
    /// Users are not divided, and counted.
    Paused,
    /// It is over.
    Stopped,
}

/// Which places are whose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Those of the layer that are the experiment's.
    pub traffic: Ranges,
    /// Those of the experiment that are each arm's.
    pub arms: Vec<Ranges>,
}

/// An experiment and where it stands, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// What is compared.
    pub definition: Definition,
    /// Where it stands.
    pub state: State,
    /// Which places are whose; none before it is started.
    #[serde(default)]
    pub places: Places,
    /// How often its shares were changed: users of one phase were divided by the same shares.
    #[serde(default)]
    pub phase: u32,
    /// When it was added.
    pub created_ms: TimeMs,
    /// When it was started first.
    #[serde(default)]
    pub started_ms: Option<TimeMs>,
    /// When it was stopped.
    #[serde(default)]
    pub stopped_ms: Option<TimeMs>,
    /// Why it stopped by itself.
    #[serde(default)]
    pub stop_reason: Option<String>,
}

/// What is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {description}")]
pub struct Fault {
    /// The field, in dotted form.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Fault {
    fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

impl Definition {
    /// Finds what is wrong with it by itself.
    ///
    /// # Errors
    /// [`Fault`], the first one.
    pub fn check(&self) -> Result<(), Fault> {
        check_name("experiment.name", &self.name)?;
        check_name("experiment.layer", &self.layer)?;
        showable(&self.description)
            .map_err(|fault| Fault::new("experiment.description", fault.to_string()))?;
        if self.arms.len() < 2 {
            return Err(Fault::new(
                "experiment.arms",
                "must be two at least: a control, and what is compared with it",
            ));
        }
        check_names("experiment.arms", self.arms.iter().map(|arm| &arm.name))?;
        if self.arms.iter().map(|arm| arm.share).sum::<f64>() > 1.0 + 1e-9 {
            return Err(Fault::new("experiment.arms", "have shares of more than 1 together"));
        }
        for purpose in [Purpose::Goal, Purpose::Guardrail, Purpose::Information] {
            let field = field_of(purpose);
            let of_purpose = || self.metrics.iter().filter(move |metric| metric.purpose == purpose);
            of_purpose().try_for_each(|metric| check_name(&format!("{field}.name"), &metric.name))?;
            let longest = self.window_ms as f64 / 1_000.0;
            let is_long = |metric: &Metric| {
                metric.what == What::TimeToFirst && metric.cap.unwrap_or(longest).min(longest) > MOST_SECONDS
            };
            if of_purpose().any(is_long) {
                return Err(Fault::new(
                    format!("{field}.cap"),
                    format!("must be {MOST_SECONDS} seconds at most where the window is longer than that"),
                ));
            }
        }
        check_names("experiment.goals", self.metrics.iter().map(|metric| &metric.name))?;
        match self.kind {
            ExperimentKind::Split => self.check_split(),
            ExperimentKind::Interleaving => self.check_interleaving(),
        }
    }

    fn check_split(&self) -> Result<(), Fault> {
        let preference = self.metrics.iter().find(|metric| metric.what == What::Preference);
        preference.map_or(Ok(()), |metric| {
            Err(Fault::new(
                format!("{}.measure", field_of(metric.purpose)),
                "may be a preference only where the experiment's kind is interleaving",
            ))
        })
    }

    fn check_interleaving(&self) -> Result<(), Fault> {
        let [one, other] = &self.arms[..] else {
            return Err(Fault::new("experiment.arms", "must be two, where their rankings are interleaved"));
        };
        for (place, arm) in self.arms.iter().enumerate() {
            if (arm.share - 0.5).abs() > 1e-9 {
                return Err(Fault::new(
                    format!("experiment.arms[{place}].share"),
                    "must be absent, where rankings are interleaved: both are in every answer; traffic says who takes part",
                ));
            }
            if let Some(name) = arm.overrides.said().into_iter().find(|name| UNRANKING.contains(name)) {
                return Err(Fault::new(
                    format!("experiment.arms[{place}].overrides.{name}"),
                    "must be absent, where rankings are interleaved: it does not rank",
                ));
            }
        }
        if one.overrides == other.overrides {
            return Err(Fault::new(
                "experiment.arms",
                "must have overrides that differ, where their rankings are interleaved",
            ));
        }
        let is_goal = |metric: &Metric| metric.purpose == Purpose::Goal && metric.what == What::Preference;
        if let Some(metric) = self.metrics.iter().find(|metric| !is_goal(metric)) {
            let only = "must be absent but for one goal, a preference, where rankings are interleaved";
            return Err(Fault::new(field_of(metric.purpose), only));
        }
        if self.metrics.len() != 1 {
            return Err(Fault::new("experiment.goals", "must be one, where rankings are interleaved"));
        }
        if self.shadow.is_some() {
            return Err(Fault::new("experiment.shadow", "must be absent, where rankings are interleaved"));
        }
        Ok(())
    }

    /// Whether anything is made of what was answered.
    pub(super) fn asks_for_records(&self) -> bool {
        self.shadow.is_some() || self.metrics.iter().any(|metric| metric.what.is_of_answers())
    }

    /// The place of an arm of this name.
    pub fn arm(&self, name: &str) -> Option<usize> {
        self.arms.iter().position(|arm| arm.name == name)
    }

    /// The metrics for this purpose, with their places.
    pub fn metrics_for(&self, purpose: Purpose) -> impl Iterator<Item = (usize, &Metric)> {
        self.metrics.iter().enumerate().filter(move |(_, metric)| metric.purpose == purpose)
    }

    /// What any arm says.
    pub(super) fn overridden(&self) -> BTreeSet<&'static str> {
        let merged = (self.kind == ExperimentKind::Interleaving).then_some("the order of answers");
        self.arms.iter().flat_map(|arm| arm.overrides.said()).chain(merged).collect()
    }

    /// The field in which another definition differs in more than may change once users are divided.
    pub(super) fn differs_from(&self, other: &Self) -> Option<&'static str> {
        let frozen = |arm: &Arm| Arm { share: 0.0, ..arm.clone() };
        let arms = |of: &Self| of.arms.iter().map(frozen).collect::<Vec<_>>();
        [
            ("layer", self.layer != other.layer),
            ("arms", arms(self) != arms(other)),
            ("metrics", self.metrics != other.metrics),
            ("target", self.target != other.target),
            ("alpha", self.alpha.to_bits() != other.alpha.to_bits()),
            ("window_days", self.window_ms != other.window_ms),
            ("shadow", self.shadow != other.shadow),
            ("kind", self.kind != other.kind),
        ]
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(field, _)| field)
    }
}

impl Experiment {
    /// A definition that nothing has been done with.
    pub(super) fn draft(definition: Definition, now_ms: TimeMs) -> Self {
        Self {
            definition,
            state: State::Draft,
            places: Places::default(),
            phase: 0,
            created_ms: now_ms,
            started_ms: None,
            stopped_ms: None,
            stop_reason: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// The arm of a user who has a place in the experiment, if an arm has that.
    pub(super) fn arm_of(&self, salts: &Salts, user_id: UserId) -> Option<usize> {
        let unit = Unit::User(user_id);
        if !self.places.traffic.contains(salts.layer.place(unit)) {
            return None;
        }
        let place = salts.experiment.place(unit);
        self.places.arms.iter().position(|arm| arm.contains(place))
    }

    /// The arm that a user is always in.
    pub(super) fn forced_arm_of(&self, user_id: UserId) -> Option<usize> {
        self.definition.arms.iter().position(|arm| arm.user_ids.contains(&user_id))
    }

    /// Whether what users do is counted at this time.
    pub(super) fn counts_at(&self, now_ms: TimeMs) -> bool {
        match self.state {
            State::Draft => false,
            State::Running | State::Paused => true,
            State::Stopped => self
                .started_ms
                .and(self.stopped_ms)
                .is_some_and(|stopped_ms| now_ms < stopped_ms.saturating_add(self.definition.window_ms)),
        }
    }
}

/// What divides users.
#[derive(Clone, Copy, Debug)]
pub(super) struct Salts {
    /// Who is in the experiment, of its layer.
    layer: Salt,
    /// Who is in which arm. It is the experiment's own, so that users who were in one arm of an experiment before are
    /// in all arms of this one alike.
    experiment: Salt,
}

impl Salts {
    /// Those of an experiment.
    pub(super) fn of(definition: &Definition) -> Self {
        Self {
            layer: Salt::new("layer", &definition.layer),
            experiment: Salt::new("experiment", &definition.name),
        }
    }
}

/// The field of a definition that has the metrics for a purpose.
pub(super) fn field_of(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Goal => "experiment.goals",
        Purpose::Guardrail => "experiment.guardrails",
        Purpose::Information => "experiment.information",
    }
}

fn check_name(field: &str, name: &str) -> Result<(), Fault> {
    let is_allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.@ ".contains(&letter);
    let is_name = !name.is_empty() && name.len() <= 64 && name.bytes().all(is_allowed);
    let what = "must be 1 to 64 letters, digits, spaces, hyphens, underscores, dots and at signs";
    if is_name { Ok(()) } else { Err(Fault::new(field, what)) }
}

fn check_names<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for name in names {
        check_name(field, name)?;
        if !seen.insert(name) {
            return Err(Fault::new(field, format!("have the name {name:?} twice")));
        }
    }
    Ok(())
}
