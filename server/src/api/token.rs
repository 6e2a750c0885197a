//! Consistency tokens: what a write hands out, so that a later read anywhere reflects it.
//!
//! On one node every acknowledged write is there for the next read, so a token is only checked for
//! its form: `v1.` and the server's time of the write in hexadecimal milliseconds.

use super::ApiError;
use crate::domain::TimeMs;

const PREFIX: &str = "v1.";

/// The token of a write that was acknowledged at this time.
pub(super) fn of_write(now_ms: TimeMs) -> String {
    format!("{PREFIX}{now_ms:x}")
}

/// Whether this text is a token, or empty.
pub(super) fn check(token: &str) -> Result<(), ApiError> {
    let good = |time: &str| (1..=16).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_hexdigit());
    if token.is_empty() || token.strip_prefix(PREFIX).is_some_and(good) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "consistency_token",
        "is not one that this server gave; send back what a write answered",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_write_is_accepted_and_another_text_is_not() {
        assert!(check(&of_write(1_700_000_000_000)).is_ok());
        assert!(check("").is_ok());
        for token in ["v1.", "v2.18bcfe56800", "v1.xyz", "18bcfe56800"] {
            assert!(check(token).is_err(), "{token}");
        }
    }
}
