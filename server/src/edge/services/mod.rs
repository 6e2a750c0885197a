//! One file a service of the API.

mod catalog;
mod interactions;
mod operations;
mod recommendation;
mod users;

pub use catalog::CatalogApi;
pub use interactions::InteractionApi;
pub use operations::{LoadModel, OperationsApi};
pub use recommendation::{RecommendationApi, question, response};
pub use users::UserApi;
