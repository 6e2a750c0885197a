//! A bundle's folder as the parts of an upload, read while they are sent.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use futures::{SinkExt as _, channel::mpsc, executor::block_on};
use marquee_proto::v1;
use marquee_proto::v1::upload_model_request::Part;
use tonic::Status;

use crate::Client;

/// The manifest, which goes first.
const MANIFEST: &str = "bundle.json";

/// The model card, which goes last.
const CARD: &str = "MODEL_CARD.md";

/// Bytes of a part.
const PART_BYTES: usize = 256 << 10;

/// Parts that are read ahead.
const AHEAD: usize = 4;

/// Why a bundle is not uploaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// A file of it cannot be read.
    #[error("{} cannot be read ({source}); a bundle is a folder with a bundle.json", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server refuses it, or failed.
    #[error(transparent)]
    Call(#[from] Status),
}

impl Client {
    /// Uploads the bundle in a folder: its manifest, every other file but hidden ones and Markdown, and its model card. Of a
    /// bundle that is kept already the server needs the manifest alone.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn upload_bundle(
        &self,
        folder: &Path,
        upload: v1::ModelUpload,
    ) -> Result<v1::UploadModelResponse, UploadError> {
        let files = files(folder)?;
        let (parts, sent) = mpsc::channel(AHEAD);
        let reading = tokio::task::spawn_blocking(move || read(upload, &files, parts));
        let answer = self.upload_model(sent).await;
        match reading.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            // What was read no further makes an answer that blames the bundle.
            Err(error) if answer.is_err() => Err(error),
            _ => Ok(answer?),
        }
    }
}

/// Whether it is for people, as the card is, which is sent by itself.
fn is_page(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "md")
}

/// The files of a bundle in the order in which they are sent.
fn files(folder: &Path) -> Result<Vec<PathBuf>, UploadError> {
    let unreadable = |source| UploadError::Read { path: folder.to_owned(), source };
    let mut files = vec![folder.join(MANIFEST)];
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != MANIFEST && !name.starts_with('.') && !is_page(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    files.extend(names.iter().map(|name| folder.join(name)));
    files.extend(Some(folder.join(CARD)).filter(|card| card.is_file()));
    Ok(files)
}

/// Reads all files into parts, until nobody takes them any more.
fn read(
    upload: v1::ModelUpload,
    files: &[PathBuf],
    mut parts: mpsc::Sender<v1::UploadModelRequest>,
) -> Result<(), UploadError> {
    let mut send = |part| block_on(parts.send(v1::UploadModelRequest { part: Some(part) })).is_ok();
    if !send(Part::Upload(upload)) {
        return Ok(());
    }
    for path in files {
        let unreadable = |source| UploadError::Read { path: path.clone(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        loop {
            let mut content = Vec::with_capacity(PART_BYTES);
            let read = file.by_ref().take(PART_BYTES as u64).read_to_end(&mut content);
            let is_end = read.map_err(unreadable)? < PART_BYTES;
            if !send(Part::File(v1::ModelFile { name: name.clone().into_owned(), content: content.into() })) {
                return Ok(());
            }
            if is_end {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_goes_first_and_the_card_last_and_what_readers_pass_over_stays() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tables.safetensors", ".hidden", "MODEL_CARD.md", "notes.md", "a.onnx", "bundle.json"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let files = files(folder.path()).unwrap();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["bundle.json", "a.onnx", "tables.safetensors", "MODEL_CARD.md"]);
    }

    #[test]
    fn a_file_is_sent_in_parts_that_follow_each_other_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        for (name, length) in [("bundle.json", 0), ("a.onnx", PART_BYTES), ("b.onnx", PART_BYTES + 1)] {
            std::fs::write(folder.path().join(name), vec![1; length]).unwrap();
        }
        let (parts, sent) = mpsc::channel(100);
        read(v1::ModelUpload::default(), &files(folder.path()).unwrap(), parts).unwrap();
        let lengths: Vec<_> = block_on(futures::StreamExt::collect::<Vec<_>>(sent))
            .into_iter()
            .filter_map(|request| match request.part {
                Some(Part::File(file)) => Some((file.name, file.content.len())),
                _ => None,
            })
            .collect();
        let part = |name: &str, length| (name.to_owned(), length);
        let expected = [
            part("bundle.json", 0),
            part("a.onnx", PART_BYTES),
            part("a.onnx", 0),
            part("b.onnx", PART_BYTES),
            part("b.onnx", 1),
        ];
        assert_eq!(lengths, expected);
    }
}
