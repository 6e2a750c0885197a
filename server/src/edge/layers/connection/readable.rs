//! Since when there has been something to read.
//!
//! The system says that a connection can be read, and its task is queued behind all others of the runtime. So the
//! time is taken when the task is woken and not when it runs. What comes while the task reads counts as read
//! since then too, and what waits in the system before the runtime looks is not seen.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::Instant;

thread_local! {
    static READ_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Since when what this thread read last could be read; `None` on a thread that reads no connection.
///
/// To be asked while a connection's task decodes what it has read: right after, the thread reads for another one.
pub(in super::super) fn read_since() -> Option<Instant> {
    READ_SINCE.get()
}

/// Keeps the time for one connection.
pub(super) struct Readable {
    alarm: Arc<Alarm>,
    waker: Waker,
    /// Since when what is being read could be read; `None` after nothing was left.
    since: Option<Instant>,
}

impl Default for Readable {
    fn default() -> Self {
        let alarm =
            Arc::new(Alarm { made: Instant::now(), rang_us: AtomicU64::new(0), task: AtomicWaker::new() });
        Self { waker: Waker::from(Arc::clone(&alarm)), alarm, since: None }
    }
}

impl Readable {
    /// Runs a read, which wakes the task of `context` when there is something again.
    pub(super) fn watch<T>(
        &mut self,
        context: &Context<'_>,
        read: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.alarm.task.register(context.waker());
        let read = read(&mut Context::from_waker(&self.waker));
        if read.is_pending() {
            self.since = None;
            self.alarm.reset();
        } else {
            let since = *self.since.get_or_insert_with(|| self.alarm.rang().unwrap_or_else(Instant::now));
            READ_SINCE.set(Some(since));
        }
        read
    }
}

/// Wakes the task and remembers when.
struct Alarm {
    made: Instant,
    /// Microseconds after `made`; 0 when it has not rung.
    rang_us: AtomicU64,
    task: AtomicWaker,
}

impl Alarm {
    fn rang(&self) -> Option<Instant> {
        let rang_us = self.rang_us.load(Ordering::Relaxed);
        (rang_us > 0).then(|| self.made + Duration::from_micros(rang_us))
    }

    /// One that rings right before is forgotten: its time is taken a moment later, by the read.
    fn reset(&self) {
        self.rang_us.store(0, Ordering::Relaxed);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let now_us = self.made.elapsed().as_micros() as u64;
        // The first counts.
        let _ = self.rang_us.compare_exchange(0, now_us.max(1), Ordering::Relaxed, Ordering::Relaxed);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::time::advance;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A read that finds nothing and leaves its waker.
    fn find_nothing(readable: &mut Readable) -> Waker {
        let mut left = None;
        let read: Poll<()> = readable.watch(&Context::from_waker(Waker::noop()), |context| {
            left = Some(context.waker().clone());
            Poll::Pending
        });
        assert!(read.is_pending());
        left.unwrap()
    }

    /// Since when what is read now could be read.
    fn read(readable: &mut Readable) -> Instant {
        assert!(readable.watch(&Context::from_waker(Waker::noop()), |_| Poll::Ready(())).is_ready());
        read_since().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_late_has_been_there_since_the_task_was_woken() {
        let (mut readable, began) = (Readable::default(), Instant::now());
        let waker = find_nothing(&mut readable);
        advance(3 * MS).await;
        waker.wake_by_ref();
        advance(20 * MS).await;
        waker.wake();
        advance(20 * MS).await;
        assert_eq!(read(&mut readable) - began, 3 * MS);
        assert_eq!(read(&mut readable) - began, 3 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_a_pause_is_new() {
        let mut readable = Readable::default();
        find_nothing(&mut readable).wake();
        read(&mut readable);
        find_nothing(&mut readable);
        advance(1000 * MS).await;
        assert_eq!(read(&mut readable), Instant::now());
    }

    #[tokio::test]
    async fn the_task_that_reads_is_woken() {
        let mut readable = Readable::default();
        let mut waker = None;
        std::future::poll_fn(|context| {
            if waker.is_some() {
                return Poll::Ready(());
            }
            let read: Poll<()> = readable.watch(context, |context| {
                waker = Some(context.waker().clone());
                Poll::Pending
            });
            assert!(read.is_pending());
            waker.iter().for_each(Waker::wake_by_ref);
            Poll::Pending
        })
        .await;
    }
}
