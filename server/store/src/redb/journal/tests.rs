use std::path::Path;

use super::*;
use crate::conformance::rating;

fn entries(events: &[Interaction]) -> Vec<u8> {
    let mut entries = Vec::new();
    for event in events {
        put_entry(&mut entries, event, 5);
    }
    entries
}

/// The journal of a store at this epoch, and what it holds.
fn open(folder: &Path, epoch: u64) -> (Journal, Recovered) {
    let disk = Disk::open(folder).expect("the folder is ours");
    let mut journal = Journal::open(&disk, FULL).expect("the journal opens");
    let recovered = journal.recover(epoch).expect("it can be read");
    (journal, recovered)
}

fn recovered(folder: &Path, epoch: u64) -> Vec<(Interaction, TimeMs)> {
    let recovered = open(folder, epoch).1;
    assert_eq!(recovered.damage, []);
    recovered.events
}

#[test]
fn a_write_that_was_cut_off_ends_the_journal_before_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = [rating(1, 2, 3, 4), rating(1, 2, 4, 5), rating(2, 2, 3, 6)];
    let (mut journal, _) = open(folder.path(), 3);
    journal.append(&entries(&events[..2])).expect("a write");
    let cut_off = &encode(3, &entries(&events[2..]))[..40];
    journal.file().write(journal.end, cut_off).expect("a write");
    drop(journal);
    assert_eq!(recovered(folder.path(), 3), [(events[0], 5), (events[1], 5)]);
}

#[test]
fn blocks_of_before_the_checkpoint_are_not_recovered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut journal, _) = open(folder.path(), 3);
    for epoch in 3..6 {
        journal.append(&entries(&[rating(1, 2, epoch, 4), rating(2, 2, epoch, 4)])).expect("a write");
        journal.append(&entries(&[rating(3, 2, epoch, 4)])).expect("a write");
        journal.restart();
    }
    journal.append(&entries(&[rating(9, 9, 9, 9)])).expect("a write");
    drop(journal);
    assert_eq!(recovered(folder.path(), 6), [(rating(9, 9, 9, 9), 5)]);
}

#[test]
fn what_came_during_a_checkpoint_that_did_not_end_is_recovered_after_what_was_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = [rating(1, 2, 3, 4), rating(1, 2, 4, 5)];
    let (mut journal, _) = open(folder.path(), 3);
    journal.append(&entries(&events[..1])).expect("a write");
    journal.restart();
    journal.append(&entries(&events[1..])).expect("a write");
    drop(journal);
    assert_eq!(recovered(folder.path(), 3), [(events[0], 5), (events[1], 5)]);
}

#[test]
fn a_journal_without_seals_as_older_programs_wrote_it_is_recovered_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = [rating(1, 2, 3, 4), rating(1, 2, 4, 5)];
    let (journal, _) = open(folder.path(), 3);
    let blocks = [encode(3, &entries(&events[..1])), encode(3, &entries(&events[1..]))].concat();
    journal.file().write(0, &blocks).expect("a write");
    drop(journal);
    assert_eq!(recovered(folder.path(), 3), [(events[0], 5), (events[1], 5)]);
}

#[test]
fn a_write_that_failed_is_no_block_after_the_journal_settled() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut journal, _) = open(folder.path(), 3);
    journal.append(&entries(&[rating(1, 2, 3, 4)])).expect("a write");
    let refused = encode(3, &entries(&[rating(1, 2, 4, 5)]));
    journal.file().write(journal.end, &refused).expect("a write");
    journal.settle().expect("the disk takes it");
    drop(journal);
    assert_eq!(recovered(folder.path(), 3), [(rating(1, 2, 3, 4), 5)]);
}

#[test]
fn a_journal_that_goes_on_after_recovery_settles_behind_what_it_holds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut journal, _) = open(folder.path(), 3);
    journal.append(&entries(&[rating(1, 2, 3, 4)])).expect("a write");
    journal.restart();
    journal.append(&entries(&[rating(1, 2, 4, 5)])).expect("a write");
    for _ in 0..3 {
        assert_eq!(journal.recover(3).expect("it can be read").events.len(), 2);
        journal.settle().expect("the disk takes it");
    }
}

#[test]
fn tables_of_before_a_checkpoint_that_the_journal_is_of_after_are_damage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut journal, _) = open(folder.path(), 5);
    journal.append(&entries(&[rating(1, 2, 3, 4)])).expect("a write");
    drop(journal);
    let (_, recovered) = open(folder.path(), 3);
    assert_eq!(recovered.damage, [Damage::OldTables]);
    assert_eq!(recovered.events, [(rating(1, 2, 3, 4), 5)]);
}
