//! The arms of experiments that a request is answered by: what they say in its place, and what is recorded of that.

use std::collections::HashMap;

use marquee_core::clock::now_ms;
use marquee_core::domain::{MovieId, TimeMs, UserId};
use marquee_experiments::{Draft, Team, team_draft};
use marquee_proto::methods::experiment::UPDATE_EXPERIMENT;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::{is_key, v1};

use super::{ApiError, Asker};
use crate::experiments::{Applied, Asked, Experiments, Exposure, Overrides, Retrieval, Shadow, coins};
use crate::keys::user_of_key;

/// Most characters of a label and its value.
const LABEL_LENGTH: usize = 64;

/// What a request takes part in.
pub(super) struct Taken {
    user_id: Option<UserId>,
    applied: Vec<Applied>,
    /// Whether the request said something itself that the arm says too, for each.
    overruled: Vec<bool>,
    /// What is asked of the second arm, where two are to be merged.
    rival: Option<Box<v1::RecommendRequest>>,
    /// What came of that.
    merged: Option<Merged>,
}

/// Whose the movies of a merged answer are.
struct Merged {
    time_ms: TimeMs,
    arms: Vec<Option<usize>>,
}

/// Puts what arms say in the place of what a request does not say. `None` where it takes part in nothing.
///
/// # Errors
/// [`ApiError`] for labels that are none, an arm that there is not or that the caller may not choose, and when it cannot be
/// read what an experiment asks for.
pub(super) async fn apply(
    experiments: &Experiments,
    asker: &Asker,
    request: &mut v1::RecommendRequest,
) -> Result<Option<Taken>, ApiError> {
    check_labels(&request.labels)?;
    let user_id = unit(request)?;
    let events = match &request.subject {
        Some(Subject::History(history)) => Some(history.movie_ids.len() as u64),
        Some(Subject::UserId(_) | Subject::UserKey(_)) | None => None,
    };
    let mut applied = match user_id.filter(|_| request.experiments.unwrap_or(true)) {
        Some(user_id) => experiments.applied(Asked { user_id, labels: &request.labels, events }).await?,
        None => Vec::new(),
    };
    if let Some(forced) = &request.forced_arm {
        if !asker.may_call(UPDATE_EXPERIMENT.full_name()) {
            return Err(ApiError::ArmNotPermitted);
        }
        let forced = experiments.forced(&forced.experiment, &forced.arm)?;
        applied.retain(|other| other.experiment.name() != forced.experiment.name());
        applied.push(forced);
    }
    if applied.is_empty() {
        return Ok(None);
    }
    // What is merged differs in what its own arms say alone.
    applied.sort_by_key(Applied::interleaves);
    // An arm does not go before a preset that the request names, nor what one arm says before what another one does.
    let names_preset = !request.preset.is_empty();
    let (mut overruled, mut rival) = (Vec::with_capacity(applied.len()), None);
    for applied in &applied {
        let arms = &applied.experiment.definition.arms;
        let mut is_overruled = false;
        if let Some(second) = arms.get(1).filter(|_| applied.interleaves()) {
            let mut asked = Box::new(request.clone());
            is_overruled = fill(&mut asked, &second.overrides, names_preset);
            rival = Some(asked);
        }
        overruled.push(fill(request, &arms[applied.arm].overrides, names_preset) | is_overruled);
    }
    Ok(Some(Taken { user_id, applied, overruled, rival, merged: None }))
}

impl Taken {
    /// What is asked of the second arm, once, where two are to be merged.
    pub(super) fn take_rival(&mut self) -> Option<v1::RecommendRequest> {
        self.rival.take().map(|request| *request)
    }

    /// Merges the answers of both arms to the first `k` of them.
    pub(super) fn merge(
        &mut self,
        one: v1::RecommendResponse,
        other: v1::RecommendResponse,
        k: usize,
    ) -> v1::RecommendResponse {
        let merging = self.applied.iter().find(|applied| applied.interleaves()).zip(self.user_id);
        let Some((applied, user_id)) = merging else { return one };
        let time_ms = now_ms();
        let (reply, arms) = merge(one, other, k, coins(applied.experiment.name(), user_id, time_ms));
        self.merged = Some(Merged { time_ms, arms });
        reply
    }

    /// An arm as replies name it.
    fn shown(&self, applied: &Applied, overruled: bool) -> v1::AppliedArm {
        let arms = &applied.experiment.definition.arms;
        let merged = self.merged.as_ref().filter(|_| applied.interleaves());
        let name = |arm: &Option<usize>| arm.map_or_else(String::new, |arm| arms[arm].name.clone());
        v1::AppliedArm {
            experiment: applied.experiment.name().to_owned(),
            arm: if merged.is_some() { String::new() } else { arms[applied.arm].name.clone() },
            forced: applied.forced,
            overruled,
            place_arms: merged.map(|merged| merged.arms.iter().map(name).collect()).unwrap_or_default(),
        }
    }

