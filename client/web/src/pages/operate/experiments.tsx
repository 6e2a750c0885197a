// Experiments: which there are, where they stand, and what follows from each by now.
//
// Whose results are shown stands in the address, so that they can be sent to somebody else.

import { toJson } from "@bufbuild/protobuf";
import { useInfiniteQuery, useMutation } from "@connectrpc/connect-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { useAsked } from "../../address.ts";
import { type Arm, type Experiment, ExperimentSchema, ExperimentService, ExperimentState, type ExperimentStatus, OverridesSchema } from "../../api/generated/marquee/v1/experiment_pb.ts";
import { may, useVisitor } from "../../api/visitor.tsx";
import { LineBones } from "../../components/bones.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Problem } from "../../components/problem.tsx";
import { useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { ExperimentResults } from "./parts/experiment-results.tsx";
import { useFigures } from "./parts/figures.ts";
import { type JsonObject, write } from "./parts/form-model.ts";
import { benchOf } from "./parts/places.ts";
import { textOf } from "./parts/reply-table.ts";
import { WORDS } from "./words/experiments.ts";

/** How often it is looked whether an experiment has changed elsewhere. */
const REFRESH_MS = 10_000;

/** What a new experiment may look like. */
const EXAMPLE: JsonObject = {
  experiment: {
    name: "calibrated-lists",
    description: "Do lists that follow the genres of the history make people watch more?",
    arms: [{ name: "control" }, { name: "calibrated", overrides: { calibration: 0.3 } }],
    goals: [{ name: "conversion" }],
  },
};

/** The address of the page, with the results of one experiment. */
function placeOf(name: string | undefined): string {
  return name === undefined ? "/operate/experiments" : `/operate/experiments?${new URLSearchParams({ name })}`;
}

export default function Experiments() {
  const words = useOwn(WORDS);
  const { visitor } = useVisitor();
  const [, go] = useLocation();
  const shown = new URLSearchParams(useAsked()).get("name") ?? undefined;
  const changes = may(visitor, "operator");
  useTitle(words.title);
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(ExperimentService.method.listExperiments, { pageToken: "" }, {
    pageParamKey: "pageToken",
    getNextPageParam: (page) => (page.nextPageToken === "" ? undefined : page.nextPageToken),
    refetchInterval: REFRESH_MS,
  });
  const found = data?.pages.flatMap((page) => page.experiments) ?? [];
  return (
    <>
      <p className="lead operate-lead">{words.lead}</p>
      {changes && <p><Link className="button-plain" href={benchOf(ExperimentService.method.createExperiment, write(EXAMPLE))}>{words.make}</Link></p>}
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={6} />}
      {data !== undefined && found.length === 0 && <p>{words.none}</p>}
      {shown !== undefined && data !== undefined && !hasNextPage && found.every(({ experiment }) => experiment?.name !== shown) && <p className="note" role="status">{words.noSuch(shown)}</p>}
      <ul className="jobs">
        {found.map((status) => {
          const { experiment } = status;
          if (experiment === undefined) return null;
          const isShown = experiment.name === shown;
          return <ExperimentCard key={experiment.name} status={status} experiment={experiment} changes={changes} changed={() => void refetch()} isShown={isShown} show={() => go(placeOf(isShown ? undefined : experiment.name))} />;
        })}
      </ul>
      {hasNextPage && <p><button type="button" className="button-small" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>{words.more}</button></p>}
    </>
  );
}

interface CardProps {
  status: ExperimentStatus;
  experiment: Experiment;
  changes: boolean;
  changed: () => void;
  isShown: boolean;
  show: () => void;
}

const SIGNS: Partial<Record<ExperimentState, string>> = { [ExperimentState.RUNNING]: "good", [ExperimentState.PAUSED]: "accent" };

