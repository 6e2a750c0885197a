//! Waiting until a request is due.
//!
//! The runtime's own timers have steps of a millisecond, which is longer than many answers take. On Linux
//! a timer file descriptor wakes the worker to within some fifty microseconds and costs no spinning.

use std::time::Duration;

use tokio::time::Instant;

/// Waits for moments.
pub trait Pacer {
    /// Comes back at `due`, or at once after other tasks had a turn when `due` is past.
    fn until(&mut self, due: Instant) -> impl Future<Output = ()>;
}

/// The best timer that the system has.
#[derive(Debug)]
pub(super) struct SystemPacer {
    #[cfg(target_os = "linux")]
    timer: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl SystemPacer {
    /// Takes a timer from the system. Call it within the runtime that will wait.
    ///
    /// # Errors
    /// When the system has no timer left.
    pub(super) fn new() -> std::io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the `OwnedFd` owns a valid descriptor and stays in its `AsyncFd`, unchanged, until the
        // `AsyncFd` is dropped and takes it out of the runtime first.
        let timer = unsafe { tokio::io::unix::AsyncFd::register(timer)? };
        Ok(Self { timer })
    }

    async fn wait(&self, time: Duration) -> std::io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0_u8; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut expirations)?));
            match read {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl SystemPacer {
    /// The runtime's timer.
    ///
    /// # Errors
    /// None.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn wait(&self, time: Duration) -> std::io::Result<()> {
        tokio::time::sleep(time).await;
        Ok(())
    }
}

impl Pacer for SystemPacer {
    async fn until(&mut self, due: Instant) {
        let left = due.saturating_duration_since(Instant::now());
        // A timer that fails leaves the request late, and the lateness is counted.
        if left.is_zero() || self.wait(left).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_timer_never_comes_early() {
        let mut pacer = SystemPacer::new().unwrap();
        let due = Instant::now() + Duration::from_millis(3);
        pacer.until(due).await;
        assert!(Instant::now() >= due);
        pacer.until(due).await;
    }
}
