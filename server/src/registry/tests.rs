use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;

const ENOUGH: Quota = Quota { versions: 10, bytes: 1 << 30 };
/// 2026-11-30, 19:53.
const NOW: TimeMs = 1_796_068_380_000;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx/fixtures/tiny")
}

/// The files of a bundle in the order in which they are sent, by name.
type Files = Vec<(String, Vec<u8>)>;

/// The fixture under another version.
fn bundle(version: &str) -> Files {
    let text = fs::read_to_string(fixture().join("bundle.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let zeros = "0".repeat(64);
    (manifest["version"], manifest["seal"]) = (json!(version), json!(zeros));
    let text = manifest.to_string();
    let text = text.replace(&zeros, &hex::encode(Sha256::digest(&text)));
    let summary = BundleSummary::parse(text.as_bytes()).unwrap();
    let of = |file: &str| (file.to_owned(), fs::read(fixture().join(file)).unwrap());
    let files: Vec<_> = summary.files().map(|(file, _)| of(file)).collect();
    std::iter::once(("bundle.json".to_owned(), text.into_bytes())).chain(files).collect()
}

fn registry(folder: &TempDir, quota: Quota) -> Arc<Registry> {
    Arc::new(Registry::open(folder.path().join("models"), quota))
}

fn new(name: &str) -> NewVersion {
    NewVersion { name: name.to_owned(), ..NewVersion::default() }
}

/// Uploads files in parts; whether the version is new.
fn upload(registry: &Arc<Registry>, name: &str, files: &Files) -> Result<(Registered, bool), RegistryError> {
    let mut upload = registry.begin(new(name))?;
    for (file, content) in files {
        for part in content.chunks(1000) {
            if let Some(known) = upload.write(file, part)? {
                return Ok((known, false));
            }
        }
    }
    upload.finish(NOW)
}

fn all(registry: &Registry) -> Vec<Registered> {
    registry.list(&Wanted::default(), None, 100).unwrap()
}

/// Everything below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| std::iter::once(path.clone()).chain(below(&path))).collect()
}

#[track_caller]
fn assert_fault(outcome: Result<(Registered, bool), RegistryError>, part: Part, words: &str) {
    let Err(RegistryError::Fault(fault)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.part(), part, "{fault}");
    assert!(fault.to_string().contains(words), "{fault}");
}

#[test]
fn a_bundle_that_is_kept_is_the_one_that_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let mut files = bundle("7");
    files.push((MODEL_CARD.to_owned(), b"# A card".to_vec()));
    let (kept, created) = upload(&registry, "movies", &files).unwrap();
    assert!(created);
    assert_eq!(kept.summary.version(), "tiny@7");
    assert_eq!(kept.version, format!("20261130T195300Z-{}", &kept.summary.seal()[..12]));
    assert_eq!(kept.bytes, files.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
    for (file, content) in &files {
        assert_eq!(&fs::read(kept.folder.join(file)).unwrap(), content, "{file}");
    }
    let mode = fs::metadata(kept.folder.join("tables.safetensors")).unwrap().permissions().mode();
    assert_eq!(mode & 0o222, 0);
    let opened = marquee_engine::Bundle::open(&kept.folder).unwrap();
    assert_eq!(opened.seal(), kept.summary.seal());
    let found = registry.get("movies", &kept.version).unwrap();
    assert_eq!((found.summary.seal(), found.bytes), (kept.summary.seal(), kept.bytes));
    assert_eq!(registry.card(&found).unwrap().as_deref(), Some("# A card"));
}

#[test]
fn the_same_bundle_again_is_the_version_that_there_is_as_soon_as_its_manifest_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let files = bundle("7");
    let (first, _) = upload(&registry, "movies", &files).unwrap();
    let begun = files[..2].to_vec();
    let (again, created) = upload(&registry, "movies", &begun).unwrap();
    assert_eq!((again.version, created), (first.version, false));
    let (other, created) = upload(&registry, "others", &files).unwrap();
    assert_eq!((other.name.as_str(), created), ("others", true));
    assert_eq!(all(&registry).len(), 2);
}

#[test]
fn of_an_upload_that_breaks_off_nothing_stays() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let mut begun = registry.begin(new("movies")).unwrap();
    begun.write("bundle.json", &bundle("7")[0].1).unwrap();
    assert!(matches!(registry.begin(new("movies")), Err(RegistryError::Busy)));
    drop(begun);
    assert_eq!(below(&folder.path().join("models/.staging")), Vec::<PathBuf>::new());
    assert_eq!(all(&registry).len(), 0);
    assert!(upload(&registry, "movies", &bundle("7")).is_ok());
}

