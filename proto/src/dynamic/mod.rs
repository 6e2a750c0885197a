//! The API for whoever meets its messages at run time: a command line that grows from the descriptors, a gateway
//! that speaks JSON.
//!
//! [`Api`] knows the services, the comments and the [`Rules`] of their fields, and [checks](Api::check) messages;
//! [`from_json`] and [`to_json`] turn messages into JSON and back; [`DynamicCodec`] sends them; [`Routes`] say where its
//! methods stand in HTTP, and [`query_to_json`] reads what a URL says. Nothing here knows a single method or field, so
//! what is added to a proto is there without a line of code.
//!
//! ```
//! use marquee_proto::dynamic::{Api, from_json, to_json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let api = Api::marquee();
//! let method = api.method("marquee.v1.RecommendationService.Recommend").ok_or("no such method")?;
//!
//! let request = from_json(&method.input(), r#"{"user_id": 1, "k": 501, "method": "exact"}"#)?;
//! assert_eq!(to_json(&request)?["method"], "METHOD_EXACT");
//!
//! let violations = api.check(&request).unwrap_err();
//! assert_eq!(violations[0].field, "k");
//! assert_eq!(violations[0].description, "is 501; 1 to 500 movies is accepted");
//! # Ok(())
//! # }
//! ```

mod accepts;
mod api;
mod check;
mod codec;
mod http;
mod json;
mod names;
mod percent;
mod query;
mod rules;

pub use api::Api;
pub use codec::{DynamicCodec, DynamicEncoder};
pub use http::{
    BindingError, BindingFault, Captures, Found, HttpBinding, PathTemplate, RequestBody, Routes,
    TemplateError, Verb,
};
pub use json::{JsonError, from_json, json_to_bytes, to_json, to_json_text};
pub use names::{enum_value, enum_value_name, enum_value_names, is_well_known};
pub use query::{MAX_QUERY_BYTES, query_to_json, with_captures};
pub use rules::{AccessRules, OneofRules, Rules};
