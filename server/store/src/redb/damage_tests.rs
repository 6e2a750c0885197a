//! Files that are not as they were left: nothing of what was acknowledged is missing without a word.

use proptest::prelude::*;

use super::files::FILE;
use super::journal::FILES;
use super::*;
use crate::conformance::rating;

const EVENTS: i64 = 60;

/// The files of a store that was killed: its tables of an early checkpoint, events in the journal alone.
struct Killed {
    folder: tempfile::TempDir,
}

impl Killed {
    fn new() -> Self {
        let (alive, folder) = (
            tempfile::tempdir().expect("a temporary folder"),
            tempfile::tempdir().expect("a temporary folder"),
        );
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let store = RedbStore::open(alive.path()).expect("the store opens");
        runtime.block_on(async {
            store.put_note("a note", b"").await.expect("a write");
            for time in 1..=EVENTS {
                store.record(&[rating(1, time as u32, time, 6)], 1).await.expect("a write");
            }
        });
        for name in [FILE, FILES[0], FILES[1]] {
            std::fs::copy(alive.path().join(name), folder.path().join(name)).expect("a copy");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The journal that holds the events, and how many of its bytes are used.
    fn journal(&self) -> (&'static str, usize) {
        let used = |name: &&str| {
            let bytes = std::fs::read(self.path(name)).expect("it is there");
            bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
        };
        FILES.map(|name| (name, used(&name))).into_iter().max_by_key(|(_, used)| *used).expect("two")
    }

    fn flip(&self, name: &str, byte: usize, bit: u8) {
        let mut bytes = std::fs::read(self.path(name)).expect("it is there");
        bytes[byte] ^= 1 << bit;
        std::fs::write(self.path(name), bytes).expect("a write");
    }

    fn truncate(&self, name: &str, length: u64) {
        let file = std::fs::OpenOptions::new().write(true).open(self.path(name)).expect("it is there");
        file.set_len(length).expect("it shrinks");
    }

    fn open(&self, on_damage: OnDamage) -> Result<RedbStore, StoreError> {
        RedbStore::open_despite(self.folder.path(), on_damage)
    }

    fn refusal(&self) -> String {
        self.open(OnDamage::Refuse).err().expect("it is refused").to_string()
    }
}

/// How many events an opened store has.
fn events(store: &RedbStore) -> i64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let history = runtime.block_on(store.history(1, None, 1000)).expect("a read").unwrap_or_default();
    assert!(history.is_sorted_by(|newer, older| newer.time_ms > older.time_ms));
    history.len() as i64
}

/// However the journal ends: that of before still holds the record of the event.
#[tokio::test]
async fn a_deletion_that_was_acknowledged_holds_after_a_kill() {
    let alive = tempfile::tempdir().expect("a temporary folder");
    let store = RedbStore::open(alive.path()).expect("the store opens");
    let event = |time: i64| rating(1, time as u32, time, 6);
    for time in 1..=5 {
        store.record(&[event(time)], 1).await.expect("a write");
    }
    let key = EventKey::from(&event(3));
    assert!(store.delete_event(1, key).await.expect("a deletion").is_some());
    store.record(&[event(6)], 1).await.expect("a write");
    for torn in [0, 1, 20] {
        let killed = Killed { folder: tempfile::tempdir().expect("a temporary folder") };
        for name in [FILE, FILES[0], FILES[1]] {
            std::fs::copy(alive.path().join(name), killed.path(name)).expect("a copy");
        }
        // A further write that was cut off, in the place of the seal.
        let (journal, used) = killed.journal();
        let mut bytes = std::fs::read(killed.path(journal)).expect("it is there");
        bytes[used - torn..used].fill(7);
        std::fs::write(killed.path(journal), bytes).expect("a write");
        let store = killed.open(OnDamage::Refuse).expect("the store opens");
        let history = store.history(1, None, 10).await.expect("a read").expect("a known user");
        let times: Vec<_> = history.iter().map(|event| event.time_ms).collect();
        assert_eq!(times, [6, 5, 4, 2, 1], "{torn} bytes of another write");
        assert_eq!(store.delete_event(1, key).await.expect("a deletion"), None);
        assert_eq!(store.stats().await.expect("a read").interactions, 5);
    }
}

#[test]
fn a_flipped_bit_in_the_journal_is_refused_and_recovery_loses_that_block_alone() {
    let killed = Killed::new();
    let (journal, used) = killed.journal();
    killed.flip(journal, used / 2, 3);
    let refusal = killed.refusal();
    assert!(refusal.contains("at most 1 acknowledged events are lost"), "{refusal}");
    assert!(refusal.contains("start with --recover"), "{refusal}");
    let store = killed.open(OnDamage::GoOn).expect("what is left is opened");
    assert_eq!(events(&store), EVENTS - 1);
    drop(store);
    assert_eq!(events(&killed.open(OnDamage::Refuse).expect("it is whole again")), EVENTS - 1);
}

#[test]
fn a_flipped_bit_in_the_last_acknowledged_block_is_refused_too() {
    let killed = Killed::new();
    let (journal, used) = killed.journal();
    // Before the seal of 24 bytes.
    killed.flip(journal, used - 30, 0);
    assert!(killed.refusal().contains("--recover"));
}

#[test]
fn a_missing_journal_is_refused_and_recovery_goes_on_without_it() {
    for name in FILES {
        let killed = Killed::new();
        std::fs::remove_file(killed.path(name)).expect("it is there");
        let refusal = killed.refusal();
        assert!(refusal.contains(&format!("{name} is missing")), "{refusal}");
        assert!(!killed.path(name).exists(), "a refusal changes nothing");
        drop(killed.open(OnDamage::GoOn).expect("what is left is opened"));
        drop(killed.open(OnDamage::Refuse).expect("it is whole again"));
    }
}

#[test]
fn tables_that_are_empty_or_missing_beside_a_journal_are_no_new_store() {
    let killed = Killed::new();
    std::fs::write(killed.path(FILE), "").expect("a write");
    assert!(killed.refusal().contains("marquee.redb is empty"));
    std::fs::remove_file(killed.path(FILE)).expect("it is there");
    assert!(killed.refusal().contains("marquee.redb is missing"));
    assert!(killed.open(OnDamage::GoOn).is_err(), "no recovery brings the tables back");
}

#[test]
fn a_store_that_never_had_an_event_is_known_as_one_without_its_tables() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(RedbStore::open(folder.path()).expect("the store opens"));
    std::fs::write(folder.path().join(FILE), "").expect("a write");
    assert!(RedbStore::open(folder.path()).is_err());
}

