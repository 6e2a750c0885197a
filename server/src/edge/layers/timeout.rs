//! The header that says how long a caller waits.

use std::time::Duration;

use http::HeaderMap;

use crate::edge::ApiError;

const HEADER: &str = "grpc-timeout";

/// The time that the caller gives; `None` when it names none.
///
/// # Errors
/// [`ApiError::Timeout`] when it cannot be read.
pub(crate) fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(parse_grpc_timeout);
    timeout.map(Some).ok_or(ApiError::Timeout)
}

/// The span of a `grpc-timeout` header: 1 to 8 digits and a unit.
fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(parse_grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_grpc_timeout("99999999H"), Some(Duration::from_hours(99_999_999)));
        for text in ["", "m", "250", "1.5S", "-1S", "123456789n", "1s", "1\u{b5}"] {
            assert_eq!(parse_grpc_timeout(text), None, "{text}");
        }
    }
}
