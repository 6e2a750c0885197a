// Asking for a job: its kind, and what that kind takes.

import { createConnectQueryKey, useMutation } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type JobKind, JobService } from "../../../api/generated/marquee/v1/job_pb.ts";
import { Problem } from "../../../components/problem.tsx";
import { useToasts } from "../../../components/toasts.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { kindName, WORDS } from "../words/jobs.ts";

/** Has whatever lists jobs or schedules ask again. */
export function useJobsChanged(): () => void {
  const queries = useQueryClient();
  return () => {
    for (const cardinality of ["finite", "infinite"] as const) void queries.invalidateQueries({ queryKey: createConnectQueryKey({ schema: JobService, cardinality }) });
  };
}

/** Those arguments that something was typed for. */
export function said(typed: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(typed).filter(([, value]) => value.trim() !== "").map(([name, value]) => [name, value.trim()]));
}

export function ArgumentFields({ kind, typed, change }: { kind: JobKind | undefined; typed: Readonly<Record<string, string>>; change: (typed: Record<string, string>) => void }) {
  const { run: words, kinds } = useOwn(WORDS);
  if (kind === undefined) return null;
  const own = kinds[kind.kind];
  return (
    <>
      <p className="soft"><span lang={own === undefined ? "en" : undefined}>{own?.does ?? kind.description}</span>{kind.arguments.length === 0 && ` ${words.nothing}`}</p>
      {kind.arguments.map(({ name, description, required }) => (
        <label key={name} className="field">
          <span><code>{name}</code>{required && <span className="required"> {words.required}</span>}</span>
          <input required={required} maxLength={1000} spellCheck={false} value={typed[name] ?? ""} onChange={(event) => change({ ...typed, [name]: event.target.value })} />
          <span className="soft small" lang={own?.told?.[name] === undefined ? "en" : undefined}>{own?.told?.[name] ?? description}</span>
        </label>
      ))}
    </>
  );
}

export function RunJob({ kinds }: { kinds: readonly JobKind[] }) {
  const all = useOwn(WORDS);
  const { run: words } = all;
  const toasts = useToasts();
  const changed = useJobsChanged();
  const [name, setName] = useState("");
  const [typed, setTyped] = useState<Record<string, string>>({});
  const kind = kinds.find((one) => one.kind === name) ?? kinds[0];
  const { mutate, isPending, error } = useMutation(JobService.method.runJob, {
    onSuccess: ({ job }) => {
      toasts.show(words.asked(kindName(all, job?.kind ?? "")));
      setTyped({});
    },
    onSettled: changed,
  });
  return (
    <section className="panel" aria-labelledby="run">
      <h2 id="run">{words.title}</h2>
      <form className="job-form" onSubmit={(event) => {
        event.preventDefault();
        if (kind !== undefined) mutate({ kind: kind.kind, arguments: said(typed) });
      }}>
        <label className="field"><span>{words.kind}</span>
          <select value={kind?.kind ?? ""} onChange={(event) => {
            setName(event.target.value);
            setTyped({});
          }}>{kinds.map((one) => <option key={one.kind} value={one.kind}>{kindName(all, one.kind)}</option>)}</select>
        </label>
        <ArgumentFields kind={kind} typed={typed} change={setTyped} />
        {error !== null && <Problem error={error} />}
        <p><button type="submit" className="button" disabled={isPending || kind === undefined}>{words.go}</button></p>
      </form>
    </section>
  );
}
