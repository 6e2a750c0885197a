//! What an import did, to be printed.

use std::fmt;
use std::time::Duration;

use marquee_core::text::printable;

use super::row_error::RowError;

/// Malformed rows that are kept to be shown.
const SHOWN: usize = 10;

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedRow {
    /// The file, by its path in the release.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub error: RowError,
}

impl fmt::Display for MalformedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", printable(&self.file), self.line, self.error)
    }
}

/// What an import did. Printed, it is a few lines for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Movies in the release.
    pub movies: u64,
    /// Movies that the store did not have before.
    pub new_movies: u64,
    /// Ratings read and stored in this run.
    pub ratings: u64,
    /// Of these, ratings that the store had already.
    pub duplicates: u64,
    /// Tags of a movie, each counted once however many users gave it.
    pub tags: u64,
    /// Movies with a link.
    pub links: u64,
    /// Rows that were left out.
    pub malformed: u64,
    /// The first of them.
    pub first_malformed: Vec<MalformedRow>,
    /// The line of the ratings at which an interrupted import went on.
    pub resumed_at_line: Option<u64>,
    /// How long it took.
    pub elapsed: Duration,
}

impl ImportReport {
    pub(super) fn leave_out(&mut self, row: MalformedRow) {
        self.malformed += 1;
        if self.first_malformed.len() < SHOWN {
            self.first_malformed.push(row);
        }
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.resumed_at_line {
            writeln!(f, "went on at line {line} of the ratings, where an earlier import stopped")?;
        }
        writeln!(
            f,
            "{} movies ({} new), {} tags, {} links",
            self.movies, self.new_movies, self.tags, self.links
        )?;
        writeln!(f, "{} ratings ({} of them known before)", self.ratings, self.duplicates)?;
        if self.malformed > 0 {
            writeln!(f, "{} malformed rows left out, the first of them:", self.malformed)?;
            for row in &self.first_malformed {
                writeln!(f, "  {row}")?;
            }
        }
        let seconds = self.elapsed.as_secs_f64();
        write!(f, "in {seconds:.1} s")
    }
}
