//! Texts that are short enough for a status.
//!
//! A status travels in headers, which many clients take only up to 8 KiB in all, and much of what its message quotes
//! belongs to callers or to the catalogue. So a text that is too long loses its middle: what a sentence is about stands
//! at its beginning, what to do at its end.

use std::borrow::Cow;

/// Stands for what was cut out.
const GAP: &str = " … ";

/// Most bytes of what a caller sent that a message quotes.
pub(super) const QUOTED_BYTES: usize = 200;

/// What a caller sent, such as a path or a header, as a message quotes it.
pub(super) fn quoted(text: &str) -> String {
    shorten(text, QUOTED_BYTES).into_owned()
}

/// The text without its middle if it is longer than `most`, as [`encoded_len`] counts.
pub(super) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().map(encoded_len).sum::<usize>() <= most {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(GAP.chars().map(encoded_len).sum());
    let head = fitting(text.chars(), room - room / 3);
    let tail = fitting(text.chars().rev(), room / 3);
    Cow::Owned(format!("{}{GAP}{}", &text[..head], &text[text.len() - tail..]))
}

/// How many bytes of text the characters take that fit into `room`.
fn fitting(characters: impl Iterator<Item = char>, mut room: usize) -> usize {
    characters
        .take_while(|character| {
            let left = room.checked_sub(encoded_len(*character));
            room = left.unwrap_or(0);
            left.is_some()
        })
        .map(char::len_utf8)
        .sum()
}

/// Bytes of a character in `grpc-message`, which is percent-encoded; no fewer than it has by itself.
fn encoded_len(character: char) -> usize {
    let plain = character.is_ascii_graphic() && !"\"#%<>`?{}".contains(character);
    if plain { 1 } else { 3 * character.len_utf8() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_keeps_its_beginning_and_its_end() {
        let text = format!("{} can't be read; copy it again", "é".repeat(4096));
        let short = shorten(&text, 200);
        assert!(short.starts_with("éééé") && short.ends_with(" copy it again"), "{short}");
        assert!(short.chars().map(encoded_len).sum::<usize>() <= 200);
        assert_eq!(shorten("short", 200), "short");
    }
}
