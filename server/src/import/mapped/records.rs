//! Rows of any file as texts by the names of columns: separated text with a header, or objects of JSON.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::files::Input;
use super::lines::{next_line, skip_mark};
use super::objects::Objects;
use crate::import::{ImportError, MalformedRow, RowError};

/// What may separate fields; of those in a header the most frequent one does.
const SEPARATORS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// Files of objects by their names' ends.
const OBJECTS: [&str; 3] = [".jsonl", ".ndjson", ".json"];

/// The texts of a row, in the order of the columns that were asked for; empty for what is not there.
pub(super) type Texts = Vec<String>;

/// The rows of a file.
pub(super) enum Records {
    Separated {
        reader: BufReader<Box<dyn Read + Send>>,
        separator: u8,
        width: usize,
        places: Vec<usize>,
        record: csv::StringRecord,
        line: u64,
        text: Vec<u8>,
    },
    Objects {
        objects: Objects,
        columns: Vec<String>,
    },
}

/// The columns that a file has, and its first rows, to propose a map by.
pub(super) struct Sample {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Texts>,
}

impl Records {
    /// The rows of a file with these columns.
    ///
    /// # Errors
    /// [`ImportError`] when the file cannot be read, or its header lacks one of them.
    pub(super) fn open(input: &Input, columns: &[&str]) -> Result<Self, ImportError> {
        let bytes = input.open()?;
        if holds_objects(input) {
            let columns = columns.iter().map(ToString::to_string).collect();
            let objects = Objects::of(bytes).map_err(|error| ImportError::io(input.path.display(), error))?;
            return Ok(Self::Objects { objects, columns });
        }
        let Header { reader, separator, names: header } = separated(input, bytes)?;
        let place_of = |column: &&str| {
            let place = header.iter().position(|name| name == column);
            place.ok_or_else(|| ImportError::Column {
                file: input.name(),
                missing: (*column).to_owned(),
                found: header.join(", "),
            })
        };
        let places = columns.iter().map(place_of).collect::<Result<_, _>>()?;
        let (width, record, text) = (header.len(), csv::StringRecord::new(), Vec::new());
        Ok(Self::Separated { reader, separator, width, places, record, line: 1, text })
    }

    /// Reads the next row into `texts`; its line, or what is wrong with it. `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next(&mut self, texts: &mut Texts) -> io::Result<Option<(u64, Result<(), RowError>)>> {
        match self {
            Self::Separated { reader, separator, width, places, record, line, text } => {
                let Some(is_whole) = next_line(reader, text)? else { return Ok(None) };
                *line += 1;
                if !is_whole {
                    return Ok(Some((*line, Err(RowError::TooLong))));
                }
                if text.iter().all(u8::is_ascii_whitespace) {
                    return self.next(texts);
                }
                let read = fields(text, *separator, record);
                let outcome = read.and_then(|()| chosen(record, *width, places, texts));
                Ok(Some((*line, outcome)))
            }
            Self::Objects { objects, columns } => {
                let Some((line, object)) = objects.next()? else { return Ok(None) };
                let outcome = object.map(|object| {
                    texts.clear();
                    texts.extend(columns.iter().map(|column| text_at(&object, column)));
                });
                Ok(Some((line, outcome)))
            }
        }
    }
}

/// The columns of a file and its first rows.
///
/// # Errors
/// [`ImportError`] when the file cannot be read.
pub(super) fn sample(input: &Input, most: usize) -> Result<Sample, ImportError> {
    let failed = |error: io::Error| ImportError::io(input.path.display(), error);
    let columns = if holds_objects(input) {
        names_of_objects(input, most)?
    } else {
        separated(input, input.open()?)?.names
    };
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut records = Records::open(input, &names)?;
    let (mut rows, mut texts) = (Vec::new(), Texts::new());
    while rows.len() < most
        && let Some((_, outcome)) = records.next(&mut texts).map_err(failed)?
    {
        rows.extend(outcome.ok().map(|()| texts.clone()));
    }
    Ok(Sample { columns, rows })
}

