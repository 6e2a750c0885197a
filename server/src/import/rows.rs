//! Lines of a release as rows of fields, whatever separates them.
//!
//! The releases differ in separators (`,` with quotes, `::`, tab, `|`), header (CSV only) and encoding
//! (UTF-8; Latin-1 in the oldest). All are one row a line, so a line is the unit here: a broken one is
//! reported with its number and the next one starts afresh.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::str::FromStr;

use marquee_core::domain::whole_number;

use super::ImportError;
use super::row_error::RowError;
use super::source::{Source, SourceFile, Table};

/// No line of a release is nearly as long.
const LONGEST_LINE: u64 = 64 * 1024;

/// The fields of a movie in 100K, the last of them a flag for each genre.
const FIELDS_OF_100K: usize = FIRST_FLAG_OF_100K + GENRES_OF_100K;
/// The first flag's field.
pub(super) const FIRST_FLAG_OF_100K: usize = 5;
/// The genres of 100K, the first of which is "unknown".
pub(super) const GENRES_OF_100K: usize = 19;

impl Table {
    /// The columns in the order that they have without a header.
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Ratings => &["userId", "movieId", "rating", "timestamp"],
            Self::Movies => &["movieId", "title", "genres"],
            Self::Tags => &["userId", "movieId", "tag", "timestamp"],
            Self::Links => &["movieId", "imdbId", "tmdbId"],
        }
    }

    /// The fields of a row without a header.
    const fn width(self, dialect: Dialect) -> Width {
        match (self, dialect) {
            // In a title or a tag `::` is text.
            (Self::Movies | Self::Tags, Dialect::DoubleColon) => Width::AtLeast(self.columns().len()),
            (Self::Movies, Dialect::Pipe) => Width::Exactly(FIELDS_OF_100K),
            _ => Width::Exactly(self.columns().len()),
        }
    }
}

/// How many fields the rows of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Exactly(usize),
    AtLeast(usize),
}

/// What separates the fields of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `,`; fields may stand in double quotes. Latest, 20M, 25M and 32M.
    Comma,
    /// `::`. 1M and 10M.
    DoubleColon,
    /// A tab. The ratings of 100K.
    Tab,
    /// `|`. The movies of 100K.
    Pipe,
}

impl Dialect {
    /// By what follows the number that a line without a header begins with.
    fn of(line: &[u8]) -> Self {
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match &line[digits..] {
            [b':', b':', ..] if digits > 0 => Self::DoubleColon,
            [b'\t', ..] if digits > 0 => Self::Tab,
            [b'|', ..] if digits > 0 => Self::Pipe,
            _ => Self::Comma,
        }
    }

    fn separator(self) -> &'static [u8] {
        match self {
            Self::Comma => b",",
            Self::DoubleColon => b"::",
            Self::Tab => b"\t",
            Self::Pipe => b"|",
        }
    }
}

/// A place between two lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) byte: u64,
    /// Lines before it.
    pub(super) line: u64,
}

/// How a file is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) dialect: Dialect,
    /// Where each of the table's columns stands in a line.
    columns: Vec<usize>,
    width: Width,
    /// Where the first row begins.
    pub(super) start: Place,
}

impl Layout {
    /// Looks at the first line.
    ///
    /// # Errors
    /// [`ImportError::Header`] when there is a header without a needed column.
    pub(super) fn detect(source: &Source, file: &SourceFile, table: Table) -> Result<Self, ImportError> {
        source.read(file, 0, |reader| {
            let failed = |error| ImportError::io(&file.name, error);
            let bom = reader.fill_buf().map_err(failed)?.starts_with(b"\xef\xbb\xbf");
            let start = Place { byte: if bom { 3 } else { 0 }, line: 0 };
            reader.consume(start.byte as usize);
            let mut lines = Rows::new(reader, Dialect::Comma, start);
            let Some(first) = lines.next_row().map_err(failed)? else {
                let width = Width::AtLeast(0);
                return Ok(Self { dialect: Dialect::Comma, columns: Vec::new(), width, start });
            };
            let dialect = Dialect::of(first.line);
            let header = dialect == Dialect::Comma && first.raw_text(0).trim().parse::<u64>().is_err();
            if !header {
                let columns = (0..table.columns().len()).collect();
                return Ok(Self { dialect, columns, width: table.width(dialect), start });
            }
            let columns = named_columns(&first, table, file)?;
            let width = Width::Exactly(first.fields.len());
            Ok(Self { dialect: Dialect::Comma, columns, width, start: lines.place() })
        })
    }
}

