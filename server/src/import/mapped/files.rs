//! Which files a path means, and their bytes, unpacked.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use glob::Pattern;

use crate::import::ImportError;

const BUFFER: usize = 256 * 1024;

/// A file and its name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl Input {
    fn of(path: PathBuf) -> Result<Self, ImportError> {
        let found = path.metadata().map_err(|error| ImportError::io(path.display(), error))?;
        Ok(Self { bytes: found.len(), path })
    }

    /// Its path as it is shown.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Its name without the folder.
    pub(super) fn base_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its name without what says that it is packed.
    pub(super) fn unpacked_name(&self) -> String {
        let name = self.base_name().to_lowercase();
        let packed = [".gz", ".zst"].into_iter().find_map(|end| name.strip_suffix(end));
        packed.unwrap_or(&name).to_owned()
    }

    /// Its bytes, unpacked where its name ends with `.gz` or `.zst`; `read` counts those of the file as it lies there.
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>, ImportError> {
        let failed = |error: io::Error| ImportError::io(self.path.display(), error);
        let file = BufReader::with_capacity(BUFFER, File::open(&self.path).map_err(failed)?);
        let name = self.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        Ok(match name.as_str() {
            "gz" => Box::new(MultiGzDecoder::new(file)),
            "zst" => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(file);
                Box::new(decoder.map_err(|error| failed(io::Error::other(error)))?)
            }
            _ => Box::new(file),
        })
    }
}

/// What the names of files with data end with; packed ones are not asked for more.
const DATA: [&str; 7] = [".csv", ".tsv", ".tab", ".psv", ".jsonl", ".ndjson", ".json"];

/// The files that a path means.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Those that are read, in the order of their names.
    pub(super) inputs: Vec<Input>,
    /// The names of those of a folder that are not, since nothing says that they hold data.
    pub(super) passed_over: Vec<String>,
}

/// The files that a path means: itself, those of a folder whose names are like `named`, or those that a pattern in its last
/// part finds. Of a folder alone those that hold data by their names.
pub(super) fn files(path: &Path, named: Option<&str>) -> Result<Files, ImportError> {
    if path.is_file() {
        let folder = parent(path);
        return match named {
            // Beside the file that was given.
            Some(named) => matching(folder, named, path),
            None => Ok(Files { inputs: vec![Input::of(path.to_owned())?], ..Files::default() }),
        };
    }
    if path.is_dir() {
        return match named {
            Some(named) => matching(path, named, path),
            None => with_data(path),
        };
    }
    let pattern = path.file_name().unwrap_or_default().to_string_lossy();
    matching(parent(path), named.unwrap_or(&pattern), path)
}

/// The files of a folder that hold data by their names.
fn with_data(folder: &Path) -> Result<Files, ImportError> {
    let all = matching(folder, "*", folder)?.inputs;
    let holds_data = |input: &Input| DATA.iter().any(|end| input.unpacked_name().ends_with(end));
    let (inputs, others): (Vec<_>, Vec<_>) = all.into_iter().partition(holds_data);
    let passed_over: Vec<_> = others.iter().map(Input::base_name).collect();
    if inputs.is_empty() {
        return Err(ImportError::NoData { path: folder.to_owned(), found: passed_over.join(", ") });
    }
    Ok(Files { inputs, passed_over })
}

/// The folder that a path is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn matching(folder: &Path, named: &str, given: &Path) -> Result<Files, ImportError> {
    let failed = |error: io::Error| ImportError::io(folder.display(), error);
    let pattern = pattern(named)?;
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_file() && pattern.matches(&entry.file_name().to_string_lossy()) {
            found.push(Input::of(entry.path())?);
        }
    }
    if found.is_empty() {
        return Err(ImportError::NoFiles { path: given.to_owned(), named: named.to_owned() });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Files { inputs: found, ..Files::default() })
}

fn pattern(named: &str) -> Result<Pattern, ImportError> {
    Pattern::new(named).map_err(|error| ImportError::Pattern(format!("{named:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn names(path: &Path, named: Option<&str>) -> Vec<String> {
        files(path, named).unwrap().inputs.iter().map(Input::base_name).collect()
    }

    #[test]
    fn of_a_folder_the_files_are_read_that_hold_data_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plays.csv.gz", "Shows.JSONL", "README.txt", "LICENSE"] {
            fs::write(folder.path().join(name), "a").unwrap();
        }
        let found = files(folder.path(), None).unwrap();
        let with_data: Vec<_> = found.inputs.iter().map(Input::base_name).collect();
        assert_eq!(with_data, ["Shows.JSONL", "plays.csv.gz"]);
        assert_eq!(found.passed_over, ["LICENSE", "README.txt"]);
        assert_eq!(
            names(folder.path(), Some("*.txt")),
            ["README.txt"],
            "what is named is read whatever its name"
        );
    }

    #[test]
    fn a_folder_without_data_says_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.md"), "a").unwrap();
        let refused = files(folder.path(), None).unwrap_err().to_string();
        assert!(refused.contains("notes.md") && refused.contains("files"), "{refused}");
    }

    #[test]
    fn a_path_is_a_file_a_folder_or_a_pattern() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plays-2.csv", "plays-1.csv", "shows.csv"] {
            fs::write(folder.path().join(name), "a").unwrap();
        }
        assert_eq!(names(&folder.path().join("shows.csv"), None), ["shows.csv"]);
        assert_eq!(names(&folder.path().join("plays-1.csv"), Some("shows.csv")), ["shows.csv"]);
        assert_eq!(names(folder.path(), Some("plays-*.csv")), ["plays-1.csv", "plays-2.csv"]);
        assert_eq!(names(&folder.path().join("plays-?.csv"), None), ["plays-1.csv", "plays-2.csv"]);
        assert!(matches!(files(&folder.path().join("none*"), None), Err(ImportError::NoFiles { .. })));
    }

    #[test]
    fn a_bare_name_is_in_the_folder_of_now() {
        assert_eq!(parent(Path::new("plays.csv")), Path::new("."));
        assert_eq!(parent(Path::new("logs/plays.csv")), Path::new("logs"));
    }

    #[test]
    fn packed_files_are_unpacked_as_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plays.csv.gz");
        let mut packed =
            flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        packed.write_all(b"user,item\n").unwrap();
        packed.finish().unwrap();
        let input = Input::of(path).unwrap();
        let mut text = String::new();
        input.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), input.unpacked_name().as_str()), ("user,item\n", "plays.csv"));
    }
}
