//! One worker: sends its part of the requests and counts what becomes of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::pacer::Pacer;
use super::{Load, Plan, Progress};
use crate::measure::{Failure, Outcome, Recorder};
use crate::schedule::Profile;
use crate::wire::reply::{self, Shape};
use crate::wire::{Connection, Encoding, Prepared, WireError};

/// How long a caller waits after its connection failed, so that a dead server is not hammered.
const BACK_OFF: Duration = Duration::from_millis(10);

/// Which worker of how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) worker: usize,
    pub(super) of: usize,
}

/// The state of a worker, shared by the tasks of its thread.
pub(super) struct Shard {
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    place: Place,
    load: Load,
    shapes: Vec<Shape>,
    encoding: Encoding,
    connections: Vec<Connection>,
    start: Cell<Instant>,
    recorder: RefCell<Recorder>,
    in_flight: Cell<usize>,
    callers: Cell<usize>,
    idle: Notify,
}

impl Shard {
    /// Opens the worker's connections.
    pub(super) async fn open(
        plan: Arc<Plan>,
        progress: Arc<Progress>,
        place: Place,
    ) -> Result<Rc<Self>, WireError> {
        let (routes, dialect) = (plan.workload.routes(), plan.workload.dialect());
        let mut connections = Vec::new();
        for _ in (place.worker..plan.connections).step_by(place.of) {
            connections.push(Connection::open(&plan.target, &routes, dialect, plan.deadline).await?);
        }
        Ok(Rc::new(Self {
            load: plan.load.with_warmup(plan.warmup),
            shapes: plan.workload.shapes(),
            encoding: dialect.protocol().encoding(),
            recorder: RefCell::new(Recorder::new(plan.settings())),
            start: Cell::new(Instant::now()),
            in_flight: Cell::new(0),
            callers: Cell::new(0),
            idle: Notify::new(),
            plan,
            progress,
            place,
            connections,
        }))
    }

    /// Runs from `start`, the beginning of the warm-up, until the last call has ended or the drain time is
    /// over. What is unanswered then counts as soon as its task is dropped.
    pub(super) async fn run(self: &Rc<Self>, start: Instant, pacer: &mut impl Pacer) {
        self.start.set(start);
        match &self.load {
            Load::Closed(callers) => {
                tokio::time::sleep_until(start).await;
                self.start_callers(callers);
            }
            Load::Open(..) | Load::Replay(_) => self.open_loop(pacer).await,
        }
        let over = async {
            tokio::select! {
                () = self.progress.stopped() => {}
                () = tokio::time::sleep_until(start + self.plan.end()) => {}
            }
            tokio::time::sleep(self.plan.drain).await;
        };
        tokio::select! {
            () = self.all_done() => {}
            () = over => {}
        }
    }

    async fn all_done(&self) {
        while self.in_flight.get() + self.callers.get() > 0 {
            self.idle.notified().await;
        }
    }

    /// The counts.
    pub(super) fn recorder(&self) -> Recorder {
        self.recorder.borrow().clone()
    }

    async fn open_loop(self: &Rc<Self>, pacer: &mut impl Pacer) {
        let arrivals = self.load.arrivals(self.plan.seed.wrapping_add(self.plan.part.0));
        let most = self.plan.max_in_flight.div_ceil(self.place.of);
        let mine = arrivals.enumerate().skip(self.place.worker).step_by(self.place.of);
        for (turn, (n, due)) in mine.take_while(|(_, due)| *due < self.plan.end()).enumerate() {
            let prepared = self.plan.workload.prepare(self.plan.request_index(n as u64));
            pacer.until(self.start.get() + due).await;
            if !self.admit(due) {
                break;
            }
            self.recorder.borrow_mut().sent(prepared.call, due, self.now());
            if self.in_flight.get() < most {
                let call = self.begin(prepared.call, due);
                spawn_local(async move { call.make(turn, &prepared).await });
            } else {
                let failure = Failure::NotSent;
                let message = format!("{most} calls of this worker were in flight");
                let outcome = Outcome::Failed { failure, message };
                self.recorder.borrow_mut().done(prepared.call, due, self.now(), outcome);
            }
        }
    }

    fn start_callers(self: &Rc<Self>, callers: &Profile) {
        let next = Rc::new(Cell::new(self.place.worker as u64));
        for caller in (self.place.worker..callers.peak().ceil() as usize).step_by(self.place.of) {
            let (shard, next) = (self.clone(), next.clone());
            self.callers.set(self.callers.get() + 1);
            spawn_local(async move {
                shard.caller(caller, &next).await;
                shard.callers.set(shard.callers.get() - 1);
                shard.idle.notify_one();
            });
        }
    }

