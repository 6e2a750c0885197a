//! Which folders of this machine callers may name.
//!
//! A path of a caller is followed to where it really leads, and so is each link inside; all of it has to lie below the
//! folders that the settings open, and be folders and regular files: a pipe or a device can be waited for or read
//! without an end. What lies elsewhere is refused like what is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ApiError;

/// How deep folders may lie in a bundle.
const DEEPEST: usize = 4;

/// The folders that callers may name.
#[derive(Clone, Debug)]
pub(crate) enum Bundles {
    /// Any that there is.
    Any,
    /// These, and what is below them.
    Below(Vec<PathBuf>),
}

impl Bundles {
    /// Where the folder that a caller names really is.
    ///
    /// # Errors
    /// [`ApiError::BundleNotPermitted`] for one that is not open to callers, or not there.
    pub(crate) fn find(&self, folder: &str) -> Result<PathBuf, ApiError> {
        match self {
            Self::Any => Ok(folder.into()),
            Self::Below(roots) => {
                let roots: Vec<_> = roots.iter().filter_map(|root| fs::canonicalize(root).ok()).collect();
                within(&roots, Path::new(folder)).map_err(|_| ApiError::BundleNotPermitted)
            }
        }
    }
}

/// Where the folder really is, if that and all that is in it lies below these.
fn within(roots: &[PathBuf], folder: &Path) -> io::Result<PathBuf> {
    let folder = fs::canonicalize(folder)?;
    if !fs::metadata(&folder)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    check(roots, &folder, DEEPEST)?;
    Ok(folder)
}

/// Checks a path without links: that it is below these, and a regular file or a folder of such.
fn check(roots: &[PathBuf], path: &Path, depth: usize) -> io::Result<()> {
    let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
    if !roots.iter().any(|root| path.starts_with(root)) {
        return Err(refused());
    }
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if !kind.is_dir() || depth == 0 {
        return Err(refused());
    }
    for entry in fs::read_dir(path)? {
        check(roots, &fs::canonicalize(entry?.path())?, depth - 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        /// Two folders, `open` with the bundle `a` of one file, and `closed` with the bundle `b`.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (root, bundle) in [("open", "a"), ("closed", "b")] {
                let bundle = folder.path().join(root).join(bundle);
                fs::create_dir_all(&bundle).unwrap();
                fs::write(bundle.join("bundle.json"), "{}").unwrap();
            }
            Self { folder }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.folder.path().join(path)
        }

        fn is_found(&self, path: &str) -> bool {
            let bundles = Bundles::Below(vec![self.path("open"), self.path("missing")]);
            bundles.find(self.path(path).to_str().unwrap()).is_ok()
        }
    }

    #[test]
    fn what_is_below_the_open_folder_is_found_and_nothing_else() {
        let place = Place::new();
        assert!(place.is_found("open/a"));
        assert!(place.is_found("open/../open/a"));
        for elsewhere in ["closed/b", "open/../closed/b", "open/missing", "open/a/bundle.json", "", "/etc"] {
            assert!(!place.is_found(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_folder_whose_name_begins_alike_is_another_one() {
        let place = Place::new();
        fs::create_dir_all(place.path("open-not/c")).unwrap();
        assert!(!place.is_found("open-not/c"));
    }

    #[test]
    fn links_within_are_followed_and_links_out_are_refused() {
        let place = Place::new();
        symlink(place.path("open/a"), place.path("open/current")).unwrap();
        assert!(place.is_found("open/current"));
        symlink(place.path("closed/b"), place.path("open/out")).unwrap();
        assert!(!place.is_found("open/out"));
        symlink(place.path("closed/b/bundle.json"), place.path("open/a/table")).unwrap();
        assert!(!place.is_found("open/a"));
    }

    #[test]
    fn pipes_and_devices_are_refused() {
        let place = Place::new();
        assert!(Command::new("mkfifo").arg(place.path("open/a/pipe")).status().unwrap().success());
        assert!(!place.is_found("open/a"));
        let other = Place::new();
        symlink("/dev/zero", other.path("open/a/zeros")).unwrap();
        assert!(!other.is_found("open/a"));
    }

    #[test]
    fn what_is_closed_is_refused_like_what_is_not_there() {
        let place = Place::new();
        let bundles = Bundles::Below(vec![place.path("open")]);
        let refused = |path: &str| bundles.find(place.path(path).to_str().unwrap()).unwrap_err().to_string();
        assert_eq!(refused("closed/b"), refused("closed/missing"));
    }
}