    /// Says in the reply what it is of, and has it recorded.
    pub(super) fn tell(self, experiments: &Experiments, reply: &mut v1::RecommendResponse) {
        let arms = self.applied.iter().zip(&self.overruled);
        reply.experiments = arms.map(|(applied, overruled)| self.shown(applied, *overruled)).collect();
        let items = reply.recommendations.iter().map(|movie| (movie.movie_id, movie.propensity)).collect();
        let took_us = reply.timings.map_or(0, |timings| timings.total_us);
        reply.exposure_id = self.record(experiments, items, Some(took_us.into())).unwrap_or_default();
    }

    /// The experiments whose model in the shadow answers this too.
    pub(super) fn shadows(&self) -> Vec<(String, Shadow)> {
        let counted = self.applied.iter().filter(|applied| !applied.forced && self.user_id.is_some());
        let shadows = counted.filter_map(|applied| {
            let shadow = applied.experiment.definition.shadow.as_ref()?;
            let is_drawn = rand::random::<f64>() < shadow.share;
            is_drawn.then(|| (applied.experiment.name().to_owned(), shadow.clone()))
        });
        shadows.collect()
    }

    /// Has it recorded that there is no answer.
    pub(super) fn tell_of_failure(self, experiments: &Experiments) {
        self.record(experiments, Vec::new(), None);
    }

    /// Has an answer recorded; its id, unless it is left out of the results.
    fn record(
        self,
        experiments: &Experiments,
        items: Vec<(MovieId, Option<f64>)>,
        took_us: Option<u64>,
    ) -> Option<String> {
        let Self { user_id, applied, overruled, merged, .. } = self;
        let user_id = user_id.filter(|_| applied.iter().any(|applied| !applied.forced))?;
        let Merged { time_ms, arms } =
            merged.unwrap_or_else(|| Merged { time_ms: now_ms(), arms: Vec::new() });
        let exposure_id = format!("{:016x}", rand::random::<u64>());
        experiments.exposed(Exposure {
            exposure_id: exposure_id.clone(),
            user_id,
            time_ms,
            overruled: overruled.contains(&true),
            applied,
            items,
            arms,
            took_us,
        });
        Some(exposure_id)
    }
}

/// The first `k` movies of two answers by team draft, and the place of the arm that gave each. What a rule pins is first in
/// both, stays so, and is no arm's.
fn merge(
    mut one: v1::RecommendResponse,
    other: v1::RecommendResponse,
    k: usize,
    coin: impl FnMut() -> bool,
) -> (v1::RecommendResponse, Vec<Option<usize>>) {
    let is_pinned = |movie: &v1::Recommendation| movie.source() == v1::Source::Rule;
    let (mut movies, a): (Vec<_>, Vec<_>) = one.recommendations.into_iter().partition(is_pinned);
    let b: Vec<_> = other.recommendations.into_iter().filter(|movie| !is_pinned(movie)).collect();
    let mut arms = vec![None; movies.len()];
    let ids = |ranking: &[v1::Recommendation]| ranking.iter().map(|movie| movie.movie_id).collect::<Vec<_>>();
    let drafts = team_draft(&ids(&a), &ids(&b), k.saturating_sub(movies.len()), coin);
    let by_id = |ranking: Vec<v1::Recommendation>| {
        ranking.into_iter().map(|movie| (movie.movie_id, movie)).collect::<HashMap<_, _>>()
    };
    let (mut a, mut b) = (by_id(a), by_id(b));
    for Draft { movie_id, team } in drafts {
        let (ranking, arm) = match team {
            Team::A => (&mut a, 0),
            Team::B => (&mut b, 1),
        };
        if let Some(movie) = ranking.remove(&movie_id) {
            movies.push(movie);
            arms.push(Some(arm));
        }
    }
    one.recommendations = movies;
    if let Some((timings, others)) = one.timings.as_mut().zip(other.timings) {
        // Both were asked at the same time.
        timings.total_us = timings.total_us.max(others.total_us);
    }
    (one, arms)
}

/// Who is assigned: the user, or who the caller says is behind a history.
fn unit(request: &v1::RecommendRequest) -> Result<Option<UserId>, ApiError> {
    let key = &request.unit_key;
    match request.subject {
        Some(Subject::UserId(_)) if !key.is_empty() => {
            Err(ApiError::invalid("unit_key", "must be absent where the request names its user"))
        }
        Some(Subject::UserId(user_id)) => Ok(Some(user_id)),
        Some(Subject::History(_)) if is_key(key) => Ok(Some(user_of_key(key))),
        Some(Subject::History(_)) if !key.is_empty() => Err(ApiError::no_key("unit_key")),
        Some(Subject::History(_) | Subject::UserKey(_)) | None => Ok(None),
    }
}

