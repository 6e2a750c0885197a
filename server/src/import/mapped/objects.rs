//! Objects of JSON, as programs write many of them: one a line, or as the elements of an array.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::Value;

use super::lines::{LONGEST_LINE, next_line, skip_mark};
use crate::import::RowError;

/// A value, the line that it begins on, and what is wrong with it.
pub(super) type Found = (u64, Result<Value, RowError>);

/// Reads the objects of a file. An object is a row: one that is malformed costs itself alone where each has a line.
pub(super) struct Objects {
    reader: BufReader<Box<dyn Read + Send>>,
    shape: Shape,
    line: u64,
    text: Vec<u8>,
}

/// How the objects that follow are written.
enum Shape {
    /// It is not known yet.
    Unknown,
    /// One a line.
    Lines,
    /// As elements of an array whose bracket was read.
    Array,
}

impl Objects {
    pub(super) fn of(bytes: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut reader = BufReader::new(bytes);
        skip_mark(&mut reader)?;
        Ok(Self { reader, shape: Shape::Unknown, line: 1, text: Vec::new() })
    }

    /// The next value; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        loop {
            let read = match self.shape {
                Shape::Unknown => {
                    if !self.begin()? {
                        return Ok(None);
                    }
                    continue;
                }
                Shape::Lines => {
                    let Some(is_whole) = next_line(&mut self.reader, &mut self.text)? else {
                        return Ok(None);
                    };
                    self.line += 1;
                    (self.line - 1, is_whole)
                }
                Shape::Array => self.element()?,
            };
            let (line, is_whole) = read;
            if !is_whole {
                return Ok(Some((line, Err(RowError::TooLong))));
            }
            if !self.text.iter().all(u8::is_ascii_whitespace) {
                let parsed = serde_json::from_slice(&self.text);
                return Ok(Some((line, parsed.map_err(|error| RowError::Json(error.to_string())))));
            }
        }
    }

    /// Finds out how what follows is written; false at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while let Some(byte) = self.reader.fill_buf()?.first().copied() {
            match byte {
                b'[' => self.shape = Shape::Array,
                byte if byte.is_ascii_whitespace() => self.line += u64::from(byte == b'\n'),
                _ => {
                    self.shape = Shape::Lines;
                    return Ok(true);
                }
            }
            self.reader.consume(1);
            if matches!(self.shape, Shape::Array) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads an element, without what ends it, into the text: the line that it begins on, and false if it is too long.
    fn element(&mut self) -> io::Result<(u64, bool)> {
        self.text.clear();
        let (mut scan, mut is_whole, mut begins) = (Scan::default(), true, None);
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                self.shape = Shape::Unknown;
                break;
            }
            let mut end = None;
            for (place, byte) in chunk.iter().enumerate() {
                end = scan.end(*byte).map(|end| (place, end));
                if end.is_some() {
                    break;
                }
                self.line += u64::from(*byte == b'\n');
                if begins.is_none() && !byte.is_ascii_whitespace() {
                    begins = Some(self.line);
                }
            }
            let taken = end.map_or(chunk.len(), |(place, _)| place);
            is_whole &= (self.text.len() + taken) as u64 <= LONGEST_LINE;
            if is_whole {
                self.text.extend_from_slice(&chunk[..taken]);
            }
            self.reader.consume(taken + usize::from(end.is_some()));
            match end {
                Some((_, End::OfElement)) => break,
                Some((_, End::OfArray)) => {
                    self.shape = Shape::Unknown;
                    break;
                }
                None => {}
            }
        }
        Ok((begins.unwrap_or(self.line), is_whole))
    }
}

/// What a byte ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    OfElement,
    OfArray,
}

/// Where in an element a byte stands.
#[derive(Default)]
struct Scan {
    depth: u32,
    in_text: bool,
    is_escaped: bool,
}

impl Scan {
    /// What the next byte ends.
    fn end(&mut self, byte: u8) -> Option<End> {
        if self.in_text {
            self.in_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return None;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b']' if self.depth == 0 => return Some(End::OfArray),
            b',' if self.depth == 0 => return Some(End::OfElement),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;

    /// What is read of a text: the lines, and the values of those that are sound.
    fn read(text: &str) -> Vec<(u64, Option<Value>)> {
        let mut objects = Objects::of(Box::new(Cursor::new(text.as_bytes().to_vec()))).unwrap();
        let mut found = Vec::new();
        while let Some((line, value)) = objects.next().unwrap() {
            found.push((line, value.ok()));
        }
        found
    }

    #[test]
    fn objects_stand_one_a_line_or_in_an_array() {
        let both = [(1, Some(json!({"a": "]},\"{"}))), (2, Some(json!({"a": [1, {"b": 2}]})))];
        let one = r#"{"a": "]},\"{"}"#;
        let two = r#"{"a": [1, {"b": 2}]}"#;
        assert_eq!(read(&format!("{one}\n{two}\n")), both);
        assert_eq!(read(&format!("[{one},\n{two}]\n")), both);
        assert_eq!(read(&format!("\u{feff}{one}\n{two}")), both);
        assert_eq!(read(&format!("\u{feff}[{one},\n{two}\n]")), both);
        assert_eq!(read(&format!("[{one}]\n[{two}]\n")), both, "pages behind each other");
    }

    #[test]
    fn an_array_may_be_written_over_many_lines_or_hold_nothing() {
        assert_eq!(read("\n[\n  {\n    \"a\": 1\n  },\n  {\"a\": 2},\n]\n").len(), 2);
        assert_eq!(read("\n[\n  {\n    \"a\": 1\n  }\n]\n"), [(3, Some(json!({"a": 1})))]);
        assert_eq!((read("[]"), read(" \n"), read("")), (Vec::new(), Vec::new(), Vec::new()));
    }

    #[test]
    fn what_is_malformed_is_said_and_the_next_one_is_read() {
        assert_eq!(read("{\n{\"a\": 1}\n"), [(1, None), (2, Some(json!({"a": 1})))]);
        assert_eq!(read("[{\"a\" 1}, {\"a\": 1}]"), [(1, None), (1, Some(json!({"a": 1})))]);
        assert_eq!(read("[{\"a\": 1}, {\"a\":"), [(1, Some(json!({"a": 1}))), (1, None)]);
    }

    #[test]
    fn an_object_that_is_too_long_is_left_out_alone() {
        let long = "x".repeat(LONGEST_LINE as usize);
        assert_eq!(read(&format!("[{{\"a\": \"{long}\"}},\n{{}}]")), [(1, None), (2, Some(json!({})))]);
    }
}
