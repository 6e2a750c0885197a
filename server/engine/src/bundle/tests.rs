use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::*;
use crate::tests::fixture;

/// A copy of the fixture that a test may spoil.
pub(crate) fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

fn edit(folder: &TempDir, change: impl FnOnce(&mut Value)) {
    edit_manifest(folder.path(), change);
}

fn edit_manifest(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join(manifest::FILE);
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut value);
    let placeholder = "0".repeat(64);
    value["seal"] = placeholder.clone().into();
    let text = serde_json::to_string(&value).unwrap();
    fs::write(path, text.replace(&placeholder, &manifest::seal_of(&text, &placeholder))).unwrap();
}

/// Gives the bundle in `folder` another version.
pub(crate) fn rename(folder: &Path, version: &str) {
    edit_manifest(folder, |manifest| manifest["version"] = version.into());
}

/// Makes it another bundle under the same version.
pub(crate) fn say_other_metrics(folder: &Path) {
    edit_manifest(folder, |manifest| manifest["metrics"] = serde_json::json!({ "mrr": 0.5 }));
}

/// Says that bf16 was judged, and how.
pub(crate) fn judge_bf16(folder: &Path, kept: bool) {
    edit_manifest(folder, |manifest| manifest["native"]["bf16"]["kept"] = kept.into());
}

/// Makes an item's input embedding so large that the encoder overflows.
pub(crate) fn spoil_item(folder: &Path, row: usize) {
    write_row(folder, "item_embedding", row, f32::MAX);
}

/// Fills a row of a table with a number.
fn write_row(folder: &Path, table: &str, row: usize, number: f32) {
    let path = folder.join("tables.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let header: Value = serde_json::from_slice(&rest[..u64::from_le_bytes(*length) as usize]).unwrap();
    let table = &header[table];
    let [begin, dimension] =
        [&table["data_offsets"][0], &table["shape"][1]].map(|n| n.as_u64().unwrap() as usize);
    let at = 8 + u64::from_le_bytes(*length) as usize + begin + 4 * row * dimension;
    for place in bytes[at..at + 4 * dimension].as_chunks_mut::<4>().0 {
        *place = number.to_le_bytes();
    }
    fs::write(&path, &bytes).unwrap();
    let sha256 = hex::encode(Sha256::digest(&bytes));
    edit_manifest(folder, |manifest| manifest["sha256"]["tables.safetensors"] = sha256.into());
}

#[test]
fn the_model_that_the_program_brings_passes_its_own_checks() {
    let home = tempfile::tempdir().unwrap();
    let bundle = Bundle::open(&marquee_shipped::MODEL.unpacked_in(home.path()).unwrap()).unwrap();
    assert_eq!(bundle.name(), "movielens-small");
}

#[test]
fn the_fixture_is_read_as_its_manifest_says() {
    let bundle = Bundle::open(&fixture()).unwrap();
    assert_eq!(bundle.vocabulary.len(), bundle.items());
    assert_eq!(bundle.output_embeddings().len(), bundle.items() * bundle.dimension());
    assert_eq!(bundle.version(), format!("{}@{}", bundle.name(), bundle.manifest.version));
    for (row, movie_id) in bundle.vocabulary.iter().enumerate() {
        assert_eq!(bundle.row_of(*movie_id), Some(row as ItemRow));
    }
    assert_eq!(bundle.row_of(0), None);
    assert_eq!(
        bundle.output_embedding(1),
        &bundle.output_embeddings()[bundle.dimension()..2 * bundle.dimension()]
    );
}

#[test]
fn a_title_is_compared_with_the_one_of_training_where_that_is_known() {
    let folder = copy();
    let items = Bundle::open(folder.path()).unwrap().items();
    let mut titles = vec![0; 4 * items];
    titles[4..8].copy_from_slice(&crc32fast::hash("Heat (1995)".as_bytes()).to_le_bytes());
    fs::write(folder.path().join("titles.u32"), &titles).unwrap();
    edit(&folder, |manifest| {
        manifest["titles"] = "titles.u32".into();
        manifest["sha256"]["titles.u32"] = hex::encode(Sha256::digest(&titles)).into();
    });
    let bundle = Bundle::open(folder.path()).unwrap();
    assert_eq!(bundle.has_title(1, "Heat (1995)"), Some(true));
    assert_eq!(bundle.has_title(1, "Own (2020)"), Some(false));
    assert_eq!(bundle.has_title(0, "Heat (1995)"), None, "its title is not known");
    assert_eq!(Bundle::open(&fixture()).unwrap().has_title(1, "Heat (1995)"), None, "it keeps no titles");
    edit(&folder, |manifest| manifest["titles"] = "vocabulary".into());
    assert!(matches!(Bundle::open(folder.path()), Err(BundleError::Manifest { .. })));
}

#[test]
fn titles_for_another_number_of_items_are_refused() {
    let folder = copy();
    fs::write(folder.path().join("titles.u32"), [0; 4]).unwrap();
    edit(&folder, |manifest| {
        manifest["titles"] = "titles.u32".into();
        manifest["sha256"]["titles.u32"] = hex::encode(Sha256::digest([0; 4])).into();
    });
    let error = Bundle::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("titles.u32 has 4 bytes"), "{error}");
}

