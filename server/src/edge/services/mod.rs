//! One file a service of the API.

mod access;
mod account;
mod audit;
mod catalog;
mod experiment;
mod interaction;
mod job;
mod model;
mod operations;
mod recommendation;
mod rule;
mod user;
mod vector;

pub(crate) use access::AccessApi;
pub(crate) use account::AccountApi;
pub(crate) use audit::AuditApi;
pub use catalog::CatalogApi;
pub(crate) use experiment::ExperimentApi;
pub use interaction::InteractionApi;
pub(crate) use job::{JobApi, RUN_JOB};
pub(crate) use model::ModelApi;
pub(crate) use operations::{Lately, OperationsApi, Places};
pub(crate) use recommendation::RecommendationApi;
pub use recommendation::{Unsaid, question, response};
pub(crate) use rule::RuleApi;
pub(crate) use user::UserApi;
pub(crate) use vector::VectorApi;
