//! What is recorded of answers: what was said, how long that took, and what a model in the shadow said beside it.
//!
//! Each is a document of its user, once an hour for each experiment and arm, merged answers once a minute, for twice the
//! window. Metrics of answers are made of them; all are removed with the user.

use marquee_core::domain::{MovieId, TimeMs, UserId};
use marquee_experiments::{Amount, kendall, overlap};
use marquee_store::{Content, DocumentKind, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Experiments;
use super::definition::Definition;
use super::held::Applied;

/// Within which time answers of one arm to one user are recorded once.
pub(super) const BUCKET_MS: TimeMs = 60 * 60 * 1_000;
/// The same of merged answers; within it coins fall alike.
pub(super) const MERGED_BUCKET_MS: TimeMs = 60 * 1_000;
/// Recorded answers to a user that are counted at most.
const ANSWERS: usize = 1_000;

/// An answer that is of an experiment.
#[derive(Clone, Debug)]
pub struct Exposure {
    /// Its own id.
    pub exposure_id: String,
    /// To whom.
    pub user_id: UserId,
    /// When.
    pub time_ms: TimeMs,
    /// Of which experiments, and of which arms.
    pub applied: Vec<Applied>,
    /// Whether the request went before an arm in anything.
    pub overruled: bool,
    /// What was answered, in its order, with the chance of each that was drawn.
    pub items: Vec<(MovieId, Option<f64>)>,
    /// The place of the arm that gave each of them, where two are merged; `None` for what a rule pins. Empty otherwise.
    pub arms: Vec<Option<usize>>,
    /// How long that took, in microseconds; `None` where it failed.
    pub took_us: Option<u64>,
}

/// An answer as it is stored.
#[derive(Serialize)]
struct Recorded<'a> {
    exposure_id: &'a str,
    time_ms: TimeMs,
    overruled: bool,
    items: &'a [(MovieId, Option<f64>)],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    arms: &'a [Option<usize>],
    took_us: Option<u64>,
    failed: bool,
}

/// What metrics are made of, of an answer that is stored.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    /// When.
    pub(super) time_ms: TimeMs,
    /// What was answered, in its order.
    pub(super) items: Vec<(MovieId, Option<f64>)>,
    /// The place of the arm that gave each of them, where two are merged.
    #[serde(default)]
    pub(super) arms: Vec<Option<usize>>,
    /// How long that took; none of what an older version recorded.
    #[serde(default)]
    pub(super) took_us: Option<u64>,
    /// Whether nothing came.
    #[serde(default)]
    pub(super) failed: bool,
}

/// What an answer was, and what the model in the shadow said a moment later.
#[derive(Clone, Debug)]
pub struct Shadowed {
    /// Of which experiment.
    pub experiment: String,
    /// To whom.
    pub user_id: UserId,
    /// When.
    pub time_ms: TimeMs,
    /// What was answered, best first.
    pub answer: Vec<MovieId>,
    /// How long that took, in microseconds.
    pub answer_us: u64,
    /// What the model says, and how long that took; `None` where it failed.
    pub shadow: Option<(Vec<MovieId>, u64)>,
}

/// A comparison as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Compared {
    time_ms: TimeMs,
    answer_us: u64,
    /// `None` where the model failed.
    shadow_us: Option<u64>,
    overlap: Option<f64>,
    rank_correlation: Option<f64>,
}

/// Sums of a row: a value, and of how many that is.
type Sum = (Amount, Amount);

impl Compared {
    pub(super) fn of(shadowed: &Shadowed) -> Self {
        let lists = shadowed.shadow.as_ref().map(|(movies, _)| (&shadowed.answer[..], &movies[..]));
        Self {
            time_ms: shadowed.time_ms,
            answer_us: shadowed.answer_us,
            shadow_us: shadowed.shadow.as_ref().map(|(_, took_us)| *took_us),
            overlap: lists.and_then(|(answer, shadow)| overlap(answer, shadow)),
            rank_correlation: lists.and_then(|(answer, shadow)| kendall(answer, shadow)),
        }
    }

    /// When it was.
    pub(super) fn time_ms(&self) -> TimeMs {
        self.time_ms
    }

    /// What a user adds to the sums: overlap, correlation, both times, and failures.
    pub(super) fn sums(all: &[Self]) -> [Sum; 5] {
        let sum = |of: &dyn Fn(&Self) -> Option<f64>| {
            let (sum, count) =
                all.iter().filter_map(of).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            (Amount::new(sum), Amount::new(count))
        };
        let milliseconds = |took_us: u64| took_us as f64 / 1_000.0;
        [
            sum(&|one| one.overlap),
            sum(&|one| one.rank_correlation),
            sum(&|one| one.shadow_us.map(milliseconds)),
            sum(&|one| one.shadow_us.map(|_| milliseconds(one.answer_us))),
            sum(&|one| Some(f64::from(u8::from(one.shadow_us.is_none())))),
        ]
    }
}

