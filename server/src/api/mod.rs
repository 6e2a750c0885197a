//! The gRPC services: one file a service, conversions, and the single map from error to status.
//!
//! A handler validates, converts, calls one room, and converts back. It decides nothing else.

mod catalog;
mod convert;
mod error;
#[cfg(test)]
mod field_tests;
mod interactions;
mod operations;
mod page;
mod places;
mod recommendation;
mod stream;
mod token;
mod users;

pub use catalog::CatalogApi;
pub(crate) use error::MESSAGE_BYTES;
pub use error::{ApiError, MOST_STATUS_BYTES};
pub use interactions::InteractionApi;
pub use operations::{LoadModel, OperationsApi};
pub use recommendation::{RecommendationApi, question, response};
pub use users::UserApi;

use marquee_proto::Validate;

/// The message, once its constraints hold.
fn valid<M: Validate>(message: M) -> Result<M, ApiError> {
    message.validate().map_err(ApiError::Invalid)?;
    Ok(message)
}
