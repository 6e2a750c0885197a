//! Folders and buckets that jobs may read or write: the configuration names them, and a job says a name.
//!
//! A server that listens on loopback alone takes a path as well, from whoever is on the machine already. Any other takes
//! names alone, so that no caller has it read or write what it was not told to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use marquee_store::backup::Place;

/// Folders, files or buckets by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    named: BTreeMap<String, Place>,
    takes_paths: bool,
}

/// A text that names no places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no places")]
pub struct PlacesError;

impl Places {
    /// These, and any path of the machine if `takes_paths`.
    #[must_use]
    pub fn taking_paths(mut self, takes_paths: bool) -> Self {
        self.takes_paths = takes_paths;
        self
    }

    /// The place that an argument says.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence that names the argument.
    pub fn find(&self, argument: &str, value: &str) -> Result<Place, String> {
        if let Some(place) = self.named.get(value) {
            return Ok(place.clone());
        }
        let names = if self.named.is_empty() {
            "none".to_owned()
        } else {
            self.names().collect::<Vec<_>>().join(", ")
        };
        if !self.takes_paths {
            return Err(format!(
                "have a {argument} that the configuration does not name; it names {names}, and beyond loopback no path \
                 is taken"
            ));
        }
        let path = Path::new(value);
        if path.is_absolute() {
            Ok(Place::Folder(path.to_owned()))
        } else {
            Err(format!("have a {argument} that is neither a name nor a whole path; the names are {names}"))
        }
    }

    /// The place that an argument says, for who reads or writes files of this machine alone.
    ///
    /// # Errors
    /// As [`Places::find`], and when it is a bucket.
    pub fn find_path(&self, argument: &str, value: &str) -> Result<PathBuf, String> {
        match self.find(argument, value)? {
            Place::Folder(path) => Ok(path),
            Place::Bucket(url) => Err(format!("have a {argument} that is {url}; this kind takes a folder")),
        }
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

/// Whether it can be a name: of a place, a command, a schedule.
pub(super) fn is_name(text: &str) -> bool {
    let is_inner =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    (1..=64).contains(&text.len()) && text.chars().all(is_inner)
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.named.is_empty() {
            return f.write_str("none");
        }
        for (number, (name, place)) in self.named.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{name}={place}")?;
        }
        Ok(())
    }
}

impl FromStr for Places {
    type Err = PlacesError;

    fn from_str(text: &str) -> Result<Self, PlacesError> {
        let mut places = Self::default();
        if text == "none" {
            return Ok(places);
        }
        for part in text.split(',') {
            let (name, place) = part.split_once('=').ok_or(PlacesError)?;
            let (name, place) = (name.trim(), place.trim());
            let is_new = is_name(name) && !place.is_empty();
            let Ok(place) = place.parse();
            if !is_new || places.named.insert(name.to_owned(), place).is_some() {
                return Err(PlacesError);
            }
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let places: Places = "nightly=/backups/nightly, weekly=/backups/weekly".parse().unwrap();
        assert_eq!(places.to_string(), "nightly=/backups/nightly,weekly=/backups/weekly");
        assert_eq!("none".parse::<Places>().unwrap().to_string(), "none");
        for wrong in ["", "nightly", "=x", "a=", "A=/x", "a=/x,a=/y", "../x=/y"] {
            assert_eq!(wrong.parse::<Places>(), Err(PlacesError), "{wrong:?}");
        }
    }

    #[test]
    fn a_path_is_taken_on_loopback_alone() {
        let places: Places = "nightly=/backups/nightly".parse().unwrap();
        for open in [true, false] {
            let places = places.clone().taking_paths(open);
            assert_eq!(places.find_path("target", "nightly"), Ok(PathBuf::from("/backups/nightly")));
            assert_eq!(places.find("target", "/etc").is_ok(), open);
            let refused = places.find("target", "weekly").unwrap_err();
            assert!(refused.contains("target") && refused.contains("nightly"), "{refused}");
        }
        let refused = places.find("target", "s3://theirs").unwrap_err();
        assert!(refused.contains("beyond loopback no path is taken"), "{refused}");
        let refused = places.find("target", "/etc").unwrap_err();
        assert!(refused.contains("beyond loopback no path is taken"), "{refused}");
    }
    #[test]
    fn a_bucket_is_taken_by_its_name_and_is_no_folder() {
        let places: Places = "cloud=s3://backups/marquee".parse().unwrap();
        assert_eq!(places.to_string(), "cloud=s3://backups/marquee");
        assert_eq!(places.find("target", "cloud"), Ok(Place::Bucket("s3://backups/marquee".to_owned())));
        let refused = places.find_path("target", "cloud").unwrap_err();
        assert!(refused.contains("takes a folder"), "{refused}");
        assert!(
            places.taking_paths(true).find("target", "s3://theirs").is_err(),
            "an address is no argument"
        );
    }
}