#[test]
fn what_a_killed_server_left_is_removed_and_what_another_one_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let writing = Staging::begin(&models).unwrap();
    let left = models.join(".staging/left");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("bundle.json"), "{").unwrap();
    let _other = registry(&folder, ENOUGH);
    assert!(!left.exists() && writing.folder().exists());
}

#[test]
fn files_that_are_not_those_of_the_manifest_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let changed = |change: &dyn Fn(&mut Files)| {
        let mut files = bundle("7");
        change(&mut files);
        upload(&registry, "movies", &files)
    };
    let add = |name: &str| {
        let name = name.to_owned();
        move |files: &mut Files| files.push((name.clone(), b"x".to_vec()))
    };
    for other in ["../bundle.json", "/etc/passwd", "..", ".registry.json", "notes.md", "a/b", ""] {
        assert_fault(changed(&add(other)), Part::FileName, "does not list");
    }
    assert_fault(changed(&add("bundle.json")), Part::FileName, "came already");
    assert_fault(changed(&|files| files.swap(0, 1)), Part::FileName, "before all other files");
    assert_fault(changed(&|files| drop(files.pop())), Part::FileName, "never was");
    assert_fault(changed(&|files| files.truncate(0)), Part::FileName, "never was bundle.json");
    assert_fault(changed(&|files| files[1].1[0] ^= 1), Part::Content, "sha256");
    assert_fault(changed(&|files| files[0].1[20] ^= 1), Part::Content, "no manifest");
    assert_fault(changed(&|files| files[0].1 = vec![b' '; (1 << 20) + 1]), Part::Content, "longer than");
    let vocabulary = |files: &mut Files| {
        let place = files.iter().position(|(name, _)| name == "vocabulary.u32").unwrap();
        files[place].1.push(0);
    };
    assert_fault(changed(&vocabulary), Part::Content, "longer than");
    assert_eq!(all(&registry).len(), 0);
}

#[test]
fn a_name_is_no_way_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let (kept, _) = upload(&registry, "movies", &bundle("7")).unwrap();
    for name in ["", ".", "..", "../movies", ".staging", "a/b", "ü", &"a".repeat(65)] {
        assert_fault(upload(&registry, name, &bundle("7")), Part::Name, "are accepted");
        assert!(matches!(registry.get(name, &kept.version), Err(RegistryError::Unknown { .. })), "{name}");
        assert!(matches!(registry.get("movies", name), Err(RegistryError::Unknown { .. })), "{name}");
    }
    let parent = NewVersion { parent: Some("../x".to_owned()), ..new("movies") };
    let refused = registry.begin(parent).map(|_| unreachable!("it is refused"));
    assert_fault(refused, Part::Parent, "no version");
}

#[test]
fn links_are_no_versions() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let (kept, _) = upload(&registry, "movies", &bundle("7")).unwrap();
    symlink(&kept.folder, kept.folder.with_file_name("link")).unwrap();
    symlink(folder.path().join("models/movies"), folder.path().join("models/linked")).unwrap();
    assert_eq!(all(&registry).len(), 1);
    assert!(matches!(registry.get("movies", "link"), Err(RegistryError::Unknown { .. })));
}

#[test]
fn there_is_room_for_so_many_versions_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let one = registry(&folder, Quota { versions: 1, ..ENOUGH });
    let (kept, _) = upload(&one, "movies", &bundle("7")).unwrap();
    let refused = upload(&one, "movies", &bundle("8")).unwrap_err();
    assert!(matches!(refused, RegistryError::NoRoom { kept: 1, .. }), "{refused}");
    assert!(!upload(&one, "movies", &bundle("7")).unwrap().1);
    let bytes = registry(&folder, Quota { bytes: kept.bytes + kept.bytes / 2, ..ENOUGH });
    assert!(matches!(upload(&bytes, "movies", &bundle("8")), Err(RegistryError::NoRoom { .. })));
    bytes.delete("movies", &kept.version, |_| None).unwrap();
    assert!(upload(&bytes, "movies", &bundle("8")).unwrap().1);
}

