//! The checks behind [`Validate`], and the generated implementations.
//!
//! A check does not stop at the first fault: a caller who sent three bad fields hears of three. It stops at
//! [`MAX_VIOLATIONS`], and does not look into a list that is too long, so that a refusal stays cheap.

#![allow(clippy::pedantic)]
// The generated checks dereference and convert alike for every kind of number.
#![allow(clippy::deref_addrof, clippy::unnecessary_cast)]

use std::collections::HashMap;

use crate::v1;

/// Violations that one check finds at most.
pub const MAX_VIOLATIONS: usize = 20;

/// A field that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field in dotted form, such as `filter.year_min` or `requests[3].k`.
    pub field: String,
    /// What is wrong and what is accepted.
    pub description: String,
}

/// A message that knows its own constraints.
pub trait Validate {
    /// Adds every violation of this message to the checker.
    fn check(&self, at: &mut Checker);

    /// The violations of this message, the first [`MAX_VIOLATIONS`] of them.
    ///
    /// # Errors
    /// The violations, in the order of the fields; never empty.
    fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut checker = Checker::default();
        self.check(&mut checker);
        if checker.violations.is_empty() { Ok(()) } else { Err(checker.violations) }
    }
}

/// Collects violations and knows where in the message it is.
#[derive(Default)]
pub struct Checker {
    path: String,
    index: Option<usize>,
    violations: Vec<Violation>,
}

impl Checker {
    fn field(&self, name: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        match self.index {
            Some(index) => format!("{}{dot}{name}[{index}]", self.path),
            None => format!("{}{dot}{name}", self.path),
        }
    }

    fn is_full(&self) -> bool {
        self.violations.len() >= MAX_VIOLATIONS
    }

    fn add(&mut self, name: &str, description: String) {
        if !self.is_full() {
            self.violations.push(Violation { field: self.field(name), description });
        }
    }

    /// Whether the list is short enough to be looked into.
    fn items(&mut self, name: &str, count: usize, most: usize) -> bool {
        if count > most {
            self.add(name, format!("has {count} elements; at most {most} are accepted"));
        }
        count <= most
    }

    /// Of a map from texts to texts.
    fn entries(&mut self, name: &str, map: &HashMap<String, String>, most: usize, longest: usize) {
        if !self.items(name, map.len(), most) {
            return;
        }
        for text in map.iter().flat_map(|(key, value)| [key, value]) {
            let before = self.violations.len();
            self.length(name, text, 0, longest);
            if self.violations.len() > before {
                return;
            }
        }
    }

    fn length(&mut self, name: &str, text: &str, least: usize, most: usize) {
        let count = text.chars().count();
        if count < least {
            self.add(name, format!("has {count} characters; at least {least} are needed"));
        } else if count > most {
            self.add(name, format!("has {count} characters; at most {most} are accepted"));
        }
    }

    fn known(&mut self, name: &str, number: i32, known: bool) {
        if !known {
            self.add(name, format!("is {number}, which is no value of this enum"));
        }
    }

    fn required(&mut self, name: &str, there: bool) {
        if !there {
            self.add(name, "must be there".to_owned());
        }
    }

    fn number(&mut self, name: &str, number: f64, min: Option<f64>, max: Option<f64>, step: Option<f64>) {
        let below = min.is_some_and(|min| number < min);
        let above = max.is_some_and(|max| number > max);
        if number.is_nan() || below || above {
            let range = match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max} is accepted"),
                (Some(min), None) => format!("{min} or more is accepted"),
                (None, Some(max)) => format!("{max} or less is accepted"),
                (None, None) => "a number is accepted".to_owned(),
            };
            self.add(name, format!("is {number}; {range}"));
        } else if let Some(step) = step
            && (number / step).fract() != 0.0
        {
            self.add(name, format!("is {number}; a multiple of {step} is accepted"));
        }
    }

    fn message<M: Validate>(&mut self, name: &str, message: &M) {
        let inner = self.field(name);
        let outer = std::mem::replace(&mut self.path, inner);
        let index = self.index.take();
        message.check(self);
        self.path = outer;
        self.index = index;
    }
}

