//! The active model, for kinds that cannot do without one: right after a start there is none yet.

use std::sync::Arc;
use std::time::Duration;

use marquee_engine::Model;

use super::super::kind::Failure;
use super::super::run::Run;
use crate::recommend::Recommender;

/// How often it is looked for, and how many times.
const EVERY: Duration = Duration::from_secs(1);
const TIMES: u32 = 600;

/// The active model, once there is one.
///
/// # Errors
/// [`Failure`] when there is none within ten minutes.
pub(super) async fn active_model(recommender: &Recommender, run: &Run) -> Result<Arc<Model>, Failure> {
    for _ in 0..TIMES {
        if let Ok(model) = recommender.model() {
            return Ok(model);
        }
        run.reached(0, 0, "waiting for a model");
        tokio::time::sleep(EVERY).await;
    }
    recommender.model().map_err(Failure::of)
}