fn check_labels(labels: &HashMap<String, String>) -> Result<(), ApiError> {
    let is_long = |text: &String| text.chars().count() > LABEL_LENGTH;
    if labels.iter().any(|(label, value)| label.is_empty() || is_long(label) || is_long(value)) {
        let what = format!(
            "must have names of 1 to {LABEL_LENGTH} characters, and values of {LABEL_LENGTH} at most"
        );
        return Err(ApiError::invalid("labels", what));
    }
    Ok(())
}

/// Fills in what the request does not say; whether it said anything itself that the arm says too.
fn fill(request: &mut v1::RecommendRequest, arm: &Overrides, names_preset: bool) -> bool {
    let mut overruled = false;
    let mut text = |place: &mut String, said: &Option<String>| {
        if let Some(said) = said {
            overruled |= !place.is_empty();
            if place.is_empty() {
                place.clone_from(said);
            }
        }
    };
    text(&mut request.model_version, &arm.model_version);
    text(&mut request.preset, &arm.preset);
    if let Some(method) = arm.method {
        overruled |= request.method() != v1::Method::Unspecified;
        if request.method() == v1::Method::Unspecified {
            request.set_method(wire_method(method));
        }
    }
    put(&mut request.k, arm.k, &mut overruled);
    if names_preset {
        return overruled | arm.said().iter().any(|name| !matches!(*name, "model_version" | "method" | "k"));
    }
    put(&mut request.diversity, arm.diversity, &mut overruled);
    put(&mut request.calibration, arm.calibration, &mut overruled);
    put(&mut request.popularity_weight, arm.popularity_weight, &mut overruled);
    put(&mut request.freshness_weight, arm.freshness_weight, &mut overruled);
    put(&mut request.freshness_half_life, arm.freshness_half_life, &mut overruled);
    put(&mut request.rating_weight, arm.rating_weight, &mut overruled);
    put(&mut request.candidates_limit, arm.candidates_limit, &mut overruled);
    put(&mut request.max_per_genre, arm.max_per_genre, &mut overruled);
    put(&mut request.first_events_popularity, arm.first_events_popularity, &mut overruled);
    put(&mut request.new_movie_slots, arm.new_movie_slots, &mut overruled);
    overruled
}

fn put<T>(place: &mut Option<T>, said: Option<T>, overruled: &mut bool) {
    if said.is_some() {
        *overruled |= place.is_some();
        *place = place.take().or(said);
    }
}

/// The method as requests say it.
pub(super) fn wire_method(method: Retrieval) -> v1::Method {
    match method {
        Retrieval::Auto => v1::Method::Auto,
        Retrieval::Exact => v1::Method::Exact,
        Retrieval::Ann => v1::Method::Ann,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_request_says_goes_before_what_the_arm_says() {
        let arm = Overrides {
            model_version: Some("b@1".to_owned()),
            k: Some(20),
            diversity: Some(0.5),
            method: Some(Retrieval::Exact),
            ..Overrides::default()
        };
        let mut request = v1::RecommendRequest { k: Some(5), ..Default::default() };
        assert!(fill(&mut request, &arm, false));
        assert_eq!((request.k, request.diversity, &*request.model_version), (Some(5), Some(0.5), "b@1"));
        assert_eq!(request.method(), v1::Method::Exact);
        assert!(!fill(&mut v1::RecommendRequest::default(), &arm, false));
    }

    fn reply(movies: &[(u32, v1::Source)]) -> v1::RecommendResponse {
        let recommendations = movies.iter().map(|(movie_id, source)| v1::Recommendation {
            movie_id: *movie_id,
            source: (*source).into(),
            ..Default::default()
        });
        v1::RecommendResponse { recommendations: recommendations.collect(), ..Default::default() }
    }

    #[test]
    fn two_answers_are_merged_below_what_is_pinned() {
        use v1::Source::{Model, Rule};
        let one = reply(&[(9, Rule), (1, Model), (2, Model), (3, Model)]);
        let other = reply(&[(9, Rule), (2, Model), (4, Model), (1, Model)]);
        let (merged, arms) = merge(one, other, 4, || true);
        let movies: Vec<u32> = merged.recommendations.iter().map(|movie| movie.movie_id).collect();
        assert_eq!((movies, arms), (vec![9, 1, 2, 3], vec![None, Some(0), Some(1), Some(0)]));
    }

    #[test]
    fn a_preset_that_the_request_names_goes_before_an_objective_of_the_arm() {
        let arm = Overrides { diversity: Some(0.5), ..Overrides::default() };
        let mut request = v1::RecommendRequest { preset: "new".to_owned(), ..Default::default() };
        assert!(fill(&mut request, &arm, true));
        assert_eq!((request.diversity, &*request.preset), (None, "new"));
    }
}
