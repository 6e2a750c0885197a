//! The columns of a table in the width of a line.
//!
//! What is too wide is made to fit without breaking a word over two lines. Columns that say the same in
//! every row go first, with what they say below the table; then texts are shortened, down to a width at
//! which they can still be read; then columns are left out, those first that tell least: ids beside the
//! key, then from the right. The key and the title stay. A single row has no need of columns and is shown
//! as lines.

use super::layout::{beside_names, cells, shorten, wrap};

/// Between two columns.
const GAP: usize = 2;

/// A key or a title is shortened to no less while another column can be left out instead.
const WIDE_TEXT: usize = 24;

/// As [`WIDE_TEXT`], of every other text.
const NARROW_TEXT: usize = 12;

/// A title that stands alone with its key is shortened to no less.
const NARROWEST: usize = 8;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Numbers, to the right.
    Number,
    /// Texts that say something beginning to end, such as titles.
    Text,
    /// Lists and the like.
    List,
    /// Short words and times, never shortened.
    Word,
}

/// One column: its name and a cell for each row.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) cells: Vec<String>,
}

/// The table in lines of at most `line_width` cells, and below it what does not stand in it.
pub(super) fn draw(columns: &[Column], line_width: usize) -> String {
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let all: Vec<&Column> = columns.iter().collect();
    if rows == 1 && taken(&all, full_width) > line_width {
        let line = |column: &Column| (column.name.clone(), column.cells[0].clone());
        return beside_names(&columns.iter().map(line).collect::<Vec<_>>(), line_width);
    }
    let shown = fit(columns, line_width);
    let header = shown.iter().map(|(column, width)| aligned(column, &column.name.to_uppercase(), *width));
    let mut lines = vec![joined(header)];
    lines.extend((0..rows).map(|row| {
        joined(
            shown.iter().map(|(column, width)| aligned(column, &shorten(&column.cells[row], *width), *width)),
        )
    }));
    lines.extend(left_out(columns, &shown, line_width));
    lines.join("\n")
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
}

fn aligned(column: &Column, text: &str, width: usize) -> String {
    let space = " ".repeat(width.saturating_sub(cells(text)));
    if column.content == Content::Number { space + text } else { text.to_owned() + &space }
}

/// What the columns say that are not shown, or that they are not.
fn left_out(columns: &[Column], shown: &[(&Column, usize)], line_width: usize) -> Vec<String> {
    let hidden = columns.iter().filter(|column| shown.iter().all(|(other, _)| other.name != column.name));
    let (constant, hidden): (Vec<&Column>, Vec<&Column>) = hidden.partition(|column| is_constant(column));
    let constant =
        constant.iter().map(|column| format!("{} {}", column.name.to_uppercase(), column.cells[0]));
    let hidden = hidden.iter().map(|column| column.name.to_uppercase());
    let (constant, hidden) = (constant.collect::<Vec<_>>().join(", "), hidden.collect::<Vec<_>>().join(", "));
    let mut lines = Vec::new();
    if !constant.is_empty() {
        lines.extend(wrap(&format!("(in every row: {constant})"), line_width));
    }
    if !hidden.is_empty() {
        lines.extend(wrap(&format!("(not shown: {hidden}; --output json has all)"), line_width));
    }
    lines
}

/// The columns that are shown, each with its width.
fn fit(columns: &[Column], line_width: usize) -> Vec<(&Column, usize)> {
    let kept = kept(columns);
    let is_kept = |column: &Column| kept.iter().any(|name| *name == column.name);
    let readable = |column: &Column| readable_width(column, is_kept(column));
    let mut shown: Vec<&Column> = columns.iter().collect();
    if taken(&shown, full_width) > line_width {
        shown.retain(|column| is_kept(column) || !is_constant(column));
    }
    while taken(&shown, readable) > line_width {
        let others = shown.iter().enumerate().filter(|(_, column)| !is_kept(column));
        match others.max_by_key(|(index, column)| (column.name.ends_with("_id"), *index)) {
            Some((index, _)) => drop(shown.remove(index)),
            None => break,
        }
    }
    let mut widths: Vec<(&Column, usize)> = shown.iter().map(|column| (*column, readable(column))).collect();
    let least = taken(&shown, readable);
    narrow(&mut widths, least.saturating_sub(line_width));
    widen(&mut widths, line_width.saturating_sub(least), is_kept);
    widths
}

/// The cells that a line of these columns takes, each as wide as `width` says.
fn taken(columns: &[&Column], width: impl Fn(&Column) -> usize) -> usize {
    let widths: usize = columns.iter().map(|column| width(column)).sum();
    widths + GAP * columns.len().saturating_sub(1)
}

/// The columns without which a row says nothing: the first one that tells rows apart, and the first text
/// that does.
fn kept(columns: &[Column]) -> Vec<&str> {
    let mut telling = columns.iter().filter(|column| !is_constant(column));
    let key = telling.clone().next().or(columns.first());
    let title = telling.find(|column| column.content == Content::Text);
    key.into_iter().chain(title).map(|column| column.name.as_str()).collect()
}

/// Whether all rows, of several, say the same.
fn is_constant(column: &Column) -> bool {
    column.cells.len() > 1 && column.cells.iter().all(|cell| *cell == column.cells[0])
}

/// The width of the widest cell.
fn full_width(column: &Column) -> usize {
    let widest = column.cells.iter().map(|cell| cells(cell)).max().unwrap_or(0);
    widest.max(cells(&column.name))
}

