//! Finds peers who do not read their replies.
//!
//! HTTP/2 sends no more of a reply than its reader has room for, and what remains is kept for as long as the
//! reader likes: a few bytes of requests could hold all the memory that there is. A stream's replies are given up
//! one by one ([`delivery`](super::delivery)); of other calls many wait on one connection, and a timer for each
//! would cost all the callers who read. So a connection counts its unread replies in two generations, and looks
//! at the older one from time to time: whoever has replies that old must have taken some of them meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// What a peer takes at least of each old reply from one look to the next.
const TAKEN_BYTES: u64 = 64 << 10;

/// The unread replies of a connection.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    generations: [AtomicUsize; 2],
    /// The generation of the next reply.
    newer: AtomicUsize,
    written: AtomicU64,
}

impl Unread {
    /// So many bytes were written to the peer.
    pub(super) fn written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits until replies have waited for `patience`, and twice that at most, without being read.
    pub(super) async fn stalled(&self, patience: Duration) {
        let mut before = 0;
        loop {
            sleep(patience).await;
            let written = self.written.load(Ordering::Relaxed);
            if written - before < self.rotate() as u64 * TAKEN_BYTES {
                return;
            }
            before = written;
        }
    }

    /// The replies that have waited since the look before this one. When there are none, those that came since
    /// are the older generation from here on.
    fn rotate(&self) -> usize {
        let newer = self.newer.load(Ordering::Relaxed);
        let older = newer ^ 1;
        let waiting = self.generations[older].load(Ordering::Relaxed);
        if waiting == 0 {
            self.newer.store(older, Ordering::Relaxed);
        }
        waiting
    }
}

/// A reply that waits for its reader, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reply {
    unread: Arc<Unread>,
    generation: usize,
}

impl Reply {
    /// The next reply on the connection of these.
    pub(crate) fn on(unread: &Arc<Unread>) -> Self {
        let generation = unread.newer.load(Ordering::Relaxed);
        unread.generations[generation].fetch_add(1, Ordering::Relaxed);
        Self { unread: Arc::clone(unread), generation }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.unread.generations[self.generation].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::super::connection::tests::info;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_nobody_reads_is_found_within_twice_the_patience() {
        let info = info(true);
        tokio::time::advance(PATIENCE / 2).await;
        let _reply = Reply::on(info.unread());
        let began = Instant::now();
        info.unread().stalled(PATIENCE).await;
        assert!(began.elapsed() >= PATIENCE && began.elapsed() <= 2 * PATIENCE, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn replies_that_are_read_sooner_or_later_are_no_stall() {
        let info = info(true);
        let connection = info.clone();
        let calling = tokio::spawn(async move {
            loop {
                let quick = Reply::on(connection.unread());
                sleep(PATIENCE / 3).await;
                drop(quick);
                let slow = Reply::on(connection.unread());
                for _ in 0..5 {
                    sleep(PATIENCE / 2).await;
                    connection.unread().written(TAKEN_BYTES as usize);
                }
                drop(slow);
            }
        });
        assert!(timeout(Duration::from_hours(24), info.unread().stalled(PATIENCE)).await.is_err());
        calling.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_reader_does_not_excuse_many_who_do_not_read() {
        let info = info(true);
        let _replies: Vec<Reply> = (0..3).map(|_| Reply::on(info.unread())).collect();
        let connection = info.clone();
        let reading = tokio::spawn(async move {
            loop {
                sleep(PATIENCE / 2).await;
                connection.unread().written(TAKEN_BYTES as usize);
            }
        });
        timeout(3 * PATIENCE, info.unread().stalled(PATIENCE)).await.expect("it is found");
        reading.abort();
    }
}
