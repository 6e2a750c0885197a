//! A clock that steps while callers write and a job runs: by a day, by two days back, by an hour.
//!
//! The server is started with a small library before the system's, which adds to the time of day what a file says; so its
//! clock steps, and nobody else's does. `libfaketime` would do more, and does not go with the server's allocator. The
//! library is compiled here, by the compiler that the server's own build needs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use marquee_proto::v1;
use marquee_proto::v1::job_service_client::JobServiceClient;

use super::callers::{Callers, WRITERS};
use super::ordinary::Ordinary;
use super::writers::{compared, connected, counted, import_movies, stored};
use super::{Field, Row};
use crate::served::Server;

/// What the server's clock is wrong by, one after the other, in seconds.
const STEPS: [i64; 4] = [86_400, -86_400, 3_600, 0];
/// How far apart two readings of one time may be, in seconds.
const SLACK_S: i64 = 600;
/// The time between two steps.
const HELD: Duration = Duration::from_secs(1);
/// A job that was asked for after a step is over within this.
const PATIENCE: Duration = Duration::from_mins(1);

/// Adds what the file in `FAULTS_CLOCK` says to the time of day.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const long long *seconds;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULTS_CLOCK");
  int file = path ? open(path, O_RDONLY) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) seconds = mapped;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && clock == CLOCK_REALTIME && seconds) now->tv_sec += *seconds;
  return result;
}
"#;

/// Lets the clock of a server step.
///
/// # Errors
/// When the server does not start, or there is no C compiler.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let clock = Clock::new(folder.path())?;
    let mut launch = field.launch(&folder.path().join("store"), &[]);
    launch.environment = clock.environment();
    let server = launch.start().await?;
    import_movies(&server).await?;
    let (callers, ordinary) = (Callers::start(&server, 1).await?, Ordinary::start(&server).await?);
    let (mut jobs, mut told) = (0, Vec::new());
    for step in STEPS {
        clock.steps_to(step)?;
        tokio::time::sleep(HELD).await;
        let job = job(&server).await?;
        jobs += usize::from(job.state() == v1::JobState::Succeeded);
        told.push(job.create_time.map_or(0, |time| time.seconds));
    }
    let (ahead, goes_on) = (told[0] - now_s(), told.is_sorted());
    let (answers, recommended) = (callers.end().await?, ordinary.end().await?);
    let wrong = compared(&answers.sent, &stored(&server, &answers.sent.users()).await?);
    let (counted, sent) = (counted(&server).await?, answers.sent.acknowledged.len() as u64);
    Ok(vec![
        field
            .row(format!(
                "the clock is wrong by {STEPS:?} s in turn, while {WRITERS} callers write ({sent} events)"
            ))
            .figure("events", sent as f64)
            .sees(
                "the server's time goes forward with its clock",
                format!("it is {ahead} s ahead"),
                (ahead - STEPS[0]).abs() < SLACK_S,
            )
            .sees("and never back", if goes_on { "it does not" } else { "it does" }, goes_on)
            .none("write refused", "refused", answers.refused)
            .none("read that failed", "failed_reads", answers.failed_reads.len())
            .none("recommendation that failed", "failed", recommended.failures.len())
            .sees("a job after each step succeeds", jobs.to_string(), jobs == STEPS.len())
            .none("acknowledged event lost", "lost", wrong.lost)
            .none("event doubled", "doubled", wrong.doubled)
            .none("event that nobody sent", "foreign", wrong.foreign)
            .sees("it counts as many events", counted.to_string(), counted == sent),
    ])
}

/// A job that was asked for now, once it is over or was waited for.
async fn job(server: &Server) -> anyhow::Result<v1::Job> {
    let mut jobs = JobServiceClient::new(connected(server).await?);
    let request = v1::RunJobRequest { kind: "statistics".to_owned(), ..Default::default() };
    let mut job = jobs.run_job(request).await?.into_inner().job.context("a job that is taken is told")?;
    let began = Instant::now();
    while matches!(job.state(), v1::JobState::Queued | v1::JobState::Running) && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let request = v1::GetJobRequest { job_id: job.job_id.clone() };
        job = jobs.get_job(request).await?.into_inner().job.context("a job that is there is told")?;
    }
    Ok(job)
}

/// The seconds since 1970, of this process.
fn now_s() -> i64 {
    marquee_core::clock::now_ms() / 1_000
}

/// The clock of a server.
struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Clock {
    /// One that is right, with its files in this folder.
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        std::fs::write(&source, LIBRARY)?;
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).args([&library, &source]).status();
        anyhow::ensure!(compiled.context("cc cannot be run")?.success(), "cc does not compile the clock");
        let path = folder.join("clock");
        std::fs::write(&path, 0_i64.to_ne_bytes())?;
        let file = OpenOptions::new().write(true).open(&path)?;
        Ok(Self { library, path, file })
    }

    /// With which a server has this clock.
    fn environment(&self) -> Vec<(String, String)> {
        let named = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
        vec![named("LD_PRELOAD", &self.library), named("FAULTS_CLOCK", &self.path)]
    }

    /// It is wrong by so many seconds from now on.
    fn steps_to(&self, seconds: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_this_clock_has_the_time_that_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new(folder.path()).unwrap();
        clock.steps_to(86_400).unwrap();
        let said = Command::new("date").arg("+%s").envs(clock.environment()).output().unwrap();
        let said: i64 = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
        assert!((said - now_s() - 86_400).abs() < 60, "{said}");
    }
}
