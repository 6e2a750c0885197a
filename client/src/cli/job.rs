//! A job on a terminal: a bar for how far it is, its lines above the bar, and in the end what it gave.

use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use marquee_core::text::printable;
use marquee_proto::v1;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;

use super::exit::Failure;
use crate::Client;

/// Asks for a job.
pub(super) const RUN: &str = "marquee.v1.JobService.RunJob";
/// Tells what becomes of one.
pub(super) const WATCH: &str = "marquee.v1.JobService.WatchJob";

/// The job that a reply is about.
pub(super) fn job_of(reply: &DynamicMessage) -> Option<String> {
    let reply = v1::RunJobResponse::decode(reply.encode_to_vec().as_slice()).ok()?;
    reply.job.map(|job| job.job_id)
}

/// Follows a job until it is over.
///
/// # Errors
/// [`Failure::Job`] for one that does not succeed.
pub(super) async fn follow(client: &Client, job_id: String) -> Result<(), Failure> {
    let job = at_its_end(client, job_id).await?;
    job.map_or(Ok(()), |job| ended(&job))
}

/// Shows how far a job is until it is over, and what it is then.
///
/// # Errors
/// [`Failure::Call`].
pub(super) async fn at_its_end(client: &Client, job_id: String) -> Result<Option<v1::Job>, Failure> {
    let mut replies = client.watch_job(v1::WatchJobRequest { job_id }).await?;
    let bar = bar();
    let mut last = None;
    while let Some(reply) = replies.next().await {
        let v1::WatchJobResponse { job, lines } = reply?;
        for line in lines {
            bar.suspend(|| eprintln!("{}", printable(&line.text)));
        }
        if let Some(job) = job {
            show(&bar, &job);
            last = Some(job);
        }
    }
    bar.finish_and_clear();
    Ok(last)
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:40} [{bar:30}] {percent:>3}%  {elapsed} + {eta} left");
    let style = style.expect("the template is valid").progress_chars("=> ");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}

fn show(bar: &ProgressBar, job: &v1::Job) {
    let progress = job.progress.clone().unwrap_or_default();
    let message = match job.state() {
        v1::JobState::Queued => "waits for a node".to_owned(),
        _ => printable(&progress.message).into_owned(),
    };
    bar.set_length(progress.total);
    bar.set_position(progress.done);
    bar.set_message(message);
}

fn ended(job: &v1::Job) -> Result<(), Failure> {
    match job.state() {
        v1::JobState::Succeeded => {
            println!("{} {}: {}", job.kind, job.job_id, printable(&job.summary));
            let mut figures: Vec<_> = job.figures.iter().collect();
            figures.sort_by_key(|(name, _)| *name);
            for (name, value) in figures {
                println!("  {:<24} {value}", printable(name));
            }
            Ok(())
        }
        v1::JobState::Cancelled => Err(Failure::Job(format!("the job {} was cancelled", job.job_id))),
        _ => Err(Failure::Job(format!("the job {} failed: {}", job.job_id, printable(&job.error)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: v1::JobState) -> v1::Job {
        v1::Job { state: state.into(), error: "no room".to_owned(), ..Default::default() }
    }

    #[test]
    fn a_job_that_does_not_succeed_is_a_failure_of_its_own() {
        assert!(ended(&job(v1::JobState::Succeeded)).is_ok());
        let failed = ended(&job(v1::JobState::Failed)).unwrap_err();
        assert!(failed.message(&[]).contains("no room"));
        assert_eq!(failed.exit_code(), ended(&job(v1::JobState::Cancelled)).unwrap_err().exit_code());
    }
}
