// When jobs run by themselves: the schedules, to pause, to resume, to put and to delete.

import { useMutation, useQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { type JobKind, JobService, type Schedule } from "../../../api/generated/marquee/v1/job_pb.ts";
import { LineBones } from "../../../components/bones.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useToasts } from "../../../components/toasts.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { kindName, WORDS } from "../words/jobs.ts";
import { useFigures } from "./figures.ts";
import { ArgumentFields, said, useJobsChanged } from "./run-job.tsx";

export function Schedules({ kinds, changes }: { kinds: readonly JobKind[]; changes: boolean }) {
  const { schedules: words } = useOwn(WORDS);
  const [isPutting, setPutting] = useState(false);
  const { data, error, refetch } = useQuery(JobService.method.listSchedules, {});
  return (
    <section aria-labelledby="schedules">
      <header className="section-head">
        <h2 id="schedules">{words.title}</h2>
        {changes && <div className="section-more"><button type="button" className="button-plain" onClick={() => setPutting(true)}>{words.put}</button></div>}
      </header>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={3} />}
      {data?.schedules.length === 0 && <p className="soft">{words.none}</p>}
      <ul className="jobs">{data?.schedules.map((schedule) => <ScheduleCard key={schedule.scheduleId} schedule={schedule} changes={changes} />)}</ul>
      {isPutting && <Put kinds={kinds} close={() => setPutting(false)} />}
    </section>
  );
}

function ScheduleCard({ schedule, changes }: { schedule: Schedule; changes: boolean }) {
  const all = useOwn(WORDS);
  const { schedules: words } = all;
  const toasts = useToasts();
  const { timeOf } = useFigures();
  const changed = useJobsChanged();
  const [isSure, setSure] = useState(false);
  const { scheduleId, kind, cron, timeZone, paused, configured } = schedule;
  const pause = useMutation(JobService.method.pauseSchedule, { onSettled: changed });
  const resume = useMutation(JobService.method.resumeSchedule, { onSettled: changed });
  const remove = useMutation(JobService.method.deleteSchedule, { onSuccess: () => toasts.show(words.deleted(scheduleId)), onSettled: changed });
  const error = pause.error ?? resume.error ?? remove.error;
  const next = timeOf(schedule.nextTime);
  const last = timeOf(schedule.lastTime);
  const turn = paused ? words.resume : words.pause;
  return (
    <li className="panel job">
      <header className="section-head">
        <h3>{scheduleId}</h3>
        {paused && <span className="sign">{words.paused}</span>}
        {configured && <span className="sign">{words.configured}</span>}
        {changes && (
          <div className="section-more">
            <button type="button" className="button-small" aria-label={words.of(turn, scheduleId)} disabled={pause.isPending || resume.isPending} onClick={() => (paused ? resume : pause).mutate({ scheduleId })}>{turn}</button>
            {!configured && <button type="button" className="button-small" data-bad aria-label={words.of(words.delete, scheduleId)} onClick={() => setSure(true)}>{words.delete}</button>}
          </div>
        )}
      </header>
      <p>{kindName(all, kind)} <code>{cron}</code> <span className="soft">{timeZone}</span></p>
      <p className="soft small">{[next && words.next(next), last && words.last(last), ...Object.entries(schedule.arguments).map(([name, value]) => `${name}=${value}`)].filter(Boolean).join(" · ")}</p>
      {schedule.error !== "" && <p className="bad" lang="en">{schedule.error}</p>}
      {error !== null && <Problem error={error} />}
      {isSure && (
        <Dialog title={words.sureTitle(scheduleId)} close={() => setSure(false)} narrow>
          <p>{words.sure}</p>
          <div className="form-buttons">
            <button type="button" className="button-bad" onClick={() => {
              setSure(false);
              remove.mutate({ scheduleId });
            }}>{words.delete}</button>
            <button type="button" className="button-plain" onClick={() => setSure(false)}>{words.cancel}</button>
          </div>
        </Dialog>
      )}
    </li>
  );
}

function Put({ kinds, close }: { kinds: readonly JobKind[]; close: () => void }) {
  const all = useOwn(WORDS);
  const { schedules: words, run } = all;
  const toasts = useToasts();
  const changed = useJobsChanged();
  const [name, setName] = useState("");
  const [id, setId] = useState("");
  const [cron, setCron] = useState("0 * * * *");
  const [zone, setZone] = useState("");
  const [jitter, setJitter] = useState("");
  const [typed, setTyped] = useState<Record<string, string>>({});
  const kind = kinds.find((one) => one.kind === name) ?? kinds[0];
  const { mutate, isPending, error } = useMutation(JobService.method.putSchedule, {
    onSuccess: ({ schedule }) => {
      toasts.show(words.saved(schedule?.scheduleId ?? ""));
      close();
    },
    onSettled: changed,
  });
  return (
    <Dialog title={words.put} close={close} narrow>
      <form className="form" onSubmit={(event) => {
        event.preventDefault();
        if (kind !== undefined) mutate({ scheduleId: id, kind: kind.kind, arguments: said(typed), cron: cron.trim(), timeZone: zone.trim(), ...(jitter === "" ? {} : { jitterSeconds: Number(jitter) }) });
      }}>
        <label className="field"><span>{words.id}</span><input required maxLength={64} pattern="[a-z0-9_\-]+" spellCheck={false} value={id} onChange={(event) => setId(event.target.value)} /><span className="soft small">{words.idHelp}</span></label>
        <label className="field"><span>{run.kind}</span>
          <select value={kind?.kind ?? ""} onChange={(event) => {
            setName(event.target.value);
            setTyped({});
          }}>{kinds.map((one) => <option key={one.kind} value={one.kind}>{kindName(all, one.kind)}</option>)}</select>
        </label>
        <ArgumentFields kind={kind} typed={typed} change={setTyped} />
        <label className="field"><span>{words.cron}</span><input required maxLength={200} spellCheck={false} value={cron} onChange={(event) => setCron(event.target.value)} /><span className="soft small">{words.cronHelp}</span></label>
        <label className="field"><span>{words.zone}</span><input maxLength={64} spellCheck={false} placeholder="Europe/Madrid" value={zone} onChange={(event) => setZone(event.target.value)} /><span className="soft small">{words.zoneHelp}</span></label>
        <label className="field"><span>{words.jitter}</span><input type="number" min={0} max={86_400} step={1} value={jitter} onChange={(event) => setJitter(event.target.value)} /></label>
        {error !== null && <Problem error={error} />}
        <div className="form-buttons">
          <button type="submit" className="button" disabled={isPending}>{words.put}</button>
          <button type="button" className="button-plain" onClick={close}>{words.cancel}</button>
        </div>
      </form>
    </Dialog>
  );
}
