//! What a request names: whose data it is about, how much it wants, and of which model. Whoever may call a method for
//! some of these alone is held to it in one place.
//!
//! ```
//! use marquee_proto::{Named, Names, v1};
//!
//! let request = v1::RecommendRequest { subject: Some(7.into()), ..Default::default() };
//! let mut users = Vec::new();
//! request.names(&mut |named| users.extend(if let Named::User(user) = named { Some(user) } else { None }));
//! assert_eq!(users, [7]);
//! ```

#![allow(clippy::pedantic)]

use crate::v1;

/// What a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A user, by its `user_id`.
    User(u64),
    /// How many movies or users it wants; of one that does not say so, how many it gets.
    K(u32),
    /// A version of a model; empty for the active one.
    Model(&'a str),
}

/// A message that can say what it names.
pub trait Names {
    /// Visits all that it names, that within lists and messages too.
    fn names(&self, visit: &mut dyn FnMut(Named<'_>));
}

include!(concat!(env!("OUT_DIR"), "/named.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    fn named(request: &impl Names) -> Vec<String> {
        let mut found = Vec::new();
        request.names(&mut |named| found.push(format!("{named:?}")));
        found
    }

    #[test]
    fn what_a_request_names_is_found_wherever_it_stands() {
        let one = |user_id: u64, k| v1::RecommendRequest {
            subject: Some(user_id.into()),
            k,
            model_version: "a@1".to_owned(),
            ..Default::default()
        };
        let batch = v1::RecommendBatchRequest { requests: vec![one(7, None), one(8, Some(3))] };
        let expected = ["User(7)", "K(10)", "Model(\"a@1\")", "User(8)", "K(3)", "Model(\"a@1\")"];
        assert_eq!(named(&batch), expected);

        let interaction = v1::Interaction { user: Some(9.into()), ..Default::default() };
        let streamed = v1::RecordInteractionsRequest { interaction: Some(interaction) };
        assert_eq!(named(&streamed), ["User(9)"]);
        assert_eq!(named(&v1::ListGenresRequest::default()), [""; 0]);
    }
}
