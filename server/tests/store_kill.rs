//! A store whose process is killed loses nothing that it acknowledged.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use marquee_core::domain::{Interaction, Kind, Rating};
use marquee_store::{RedbStore, Store};

const FOLDER: &str = "MARQUEE_TEST_KILL_FOLDER";
const CALLERS: u64 = 16;
/// Enough for some checkpoints (every note is one) to be among what is killed.
const ACKNOWLEDGED: usize = 3_000;

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        acknowledged.extend(write_and_kill(folder.path(), round));
        let store = RedbStore::open(folder.path()).expect("the store opens after a kill");
        for user in 1..=CALLERS {
            let history = store.history(user, None, usize::MAX).await.expect("a read").unwrap_or_default();
            let stored: std::collections::HashSet<_> = history.iter().map(|event| event.time_ms).collect();
            let lost = acknowledged.iter().filter(|(of, time)| *of == user && !stored.contains(time)).count();
            assert_eq!(lost, 0, "round {round}: acknowledged events of user {user} are lost");
        }
    }
    assert!(acknowledged.len() >= 3 * ACKNOWLEDGED);
}

/// Runs the writer below in a process of its own, kills it in the middle of its work, and returns the
/// (user, time) of every event that it said was acknowledged.
fn write_and_kill(folder: &Path, round: usize) -> Vec<(u64, i64)> {
    let mut child = Command::new(std::env::current_exe().expect("this test has a file"))
        .args(["--exact", "writer_to_be_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env("MARQUEE_TEST_KILL_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut acknowledged = Vec::new();
    for line in output.lines().map_while(Result::ok) {
        let words: Vec<_> = line.split_whitespace().collect();
        if let ["acknowledged", user, time] = words[..] {
            acknowledged.push((user.parse().expect("a user"), time.parse().expect("a time")));
        }
        if acknowledged.len() == ACKNOWLEDGED {
            child.kill().expect("kill -9");
        }
    }
    child.wait().expect("it is dead");
    acknowledged
}

/// Not a test: the process that [`write_and_kill`] starts. Writes until it is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test above"]
async fn writer_to_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let round: i64 = std::env::var("MARQUEE_TEST_KILL_ROUND").map_or(0, |round| round.parse().unwrap_or(0));
    let store = Arc::new(RedbStore::open(Path::new(&folder)).expect("the store opens"));
    let callers = (1..=CALLERS).map(|user_id| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for i in 0.. {
                let time_ms = round * 1_000_000 + i;
                let (kind, rating) = (Kind::Rating, Rating::from_half_stars(6));
                let event = Interaction { user_id, movie_id: 1 + i as u32, time_ms, kind, rating };
                store.record(&[event], 1).await.expect("a write");
                if i % 100 == 99 {
                    store.put_note("place", &i.to_le_bytes()).await.expect("a write");
                }
                let line = format!("acknowledged {user_id} {time_ms}\n");
                std::io::stdout().write_all(line.as_bytes()).expect("the test listens");
            }
        })
    });
    futures::future::join_all(callers.collect::<Vec<_>>()).await;
}