include!(concat!(env!("OUT_DIR"), "/validate.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<M: Validate>(message: &M) -> Vec<String> {
        message.validate().err().unwrap_or_default().into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn every_bad_field_is_named() {
        let request = v1::RecommendRequest {
            subject: Some(v1::recommend_request::Subject::UserId(0)),
            k: Some(0),
            method: 9,
            filter: Some(v1::Filter {
                year_min: Some(3000),
                average_rating_min: Some(f64::NAN),
                genres_any: vec!["Drama".into(), String::new()],
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(
            fields(&request),
            [
                "user_id",
                "k",
                "method",
                "filter.genres_any[1]",
                "filter.year_min",
                "filter.average_rating_min",
            ]
        );
    }

    #[test]
    fn an_absent_optional_field_is_no_violation() {
        let request = v1::RecommendRequest { subject: Some(1.into()), ..Default::default() };
        assert_eq!(request.validate(), Ok(()));
    }

    #[test]
    fn a_rating_off_the_half_star_grid_is_refused() {
        let event = |rating| v1::RecordInteractionRequest {
            user: Some(1.into()),
            movie: Some(1.into()),
            rating: Some(rating),
            ..Default::default()
        };
        assert_eq!(fields(&event(4.3)), ["rating"]);
        assert!(fields(&event(4.5)).is_empty());
        assert_eq!(fields(&event(5.5)), ["rating"]);
    }

    #[test]
    fn a_fault_deep_in_a_list_has_its_index_in_the_path() {
        let wanting = |k| v1::RecommendRequest { subject: Some(1.into()), k: Some(k), ..Default::default() };
        let batch = v1::RecommendBatchRequest { requests: vec![wanting(5), wanting(501)] };
        assert_eq!(fields(&batch), ["requests[1].k"]);
    }

    #[test]
    fn what_a_request_is_about_must_be_there() {
        assert_eq!(fields(&v1::GetMovieRequest::default()), ["movie_id"]);
        assert_eq!(fields(&v1::GetMovieRequest { movie: Some(0.into()) }), ["movie_id"]);
        assert!(fields(&v1::GetMovieRequest { movie: Some(1.into()) }).is_empty());
        assert_eq!(fields(&v1::RecordInteractionRequest::default()), ["user_id", "movie_id"]);
        let interaction = Some(v1::Interaction { user: Some(1.into()), ..Default::default() });
        assert_eq!(fields(&v1::RecordInteractionsRequest { interaction }), ["interaction.movie_id"]);
        assert_eq!(fields(&v1::RecommendRequest::default()), ["subject"]);
        assert_eq!(fields(&v1::ActivateModelRequest::default()), ["target"]);
    }

    #[test]
    fn a_required_message_must_be_there() {
        assert_eq!(fields(&v1::RecordInteractionsRequest::default()), ["interaction"]);
    }

    #[test]
    fn a_list_that_is_too_long_is_refused() {
        let history = v1::History::from(vec![1; 10_001]);
        assert_eq!(fields(&history), ["movie_ids"]);
    }

    #[test]
    fn a_list_that_is_too_long_is_not_looked_into() {
        let history = v1::History::from(vec![0; 10_001]);
        assert_eq!(fields(&history), ["movie_ids"]);
        let ratings = v1::RecommendRequest { k: Some(0), ..Default::default() };
        assert_eq!(fields(&v1::RecommendBatchRequest { requests: vec![ratings; 1001] }), ["requests"]);
    }

    #[test]
    fn a_check_ends_at_twenty_violations() {
        let history = v1::History::from(vec![0; 10_000]);
        assert_eq!(fields(&history).len(), MAX_VIOLATIONS);
        assert_eq!(fields(&history).last().unwrap(), "movie_ids[19]");
        let filter =
            v1::Filter { allow_movie_ids: vec![0; 19], deny_movie_ids: vec![0; 19], ..Default::default() };
        let request = v1::RecommendRequest { k: Some(0), filter: Some(filter), ..Default::default() };
        assert_eq!(fields(&request).len(), MAX_VIOLATIONS);
    }
}
