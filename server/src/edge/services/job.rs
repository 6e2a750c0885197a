//! `marquee.v1.JobService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::Extensions;
use marquee_core::clock::now_ms;
use marquee_proto::v1::job_service_server::JobService;
use marquee_proto::{methods, v1};
use tonic::{Request, Response, Status};

use crate::access::Keys;
use crate::edge::layers::{Origin, caller_of};
use crate::edge::page::List;
use crate::edge::places::{NoPlace, Place, Places};
use crate::edge::{ApiError, convert, valid};
use crate::jobs::{
    Creator, Entry, Filter, Job, Jobs, Kind, Line, Progress, RunError, Schedule, ScheduleError, Seen, State,
    Timetable, When,
};

/// Jobs on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 50;

/// What whoever runs jobs has to be allowed to call.
pub(crate) const RUN_JOB: &str = methods::job::RUN_JOB.full_name();

/// When a refused watcher may try again.
const WATCH_RETRY: Duration = Duration::from_secs(5);

/// The service.
pub(crate) struct JobApi {
    jobs: Arc<Jobs>,
    timetable: Arc<Timetable>,
    keys: Arc<Keys>,
    watchers: Places,
}

impl JobApi {
    /// The service over the jobs and their schedules; so many calls may watch at once as `max_watchers` says.
    pub(crate) fn new(
        jobs: Arc<Jobs>,
        timetable: Arc<Timetable>,
        keys: Arc<Keys>,
        max_watchers: usize,
    ) -> Self {
        Self { jobs, timetable, keys, watchers: Places::new(max_watchers) }
    }

    /// Who makes a call, if that is known.
    fn creator(&self, extensions: &Extensions) -> Option<Creator> {
        let caller = caller_of(extensions).ok()?;
        Some(Creator {
            name: caller.name.clone(),
            roles: caller.roles.iter().map(|role| role.name.clone()).collect(),
            by_key: self.keys.identity_of(&caller.name, now_ms()).is_some(),
        })
    }

    fn watcher(&self, origin: Origin) -> Result<Place, ApiError> {
        let retry_after = WATCH_RETRY;
        self.watchers.take(origin).map_err(|why| match why {
            NoPlace::Full => ApiError::TooManyWatchers { retry_after },
            NoPlace::Share => ApiError::TooManyWatchersOfAddress { retry_after },
        })
    }
}

#[tonic::async_trait]
impl JobService for JobApi {
    async fn run_job(
        &self,
        request: Request<v1::RunJobRequest>,
    ) -> Result<Response<v1::RunJobResponse>, Status> {
        let creator = caller_of(request.extensions()).ok().map(|caller| caller.name.clone());
        let v1::RunJobRequest { kind, arguments } = valid(request)?;
        let job = self.jobs.run(&kind, arguments.into_iter().collect(), creator).await;
        Ok(Response::new(v1::RunJobResponse { job: Some(shown(job.map_err(refused)?)) }))
    }

    async fn get_job(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::GetJobResponse>, Status> {
        let job = self.jobs.get(&valid(request)?.job_id).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::GetJobResponse { job: Some(shown(job)) }))
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let mut request = valid(request)?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListJobs", &request);
        let after = list.jobs_after(&page_token)?;
        let filter = filter(request);
        let listed = self.jobs.list(&filter, after.as_deref(), page_size + 1).await;
        let mut jobs = listed.map_err(ApiError::from)?;
        let is_last = jobs.len() <= page_size;
        jobs.truncate(page_size);
        let next = jobs.last().filter(|_| !is_last).map(|job| list.jobs_token(&job.job_id));
        Ok(Response::new(v1::ListJobsResponse {
            jobs: jobs.into_iter().map(shown).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<v1::WatchJobResponse, Status>> + Send + 'static>>;

    async fn watch_job(
        &self,
        request: Request<v1::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let origin = Origin::of(request.extensions());
        let job_id = valid(request)?.job_id;
        let watcher = self.watcher(origin)?;
        let watched = Arc::clone(&self.jobs).watch(job_id).await.map_err(ApiError::from)?;
        let watched = watched.map(|seen| seen.map(watched_job).map_err(|error| ApiError::from(error).into()));
        Ok(Response::new(Box::pin(watched.inspect(move |_| _ = &watcher))))
    }

    async fn cancel_job(
        &self,
        request: Request<v1::CancelJobRequest>,
    ) -> Result<Response<v1::CancelJobResponse>, Status> {
        let job = self.jobs.cancel(&valid(request)?.job_id).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::CancelJobResponse { job: Some(shown(job)) }))
    }

    async fn list_job_kinds(
        &self,
        _: Request<v1::ListJobKindsRequest>,
    ) -> Result<Response<v1::ListJobKindsResponse>, Status> {
        let kinds = self.jobs.kinds().iter().map(|kind| described(kind.as_ref())).collect();
        Ok(Response::new(v1::ListJobKindsResponse { kinds }))
    }

    async fn list_schedules(
        &self,
        _: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        let entries = self.timetable.list(now_ms()).await.map_err(ApiError::from)?;
        let schedules = entries.into_iter().map(shown_schedule).collect();
        Ok(Response::new(v1::ListSchedulesResponse { schedules }))
    }

    async fn put_schedule(
        &self,
        request: Request<v1::PutScheduleRequest>,
    ) -> Result<Response<v1::PutScheduleResponse>, Status> {
        let creator = self.creator(request.extensions());
        let schedule = schedule(valid(request)?)?;
        let entry = self.timetable.put(schedule, creator, now_ms()).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::PutScheduleResponse { schedule: Some(shown_schedule(entry)) }))
    }

    async fn delete_schedule(
        &self,
        request: Request<v1::DeleteScheduleRequest>,
    ) -> Result<Response<v1::DeleteScheduleResponse>, Status> {
        let schedule_id = valid(request)?.schedule_id;
        let deleted = self.timetable.delete(&schedule_id, now_ms()).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::DeleteScheduleResponse { deleted }))
    }

    async fn pause_schedule(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Result<Response<v1::PauseScheduleResponse>, Status> {
        let schedule_id = valid(request)?.schedule_id;
        let entry = self.timetable.pause(&schedule_id, now_ms()).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::PauseScheduleResponse { schedule: Some(shown_schedule(entry)) }))
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Result<Response<v1::ResumeScheduleResponse>, Status> {
        let schedule_id = valid(request)?.schedule_id;
        let entry = self.timetable.resume(&schedule_id, now_ms()).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::ResumeScheduleResponse { schedule: Some(shown_schedule(entry)) }))
    }
}

