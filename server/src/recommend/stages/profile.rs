//! What a request starts from: the subject, looked up. The one stage that reads a store.

use std::borrow::Cow;
use std::time::Instant;

use marquee_store::StoreError;

use crate::profiles::ConsistencyToken;
use crate::recommend::Subject;
use crate::recommend::context::RequestContext;
use crate::recommend::stage::Stage;
use crate::recommend::taste::taste_of;

/// How many of a user's newest events are read for one place in the model's sequence: some events
/// are not taste, and some repeat a movie.
pub(in crate::recommend) const EVENTS_PER_PLACE: usize = 2;

/// How many are read where no model is active.
const EVENTS_WITHOUT_MODEL: usize = 400;

/// Finds the taste and the profile of a subject.
pub(in crate::recommend) async fn profile<'a>(
    context: &mut RequestContext<'a>,
    subject: &'a Subject,
    consistency_token: &ConsistencyToken,
) -> Result<(), StoreError> {
    let began = Instant::now();
    match subject {
        Subject::History(movie_ids) => context.taste = movie_ids.into(),
        Subject::User(user_id) => {
            let newest = events_to_read(context);
            // Reading a store makes a future of nine kilobytes, which would be moved with every request's.
            let profile = Box::pin(context.parts.profiles.read(*user_id, newest, consistency_token)).await?;
            if let Some(profile) = profile {
                context.taste = Cow::Owned(taste_of(&profile.newest));
                context.profile = profile;
            }
        }
    }
    context.watch.lap(Stage::Profile, began);
    Ok(())
}

/// As many as the request's own model can make use of.
fn events_to_read(context: &RequestContext<'_>) -> usize {
    let model = context.model.as_ref();
    model.map_or(EVENTS_WITHOUT_MODEL, |model| model.bundle().maximum_length() * EVENTS_PER_PLACE)
}
