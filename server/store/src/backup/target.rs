//! Where backups are: a folder of folders, each named by its moment.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use marquee_core::domain::TimeMs;
use time::UtcDateTime;

use super::BackupError;

/// The file that says what belongs to a backup: a folder without it is none.
pub(super) const MANIFEST: &str = "manifest.json";
/// Locked by whoever writes a backup.
const LOCK: &str = ".lock";
/// Behind the name of a folder that is no backup yet, or none any more.
const UNFINISHED: &str = ".unfinished";

/// A folder that becomes a backup, or goes when it is dropped.
pub(super) struct Target {
    parent: PathBuf,
    name: String,
    is_finished: bool,
    /// Ours alone for as long.
    _lock: File,
}

impl Target {
    /// Begins a backup of this moment; what others left unfinished goes.
    pub(super) fn begin(target: &Path, now_ms: TimeMs) -> Result<Self, BackupError> {
        make_private(target).map_err(BackupError::of(target))?;
        let path = target.join(LOCK);
        let lock = File::create(&path).map_err(BackupError::of(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy(target.to_owned())),
            Err(TryLockError::Error(error)) => return Err(BackupError::of(&path)(error)),
        }
        for name in names(target)?.iter().filter(|name| name.ends_with(UNFINISHED)) {
            remove(&target.join(name))?;
        }
        let begun =
            Self { parent: target.to_owned(), name: name_of(now_ms), is_finished: false, _lock: lock };
        make_private(&begun.folder()).map_err(BackupError::of(&begun.folder()))?;
        Ok(begun)
    }

    /// Where its files are written.
    pub(super) fn folder(&self) -> PathBuf {
        self.parent.join(format!(".{}{UNFINISHED}", self.name))
    }

    /// Makes a backup of the folder, whose files are on the disk; where it is.
    pub(super) fn finish(mut self) -> Result<PathBuf, BackupError> {
        let path = self.parent.join(&self.name);
        sync(&self.folder())?;
        fs::rename(self.folder(), &path).map_err(BackupError::of(&path))?;
        self.is_finished = true;
        sync(&self.parent)?;
        Ok(path)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = remove(&self.folder())
        {
            tracing::warn!(%error, "unfinished backup not removed; the next one does it");
        }
    }
}

/// The backup that `source` is, or the newest one in it.
///
/// # Errors
/// [`BackupError::NotABackup`] when there is none.
pub fn find(source: &Path) -> Result<PathBuf, BackupError> {
    if source.join(MANIFEST).is_file() {
        return Ok(source.to_owned());
    }
    let newest = if source.is_dir() { backups(source)?.pop() } else { None };
    newest.ok_or_else(|| BackupError::NotABackup(source.to_owned()))
}

/// Removes all but the newest `count` backups below `target`; which ones went, oldest first.
///
/// # Errors
/// [`BackupError::File`] when one cannot be removed.
pub fn keep(target: &Path, count: usize) -> Result<Vec<PathBuf>, BackupError> {
    let mut backups = backups(target)?;
    backups.truncate(backups.len().saturating_sub(count));
    for backup in &backups {
        let name = backup.file_name().unwrap_or_default().to_string_lossy();
        // Half of it is no backup.
        let gone = target.join(format!(".{name}{UNFINISHED}"));
        fs::rename(backup, &gone).map_err(BackupError::of(backup))?;
        remove(&gone)?;
    }
    Ok(backups)
}

/// The backups in a folder, the oldest first.
fn backups(target: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut names = names(target)?;
    names.retain(|name| is_name(name) && target.join(name).join(MANIFEST).is_file());
    names.sort_unstable();
    Ok(names.iter().map(|name| target.join(name)).collect())
}

fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let failed = BackupError::of(folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(&failed)? {
        // What is no text is no backup.
        names.extend(entry.map_err(&failed)?.file_name().into_string());
    }
    Ok(names)
}

/// The name of a backup of this moment, such as `2026-11-30T09-45-00.250Z`.
fn name_of(time_ms: TimeMs) -> String {
    let at = moment(time_ms);
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second, millisecond) = time.as_hms_milli();
    format!("{date}T{hour:02}-{minute:02}-{second:02}.{millisecond:03}Z")
}

/// The moment in the form of RFC 3339.
pub(super) fn shown(time_ms: TimeMs) -> String {
    let at = moment(time_ms);
    let (hour, minute, second) = at.time().as_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", at.date())
}

fn moment(time_ms: TimeMs) -> UtcDateTime {
    let nanoseconds = i128::from(time_ms) * 1_000_000;
    UtcDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(UtcDateTime::UNIX_EPOCH)
}

/// Whether a backup can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let form = "0000-00-00T00-00-00.000Z";
    let fits =
        |(letter, form): (char, char)| if form == '0' { letter.is_ascii_digit() } else { letter == form };
    name.len() == form.len() && name.chars().zip(form.chars()).all(fits)
}

/// Nobody else may look: there are hashes of passwords in it.
fn make_private(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

fn remove(folder: &Path) -> Result<(), BackupError> {
    fs::remove_dir_all(folder).map_err(BackupError::of(folder))
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::of(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_moment_and_names_are_in_the_order_of_time() {
        assert_eq!(name_of(1_790_000_000_250), "2026-09-21T14-13-20.250Z");
        assert_eq!(shown(1_790_000_000_250), "2026-09-21T14:13:20Z");
        assert!(is_name(&name_of(0)) && name_of(0) < name_of(1) && name_of(999) < name_of(1_000));
        for other in ["", "2026", ".2026-09-21T14-13-20.250Z.unfinished", "2026-09-21T14:13:20.250Z"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
