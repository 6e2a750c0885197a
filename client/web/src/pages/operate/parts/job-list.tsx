// Jobs, newest first: each with how far it is, what it measured, and its log while it is looked at.

import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { useInfiniteQuery, useMutation, useTransport } from "@connectrpc/connect-query";
import { useEffect, useState } from "react";
import { type Job, type JobLine, JobService, JobState } from "../../../api/generated/marquee/v1/job_pb.ts";
import { LineBones } from "../../../components/bones.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { kindName, WORDS } from "../words/jobs.ts";
import { Facts } from "./facts.tsx";
import { useFigures } from "./figures.ts";
import { follow } from "./follow.ts";
import { useJobsChanged } from "./run-job.tsx";

const PAGE_SIZE = 20;

/** How often the list is asked for anew while a job waits or runs, and while none does. */
const BUSY_MS = 1_500;
const IDLE_MS = 10_000;

const STATES = [JobState.RUNNING, JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED];

/** How many lines of a log are kept. */
const MOST_LINES = 500;

export function isOver({ state }: Pick<Job, "state">): boolean {
  return state === JobState.SUCCEEDED || state === JobState.FAILED || state === JobState.CANCELLED;
}

/** The part that is done, from 0 to 1; nothing where nobody knows how much there is to do. */
export function partDone({ progress, state }: Pick<Job, "progress" | "state">): number | undefined {
  if (state === JobState.SUCCEEDED) return 1;
  if (progress === undefined || progress.total === 0n) return undefined;
  return Math.min(1, Number(progress.done) / Number(progress.total));
}

export function JobList({ changes }: { changes: boolean }) {
  const { list: words } = useOwn(WORDS);
  const [state, setState] = useState<JobState>(JobState.UNSPECIFIED);
  const { data, error, refetch, dataUpdatedAt, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(JobService.method.listJobs, { state, pageSize: PAGE_SIZE, pageToken: "" }, {
    pageParamKey: "pageToken",
    getNextPageParam: (page) => (page.nextPageToken === "" ? undefined : page.nextPageToken),
    placeholderData: (before) => before,
    refetchInterval: ({ state: { data: known } }) => (known?.pages.some(({ jobs }) => jobs.some((job) => !isOver(job))) ? BUSY_MS : IDLE_MS),
  });
  const jobs = data?.pages.flatMap((page) => page.jobs) ?? [];
  return (
    <section aria-labelledby="jobs">
      <header className="section-head">
        <h2 id="jobs">{words.title}</h2>
        <fieldset className="chips">
          <legend className="unseen">{words.title}</legend>
          {[JobState.UNSPECIFIED, ...STATES].map((one) => <button key={one} type="button" className="chip" aria-pressed={state === one} onClick={() => setState(one)}>{words.states[one] ?? words.all}</button>)}
        </fieldset>
      </header>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={6} />}
      {data !== undefined && jobs.length === 0 && <p className="soft">{state === JobState.UNSPECIFIED ? words.none : words.noneFits}</p>}
      <ul className="jobs">{jobs.map((job) => <JobCard key={job.jobId} job={job} nowMs={dataUpdatedAt} changes={changes} />)}</ul>
      {hasNextPage && <p><button type="button" className="button-small" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>{words.more}</button></p>}
    </section>
  );
}

function msBetween(start: Timestamp | undefined, end: Timestamp | undefined, nowMs: number): number | undefined {
  return start === undefined ? undefined : (end === undefined ? nowMs : timestampMs(end)) - timestampMs(start);
}

const SIGNS: Partial<Record<JobState, string>> = { [JobState.RUNNING]: "accent", [JobState.SUCCEEDED]: "good", [JobState.FAILED]: "bad" };

