//! The arms of experiments that a request is answered by: what they say in its place, and what is recorded of that.

use std::collections::HashMap;

use marquee_core::clock::now_ms;
use marquee_core::domain::{MovieId, UserId};
use marquee_proto::methods::experiment::UPDATE_EXPERIMENT;
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;

use super::{ApiError, Asker};
use crate::experiments::{Applied, Asked, Experiments, Exposure, Overrides, Retrieval, Shadow};

/// Most characters of a label and its value.
const LABEL_LENGTH: usize = 64;

/// What a request takes part in.
pub(super) struct Taken {
    user_id: Option<UserId>,
    applied: Vec<Applied>,
    /// Whether the request said something itself that the arm says too, for each.
    overruled: Vec<bool>,
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
    let user_id = match request.subject {
        Some(Subject::UserId(user_id)) => Some(user_id),
        Some(Subject::History(_) | Subject::UserKey(_)) | None => None,
    };
    let mut applied = match user_id.filter(|_| request.experiments.unwrap_or(true)) {
        Some(user_id) => experiments.applied(Asked { user_id, labels: &request.labels }).await?,
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
    // An arm does not go before a preset that the request names, nor what one arm says before what another one does.
    let names_preset = !request.preset.is_empty();
    let overruled = applied.iter().map(|applied| {
        let arm = &applied.experiment.definition.arms[applied.arm];
        fill(request, &arm.overrides, names_preset)
    });
    let overruled = overruled.collect();
    Ok(Some(Taken { user_id, applied, overruled }))
}

impl Taken {
    /// Says in the reply what it is of, and has it recorded.
    pub(super) fn tell(self, experiments: &Experiments, reply: &mut v1::RecommendResponse) {
        let arms = self.applied.iter().zip(&self.overruled).map(|(applied, overruled)| v1::AppliedArm {
            experiment: applied.experiment.name().to_owned(),
            arm: applied.experiment.definition.arms[applied.arm].name.clone(),
            forced: applied.forced,
            overruled: *overruled,
        });
        reply.experiments = arms.collect();
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
        let Self { user_id, applied, overruled } = self;
        let user_id = user_id.filter(|_| applied.iter().any(|applied| !applied.forced))?;
        let exposure_id = format!("{:016x}", rand::random::<u64>());
        experiments.exposed(Exposure {
            exposure_id: exposure_id.clone(),
            user_id,
            time_ms: now_ms(),
            overruled: overruled.contains(&true),
            applied,
            items,
            took_us,
        });
        Some(exposure_id)
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

    #[test]
    fn a_preset_that_the_request_names_goes_before_an_objective_of_the_arm() {
        let arm = Overrides { diversity: Some(0.5), ..Overrides::default() };
        let mut request = v1::RecommendRequest { preset: "new".to_owned(), ..Default::default() };
        assert!(fill(&mut request, &arm, true));
        assert_eq!((request.diversity, &*request.preset), (None, "new"));
    }
}
