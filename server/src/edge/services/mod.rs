//! One file a service of the API.

mod catalog;
mod interaction;
mod operations;
mod recommendation;
mod rule;
mod user;
mod vector;

pub use catalog::CatalogApi;
pub use interaction::InteractionApi;
pub(crate) use operations::{LoadModel, OperationsApi};
pub(crate) use recommendation::RecommendationApi;
pub use recommendation::{Unsaid, question, response};
pub(crate) use rule::RuleApi;
pub(crate) use user::UserApi;
pub(crate) use vector::VectorApi;