    async fn caller(self: &Rc<Self>, caller: usize, next: &Cell<u64>) {
        let Load::Closed(callers) = &self.load else { return };
        let turn = caller / self.place.of;
        while let Some(at) = callers.next_above(caller as f64, self.now()) {
            if at > self.now() {
                tokio::time::sleep_until(self.start.get() + at).await;
            }
            let n = next.get();
            next.set(n + self.place.of as u64);
            let prepared = self.plan.workload.prepare(self.plan.request_index(n));
            let begun = self.now();
            if begun >= self.plan.end() || !self.admit(begun) {
                break;
            }
            self.recorder.borrow_mut().sent(prepared.call, begun, begun);
            if self.begin(prepared.call, begun).make(turn, &prepared).await == Went::Broken {
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }

    /// Whether a request that is due at `due` may go out: nobody said stop, and the bound on their number
    /// is not reached.
    fn admit(&self, due: Duration) -> bool {
        !self.progress.is_stopped() && (due < self.plan.warmup || self.progress.admit(self.plan.count))
    }

    fn begin(self: &Rc<Self>, call: usize, due: Duration) -> Call {
        self.in_flight.set(self.in_flight.get() + 1);
        self.progress.began();
        Call { shard: self.clone(), kind: call, due, ended: false }
    }

    /// When a call is given up before the run is over, and what it counts as then.
    fn limit(&self, prepared: &Prepared) -> Option<(Duration, Outcome)> {
        match (prepared.cancel_after, self.plan.deadline) {
            (Some(after), deadline) if deadline.is_none_or(|deadline| after < deadline) => {
                Some((after, Outcome::Cancelled))
            }
            (_, Some(deadline)) => {
                let message = "no answer within the deadline".to_owned();
                Some((deadline, Outcome::Failed { failure: Failure::Deadline, message }))
            }
            (_, None) => None,
        }
    }

    fn answered(&self, call: usize, body: &[u8]) -> Outcome {
        match reply::read(self.shapes[call], self.encoding, body) {
            Some(answer) => {
                Outcome::Answered { answers: answer.answers, failed: answer.failed, stages: answer.stages }
            }
            None => Outcome::Failed {
                failure: Failure::Malformed,
                message: format!("the reply of {} bytes is no message of the expected shape", body.len()),
            },
        }
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start.get())
    }
}

/// A call in flight. Dropped before it ended, it counts as unanswered.
struct Call {
    shard: Rc<Shard>,
    kind: usize,
    due: Duration,
    ended: bool,
}

impl Call {
    async fn make(mut self, turn: usize, prepared: &Prepared) -> Went {
        let shard = self.shard.clone();
        let call = shard.connections[turn % shard.connections.len()].call(prepared);
        let outcome = match ended(shard.limit(prepared), call).await {
            Ok(Ok(reply)) => shard.answered(prepared.call, &reply.body),
            Ok(Err(failed)) => Outcome::Failed { failure: failed.failure, message: failed.message },
            Err(at_limit) => at_limit,
        };
        let went = match &outcome {
            Outcome::Failed { failure: Failure::Transport, .. } => Went::Broken,
            _ => Went::Well,
        };
        self.end(outcome);
        went
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        let (shard, done) = (&self.shard, self.shard.now());
        let (answers, failed) = match &outcome {
            Outcome::Answered { answers, .. } => (u64::from(*answers), false),
            Outcome::Failed { .. } => (0, true),
            Outcome::Cancelled => (0, false),
        };
        shard.recorder.borrow_mut().done(self.kind, self.due, done, outcome);
        shard.progress.ended(shard.place.worker, answers, done.saturating_sub(self.due), failed);
        shard.in_flight.set(shard.in_flight.get() - 1);
        shard.idle.notify_one();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            let message = "no answer within the drain time after the end".to_owned();
            self.end(Outcome::Failed { failure: Failure::Unanswered, message });
        }
    }
}

/// How a call that is sent now ended: by itself, or at its limit, with what it counts as then.
///
/// The limit is a moment on the generator's own clock, as in every gRPC client. The runtime's timer has steps
/// of a millisecond and a busy thread looks late, so the clock decides: what comes at the limit or after
/// it never counts as an answer.
async fn ended<T>(limit: Option<(Duration, Outcome)>, call: impl Future<Output = T>) -> Result<T, Outcome> {
    let Some((limit, at_limit)) = limit else { return Ok(call.await) };
    let end = Instant::now() + limit;
    match tokio::time::timeout_at(end, call).await {
        Ok(result) if Instant::now() < end => Ok(result),
        _ => Err(at_limit),
    }
}

/// Whether a caller may go on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    Well,
    Broken,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(20);

    /// When and how a call ends that is answered after `answer`, if ever.
    async fn call_answered_after(answer: Option<Duration>) -> (Duration, Result<(), Outcome>) {
        let began = Instant::now();
        let failed = Outcome::Failed { failure: Failure::Deadline, message: String::new() };
        let result = ended(Some((DEADLINE, failed)), async {
            match answer {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        });
        let result = result.await;
        (began.elapsed(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends_at_its_deadline() {
        let (time, result) = call_answered_after(None).await;
        assert_eq!(time, DEADLINE);
        assert!(matches!(result, Err(Outcome::Failed { failure: Failure::Deadline, .. })), "{result:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_before_the_deadline_counts() {
        let (time, result) = call_answered_after(Some(Duration::from_millis(19))).await;
        assert!(result.is_ok() && time < DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_at_the_deadline_is_late() {
        assert!(call_answered_after(Some(DEADLINE)).await.1.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_a_busy_thread_sees_after_the_deadline_is_late() {
        let failed = Outcome::Failed { failure: Failure::Deadline, message: String::new() };
        // The answer is there at the first look, but that look is 25 ms after the sending.
        let busy = async { tokio::time::advance(DEADLINE + Duration::from_millis(5)).await };
        assert!(ended(Some((DEADLINE, failed)), busy).await.is_err());
    }
}
