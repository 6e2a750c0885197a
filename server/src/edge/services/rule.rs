//! `marquee.v1.RuleService`.

use std::sync::Arc;

use marquee_core::domain::{MovieId, TimeMs};
use marquee_proto::v1;
use marquee_proto::v1::rule_service_server::RuleService;
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use crate::edge::page::List;
use crate::edge::{ApiError, KeyNumbers, convert, valid};
use crate::recommend::RecommendError;
use crate::rules::{Action, Rule, RuleError, RuleFault, RulePlace, Rules};

/// Rules on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 50;

/// The service.
pub(crate) struct RuleApi {
    rules: Arc<Rules>,
    numbers: KeyNumbers,
}

impl RuleApi {
    /// The service over the rules, whose movies may be named by keys.
    pub(crate) fn new(rules: Arc<Rules>, numbers: KeyNumbers) -> Self {
        Self { rules, numbers }
    }

    fn shown(&self, rule: &Rule) -> v1::Rule {
        shown(rule, |movie_ids| self.numbers.of_movies(movie_ids))
    }
}

#[tonic::async_trait]
impl RuleService for RuleApi {
    async fn put_rule(
        &self,
        request: Request<v1::PutRuleRequest>,
    ) -> Result<Response<v1::PutRuleResponse>, Status> {
        let rule = rule(self.numbers.known(request).await?)?;
        let created = self.rules.put(rule.clone()).await.map_err(refused)?;
        Ok(Response::new(v1::PutRuleResponse { rule: Some(self.shown(&rule)), created }))
    }

    async fn get_rule(
        &self,
        request: Request<v1::GetRuleRequest>,
    ) -> Result<Response<v1::GetRuleResponse>, Status> {
        let request = valid(request)?;
        let rule = self.rules.get(&request.rule_id).ok_or(ApiError::UnknownRule(request.rule_id))?;
        Ok(Response::new(v1::GetRuleResponse { rule: Some(self.shown(&rule)) }))
    }