/// The names that the first objects of a file have; one that lacks what others have is no exception.
fn names_of_objects(input: &Input, most: usize) -> Result<Vec<String>, ImportError> {
    let failed = |error: io::Error| ImportError::io(input.path.display(), error);
    let mut objects = Objects::of(input.open()?).map_err(failed)?;
    let mut names = BTreeSet::new();
    for _ in 0..most {
        let Some((_, object)) = objects.next().map_err(failed)? else { break };
        if let Ok(Value::Object(object)) = object {
            names.extend(object.into_iter().map(|(name, _)| name));
        }
    }
    Ok(names.into_iter().collect())
}

fn holds_objects(input: &Input) -> bool {
    let name = input.unpacked_name();
    OBJECTS.iter().any(|end| name.ends_with(end))
}

/// A reader behind the header.
struct Header {
    reader: BufReader<Box<dyn Read + Send>>,
    separator: u8,
    names: Vec<String>,
}

fn separated(input: &Input, bytes: Box<dyn Read + Send>) -> Result<Header, ImportError> {
    let failed = |error| ImportError::io(input.path.display(), error);
    let mut reader = BufReader::new(bytes);
    skip_mark(&mut reader).map_err(failed)?;
    let mut first = Vec::new();
    next_line(&mut reader, &mut first).map_err(failed)?;
    let separator = separator_of(&first);
    let mut record = csv::StringRecord::new();
    let malformed = |error| ImportError::Malformed(MalformedRow { file: input.name(), line: 1, error });
    fields(&first, separator, &mut record).map_err(malformed)?;
    let names: Vec<_> = record.iter().map(|name| name.trim().to_owned()).collect();
    if names.iter().all(String::is_empty) {
        return Err(ImportError::Empty { file: input.name() });
    }
    Ok(Header { reader, separator, names })
}