fn named_columns(header: &Row<'_>, table: Table, file: &SourceFile) -> Result<Vec<usize>, ImportError> {
    let found: Vec<_> = (0..header.fields.len()).map(|field| header.raw_text(field)).collect();
    let place_of = |column: &&'static str| {
        let place = found.iter().position(|name| name.eq_ignore_ascii_case(column));
        place.ok_or_else(|| ImportError::Header {
            file: file.name.clone(),
            missing: column,
            found: found.join(", "),
        })
    };
    table.columns().iter().map(place_of).collect()
}

impl RowError {
    /// Whether the row is sound, in a unit or a scale other than those of this import.
    pub(super) const fn is_of_other_units(&self) -> bool {
        matches!(self, Self::OtherUnit { .. } | Self::OtherScale { .. })
    }
}

/// The rows of a file.
pub(super) struct Rows<'r> {
    reader: &'r mut dyn BufRead,
    dialect: Dialect,
    place: Place,
    line: Vec<u8>,
    fields: Vec<Range<usize>>,
}

/// One row.
pub(super) struct Row<'a> {
    pub(super) line: &'a [u8],
    fields: &'a [Range<usize>],
    fault: Option<RowError>,
    /// Its line's number, from 1.
    pub(super) number: u64,
}

impl<'r> Rows<'r> {
    /// Rows from `place`, where `reader` already stands.
    pub(super) fn new(reader: &'r mut dyn BufRead, dialect: Dialect, place: Place) -> Self {
        Self { reader, dialect, place, line: Vec::new(), fields: Vec::new() }
    }

    /// After the row that was read last.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The next row; empty lines are none.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Row<'_>>> {
        loop {
            let too_long = self.read_line()?;
            if self.line.is_empty() && !too_long {
                return Ok(None);
            }
            while self.line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                self.line.pop();
            }
            if too_long || !self.line.is_empty() {
                let fault = if too_long { Some(RowError::TooLong) } else { self.split().err() };
                let number = self.place.line;
                return Ok(Some(Row { line: &self.line, fields: &self.fields, fault, number }));
            }
        }
    }

    /// Reads a line with its end; true, and nothing of it kept, when it is too long.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut read = self.reader.take(LONGEST_LINE).read_until(b'\n', &mut self.line)? as u64;
        let too_long = read == LONGEST_LINE && !self.line.ends_with(b"\n");
        if too_long {
            read += self.reader.skip_until(b'\n')? as u64;
            self.line.clear();
            self.fields.clear();
        }
        self.place.byte += read;
        self.place.line += u64::from(read > 0);
        Ok(too_long)
    }

    fn split(&mut self) -> Result<(), RowError> {
        self.fields.clear();
        let mut start = 0;
        while start <= self.line.len() {
            let end = self.end_of_field(start)?;
            self.fields.push(start..end);
            start = end + self.dialect.separator().len();
        }
        Ok(())
    }

    fn end_of_field(&self, start: usize) -> Result<usize, RowError> {
        let has_quotes = self.dialect == Dialect::Comma;
        let is_quoted = has_quotes && self.line.get(start) == Some(&b'"');
        let from =
            if is_quoted { end_of_quotes(&self.line, start).ok_or(RowError::OpenQuote)? } else { start };
        let length = find(&self.line[from..], self.dialect.separator());
        let end = length.map_or(self.line.len(), |length| from + length);
        let is_stray = if is_quoted { end > from } else { begins_with_spaced_quote(&self.line[from..end]) };
        if has_quotes && is_stray { Err(RowError::StrayQuote) } else { Ok(end) }
    }
}

/// Whether spaces keep a quote from being one.
fn begins_with_spaced_quote(field: &[u8]) -> bool {
    field.trim_ascii_start().first() == Some(&b'"')
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => line.iter().position(|other| other == byte),
        _ => line.windows(separator.len()).position(|window| window == separator),
    }
}

