//! The server's clock, for events and users that come without a time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::TimeMs;

/// Now, in milliseconds since 1970; 0 on a machine whose clock stands before that.
pub fn now_ms() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs::try_from(since.as_millis()).unwrap_or(TimeMs::MAX)
}