function JobCard({ job, nowMs, changes }: { job: Job; nowMs: number; changes: boolean }) {
  const all = useOwn(WORDS);
  const { list: words } = all;
  const name = kindName(all, job.kind);
  const { timeOf, span } = useFigures();
  const changed = useJobsChanged();
  const [isOpen, setOpen] = useState(false);
  const { mutate, isPending, error } = useMutation(JobService.method.cancelJob, { onSettled: changed });
  const ms = msBetween(job.startTime, job.endTime, nowMs);
  const told = [
    timeOf(job.createTime),
    ms !== undefined && (isOver(job) ? words.took(span(ms * 1_000)) : words.since(span(Math.max(0, ms) * 1_000))),
    job.creator !== "" && words.by(job.creator),
    job.scheduleId !== "" && words.schedule(job.scheduleId),
    job.attempts > 1 && words.attempt(job.attempts),
    job.node !== "" && words.node(job.node),
  ].filter(Boolean).join(" · ");
  return (
    <li className="panel job">
      <header className="section-head">
        <h3>{name}</h3>
        <span className="sign" data-sign={SIGNS[job.state]}>{words.states[job.state]}</span>
        {job.cancelAsked && !isOver(job) && <span className="sign">{words.ending}</span>}
        {changes && !isOver(job) && !job.cancelAsked && <div className="section-more"><button type="button" className="button-small" data-bad disabled={isPending} aria-label={words.cancelOf(job.jobId)} onClick={() => mutate({ jobId: job.jobId })}>{words.cancel}</button></div>}
      </header>
      <p className="soft small">{told}</p>
      {!isOver(job) && <Progress job={job} />}
      {job.summary !== "" && <p lang="en">{job.summary}</p>}
      {job.error !== "" && <p className="bad" lang="en">{job.error}</p>}
      {error !== null && <Problem error={error} />}
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary aria-label={words.show(name)}><code className="small">{job.jobId}</code></summary>
        {isOpen && <Details job={job} />}
      </details>
    </li>
  );
}

function Progress({ job }: { job: Job }) {
  const { list: words } = useOwn(WORDS);
  const { number } = useFigures();
  const part = partDone(job);
  const done = Number(job.progress?.done ?? 0n);
  const total = Number(job.progress?.total ?? 0n);
  return (
    <div className="job-progress">
      {part === undefined ? <progress aria-label={words.states[job.state]} /> : <progress aria-label={words.states[job.state]} value={part} />}
      <span className="soft small numbers">{[total > 0 ? words.progress(number(done), number(total)) : done > 0 && words.done(number(done)), job.progress?.message].filter(Boolean).join(" · ")}</span>
    </div>
  );
}

/** What a job was told, what it measured, and its log as it grows. */
function Details({ job }: { job: Job }) {
  const { list: words } = useOwn(WORDS);
  const { number, clock } = useFigures();
  const transport = useTransport();
  const [lines, setLines] = useState<readonly JobLine[]>([]);
  const { jobId } = job;
  useEffect(() => {
    let known: JobLine[] = [];
    const read = async function* (signal: AbortSignal) {
      // Each time it is begun anew, the newest lines come first.
      known = [];
      yield* createClient(JobService, transport).watchJob({ jobId }, { signal, timeoutMs: 0 });
    };
    return follow({
      open: read,
      take: ({ lines: more }) => {
        known = [...known, ...more].slice(-MOST_LINES);
        setLines(known);
      },
      tell: () => undefined,
      // The stream ends with the job: there is nothing more to come.
      pause: (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
    });
  }, [transport, jobId]);
  return (
    <div className="job-details">
      {Object.keys(job.arguments).length > 0 && <><h4>{words.arguments}</h4><Facts facts={Object.entries(job.arguments)} /></>}
      {Object.keys(job.figures).length > 0 && <><h4>{words.figures}</h4><Facts facts={Object.entries(job.figures).map(([name, value]) => [name, number(value)] as const)} /></>}
      <h4>{words.log}</h4>
      {lines.length === 0 && <p className="soft small">{words.noLog}</p>}
      {/* What is longer than the frame is scrolled by the keys too. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      {lines.length > 0 && <pre className="code reply-json" tabIndex={0} aria-label={words.log} lang="en">{lines.map(({ time, text }) => `${time === undefined ? "" : clock(timestampMs(time))}  ${text}`).join("\n")}</pre>}
    </div>
  );
}