/// The width down to which the column is shortened before another one goes. No word is cut at it, unless
/// it is longer than a column should be wide.
fn readable_width(column: &Column, kept: bool) -> usize {
    if matches!(column.content, Content::Number | Content::Word) {
        return full_width(column);
    }
    let words = column.cells.iter().flat_map(|cell| cell.split(' ')).map(cells);
    let longest_word = words.max().unwrap_or(0).min(WIDE_TEXT);
    let readable = if kept { WIDE_TEXT } else { longest_word.max(NARROW_TEXT) };
    full_width(column).min(readable).max(cells(&column.name))
}

/// Takes what is too much from the widest text.
fn narrow(widths: &mut [(&Column, usize)], too_much: usize) {
    let texts = widths.iter_mut().filter(|(column, _)| column.content == Content::Text);
    if let Some((_, width)) = texts.max_by_key(|(_, width)| *width) {
        *width = width.saturating_sub(too_much).max(NARROWEST.min(*width));
    }
}

/// Gives what is left of the line to those who were shortened, the key and the title first. Nobody keeps
/// more than whole words fill.
fn widen(widths: &mut [(&Column, usize)], mut left: usize, is_kept: impl Fn(&Column) -> bool) {
    let (first, then): (Vec<_>, Vec<_>) = widths.iter_mut().partition(|(column, _)| is_kept(column));
    for (column, width) in first.into_iter().chain(then) {
        let widest = *width + left;
        let filled = column.cells.iter().map(|cell| cells(&shorten(cell, widest))).max().unwrap_or(0);
        *width = filled.max(cells(&column.name));
        left = widest.saturating_sub(*width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, content: Content, cells: &[&str]) -> Column {
        Column {
            name: name.to_owned(),
            content,
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        }
    }

    fn movies() -> Vec<Column> {
        vec![
            column("movie_id", Content::Number, &["318", "296"]),
            column("title", Content::Text, &["Shawshank Redemption, The (1994)", "Pulp Fiction (1994)"]),
            column("genres", Content::List, &["Crime, Drama", "Comedy, Crime, Drama, Thriller"]),
            column("imdb_id", Content::Word, &["tt0111161", "tt0110912"]),
            column("ratings", Content::Number, &["311", "324"]),
            column("source", Content::Word, &["model", "model"]),
        ]
    }

    #[test]
    fn a_table_that_fits_is_shown_whole() {
        let expected = "
MOVIE_ID  TITLE                             GENRES                          IMDB_ID    RATINGS  SOURCE
     318  Shawshank Redemption, The (1994)  Crime, Drama                    tt0111161      311  model
     296  Pulp Fiction (1994)               Comedy, Crime, Drama, Thriller  tt0110912      324  model";
        assert_eq!(format!("\n{}", draw(&movies(), 120)), expected);
    }

    #[test]
    fn what_is_the_same_in_every_row_goes_below_the_table_and_texts_are_shortened() {
        let expected = "
MOVIE_ID  TITLE                             GENRES          IMDB_ID    RATINGS
     318  Shawshank Redemption, The (1994)  Crime, Drama    tt0111161      311
     296  Pulp Fiction (1994)               Comedy, Crime…  tt0110912      324
(in every row: SOURCE model)";
        assert_eq!(format!("\n{}", draw(&movies(), 79)), expected);
    }

    #[test]
    fn what_tells_least_is_left_out_next_and_named() {
        let drawn = draw(&movies(), 57);
        let header: Vec<&str> = drawn.lines().take(1).flat_map(str::split_whitespace).collect();
        assert_eq!(header, ["MOVIE_ID", "TITLE", "GENRES", "RATINGS"], "{drawn}");
        assert!(drawn.contains("Shawshank Redemption…"), "{drawn}");
        assert!(drawn.ends_with("\n(not shown: IMDB_ID; --output json has all)"), "{drawn}");
    }

    #[test]
    fn a_row_that_is_too_wide_and_alone_is_shown_as_lines() {
        let columns = [
            column("movie_id", Content::Number, &["318"]),
            column("title", Content::Text, &["Shawshank Redemption, The (1994)"]),
        ];
        assert_eq!(draw(&columns, 42), "MOVIE_ID  TITLE\n     318  Shawshank Redemption, The (1994)");
        assert_eq!(
            draw(&columns, 41),
            "movie_id  318\ntitle     Shawshank Redemption, The\n          (1994)"
        );
    }

    #[test]
    fn key_and_title_stay_in_the_narrowest_terminal() {
        let drawn = draw(&movies(), 20);
        let rows: Vec<&str> = drawn.lines().take(3).collect();
        assert_eq!(rows, ["MOVIE_ID  TITLE", "     318  Shawshank…", "     296  Pulp…"]);
    }

    #[test]
    fn wide_letters_keep_the_columns_in_line() {
        let columns = [
            column("title", Content::Text, &["千と千尋の神隠し", "Spirited Away"]),
            column("year", Content::Number, &["2001", "2001"]),
        ];
        assert_eq!(
            draw(&columns, 80),
            "TITLE             YEAR\n千と千尋の神隠し  2001\nSpirited Away     2001"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 20..130 {
            let drawn = draw(&movies(), width);
            assert!(drawn.lines().all(|line| cells(line) <= width), "{width}:\n{drawn}");
        }
    }
}
