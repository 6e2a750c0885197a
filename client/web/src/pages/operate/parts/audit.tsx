// The record of what was done and refused, with filters, page by page.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { useInfiniteQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { AuditService } from "../../../api/generated/marquee/v1/audit_pb.ts";
import { LineBones } from "../../../components/bones.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/access.ts";
import { useFigures } from "./figures.ts";
import { nameOf, shortMethod } from "./method-names.ts";
import { METHODS } from "./methods.ts";

const PAGE_SIZE = 50;

const OUTCOMES = ["OK", "PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNAVAILABLE"];

interface Wanted {
  caller: string;
  method: string;
  outcome: string;
  /** As the browser's own field of date and time has them. */
  from: string;
  until: string;
}

const ALL: Wanted = { caller: "", method: "", outcome: "", from: "", until: "" };

function timeFrom(local: string) {
  const ms = new Date(local).getTime();
  return Number.isNaN(ms) ? undefined : timestampFromMs(ms);
}

/** The request for records that are wanted. */
export function requestOf({ caller, method, outcome, from, until }: Wanted) {
  const startTime = timeFrom(from);
  const endTime = timeFrom(until);
  return { caller: caller.trim(), method, outcome, ...(startTime && { startTime }), ...(endTime && { endTime }), pageSize: PAGE_SIZE, pageToken: "" };
}

export function Audit() {
  const { audit: words } = useOwn(WORDS);
  const [wanted, setWanted] = useState(ALL);
  const [asked, setAsked] = useState(ALL);
  const set = (more: Partial<Wanted>) => setWanted({ ...wanted, ...more });
  return (
    <section aria-labelledby="audit">
      <h2 id="audit">{words.title}</h2>
      <p className="soft">{words.lead}</p>
      <form className="audit-filters" onSubmit={(event) => {
        event.preventDefault();
        setAsked(wanted);
      }}>
        <label className="field"><span>{words.caller}</span><input value={wanted.caller} maxLength={200} spellCheck={false} onChange={(event) => set({ caller: event.target.value })} /></label>
        <label className="field"><span>{words.method}</span>
          <select value={wanted.method} onChange={(event) => set({ method: event.target.value })}>
            <option value="">{words.any}</option>
            {METHODS.map((method) => <option key={nameOf(method)}>{nameOf(method)}</option>)}
          </select>
        </label>
        <label className="field"><span>{words.outcome}</span>
          <select value={wanted.outcome} onChange={(event) => set({ outcome: event.target.value })}>
            <option value="">{words.any}</option>
            {OUTCOMES.map((outcome) => <option key={outcome}>{outcome}</option>)}
          </select>
        </label>
        <label className="field"><span>{words.from}</span><input type="datetime-local" value={wanted.from} onChange={(event) => set({ from: event.target.value })} /></label>
        <label className="field"><span>{words.until}</span><input type="datetime-local" value={wanted.until} onChange={(event) => set({ until: event.target.value })} /></label>
        <button type="submit" className="button-plain">{words.go}</button>
      </form>
      <Records asked={asked} />
    </section>
  );
}

function Records({ asked }: { asked: Wanted }) {
  const { audit: words } = useOwn(WORDS);
  const { timeOf, number } = useFigures();
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(AuditService.method.listAuditRecords, requestOf(asked), {
    pageParamKey: "pageToken",
    getNextPageParam: (page) => (page.nextPageToken === "" ? undefined : page.nextPageToken),
    staleTime: 0,
  });
  const records = data?.pages.flatMap((page) => page.records) ?? [];
  if (error !== null) return <Problem error={error} again={() => void refetch()} />;
  if (data === undefined) return <LineBones lines={6} />;
  // A server that keeps no records answers as one that has none yet.
  if (records.length === 0 && !hasNextPage) return <p>{asked === ALL ? words.empty : words.none}</p>;
  return (
    <>
      {/* What is wider than the page is scrolled by the keys too. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="table-frame" tabIndex={0} role="group" aria-label={words.title}>
        <table className="table">
          <thead><tr>{[words.time, words.caller, words.method, words.outcome, words.origin, words.user, words.calls, words.request].map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
          <tbody>
            {records.map(({ time, caller, method, outcome, origin, userPseudonym, calls, requestId }, at) => (
              // Calls that are summed up have no id of a request.
              // oxlint-disable-next-line react/no-array-index-key
              <tr key={`${requestId} ${at}`}>
                <td className="nowrap small">{timeOf(time)}</td>
                <td><span className="cell">{caller}</span></td>
                <td><span className="cell">{shortMethod(method)}</span></td>
                <td><span className={outcome === "OK" ? "good" : "bad"}>{outcome}</span></td>
                <td className="small">{origin}</td>
                <td><code>{userPseudonym}</code></td>
                <td className="number">{number(Number(calls))}</td>
                <td><code className="small">{requestId}</code></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {hasNextPage && <p><button type="button" className="button-small" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>{words.more}</button></p>}
    </>
  );
}