function ExperimentCard({ status, experiment, changes, changed, isShown, show }: CardProps) {
  const words = useOwn(WORDS);
  const { percent, timeOf } = useFigures();
  const { state } = status;
  const { name } = experiment;
  const started = timeOf(status.startTime);
  const stopped = timeOf(status.stopTime);
  const told = [
    words.layer(experiment.layer || "default"),
    words.traffic(percent(experiment.traffic ?? 1)),
    started === undefined ? words.made(timeOf(status.createTime) ?? "") : words.started(started),
    stopped !== undefined && words.stopped(stopped),
  ].filter(Boolean).join(" · ");
  return (
    <li className="panel job">
      <header className="section-head">
        <h2>{name}</h2>
        <span className="sign" data-sign={SIGNS[state]}>{words.states[state]}</span>
        <div className="section-more">
          {changes && <Changes name={name} state={state} changed={changed} />}
          {changes && state !== ExperimentState.STOPPED && <Link className="button-small link-small" aria-label={words.of(words.edit, name)} href={benchOf(ExperimentService.method.updateExperiment, write({ experiment: toJson(ExperimentSchema, experiment, { useProtoFieldName: true }) as JsonObject }))}>{words.edit}</Link>}
          {state !== ExperimentState.DRAFT && <button type="button" className="button-small" aria-expanded={isShown} aria-label={words.of(isShown ? words.close : words.results, name)} onClick={show}>{isShown ? words.close : words.results}</button>}
        </div>
      </header>
      {experiment.description !== "" && <p>{experiment.description}</p>}
      <p className="soft small">{told}</p>
      {status.stopReason !== "" && <p className="bad" lang="en">{status.stopReason}</p>}
      <ul className="arms">{experiment.arms.map((arm) => <ArmLine key={arm.name} arm={arm} share={arm.share ?? 1 / experiment.arms.length} />)}</ul>
      {isShown && <ExperimentResults name={name} />}
    </li>
  );
}

/** An arm's share, and what is different in it. */
function ArmLine({ arm, share }: { arm: Arm; share: number }) {
  const words = useOwn(WORDS);
  const { percent } = useFigures();
  const different = arm.overrides === undefined ? "" : textOf(toJson(OverridesSchema, arm.overrides, { useProtoFieldName: true }) as JsonObject);
  return <li><strong>{arm.name}</strong> <span className="numbers">{percent(share)}</span> <span className="soft small">{different || words.asItIs}</span></li>;
}

function Changes({ name, state, changed }: { name: string; state: ExperimentState; changed: () => void }) {
  const words = useOwn(WORDS);
  const [isSure, setSure] = useState(false);
  const start = useMutation(ExperimentService.method.startExperiment, { onSettled: changed });
  const pause = useMutation(ExperimentService.method.pauseExperiment, { onSettled: changed });
  const stop = useMutation(ExperimentService.method.stopExperiment, { onSettled: changed });
  const error = start.error ?? pause.error ?? stop.error;
  const isPending = start.isPending || pause.isPending || stop.isPending;
  const begin = state === ExperimentState.PAUSED ? words.resume : words.start;
  if (state === ExperimentState.STOPPED) return null;
  return (
    <>
      {error !== null && <Problem error={error} />}
      {state === ExperimentState.RUNNING
        ? <button type="button" className="button-small" disabled={isPending} aria-label={words.of(words.pause, name)} onClick={() => pause.mutate({ name })}>{words.pause}</button>
        : <button type="button" className="button-small" disabled={isPending} aria-label={words.of(begin, name)} onClick={() => start.mutate({ name })}>{begin}</button>}
      <button type="button" className="button-small" data-bad disabled={isPending} aria-label={words.of(words.stop, name)} onClick={() => setSure(true)}>{words.stop}</button>
      {isSure && (
        <Dialog title={words.sureTitle(name)} close={() => setSure(false)} narrow>
          <p>{words.sure}</p>
          <div className="form-buttons">
            <button type="button" className="button-bad" onClick={() => {
              setSure(false);
              stop.mutate({ name });
            }}>{words.stop}</button>
            <button type="button" className="button-plain" onClick={() => setSure(false)}>{words.cancel}</button>
          </div>
        </Dialog>
      )}
    </>
  );
}