#[test]
fn a_first_start_that_was_killed_anywhere_is_a_new_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(format!("{}.new", FILES[0])), "half").expect("a write");
    drop(RedbStore::open(folder.path()).expect("the store opens"));
    for left in [&FILES[..1], &FILES[..]] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in left {
            std::fs::write(folder.path().join(name), vec![0; 100]).expect("a write");
        }
        std::fs::write(folder.path().join(format!("{FILE}.new")), "half").expect("a write");
        drop(RedbStore::open(folder.path()).expect("the store opens"));
    }
}

#[test]
fn a_folder_that_cannot_be_used_does_not_blame_another_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("file"), "").expect("a write");
    let refused = RedbStore::open(&folder.path().join("file/data")).err().expect("a file is no folder");
    assert!(!refused.to_string().contains("server"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_flipped_bit_of_a_journal_hides_no_acknowledged_event(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let killed = Killed::new();
        let (journal, used) = killed.journal();
        killed.flip(journal, at.index(used), bit);
        if let Ok(store) = killed.open(OnDamage::Refuse) {
            prop_assert_eq!(events(&store), EVENTS);
        }
    }

    #[test]
    fn a_journal_cut_anywhere_is_refused(at in any::<prop::sample::Index>(), which in 0..2_usize) {
        let killed = Killed::new();
        let (name, length) = (FILES[which], std::fs::metadata(killed.path(FILES[which])).expect("there").len());
        killed.truncate(name, at.index(length as usize) as u64);
        prop_assert!(matches!(killed.open(OnDamage::Refuse), Err(StoreError::Damaged(_))));
        let store = killed.open(OnDamage::GoOn).expect("what is left is opened");
        prop_assert!(events(&store) <= EVENTS);
    }

    #[test]
    fn a_flipped_bit_of_the_tables_hides_no_acknowledged_event(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let killed = Killed::new();
        let length = std::fs::metadata(killed.path(FILE)).expect("it is there").len();
        killed.flip(FILE, at.index(length as usize), bit);
        if let Ok(store) = killed.open(OnDamage::Refuse) {
            prop_assert_eq!(events(&store), EVENTS);
        }
    }

    #[test]
    fn tables_cut_anywhere_are_refused(at in any::<prop::sample::Index>()) {
        let killed = Killed::new();
        let length = std::fs::metadata(killed.path(FILE)).expect("it is there").len();
        killed.truncate(FILE, at.index(length as usize) as u64);
        if let Ok(store) = killed.open(OnDamage::Refuse) {
            prop_assert_eq!(events(&store), EVENTS);
        }
    }
}