    async fn list_rules(
        &self,
        request: Request<v1::ListRulesRequest>,
    ) -> Result<Response<v1::ListRulesResponse>, Status> {
        let mut request = valid(request)?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListRules", &request);
        let after = list.rules_after(&page_token)?;
        let after = after.as_ref().map(|(priority, rule_id)| RulePlace::of(*priority, rule_id));
        let mut rules = self.rules.list(after, page_size + 1);
        let is_last = rules.len() <= page_size;
        rules.truncate(page_size);
        let next = rules.last().filter(|_| !is_last).map(|rule| list.rules_token(rule.place()));
        Ok(Response::new(v1::ListRulesResponse {
            rules: rules.iter().map(|rule| self.shown(rule)).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn delete_rule(
        &self,
        request: Request<v1::DeleteRuleRequest>,
    ) -> Result<Response<v1::DeleteRuleResponse>, Status> {
        let request = valid(request)?;
        let deleted = self.rules.remove(request.rule_id).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::DeleteRuleResponse { deleted }))
    }
}

/// The rule of a request whose constraints hold.
fn rule(request: v1::PutRuleRequest) -> Result<Rule, ApiError> {
    use v1::put_rule_request::Action as Wire;
    let time =
        |field: &str, time: Option<Timestamp>| time.map(|time| convert::time_ms(field, &time)).transpose();
    let action = match request.action {
        Some(Wire::Pin(v1::Pin { movie_ids, .. })) => Action::Pin { movie_ids },
        Some(Wire::Boost(v1::Boost { movie_ids, weight, .. })) => {
            let missing = || ApiError::invalid("boost.weight", "must be there");
            Action::Boost { movie_ids, weight: weight.ok_or_else(missing)? }
        }
        Some(Wire::Bury(v1::Bury { movie_ids, how, .. })) => {
            Action::Bury { movie_ids, penalty: penalty(how)? }
        }
        None => return Err(ApiError::invalid("pin", "must be there, or boost, or bury")),
    };
    Ok(Rule {
        start_ms: time("start_time", request.start_time)?,
        end_ms: time("end_time", request.end_time)?,
        filter: convert::filter(request.filter)?,
        enabled: request.enabled.unwrap_or(true),
        rule_id: request.rule_id,
        reason: request.reason,
        contexts: request.contexts,
        priority: request.priority.unwrap_or_default(),
        action,
    })
}

/// What is taken off the values of buried movies; `None` where they are removed.
fn penalty(how: Option<v1::bury::How>) -> Result<Option<f64>, ApiError> {
    match how {
        Some(v1::bury::How::Penalty(penalty)) => Ok(Some(penalty)),
        Some(v1::bury::How::Remove(true)) => Ok(None),
        Some(v1::bury::How::Remove(false)) => {
            Err(ApiError::invalid("bury.remove", "is false; say true, or a penalty instead"))
        }
        None => Err(ApiError::invalid("bury.penalty", "must be there, or remove")),
    }
}

/// Why a rule is refused, by its field.
fn refused(error: RuleError) -> ApiError {
    match error {
        RuleError::Fault(fault) => ApiError::invalid(field_of(fault), fault.to_string()),
        RuleError::UnknownMovie(movie_id) => ApiError::UnknownMovie(movie_id),
        RuleError::Filter(error) => RecommendError::from(error).into(),
        RuleError::TooMany => ApiError::TooManyRules(error.to_string()),
        RuleError::Store(error) => error.into(),
    }
}

fn field_of(fault: RuleFault) -> &'static str {
    match fault {
        RuleFault::Id => "rule_id",
        RuleFault::Reason(_) => "reason",
        RuleFault::Contexts(_) => "contexts",
        RuleFault::NothingToPin => "pin.movie_ids",
        RuleFault::NoMovies => "filter",
        RuleFault::Ends => "end_time",
    }
}

/// A rule as it is answered, with the keys that its movies have.
fn shown(rule: &Rule, keys_of: impl Fn(&[MovieId]) -> Vec<String>) -> v1::Rule {
    use v1::bury::How;
    use v1::rule::Action as Wire;
    let action = match rule.action.clone() {
        Action::Pin { movie_ids } => Wire::Pin(v1::Pin { movie_keys: keys_of(&movie_ids), movie_ids }),
        Action::Boost { movie_ids, weight } => {
            Wire::Boost(v1::Boost { movie_keys: keys_of(&movie_ids), movie_ids, weight: Some(weight) })
        }
        Action::Bury { movie_ids, penalty } => {
            let how = Some(penalty.map_or(How::Remove(true), How::Penalty));
            Wire::Bury(v1::Bury { movie_keys: keys_of(&movie_ids), movie_ids, how })
        }
    };
    let filter = (!rule.filter.is_empty()).then(|| {
        let filter = convert::shown_filter(&rule.filter);
        let (allow_movie_keys, deny_movie_keys) =
            (keys_of(&filter.allow_movie_ids), keys_of(&filter.deny_movie_ids));
        v1::Filter { allow_movie_keys, deny_movie_keys, ..filter }
    });
    let time = |time: Option<TimeMs>| time.map(convert::timestamp);
    v1::Rule {
        rule_id: rule.rule_id.clone(),
        reason: rule.reason.clone(),
        action: Some(action),
        filter,
        contexts: rule.contexts.clone(),
        start_time: time(rule.start_ms),
        end_time: time(rule.end_ms),
        enabled: rule.enabled,
        priority: rule.priority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::PutRuleRequest {
        let action =
            v1::put_rule_request::Action::Pin(v1::Pin { movie_ids: vec![3, 1], ..v1::Pin::default() });
        v1::PutRuleRequest {
            rule_id: "christmas".to_owned(),
            reason: "Christmas".to_owned(),
            action: Some(action),
            ..Default::default()
        }
    }

    #[test]
    fn a_rule_is_shown_as_it_was_put() {
        let filter = v1::Filter {
            genres_any: vec!["Comedy".to_owned()],
            genres_none: vec!["Horror".to_owned()],
            year_min: Some(1990),
            average_rating_min: Some(3.5),
            ratings_min: Some(10),
            deny_movie_ids: vec![9],
            attributes: vec![v1::AttributeFilter {
                name: "minutes".to_owned(),
                test: Some(v1::attribute_filter::Test::Range(v1::NumberRange { min: Some(90.0), max: None })),
            }],
            ..Default::default()
        };
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let put = v1::PutRuleRequest {
            filter: Some(filter.clone()),
            contexts: vec!["home".to_owned()],
            start_time: time(10),
            end_time: time(20),
            enabled: Some(false),
            priority: Some(-3),
            ..request()
        };
        let shown = shown(&rule(put).unwrap(), |_| Vec::new());
        assert_eq!((shown.filter, shown.contexts), (Some(filter), vec!["home".to_owned()]));
        assert_eq!((shown.start_time, shown.end_time), (time(10), time(20)));
        assert_eq!((shown.enabled, shown.priority), (false, -3));
        assert_eq!(
            shown.action,
            Some(v1::rule::Action::Pin(v1::Pin { movie_ids: vec![3, 1], ..v1::Pin::default() }))
        );
    }

    #[test]
    fn burying_says_how() {
        assert!(rule(request()).unwrap().enabled);
        let bury = |how| {
            let bury = v1::Bury { movie_ids: vec![1], how, ..v1::Bury::default() };
            rule(v1::PutRuleRequest { action: Some(v1::put_rule_request::Action::Bury(bury)), ..request() })
        };
        let weighed = bury(Some(v1::bury::How::Penalty(2.0))).unwrap();
        assert_eq!(weighed.action, Action::Bury { movie_ids: vec![1], penalty: Some(2.0) });
        let removed = bury(Some(v1::bury::How::Remove(true))).unwrap();
        assert_eq!(removed.action, Action::Bury { movie_ids: vec![1], penalty: None });
        let refused = bury(Some(v1::bury::How::Remove(false))).unwrap_err().to_string();
        assert_eq!(refused, "bury.remove is false; say true, or a penalty instead");
    }
}
