//! Texts of a URL, decoded.

use std::borrow::Cow;

/// Why a part of a URL is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undecodable {
    #[error("has a % without two hexadecimal digits after it; a % itself is written %25")]
    Escape,
    #[error("is not UTF-8 when its %-escapes are decoded")]
    Utf8,
}

/// The text that stands in a part of a URL. A `+` is itself.
///
/// # Errors
/// [`Undecodable`], where other readers would guess.
pub(super) fn decoded(part: &str) -> Result<Cow<'_, str>, Undecodable> {
    if !part.contains('%') {
        return Ok(Cow::Borrowed(part));
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let (high, low) = rest.next().zip(rest.next()).ok_or(Undecodable::Escape)?;
            digit(high)? << 4 | digit(low)?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Undecodable::Utf8)
}

fn digit(byte: u8) -> Result<u8, Undecodable> {
    let digit = char::from(byte).to_digit(16).ok_or(Undecodable::Escape)?;
    Ok(digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once_and_in_either_case() {
        assert_eq!(decoded("a%2Fb%2fc%20d+e").unwrap(), "a/b/c d+e");
        assert_eq!(decoded("%252F").unwrap(), "%2F");
        assert_eq!(decoded("Am%C3%A9lie").unwrap(), "Amélie");
        assert!(matches!(decoded("plain").unwrap(), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for part in ["%", "a%2", "%zz", "%+1", "100%"] {
            assert_eq!(decoded(part), Err(Undecodable::Escape), "{part}");
        }
        for part in ["%ff", "%C3", "%ED%A0%80"] {
            assert_eq!(decoded(part), Err(Undecodable::Utf8), "{part}");
        }
    }
}
