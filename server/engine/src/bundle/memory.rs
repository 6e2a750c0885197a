//! What a bundle takes in memory, told by the sizes of its files, so that it is known before it is loaded.

use std::path::Path;

use super::manifest::Manifest;

/// The bytes of a model with so many sessions on a device, in a precision, both as the manifest writes them: its
/// tables and numbers once, its graphs for each session. On a GPU each session has tables of its own too.
pub(super) fn bytes_of(
    folder: &Path,
    manifest: &Manifest,
    device: &str,
    precision: &str,
    sessions: usize,
) -> u64 {
    // A file that is missing is found to be so when the bundle is read.
    let size = |file: &String| folder.join(file).metadata().map_or(0, |metadata| metadata.len());
    let tables = size(&manifest.tables.file);
    let numbers = size(&manifest.vocabulary) + manifest.titles.as_ref().map_or(0, size);
    let graphs = manifest.graphs.iter().filter(|graph| {
        graph.device == device
            && graph.precision == precision
            && ["encoder", "scorer"].contains(&&*graph.role)
    });
    let graphs: u64 = graphs.map(|graph| size(&graph.file)).sum();
    let session = if device == "cpu" { graphs } else { graphs + tables };
    tables + numbers + session.saturating_mul(sessions as u64)
}

#[cfg(test)]
mod tests {
    use crate::bundle::{Announced, Bundle};
    use crate::tests::fixture;

    fn size(file: &str) -> u64 {
        fixture().join(file).metadata().unwrap().len()
    }

    #[test]
    fn each_session_has_its_graph_and_all_share_the_tables() {
        let bundle = Announced::read(&fixture()).unwrap();
        let [one, two, four] = [1, 2, 4].map(|sessions| bundle.memory_bytes("cpu", "fp32", sessions));
        assert_eq!(four - two, 2 * (two - one));
        assert!(one >= size("tables.safetensors") + size("vocabulary.u32") + (two - one));
        assert_eq!(Bundle::open(&fixture()).unwrap().memory_bytes("cpu", "fp32", 2), two);
    }

    #[test]
    fn each_session_of_a_gpu_has_tables_of_its_own() {
        let bundle = Announced::read(&fixture()).unwrap();
        let session = bundle.memory_bytes("cuda", "fp16", 2) - bundle.memory_bytes("cuda", "fp16", 1);
        assert!(session >= size("tables.safetensors"));
    }
}