#[test]
fn a_bundle_with_a_flipped_bit_anywhere_is_refused() {
    let mut random = SmallRng::seed_from_u64(200);
    let files: Vec<_> = fs::read_dir(fixture())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "md"))
        .collect();
    for round in 0..200 {
        let file = files[round % files.len()].file_name().unwrap();
        let folder = copy();
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let offset = random.random_range(0..bytes.len());
        bytes[offset] ^= 1 << random.random_range(0..8);
        fs::write(&path, &bytes).unwrap();
        assert!(Bundle::open(folder.path()).is_err(), "{} at {offset}", file.display());
    }
}

#[test]
fn a_bundle_that_is_cut_off_is_refused() {
    for file in ["bundle.json", "tables.safetensors", "vocabulary.u32", "encoder.cpu.onnx"] {
        for keep in [0, 1, 100] {
            let folder = copy();
            let path = folder.path().join(file);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..keep.min(bytes.len() - 1)]).unwrap();
            assert!(Bundle::open(folder.path()).is_err(), "{file} cut to {keep}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let folder = copy();
    fs::remove_file(folder.path().join("vocabulary.u32")).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err();
    assert!(matches!(&error, BundleError::Missing { file, .. } if file == "vocabulary.u32"), "{error}");
}

#[test]
fn a_file_that_is_not_listed_is_named_and_notes_are_passed_over() {
    let folder = copy();
    fs::write(folder.path().join("README.md"), "notes").unwrap();
    fs::write(folder.path().join(".hidden"), "").unwrap();
    Bundle::open(folder.path()).unwrap();
    fs::write(folder.path().join("extra.onnx"), "").unwrap();
    let error = Bundle::open(folder.path()).unwrap_err();
    assert!(matches!(&error, BundleError::Unlisted { file, .. } if file == "extra.onnx"), "{error}");
}

#[test]
fn a_manifest_that_does_not_fit_the_files_is_refused() {
    type Spoil = fn(&mut Value);
    let cases: [(&str, Spoil); 14] = [
        ("another format", |m| m["format"] = 3.into()),
        ("positions of another format", |m| m["format"] = 2.into()),
        ("positions that format 1 has not", |m| m["positions"] = "bias".into()),
        ("positions that nobody knows", |m| m["positions"] = "rotary".into()),
        ("another architecture", |m| m["architecture"] = "bert4rec".into()),
        ("one item less", |m| m["items"] = (m["items"].as_u64().unwrap() - 1).into()),
        ("no items", |m| m["items"] = 0.into()),
        ("more items than memory", |m| m["items"] = u64::MAX.into()),
        ("another dimension", |m| m["dimension"] = 17.into()),
        ("another length", |m| m["maximum_length"] = 21.into()),
        ("f16 tables", |m| m["tables"]["precision"] = "f16".into()),
        ("a way out of the folder", |m| m["sha256"]["../bundle.json"] = "".into()),
        ("a probe outside the table", |m| m["probe"]["items"] = vec![0].into()),
        ("a short probe vector", |m| m["probe"]["user"] = vec![0.5].into()),
    ];
    for (case, spoil) in cases {
        let folder = copy();
        edit(&folder, spoil);
        assert!(Bundle::open(folder.path()).is_err(), "{case}");
    }
}

#[test]
fn a_number_that_is_not_finite_is_refused_in_any_table() {
    for (table, number) in
        [("item_embedding", f32::NAN), ("output_embedding", f32::INFINITY), ("position_embedding", f32::NAN)]
    {
        let folder = copy();
        write_row(folder.path(), table, 1, number);
        let error = Bundle::open(folder.path()).unwrap_err();
        assert!(matches!(&error, BundleError::Table { table: named, .. } if named == table), "{error}");
    }
}

#[test]
fn a_repeated_movie_id_is_refused() {
    let folder = copy();
    let path = folder.path().join("vocabulary.u32");
    let mut bytes = fs::read(&path).unwrap();
    bytes.copy_within(0..4, 4);
    fs::write(&path, &bytes).unwrap();
    edit(&folder, |manifest| {
        manifest["sha256"]["vocabulary.u32"] = hex::encode(Sha256::digest(&bytes)).into();
    });
    let error = Bundle::open(folder.path()).unwrap_err();
    assert!(matches!(error, BundleError::Vocabulary { .. }), "{error}");
}

#[test]
fn a_graph_that_is_not_there_is_refused_with_those_that_are() {
    let bundle = Bundle::open(&fixture()).unwrap();
    assert!(bundle.encoder("cpu", "fp32").unwrap().path.is_file());
    let error = bundle.encoder("cpu", "fp64").unwrap_err();
    assert!(error.to_string().contains("cpu fp32"), "{error}");
}

#[test]
fn a_summary_is_what_a_sealed_manifest_says_and_nothing_of_a_changed_one() {
    let manifest = fs::read(fixture().join(BundleSummary::FILE)).unwrap();
    let summary = BundleSummary::parse(&manifest).unwrap();
    let bundle = Bundle::open(&fixture()).unwrap();
    assert_eq!((summary.version().as_str(), summary.seal()), (bundle.version(), bundle.seal()));
    assert!(summary.sha256("tables.safetensors").is_some_and(|sha256| sha256.len() == 64));
    assert_eq!(summary.files().count(), 8);
    let changed = String::from_utf8(manifest).unwrap().replacen("tiny", "tidy", 1);
    assert!(BundleSummary::parse(changed.as_bytes()).unwrap_err().contains("sealed"));
}