fn separator_of(header: &[u8]) -> u8 {
    let count = |separator: &u8| header.split(|byte| byte == separator).count();
    // Of equal ones the first.
    SEPARATORS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// The fields of a line. A row is a line, so that a quote that is not closed costs one row and not all that follow.
fn fields(line: &[u8], separator: u8, record: &mut csv::StringRecord) -> Result<(), RowError> {
    let quotes = line.split(|byte| *byte == b'"').count() - 1;
    if quotes % 2 == 1 {
        return Err(RowError::OpenQuote);
    }
    let mut reader = csv::ReaderBuilder::new();
    reader.delimiter(separator).flexible(true).has_headers(false).buffer_capacity(line.len().max(1));
    match reader.from_reader(line).read_record(record) {
        Ok(_) => Ok(()),
        Err(_) => Err(RowError::Encoding),
    }
}

/// Puts the fields at these places into `texts`. More fields than the header has are none of these, unless they are empty:
/// a separator stands unquoted in one, and what follows it would be read as something else.
fn chosen(
    record: &csv::StringRecord,
    width: usize,
    places: &[usize],
    texts: &mut Texts,
) -> Result<(), RowError> {
    if record.iter().skip(width).any(|field| !field.trim().is_empty()) {
        return Err(RowError::TooManyFields { found: record.len(), expected: width });
    }
    let needed = places.iter().max().map_or(0, |place| place + 1);
    if record.len() < needed {
        return Err(RowError::Fields { found: record.len(), needed });
    }
    texts.clear();
    texts.extend(places.iter().map(|place| record.get(*place).unwrap_or_default().trim().to_owned()));
    Ok(())
}

/// What stands at a name, or at a path of names with dots between.
fn text_at(object: &Value, column: &str) -> String {
    let found =
        object.get(column).or_else(|| column.split('.').try_fold(object, |value, name| value.get(name)));
    found.map(text_of).unwrap_or_default()
}

/// A value as a field of separated text has it: of a list its values with | between them, of an object that says the
/// type of one value, as those of a database, that value.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join("|"),
        Value::Object(object) => match object.iter().next() {
            Some((name, value)) if object.len() == 1 && name == "$date" => date(&text_of(value)),
            Some((name, value)) if object.len() == 1 && name.starts_with('$') => text_of(value),
            _ => value.to_string(),
        },
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A date of a database, which counts milliseconds where it is no text, whatever other times of the file count.
fn date(text: &str) -> String {
    let counted = text.parse().ok().and_then(DateTime::from_timestamp_millis);
    counted.map_or_else(|| text.to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::files::files;
    use super::*;

    /// The rows of a file of this name with these bytes: line and texts, or what is wrong.
    fn rows(name: &str, bytes: &[u8], columns: &[&str]) -> Vec<(u64, Result<Texts, RowError>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let input = files(&path, None).unwrap().inputs.remove(0);
        let mut records = Records::open(&input, columns).unwrap();
        let (mut found, mut texts) = (Vec::new(), Texts::new());
        while let Some((line, outcome)) = records.next(&mut texts).unwrap() {
            found.push((line, outcome.map(|()| texts.clone())));
        }
        found
    }

    fn texts(texts: &[&str]) -> Texts {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn columns_are_found_by_name_whatever_separates_them() {
        for (name, text) in [
            ("a.csv", "who,what,when\nanna,\"Tea, black\",1\n"),
            ("a.tsv", "when\twho\twhat\n1\tanna\tTea, black\n"),
            ("a.txt", "\u{feff}who;when;what\r\nanna;1;Tea, black\r\n"),
        ] {
            assert_eq!(
                rows(name, text.as_bytes(), &["who", "what", "when"]),
                [(2, Ok(texts(&["anna", "Tea, black", "1"])))]
            );
        }
    }

    #[test]
    fn an_object_a_line_has_columns_by_name_and_path() {
        let dates = "{\"a\": {\"$date\": {\"$numberLong\": \"1001\"}}, \"b\": {\"$date\": \"2026-01-31\"}}";
        let expected = texts(&["1970-01-01T00:00:01.001Z", "2026-01-31"]);
        assert_eq!(rows("a.jsonl", dates.as_bytes(), &["a", "b"]), [(1, Ok(expected))]);
        let text = "{\"_id\": {\"$oid\": \"5f\"}, \"u\": {\"id\": 7}, \"g\": [\"a\", \"b\"], \"n\": null}\n\n[1]\n{\n";
        let found = rows("a.jsonl", text.as_bytes(), &["_id", "u.id", "g", "n", "none"]);
        assert_eq!(found[0], (1, Ok(texts(&["5f", "7", "a|b", "", ""]))));
        assert_eq!(found[1].0, 3);
        assert!(matches!(found[2], (4, Err(RowError::Json(_)))));
    }

    #[test]
    fn a_header_may_be_quoted_behind_the_mark_of_utf_8() {
        let found = rows("a.csv", "\u{feff}\"who\";\"what\"\nanna;tea\n".as_bytes(), &["who"]);
        assert_eq!(found, [(2, Ok(texts(&["anna"])))]);
    }

    #[test]
    fn a_row_with_more_fields_than_its_header_is_refused_unless_they_are_empty() {
        let found = rows("a.csv", b"who,stars,when\nanna,4,5,1\nbert,4,1,,\n", &["who", "when"]);
        assert_eq!(found[0], (2, Err(RowError::TooManyFields { found: 4, expected: 3 })));
        assert_eq!(found[1], (3, Ok(texts(&["bert", "1"]))));
    }

    #[test]
    fn columns_of_objects_are_those_that_any_of_the_first_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "[{\"who\": \"anna\"},\n{\"what\": \"tea\"}]").unwrap();
        let sample = sample(&files(&path, None).unwrap().inputs[0], 10).unwrap();
        assert_eq!((sample.columns, sample.rows[1].clone()), (texts(&["what", "who"]), texts(&["tea", ""])));
    }

    #[test]
    fn a_row_that_is_short_or_no_text_is_said_and_the_next_one_is_read() {
        let found = rows("a.csv", b"a,b,c\n1,2\n\xff,2,3\n4,5,6\n", &["a", "c"]);
        assert_eq!(found[0], (2, Err(RowError::Fields { found: 2, needed: 3 })));
        assert_eq!(
            (found[1].1.clone(), found[2].1.clone()),
            (Err(RowError::Encoding), Ok(texts(&["4", "6"])))
        );
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_row_alone() {
        let found = rows("a.csv", b"a,b\n1,\"x\n2,y\n3,\"z\"\"\"\n", &["a", "b"]);
        let expected =
            [(2, Err(RowError::OpenQuote)), (3, Ok(texts(&["2", "y"]))), (4, Ok(texts(&["3", "z\""])))];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_without_a_needed_column_says_which_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, "who,what\n").unwrap();
        let input = files(&path, None).unwrap().inputs.remove(0);
        let error = Records::open(&input, &["when"]).err().unwrap().to_string();
        assert!(error.contains("no column \"when\"") && error.contains("who, what"), "{error}");
    }
}
