//! Text of others, before it is shown.
//!
//! A title that holds an escape sequence commands the terminal that it is shown on, one with a line break
//! writes a line of the log by itself, and one that changes the direction of writing looks like another. Such
//! characters are shown as what they are. And of a list that is too long the beginning is shown.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal may do something else with this character than show it: controls, separators of
/// lines, what turns the direction of writing, and what is not seen and makes two texts look alike.
pub fn is_command(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A control character, which belongs into no name; to be read after the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("holds the control character {0:?}; take it out")]
pub struct NotShowable(pub(crate) char);

/// Whether a name can be shown as it is: nothing in it is a control character.
///
/// # Errors
/// [`NotShowable`] names the first one.
pub fn showable(name: &str) -> Result<(), NotShowable> {
    name.chars().find(|letter| letter.is_control()).map_or(Ok(()), |letter| Err(NotShowable(letter)))
}

/// The text with every such character as an escape.
///
/// ```
/// use marquee_core::text::printable;
///
/// assert_eq!(printable("Heat (1995)"), "Heat (1995)");
/// assert_eq!(printable("\u{1b}[31mRed\n"), r"\u{1b}[31mRed\n");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_command, |shown, letter| shown.extend(letter.escape_default()))
}

/// A JSON text with every such character of its strings as an escape of JSON, so that it means the same.
///
/// ```
/// use marquee_core::text::printable_json;
///
/// assert_eq!(printable_json("\"\u{9b}31m\""), r#""\u009b31m""#);
/// ```
pub fn printable_json(json: &str) -> Cow<'_, str> {
    // Those of ASCII are escaped in every JSON string; between strings they are its line breaks.
    let is_left = |letter| letter >= '\u{7f}' && is_command(letter);
    escaped(json, is_left, |shown, letter| {
        // All of them are below U+10000, so that one unit of UTF-16 says each.
        let _ = write!(shown, "\\u{:04x}", u32::from(letter));
    })
}

/// The first items that fit into `most` bytes, at least one, and how many more there are.
///
/// ```
/// use marquee_core::text::list;
///
/// assert_eq!(list(["Drama", "Comedy"].iter(), ", ", 20), "Drama, Comedy");
/// assert_eq!(list(["Drama", "Comedy"].iter(), ", ", 3), "Drama, … and 1 more");
/// ```
pub fn list<T: AsRef<str>>(items: impl ExactSizeIterator<Item = T>, separator: &str, most: usize) -> String {
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

fn escaped(
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_escaped(letter) {
            escape(&mut shown, letter);
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that must not reach a terminal.
    fn commands() -> String {
        let controls = (0..0x20).chain(0x7f..0xa0).chain(0x2028..0x202f).chain(0x2066..0x206a);
        controls.filter_map(char::from_u32).collect()
    }

    #[test]
    fn a_list_that_is_too_long_says_how_many_more_there_are() {
        let genres: Vec<String> = (0..400).map(|number| format!("{number:0100}")).collect();
        let text = list(genres.iter(), ", ", 2100);
        assert!(text.ends_with(&format!("{:0100}, … and 380 more", 19)), "{text}");
        assert_eq!(list([""; 0].iter(), ", ", 20), "");
    }

    #[test]
    fn no_command_is_left_in_a_text() {
        let shown = printable(&commands()).into_owned();
        assert!(!shown.contains(is_command), "{shown:?}");
        assert!(shown.starts_with(r"\u{0}\u{1}"), "{shown}");
        assert!(
            shown.contains(r"\u{1b}") && shown.contains(r"\u{9b}") && shown.contains(r"\u{202e}"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_written_in_any_script_stays_as_it_is() {
        for text in ["七人の侍 🎬 é", "سينما", "👨\u{200d}👩\u{200d}👧", "a\u{a0}b", r"C:\n"]
        {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn json_keeps_its_meaning_and_its_line_breaks() {
        let json = "{\n  \"title\": \"a\u{7f}b\u{85}c\u{202e}d\\u001b\"\n}";
        let shown = printable_json(json);
        assert_eq!(shown, "{\n  \"title\": \"a\\u007fb\\u0085c\\u202ed\\u001b\"\n}");
    }
}
