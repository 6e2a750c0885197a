//! The files of records: lines of JSON, compressed, each file of one kind of records and of a bounded size.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use marquee_core::domain::TimeMs;
use sha2::{Digest as _, Sha256};

use super::lines::{Section, decode, encode};
use super::manifest::{CHECKSUMS, Counts, FORMAT, Manifest, Part};
use super::target::{MANIFEST, Target, shown};
use super::{Backup, BackupError, RESTORE_NOTE};
use crate::Record;

/// Bytes of lines in a file, before they are compressed: what a reader has to begin anew is bounded.
const PART_BYTES: u64 = 256 << 20;

/// The files of a backup that is being written.
pub(super) struct Parts {
    target: Target,
    open: Option<Open>,
    done: Vec<Part>,
    counts: Counts,
}

/// A file that is being written.
struct Open {
    path: PathBuf,
    name: String,
    section: Section,
    records: u64,
    line_bytes: u64,
    lines: GzEncoder<Hashing>,
}

impl Parts {
    pub(super) fn new(target: Target) -> Self {
        Self { target, open: None, done: Vec::new(), counts: Counts::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Adds records.
    pub(super) fn with(mut self, records: &[Record]) -> Result<Self, BackupError> {
        for record in records.iter().filter(|record| !is_of_restore(record)) {
            let section = Section::of(record);
            let is_full = |open: &Open| open.section != section || open.line_bytes >= PART_BYTES;
            if self.open.as_ref().is_some_and(is_full) {
                self.close()?;
            }
            let open = if let Some(open) = &mut self.open {
                open
            } else {
                let number = self.done.iter().filter(|part| part.section == section).count() + 1;
                self.open.insert(Open::new(&self.target.folder(), section, number)?)
            };
            open.add(record)?;
            self.counts.add(record);
        }
        Ok(self)
    }

    fn close(&mut self) -> Result<(), BackupError> {
        if let Some(open) = self.open.take() {
            self.done.push(open.finish()?);
        }
        Ok(())
    }

    /// Ends all files, says what they are, and makes a backup of them.
    pub(super) fn finish(mut self, store: &str, made_ms: TimeMs) -> Result<Backup, BackupError> {
        self.close()?;
        let manifest = Manifest {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            store: store.to_owned(),
            made_at: shown(made_ms),
            made_ms,
            counts: self.counts,
            parts: self.done,
        };
        let folder = self.target.folder();
        let path = folder.join(MANIFEST);
        let text = manifest.text().map_err(|error| BackupError::of(&path)(error.into()))?;
        for (name, text) in [(CHECKSUMS, manifest.checksums(&text)), (MANIFEST, text)] {
            let path = folder.join(name);
            let written = create(&path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
            written.map_err(BackupError::of(&path))?;
        }
        Ok(Backup { path: self.target.finish()?, manifest })
    }
}

/// How far the restore of a store got is nothing to keep.
fn is_of_restore(record: &Record) -> bool {
    matches!(record, Record::Note { key, .. } if key == RESTORE_NOTE)
}

impl Open {
    fn new(folder: &Path, section: Section, number: usize) -> Result<Self, BackupError> {
        let name = format!("{}-{number:04}.jsonl.gz", section.name());
        let path = folder.join(&name);
        let file = create(&path).map_err(BackupError::of(&path))?;
        let hashing = Hashing { file: BufWriter::new(file), hash: Sha256::new(), bytes: 0 };
        let lines = GzEncoder::new(hashing, Compression::default());
        Ok(Self { path, name, section, records: 0, line_bytes: 0, lines })
    }

    fn add(&mut self, record: &Record) -> Result<(), BackupError> {
        let line = encode(record).map_err(|error| BackupError::of(&self.path)(error.into()))?;
        self.lines.write_all(&line).map_err(BackupError::of(&self.path))?;
        self.records += 1;
        self.line_bytes += line.len() as u64;
        Ok(())
    }

    /// Ends the file; it is on the disk then.
    fn finish(self) -> Result<Part, BackupError> {
        let failed = BackupError::of(&self.path);
        let Hashing { file, hash, bytes } = self.lines.finish().map_err(&failed)?;
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(&failed)?;
        let (file, sha256) = (self.name, hex::encode(hash.finalize()));
        Ok(Part { file, section: self.section, records: self.records, bytes, sha256 })
    }
}

/// A new file that nobody else may read.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

/// A file whose checksum is known when it is written.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads a file and hands its records over in chunks, until `take` wants no more.
pub(super) fn read(
    folder: &Path,
    part: &Part,
    chunk: usize,
    mut take: impl FnMut(Vec<Record>) -> bool,
) -> Result<(), BackupError> {
    let path = folder.join(&part.file);
    let file = File::open(&path).map_err(BackupError::of(&path))?;
    let lines = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(BufReader::new(file))).lines();
    let (mut records, mut read) = (Vec::with_capacity(chunk), 0);
    for line in lines {
        let line = line.map_err(BackupError::of(&path))?;
        let record = decode(part.section, &line);
        records
            .push(record.map_err(|what| BackupError::damaged(&path, format!("line {}: {what}", read + 1)))?);
        read += 1;
        if records.len() == chunk && !take(std::mem::replace(&mut records, Vec::with_capacity(chunk))) {
            return Ok(());
        }
    }
    if read != part.records {
        return Err(BackupError::damaged(&path, format!("it has {read} lines of {}", part.records)));
    }
    if !records.is_empty() {
        take(records);
    }
    Ok(())
}
