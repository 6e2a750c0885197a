//! `restore`: the store that the settings name, which holds nothing, becomes one that holds what a backup does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use marquee_core::domain::UserId;
use marquee_store::OnDamage;
use marquee_store::backup::{self, Place, Restoring};

use super::backup::{counting, said, show};
use super::{Layers, Outcome};
use crate::app;
use crate::keys::user_of_key;
use crate::telemetry::Telemetry;

/// The options of `restore`.
#[derive(Args)]
pub(super) struct RestoreArgs {
    /// The folder of a backup, or one of backups, of which the newest is taken; also s3://BUCKET/PREFIX
    source: Place,
    /// A file of user ids, one a line: users who were deleted since the backup was made and are not to come back
    #[arg(long, value_name = "FILE")]
    without: Option<PathBuf>,
    /// The same by keys: a file of keys of users, one a line
    #[arg(long, value_name = "FILE")]
    without_keys: Option<PathBuf>,
    #[command(flatten)]
    layers: Layers,
}

/// Why the users who are not to come back are not known.
#[derive(Debug, thiserror::Error)]
enum WithoutError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error(
        "line {line} of {} is {text:?}; write one user id a line, or name a file of keys by --without-keys", path.display()
    )]
    NotAnId { path: PathBuf, line: usize, text: String },
}

/// Restores the backup and says what the store holds.
pub(super) async fn run(args: RestoreArgs) -> Outcome {
    let RestoreArgs { source, without, without_keys, layers } = args;
    let config = layers.resolve()?;
    let _telemetry = Telemetry::start(config.telemetry.log_format, config.telemetry.log_level)?;
    let mut without = without.as_deref().map(users).transpose()?.unwrap_or_default();
    without.extend(without_keys.as_deref().map(users_by_keys).transpose()?.unwrap_or_default());
    // Before a data folder is made for nothing.
    let source = source.fetch().await?;
    let store = app::open_store(&config.store.store, &config.store.data_dir, OnDamage::Refuse).await?;
    let bar = counting();
    let progress = |counts| show(&bar, counts);
    let restoring = Restoring { without, progress: Some(&progress) };
    let restored = backup::restore(source.folder(), store.as_ref(), &restoring).await;
    bar.finish_and_clear();
    let manifest = restored?;
    println!("The backup of {} is restored: {}.", manifest.made_at, said(&manifest));
    Ok(())
}

fn text_of(path: &Path) -> Result<String, WithoutError> {
    std::fs::read_to_string(path).map_err(|error| WithoutError::File { path: path.to_owned(), error })
}

/// The numbers of the users whose keys are in a file. A key may begin or end with spaces, so that none are taken off.
fn users_by_keys(path: &Path) -> Result<HashSet<UserId>, WithoutError> {
    let text = text_of(path)?;
    Ok(text.lines().filter(|key| !key.is_empty()).map(user_of_key).collect())
}

/// The user ids in a file.
fn users(path: &Path) -> Result<HashSet<UserId>, WithoutError> {
    let text = text_of(path)?;
    let lines = text.lines().map(str::trim).zip(1..).filter(|(text, _)| !text.is_empty());
    let id = |(text, line): (&str, usize)| {
        let wrong = |_| WithoutError::NotAnId { path: path.to_owned(), line, text: text.to_owned() };
        text.parse().map_err(wrong)
    };
    lines.map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_users_stand_one_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deleted");
        std::fs::write(&path, "anna@example.org\r\n\n7\n").unwrap();
        let expected = HashSet::from([user_of_key("anna@example.org"), user_of_key("7")]);
        assert_eq!(users_by_keys(&path).unwrap(), expected);
    }

    #[test]
    fn users_stand_one_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deleted");
        std::fs::write(&path, "7\n\n 18446744073709551615 \r\n7\n").unwrap();
        assert_eq!(users(&path).unwrap(), HashSet::from([7, u64::MAX]));
        std::fs::write(&path, "7\nAda\n").unwrap();
        let refused = users(&path).unwrap_err().to_string();
        assert!(refused.starts_with("line 2 of ") && refused.contains("\"Ada\""), "{refused}");
        assert!(users(&folder.path().join("none")).is_err());
    }
}
