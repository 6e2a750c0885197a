//! Texts that are short enough to be answered.
//!
//! A status travels in headers, which many clients take only up to 8 KiB in all, and much of what its message quotes
//! belongs to callers or to the catalogue. So lists end with how many more there are, and a text that is too long
//! loses its middle: what a sentence is about stands at its beginning, what to do at its end.

use std::borrow::Cow;

/// Stands for what was cut out.
const GAP: &str = " … ";

/// The first items that fit into `most` bytes, at least one, and how many more there are.
pub(crate) fn list<T: AsRef<str>>(
    items: impl ExactSizeIterator<Item = T>,
    separator: &str,
    most: usize,
) -> String {
    let mut text = String::new();
    let count = items.len();
    for (index, item) in items.enumerate() {
        let item = item.as_ref();
        if index > 0 && text.len() + separator.len() + item.len() > most {
            return format!("{text}{separator}… and {} more", count - index);
        }
        if index > 0 {
            text.push_str(separator);
        }
        text.push_str(item);
    }
    text
}

/// The text without its middle if it is longer than `most`, as [`encoded_len`] counts.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
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
    fn a_list_that_is_too_long_says_how_many_more_there_are() {
        let genres: Vec<String> = (0..400).map(|number| format!("{number:0100}")).collect();
        let text = list(genres.iter(), ", ", 2100);
        assert!(text.ends_with(&format!("{:0100}, … and 380 more", 19)), "{text}");
        assert_eq!(list(["Drama", "Comedy"].iter(), ", ", 20), "Drama, Comedy");
        assert_eq!(list(["Drama", "Comedy"].iter(), ", ", 3), "Drama, … and 1 more");
        assert_eq!(list([""; 0].iter(), ", ", 20), "");
    }

    #[test]
    fn a_text_that_is_too_long_keeps_its_beginning_and_its_end() {
        let text = format!("{} can't be read; copy it again", "é".repeat(4096));
        let short = cut(&text, 200);
        assert!(short.starts_with("éééé") && short.ends_with(" copy it again"), "{short}");
        assert!(short.chars().map(encoded_len).sum::<usize>() <= 200);
        assert_eq!(cut("short", 200), "short");
    }
}