#[test]
fn two_bundles_that_call_themselves_alike_are_not_both_kept() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    upload(&registry, "movies", &bundle("7")).unwrap();
    let mut other = bundle("7");
    let text = String::from_utf8(other[0].1.clone()).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let zeros = "0".repeat(64);
    (manifest["metrics"], manifest["seal"]) = (json!({ "mrr": 0.5 }), json!(zeros));
    let text = manifest.to_string();
    other[0].1 = text.replace(&zeros, &hex::encode(Sha256::digest(&text))).into_bytes();
    let refused = upload(&registry, "others", &other).unwrap_err();
    assert!(matches!(&refused, RegistryError::Taken { model_version, .. } if model_version == "tiny@7"));
}

#[test]
fn versions_are_listed_newest_first_by_pages_names_and_tags() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    for (version, name, after) in [("1", "a", 0), ("2", "b", 1_000), ("3", "a", 2_000)] {
        let mut upload = registry.begin(new(name)).unwrap();
        for (file, content) in bundle(version) {
            assert!(upload.write(&file, &content).unwrap().is_none());
        }
        upload.finish(NOW + after).unwrap();
    }
    let shown = |found: Vec<Registered>| found.iter().map(|one| one.summary.version()).collect::<Vec<_>>();
    let first = registry.list(&Wanted::default(), None, 2).unwrap();
    let rest = registry.list(&Wanted::default(), Some(&first[1].place()), 2).unwrap();
    let tagged = &first[1];
    let tags = BTreeMap::from([("by".to_owned(), "night".to_owned())]);
    registry.tag("b", &tagged.version, tags, &[]).unwrap();
    let of = |wanted: Wanted| shown(registry.list(&wanted, None, 10).unwrap());
    assert_eq!(shown(first), ["tiny@3", "tiny@2"]);
    assert_eq!(shown(rest), ["tiny@1"]);
    assert_eq!(of(Wanted { name: Some("a".to_owned()), tag: None }), ["tiny@3", "tiny@1"]);
    let tag =
        |value: Option<&str>| Wanted { name: None, tag: Some(("by".to_owned(), value.map(str::to_owned))) };
    assert_eq!(of(tag(None)), ["tiny@2"]);
    assert_eq!(of(tag(Some("night"))), ["tiny@2"]);
    assert_eq!(of(tag(Some("day"))), [""; 0]);
}

#[test]
fn tags_are_given_replaced_and_taken_and_survive() {
    let folder = tempfile::tempdir().unwrap();
    let one = registry(&folder, ENOUGH);
    let (kept, _) = upload(&one, "movies", &bundle("7")).unwrap();
    let tags = |pairs: &[(&str, &str)]| -> BTreeMap<_, _> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    one.tag("movies", &kept.version, tags(&[("a", "1"), ("b", "2")]), &[]).unwrap();
    one.tag("movies", &kept.version, tags(&[("b", "3")]), &["a".to_owned()]).unwrap();
    let many: BTreeMap<_, _> = (0..MAX_TAGS).map(|tag| (tag.to_string(), String::new())).collect();
    let refused = one.tag("movies", &kept.version, many, &[]);
    assert!(matches!(refused, Err(RegistryError::TooManyTags)));
    let again = registry(&folder, ENOUGH).get("movies", &kept.version).unwrap();
    assert_eq!(again.tags, tags(&[("b", "3")]));
    assert!(marquee_engine::Bundle::open(&again.folder).is_ok());
}

#[test]
fn a_deleted_version_is_gone_and_one_that_is_needed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let (kept, _) = upload(&registry, "movies", &bundle("7")).unwrap();
    let refused = |role| registry.delete("movies", &kept.version, |_| Some(role)).unwrap_err();
    assert!(matches!(refused(Role::Active), RegistryError::Active { .. }));
    assert!(matches!(refused(Role::Before), RegistryError::Before { .. }));
    registry.delete("movies", &kept.version, |_| None).unwrap();
    assert!(matches!(registry.delete("movies", &kept.version, |_| None), Err(RegistryError::Unknown { .. })));
    assert_eq!(below(&folder.path().join("models/movies")), Vec::<PathBuf>::new());
    assert_eq!(below(&folder.path().join("models/.staging")), Vec::<PathBuf>::new());
}

#[test]
fn what_people_put_beside_the_versions_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, ENOUGH);
    let (kept, _) = upload(&registry, "movies", &bundle("7")).unwrap();
    let models = folder.path().join("models");
    fs::write(models.join("README.md"), "ours").unwrap();
    fs::create_dir(models.join("movies/empty")).unwrap();
    fs::create_dir(models.join("movies/damaged")).unwrap();
    fs::write(models.join("movies/damaged/.registry.json"), "{").unwrap();
    assert_eq!(all(&registry).len(), 1);
    assert_eq!(all(&registry)[0].version, kept.version);
}
