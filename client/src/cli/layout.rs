//! Text in the cells of a terminal: wide letters fill two, and words stay whole.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Cells of a line where nobody says how many there are.
const USUAL_WIDTH: usize = 80;

/// A text beside a name is not pressed into fewer cells than this.
const NARROWEST_TEXT: usize = 20;

/// The cells of a line: those that `COLUMNS` says, else those of the terminal, else 80.
pub(super) fn line_width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    asked.or_else(terminal).filter(|width| *width > 0).unwrap_or(USUAL_WIDTH)
}

/// The cells that `text` fills.
pub(super) fn cells(text: &str) -> usize {
    text.width()
}

/// `text` in at most `most` cells: cut after a whole word where that leaves anything, with an ellipsis.
pub(super) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if cells(text) <= most {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(1);
    let (mut filled, mut fits, mut whole) = (0, 0, 0);
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        // Ideographs have no spaces between them: a text may end after each.
        let ends_word = letter.is_whitespace() || text[at..].starts_with(", ");
        if ends_word || is_wide(letter) || is_wide(before) {
            whole = at;
        }
        filled += letter.width().unwrap_or(0);
        if filled > room {
            break;
        }
        fits = at + letter.len_utf8();
        before = letter;
    }
    let end = if text[..whole].trim().is_empty() { fits } else { whole };
    let kept = text[..end].trim_end_matches(|letter: char| letter.is_whitespace() || letter == ',');
    Cow::Owned(format!("{kept}…"))
}

fn is_wide(letter: char) -> bool {
    letter.width() == Some(2)
}

/// One line for each name, its text beside it, broken between words where it would leave the line.
pub(super) fn beside_names(lines: &[(String, String)], line_width: usize) -> String {
    let names = lines.iter().map(|(name, _)| cells(name)).max().unwrap_or(0);
    let room = line_width.saturating_sub(names + 2).max(NARROWEST_TEXT);
    let indent = format!("\n{:names$}  ", "");
    let line = |(name, text): &(String, String)| {
        let gap = " ".repeat(names - cells(name) + 2);
        format!("{name}{gap}{}", wrap(text, room).join(&indent))
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The lines of a text, each as full of whole words as fits; a longer word has a line of its own.
pub(super) fn wrap(text: &str, line_width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if cells(line) + 1 + cells(word) <= line_width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_after_a_whole_word() {
        assert_eq!(shorten("Shawshank Redemption, The (1994)", 40), "Shawshank Redemption, The (1994)");
        assert_eq!(shorten("Shawshank Redemption, The (1994)", 24), "Shawshank Redemption…");
        assert_eq!(shorten("Shawshank Redemption, The (1994)", 22), "Shawshank Redemption…");
        assert_eq!(shorten("Comedy, Drama, Romance", 12), "Comedy…");
        assert_eq!(shorten("Comedy, Drama, Romance", 14), "Comedy, Drama…");
    }

    #[test]
    fn a_word_is_cut_only_where_it_is_all_there_is() {
        assert_eq!(shorten("Donaudampfschifffahrt", 10), "Donaudamp…");
    }

    #[test]
    fn a_wide_letter_fills_two_cells_and_none_is_halved() {
        assert_eq!(cells("千と千尋の神隠し"), 16);
        assert_eq!(shorten("千と千尋の神隠し", 10), "千と千尋…");
        assert_eq!(cells(&shorten("千と千尋の神隠し", 10)), 9);
        assert_eq!(shorten("A 千と千尋の神隠し", 10), "A 千と千…");
    }

    #[test]
    fn a_long_text_beside_a_name_goes_on_under_itself() {
        let lines = [("timings".to_owned(), "total_us 900, encode_us 900, score_us 12".to_owned())];
        assert_eq!(beside_names(&lines, 32), "timings  total_us 900, encode_us\n         900, score_us 12");
    }

    #[test]
    fn a_word_longer_than_the_line_is_left_whole() {
        assert_eq!(wrap("next 6d407300000000000000000251", 10), ["next", "6d407300000000000000000251"]);
    }
}