/// The schedule of a request whose constraints hold.
fn schedule(request: v1::PutScheduleRequest) -> Result<Schedule, ApiError> {
    let v1::PutScheduleRequest { schedule_id, kind, arguments, cron, time_zone, jitter_seconds } = request;
    let when = When::new(&cron, &time_zone).map_err(ScheduleError::from)?;
    let jitter = Duration::from_secs(jitter_seconds.unwrap_or_default().into());
    Ok(Schedule { schedule_id, kind, arguments: arguments.into_iter().collect(), when, jitter })
}

fn shown_schedule(entry: Entry) -> v1::Schedule {
    let Schedule { schedule_id, kind, arguments, when, jitter } = entry.schedule;
    v1::Schedule {
        schedule_id,
        kind,
        arguments: arguments.into_iter().collect(),
        cron: when.fields().to_owned(),
        time_zone: when.zone().to_owned(),
        jitter_seconds: u32::try_from(jitter.as_secs()).unwrap_or(u32::MAX),
        paused: entry.is_paused,
        configured: entry.is_configured,
        creator: entry.creator.map(|creator| creator.name).unwrap_or_default(),
        next_time: entry.next_ms.map(convert::timestamp),
        last_time: entry.last_ms.map(convert::timestamp),
        error: entry.error.unwrap_or_default(),
    }
}

fn refused(error: RunError) -> ApiError {
    match error {
        RunError::NoJob(error) => error.into(),
        RunError::Add(error) => error.into(),
    }
}

fn filter(request: v1::ListJobsRequest) -> Filter {
    let state = request.state();
    let v1::ListJobsRequest { kind, schedule_id, .. } = request;
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    Filter {
        kind: said(kind),
        state: State::ALL.into_iter().find(|it| shown_state(*it) == state),
        schedule: said(schedule_id),
    }
}

fn watched_job(seen: Seen) -> v1::WatchJobResponse {
    let shown_line = |Line { time_ms, text }| v1::JobLine { time: Some(convert::timestamp(time_ms)), text };
    v1::WatchJobResponse {
        job: Some(shown(seen.job)),
        lines: seen.lines.into_iter().map(shown_line).collect(),
    }
}

fn shown_state(state: State) -> v1::JobState {
    match state {
        State::Queued => v1::JobState::Queued,
        State::Running => v1::JobState::Running,
        State::Succeeded => v1::JobState::Succeeded,
        State::Failed => v1::JobState::Failed,
        State::Cancelled => v1::JobState::Cancelled,
    }
}

fn shown(job: Job) -> v1::Job {
    let Progress { done, total, message } = job.progress;
    let outcome = job.outcome.unwrap_or_default();
    v1::Job {
        job_id: job.job_id,
        kind: job.kind,
        arguments: job.arguments.into_iter().collect(),
        state: shown_state(job.state).into(),
        progress: Some(v1::JobProgress { done, total, message }),
        summary: outcome.summary,
        figures: outcome.figures.into_iter().collect(),
        error: job.error.unwrap_or_default(),
        creator: job.creator.unwrap_or_default(),
        schedule_id: job.schedule.unwrap_or_default(),
        create_time: Some(convert::timestamp(job.created_ms)),
        start_time: job.started_ms.map(convert::timestamp),
        end_time: job.ended_ms.map(convert::timestamp),
        attempts: job.attempts,
        node: job.node.unwrap_or_default(),
        cancel_asked: job.cancel_asked,
    }
}

fn described(kind: &dyn Kind) -> v1::JobKind {
    let arguments = kind.arguments().iter().map(|argument| v1::JobArgument {
        name: argument.name.to_owned(),
        description: argument.about.to_owned(),
        required: argument.required,
    });
    v1::JobKind {
        kind: kind.name().to_owned(),
        description: kind.about().to_owned(),
        arguments: arguments.collect(),
    }
}