/// Behind the closing quote of the field that opens at `start`; doubled quotes do not close it.
fn end_of_quotes(line: &[u8], start: usize) -> Option<usize> {
    let mut place = start + 1;
    loop {
        place += line[place..].iter().position(|byte| *byte == b'"')? + 1;
        if line.get(place) != Some(&b'"') {
            return Some(place);
        }
        place += 1;
    }
}

impl Row<'_> {
    /// The columns of a table, in its order.
    pub(super) fn read<'a>(&'a self, layout: &'a Layout) -> Result<Fields<'a>, RowError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let needed = layout.columns.iter().max().map_or(0, |last| last + 1);
        if self.fields.len() < needed {
            return Err(RowError::Fields { found: self.fields.len(), needed });
        }
        if let Width::Exactly(expected) = layout.width
            && self.fields.len() > expected
        {
            return Err(RowError::TooManyFields { found: self.fields.len(), expected });
        }
        Ok(Fields { row: self, columns: &layout.columns })
    }

    /// A field's text; empty for one that is not there.
    fn raw_text(&self, field: usize) -> Cow<'_, str> {
        self.fields.get(field).map_or(Cow::Borrowed(""), |field| unquoted(&self.line[field.clone()]))
    }
}

/// The fields of a sound row by the number of the table's column.
pub(super) struct Fields<'a> {
    row: &'a Row<'a>,
    columns: &'a [usize],
}

impl Fields<'_> {
    fn bytes(&self, column: usize) -> &[u8] {
        &self.row.line[self.row.fields[self.columns[column]].clone()]
    }

    pub(super) fn text(&self, column: usize) -> Cow<'_, str> {
        unquoted(self.bytes(column))
    }

    /// The last column, wherever it stands: a `::` within a title or tag makes more fields.
    pub(super) fn last(&self) -> Cow<'_, str> {
        match self.extra() {
            0 => self.text(self.columns.len() - 1),
            _ => self.row.raw_text(self.row.fields.len() - 1),
        }
    }

    /// The column before the last, with the separators that are part of it.
    pub(super) fn last_but_one(&self) -> Cow<'_, str> {
        let column = self.columns.len() - 2;
        match self.extra() {
            0 => self.text(column),
            extra => {
                let fields = &self.row.fields;
                decoded(&self.row.line[fields[column].start..fields[column + extra].end])
            }
        }
    }

    /// Fields beyond the columns, where `::` separates them and so cannot be quoted.
    fn extra(&self) -> usize {
        let double_colon = self.row.line.get(self.row.fields[0].end) == Some(&b':');
        if double_colon { self.row.fields.len().saturating_sub(self.columns.len()) } else { 0 }
    }

    /// The fields from `first` on, beyond the table's columns too.
    pub(super) fn rest(&self, first: usize) -> impl Iterator<Item = &[u8]> {
        self.row.fields.iter().skip(first).map(|field| &self.row.line[field.clone()])
    }

    /// A number from 1.
    pub(super) fn id<T: FromStr + PartialEq + From<u8>>(
        &self,
        column: usize,
        name: &'static str,
    ) -> Result<T, RowError> {
        let text = self.text(column);
        let number = whole_number(text.trim()).filter(|number| *number != T::from(0));
        number.ok_or_else(|| RowError::Number { column: name, text: text.into_owned() })
    }

    /// An id elsewhere, if there is one.
    pub(super) fn foreign_id(
        &self,
        column: usize,
        name: &'static str,
        number: impl Fn(&str) -> Option<u32>,
    ) -> Result<Option<u32>, RowError> {
        let text = self.text(column);
        match text.trim() {
            "" => Ok(None),
            id => match number(id) {
                None => Err(RowError::Id { column: name, text: id.to_owned() }),
                number => Ok(number),
            },
        }
    }
}

fn unquoted(bytes: &[u8]) -> Cow<'_, str> {
    match bytes {
        [b'"', inner @ .., b'"'] => match decoded(inner) {
            text if text.contains("\"\"") => Cow::Owned(text.replace("\"\"", "\"")),
            text => text,
        },
        plain => decoded(plain),
    }
}

/// UTF-8, or else Latin-1 as Windows writes it.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| latin(*byte)).collect()),
    }
}

/// The bytes of Latin-1 are the first 256 Unicode scalar values, but for the controls from 0x80 on: Windows has
/// quotes and dashes there, and no release has controls.
fn latin(byte: u8) -> char {
    const OF_WINDOWS: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => OF_WINDOWS[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}
