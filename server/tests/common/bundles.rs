//! Bundles that are like the fixture and not the same, and how they are uploaded.

use std::fs;
use std::path::Path;

use marquee_proto::v1;
use marquee_proto::v1::upload_model_request::Part;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A copy of a bundle under another version, with its manifest changed and sealed anew.
pub fn changed(bundle: &Path, version: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(bundle).expect("the bundle is there") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("room for a copy");
    }
    let path = folder.path().join("bundle.json");
    let text = fs::read_to_string(&path).expect("a manifest");
    let mut manifest: Value = serde_json::from_str(&text).expect("JSON");
    let zeros = "0".repeat(64);
    (manifest["version"], manifest["seal"]) = (json!(version), json!(zeros));
    change(&mut manifest);
    let text = manifest.to_string();
    fs::write(path, text.replace(&zeros, &hex::encode(Sha256::digest(&text)))).expect("room for a manifest");
    folder
}

/// A copy of the fixture under another version.
pub fn renamed(version: &str) -> TempDir {
    changed(&super::fixture_bundle(), version, |_| {})
}

/// What is sent of the bundle in a folder.
pub fn parts(folder: &Path, upload: v1::ModelUpload) -> Vec<v1::UploadModelRequest> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the bundle is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort_by_key(|name| (name != "bundle.json", name.clone()));
    let files = names.into_iter().flat_map(|name| {
        let content = fs::read(folder.join(&name)).expect("a file");
        let chunks: Vec<_> = content.chunks(64 << 10).map(<[u8]>::to_vec).collect();
        chunks
            .into_iter()
            .map(move |content| Part::File(v1::ModelFile { name: name.clone(), content: content.into() }))
    });
    std::iter::once(Part::Upload(upload))
        .chain(files)
        .map(|part| v1::UploadModelRequest { part: Some(part) })
        .collect()
}