/// An answer to be stored: whose, by which key, and what.
pub(super) struct Record {
    pub(super) part: String,
    pub(super) key: String,
    pub(super) content: Content,
}

/// What is stored of an answer of an arm.
pub(super) fn record_of(exposure: &Exposure, applied: &Applied) -> Record {
    let Exposure { exposure_id, user_id, time_ms, overruled, items, arms, took_us, .. } = exposure;
    let definition = &applied.experiment.definition;
    let arm = &definition.arms[applied.arm].name;
    let (time_ms, overruled, took_us, failed) = (*time_ms, *overruled, *took_us, took_us.is_none());
    let arms = if applied.interleaves() { &arms[..] } else { &[] };
    let recorded = Recorded { exposure_id, time_ms, overruled, items, arms, took_us, failed };
    let value = serde_json::to_vec(&recorded).expect("texts and numbers are JSON");
    Record {
        part: user_id.to_string(),
        key: format!(
            "{}{}{}",
            records_of(&definition.name, arm),
            bucket_of(applied, time_ms),
            if failed { "/failed" } else { "" }
        ),
        content: Content { value, expires_ms: Some(time_ms.saturating_add(2 * definition.window_ms)) },
    }
}

/// The number of the span of time in which one answer of an arm to one user is recorded.
pub(super) fn bucket_of(applied: &Applied, time_ms: TimeMs) -> TimeMs {
    time_ms / if applied.interleaves() { MERGED_BUCKET_MS } else { BUCKET_MS }
}

/// What is stored of a comparison.
pub(super) fn record_of_shadow(shadowed: &Shadowed, definition: &Definition) -> Record {
    let value = serde_json::to_vec(&Compared::of(shadowed)).expect("numbers are JSON");
    let expires_ms = Some(shadowed.time_ms.saturating_add(2 * definition.window_ms));
    Record {
        part: shadowed.user_id.to_string(),
        key: format!("{}{}", records_of(&definition.name, SHADOW), shadowed.time_ms / BUCKET_MS),
        content: Content { value, expires_ms },
    }
}

/// What the keys of a user's records of an arm begin with.
fn records_of(experiment: &str, arm: &str) -> String {
    format!("{experiment}/{arm}/")
}

/// The name of no arm: of the model in the shadow.
const SHADOW: &str = "";

/// What is recorded of a user.
#[derive(Default)]
pub(super) struct Records {
    /// Answers of the user's arm.
    pub(super) answers: Vec<Answer>,
    /// Comparisons with the model in the shadow.
    pub(super) compared: Vec<Compared>,
}

impl Experiments {
    /// What is recorded of a user, the oldest ones; `None` once some may be gone.
    pub(super) async fn records(
        &self,
        definition: &Definition,
        arm: usize,
        first_ms: TimeMs,
        user_id: UserId,
        now_ms: TimeMs,
    ) -> Result<Option<Records>, StoreError> {
        let end_ms = first_ms.saturating_add(definition.window_ms);
        if end_ms.saturating_add(definition.window_ms) <= now_ms {
            return Ok(None);
        }
        let mut records = Records::default();
        let arm = &definition.arms[arm].name;
        records.answers = self.recorded(&definition.name, arm, user_id, now_ms).await?;
        records.answers.retain(|answer: &Answer| answer.time_ms < end_ms);
        if definition.shadow.is_some() {
            records.compared = self.recorded(&definition.name, SHADOW, user_id, now_ms).await?;
            records.compared.retain(|compared: &Compared| compared.time_ms() < end_ms);
        }
        Ok(Some(records))
    }

    /// What is recorded of a user and an arm.
    async fn recorded<T: DeserializeOwned>(
        &self,
        experiment: &str,
        arm: &str,
        user_id: UserId,
        now_ms: TimeMs,
    ) -> Result<Vec<T>, StoreError> {
        let (kind, part) = (DocumentKind::Exposure, user_id.to_string());
        let prefix = records_of(experiment, arm);
        let records = self.store.documents().list(kind, &part, Some(&prefix), ANSWERS, now_ms).await?;
        let of_arm = records.iter().take_while(|record| record.key.starts_with(&prefix));
        Ok(of_arm.filter_map(|record| serde_json::from_slice(&record.value).ok()).collect())
    }
}
