// Any method, called from the page: a form and JSON that say the same, the call from a shell, the reply, and two of them
// side by side.

import type { DescMethod } from "@bufbuild/protobuf";
import { useTransport } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { useAsked } from "../../address.ts";
import { Role } from "../../api/generated/marquee/v1/rules_pb.ts";
import { useVisitor } from "../../api/visitor.tsx";
import { Problem } from "../../components/problem.tsx";
import { usePaused } from "../../components/search-box.tsx";
import { useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { callMethod, jsonOf, type Outcome, timingsOf } from "./parts/calls.ts";
import { linesOf, sendsOne } from "./parts/commands.ts";
import { Copy } from "./parts/copy.tsx";
import { useFigures } from "./parts/figures.ts";
import { MessageForm } from "./parts/form.tsx";
import { exampleOf, type JsonObject, parse, write } from "./parts/form-model.ts";
import { useHelp } from "./parts/help.ts";
import { movesOf, overlapOf } from "./parts/lists.ts";
import { nameOf } from "./parts/method-names.ts";
import { accessOf, methodNamed, METHODS, SERVICES } from "./parts/methods.ts";
import { Move } from "./parts/move.tsx";
import { tableOf, textOf } from "./parts/reply-table.ts";
import { TimingsBar } from "./parts/timings.tsx";
import { WORDS } from "./words/playground.ts";

const FIRST = "RecommendationService/Recommend";

/** NO_SIDE_EFFECTS, as methods say it. */
const READS = 1;

/** For how long nothing is changed before it is run by itself. */
const PAUSE_MS = 250;

export default function Playground() {
  const words = useOwn(WORDS);
  const [, go] = useLocation();
  const asked = new URLSearchParams(useAsked());
  const name = asked.get("method");
  const named = methodNamed(name);
  const text = asked.get("json") ?? undefined;
  const method = named ?? methodNamed(FIRST) ?? METHODS[0];
  useTitle(words.title);
  if (method === undefined) return null;
  return (
    <>
      <p className="lead operate-lead">{words.lead}</p>
      {name !== null && named === undefined && <p className="note" role="status">{words.noSuch(name, nameOf(method))}</p>}
      <MethodChoice method={method} choose={(next) => go(`/operate/playground?${new URLSearchParams({ method: next })}`, { replace: true })} />
      <Bench key={`${nameOf(method)} ${text ?? ""}`} method={method} begin={named === undefined ? undefined : text} />
    </>
  );
}

function MethodChoice({ method, choose }: { method: DescMethod; choose: (name: string) => void }) {
  const words = useOwn(WORDS);
  const help = useHelp();
  const told = help.method(method.parent.name, method.name);
  const least = accessOf(method)?.least;
  const reads = method.idempotency === READS;
  return (
    <div className="method-choice">
      <label className="field">
        <span>{words.method}</span>
        <select value={nameOf(method)} onChange={(event) => choose(event.target.value)}>
          {SERVICES.map((service) => (
            <optgroup key={service.typeName} label={service.name}>
              {service.methods.map((one) => <option key={one.name} value={nameOf(one)}>{one.name}</option>)}
            </optgroup>
          ))}
        </select>
      </label>
      <div>
        <p className="method-signs">
          {least !== undefined && <span className="sign">{words.least((Role[least] ?? "").toLowerCase())}</span>}
          <span className="sign" data-sign={reads ? undefined : "bad"}>{reads ? words.reads : words.changes}</span>
        </p>
        {told !== undefined && <p className="soft" lang="en">{told}</p>}
      </div>
    </div>
  );
}

/** One request and what came of it. */
function useRequest(method: DescMethod, begin: string) {
  const transport = useTransport();
  const queries = useQueryClient();
  const [text, setText] = useState(begin);
  const [outcome, setOutcome] = useState<Outcome>();
  const running = useRef<AbortController>(undefined);
  const parsed = useMemo(() => parse(text), [text]);
  const request = "value" in parsed ? parsed.value : undefined;
  const run = useCallback(() => {
    if (request === undefined || !sendsOne(method)) return;
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    void callMethod(transport, method, request, controller.signal, (next) => {
      if (running.current === controller) setOutcome(next);
      // What other pages know may be another thing now.
      if (!next.isOpen && method.idempotency !== READS) void queries.invalidateQueries();
    });
  }, [request, method, transport, queries]);
  const stop = useCallback(() => running.current?.abort(), []);
  useEffect(() => stop, [stop]);
  return { text, setText, parsed, request, outcome, run, stop };
}

type Asked = ReturnType<typeof useRequest>;

function Bench({ method, begin }: { method: DescMethod; begin: string | undefined }) {
  const words = useOwn(WORDS);
  const example = useMemo(() => write(exampleOf(method.input)), [method]);
  const first = useRequest(method, begin ?? example);
  const second = useRequest(method, begin ?? example);
  const [isTwo, setTwo] = useState(false);
  const [isEager, setEager] = useState(false);
  const reads = method.idempotency === READS;
  const run = () => {
    first.run();
    if (isTwo) second.run();
  };
  const settled = usePaused(`${first.text}\n${isTwo ? second.text : ""}`, PAUSE_MS);
  const latest = useRef(run);
  useEffect(() => {
    latest.current = run;
  });
  useEffect(() => {
    if (isEager) latest.current();
  }, [isEager, settled]);
  const isOpen = first.outcome?.isOpen === true || (isTwo && second.outcome?.isOpen === true);
  return (
    // The keys are those of whichever field is written in.
    <div className="bench" role="group" aria-label={nameOf(method)} onKeyDown={(event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      run();
    }}>
      <div className="bench-bar">
        <button type="button" className={reads ? "button" : "button-bad"} disabled={!sendsOne(method) || first.request === undefined} onClick={run}>{words.run}</button>
        {isOpen && <button type="button" className="button-plain" onClick={() => {
          first.stop();
          second.stop();
        }}>{words.stop}</button>}
        {reads && method.methodKind === "unary" && <label className="check"><input type="checkbox" checked={isEager} onChange={(event) => setEager(event.target.checked)} />{words.onChange}</label>}
        {sendsOne(method) && <label className="check"><input type="checkbox" checked={isTwo} onChange={(event) => {
          if (event.target.checked) second.setText(first.text);
          setTwo(event.target.checked);
        }} />{words.compare}</label>}
      </div>
      {!sendsOne(method) && <p className="note"><span>{words.only}</span></p>}
      <div className="bench-sides" data-two={isTwo || undefined}>
        <Side name={isTwo ? words.first : words.request} replyName={isTwo ? words.firstReply : words.reply} method={method} asked={first} isTwo={isTwo} against={undefined} />
        {isTwo && <Side name={words.second} replyName={words.secondReply} method={method} asked={second} isTwo={isTwo} against={first.outcome} />}
      </div>
    </div>
  );
}

function Side({ name, replyName, method, asked, isTwo, against }: { name: string; replyName: string; method: DescMethod; asked: Asked; isTwo: boolean; against: Outcome | undefined }) {
  return (
    <div className="bench-side">
      <Request name={name} method={method} asked={asked} isTwo={isTwo} />
      <Reply name={replyName} outcome={asked.outcome} against={against} />
      <Shell method={method} request={asked.request} />
    </div>
  );
}

function Request({ name, method, asked, isTwo }: { name: string; method: DescMethod; asked: Asked; isTwo: boolean }) {
  const words = useOwn(WORDS);
  const help = useHelp();
  const { text, setText, parsed } = asked;
  const change = useCallback((value: JsonObject) => setText(write(value)), [setText]);
  return (
    <section className="panel request" aria-label={name}>
      <h2>{name}</h2>
      <div className="request-views" data-two={isTwo || undefined}>
        <div aria-label={words.form} role="group">
          {"value" in parsed ? <MessageForm message={method.input} value={parsed.value} change={change} help={help} /> : <p className="bad">{words.badJson(parsed.error)}</p>}
        </div>
        <label className="field json-field">
          <span>{words.json}</span>
          <textarea className="code" wrap="soft" spellCheck={false} aria-label={words.jsonOf(name)} aria-invalid={"error" in parsed || undefined} rows={Math.min(28, Math.max(8, text.split("\n").length + 1))} value={text} onChange={(event) => setText(event.target.value)} />
        </label>
      </div>
    </section>
  );
}

function Shell({ method, request }: { method: DescMethod; request: JsonObject | undefined }) {
  const words = useOwn(WORDS);
  const { visitor } = useVisitor();
  if (request === undefined) return null;
  return (
    <div className="shell">
      <h2>{words.shell}</h2>
      {linesOf(method, request, { origin: window.location.origin, asksWho: visitor.facts.asksWho }).map(({ program, line }) => <Copy key={program} name={program} text={line} />)}
    </div>
  );
}

/** The movies that a reply lists, best first. */
function movieIdsOf(outcome: Outcome | undefined): number[] {
  const [reply] = outcome?.replies ?? [];
  if (outcome === undefined || reply === undefined) return [];
  return tableOf([jsonOf(outcome.method, reply)]).rows.map((row) => Number(row["movie_id"])).filter((id) => Number.isInteger(id));
}

function Reply({ name, outcome, against }: { name: string; outcome: Outcome | undefined; against: Outcome | undefined }) {
  const words = useOwn(WORDS);
  const { span, percent } = useFigures();
  const [view, setView] = useState<"table" | "json">("table");
  const replies = useMemo(() => outcome?.replies.map((reply) => jsonOf(outcome.method, reply)) ?? [], [outcome]);
  const timings = outcome?.replies.length === 1 ? timingsOf(outcome.replies[0]) : undefined;
  const before = movieIdsOf(against);
  const now = movieIdsOf(outcome);
  const isCompared = before.length > 0 && now.length > 0;
  return (
    <section className="panel reply" aria-label={name}>
      <header className="section-head">
        <h2>{name}</h2>
        {outcome !== undefined && outcome.replies.length > 0 && (
          <fieldset className="chips">
            <legend className="unseen">{name}</legend>
            {(["table", "json"] as const).map((one) => <button key={one} type="button" className="chip" aria-pressed={view === one} onClick={() => setView(one)}>{words.views[one]}</button>)}
          </fieldset>
        )}
      </header>
      <div aria-live="polite">
        {outcome === undefined && <p className="soft">{words.notRun}</p>}
        {outcome !== undefined && (
          <p className="soft small">
            {[words.replies(outcome.replies.length), words.took(span(outcome.tookMs * 1_000)), outcome.isOpen && words.open].filter(Boolean).join(" · ")}
            {outcome.requestId !== undefined && <> · <code>{outcome.requestId}</code></>}
          </p>
        )}
        {isCompared && <p><strong>{words.overlap(percent(overlapOf(before, now)))}</strong></p>}
      </div>
      {outcome?.error !== undefined && <Problem error={outcome.error} />}
      {timings !== undefined && <TimingsBar timings={timings} />}
      {replies.length > 0 && (view === "table"
        ? <ReplyTable replies={replies} moves={isCompared ? movesOf(before, now) : undefined} />
        // What is longer than the panel is scrolled by the keys too.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        : <pre className="code reply-json" tabIndex={0} aria-label={words.views.json}>{replies.map((reply) => write(reply)).join("\n")}</pre>)}
    </section>
  );
}

function ReplyTable({ replies, moves }: { replies: JsonObject[]; moves: Map<number, number | undefined> | undefined }) {
  const words = useOwn(WORDS);
  const { facts, columns, rows } = tableOf(replies, ["timings"]);
  if (facts.length === 0 && rows.length === 0) return <p className="soft">{words.empty}</p>;
  return (
    <>
      {facts.length > 0 && (
        <dl className="reply-facts">{facts.map(({ name, text }) => <div key={name}><dt><code>{name}</code></dt><dd>{text === "" ? <span className="soft">–</span> : text}</dd></div>)}</dl>
      )}
      {rows.length > 0 && (
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <div className="table-frame reply-rows" tabIndex={0} role="group" aria-label={words.views.table}>
          <table className="table">
            <thead><tr><th scope="col" className="number">{words.place}</th>{moves && <th scope="col">{words.move}</th>}{columns.map((column) => <th key={column} scope="col"><code>{column}</code></th>)}</tr></thead>
            <tbody>
              {rows.map((row, at) => (
                // Rows of a reply have no other name than their place.
                // oxlint-disable-next-line react/no-array-index-key
                <tr key={at}>
                  <td className="number soft">{at + 1}</td>
                  {moves && <td><Move places={moves.get(Number(row["movie_id"]))} /></td>}
                  {columns.map((column) => <td key={column} className={typeof row[column] === "number" ? "number" : undefined}><span className="cell">{textOf(row[column])}</span></td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
