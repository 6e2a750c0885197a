// The models that the server knows: what they are, which is in service, and how two of them differ.

import { createClient } from "@connectrpc/connect";
import { useMutation, useQuery, useTransport } from "@connectrpc/connect-query";
import { useMutation as useLongMutation } from "@tanstack/react-query";
import { useState } from "react";
import { type Model, ModelState, OperationsService } from "../../api/generated/marquee/v1/operations_pb.ts";
import { may, useVisitor } from "../../api/visitor.tsx";
import { LineBones } from "../../components/bones.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Problem } from "../../components/problem.tsx";
import { useToasts } from "../../components/toasts.tsx";
import { useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { CompareModels } from "./parts/compare-models.tsx";
import { useFigures } from "./parts/figures.ts";
import { WORDS } from "./words/models.ts";

/** How often it is looked whether a model has changed elsewhere. */
const REFRESH_MS = 10_000;

/** How long a bundle may take to be loaded, which is read whole. */
const LOADING_MS = 300_000;

export default function Models() {
  const words = useOwn(WORDS);
  const { visitor } = useVisitor();
  const { data, error, refetch } = useQuery(OperationsService.method.listModels, {}, { refetchInterval: REFRESH_MS });
  useTitle(words.title);
  const models = data?.models ?? [];
  const changes = may(visitor, "operator");
  return (
    <>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={6} />}
      {data !== undefined && models.length === 0 && <p className="lead">{words.none}</p>}
      <ul className="models">{models.map((model) => <ModelCard key={model.version} model={model} changes={changes} changed={() => void refetch()} />)}</ul>
      {changes ? <Load changed={() => void refetch()} /> : <p className="soft">{words.forbidden}</p>}
      {may(visitor, "recommender") && models.length > 0 && <CompareModels models={models} />}
    </>
  );
}

function ModelCard({ model, changes, changed }: { model: Model; changes: boolean; changed: () => void }) {
  const words = useOwn(WORDS);
  const toasts = useToasts();
  const { number, bytes, fixed, timeOf } = useFigures();
  const [isSure, setSure] = useState(false);
  const activate = useMutation(OperationsService.method.activateModel, { onSuccess: () => toasts.show(words.activated(model.version)), onSettled: changed });
  const unload = useMutation(OperationsService.method.unloadModel, { onSuccess: () => toasts.show(words.unloaded(model.version)), onSettled: changed });
  const { usage } = model;
  const answered = usage === undefined ? 0n : usage.recommendations + usage.similarMovies + usage.encodings;
  const facts: [string, string | undefined][] = [
    [words.facts.items, model.items === 0 ? undefined : number(model.items)],
    [words.facts.dimension, model.dimension === 0 ? undefined : number(model.dimension)],
    [words.facts.length, model.maximumLength === 0 ? undefined : words.movies(number(model.maximumLength))],
    [words.facts.memory, model.memoryBytes === 0n ? undefined : bytes(Number(model.memoryBytes))],
    [words.facts.where, [model.device, model.precision, model.kernels].filter(Boolean).join(" · ")],
    [words.facts.loaded, timeOf(model.loadTime)],
    [words.facts.answered, words.requests(number(Number(answered)))],
    [words.facts.last, timeOf(usage?.lastTime)],
  ];
  const metrics = Object.entries(model.metrics).sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }));
  const sign = model.state === ModelState.ACTIVE ? "good" : model.state === ModelState.FAILED ? "bad" : undefined;
  return (
    <li className="panel model">
      <header className="section-head">
        <h2>{model.version}</h2>
        <span className="sign" data-sign={sign}>{words.states[model.state]}</span>
        {changes && model.state !== ModelState.ACTIVE && model.state !== ModelState.LOADING && (
          <div className="section-more">
            {model.state === ModelState.STANDBY && <button type="button" className="button-small" disabled={activate.isPending} onClick={() => activate.mutate({ target: { case: "version", value: model.version } })}>{words.activate}</button>}
            <button type="button" className="button-small" data-bad disabled={unload.isPending} onClick={() => setSure(true)}>{words.unload}</button>
          </div>
        )}
      </header>
      {model.error !== "" && <p className="bad" lang="en">{model.error}</p>}
      {activate.error !== null && <Problem error={activate.error} />}
      {unload.error !== null && <Problem error={unload.error} />}
      <dl className="model-facts">{facts.map(([name, text]) => text !== undefined && text !== "" && <div key={name}><dt>{name}</dt><dd>{text}</dd></div>)}</dl>
      <h3>{words.metrics}</h3>
      {metrics.length === 0 ? <p className="soft">{words.noMetrics}</p> : <dl className="metrics">{metrics.map(([name, value]) => <div key={name}><dt><code>{name}</code></dt><dd className="numbers">{fixed(value)}</dd></div>)}</dl>}
      {isSure && (
        <Dialog title={words.sureTitle(model.version)} close={() => setSure(false)} narrow>
          <p>{words.sure}</p>
          <div className="form-buttons">
            <button type="button" className="button-bad" onClick={() => {
              setSure(false);
              unload.mutate({ version: model.version });
            }}>{words.unload}</button>
            <button type="button" className="button-plain" onClick={() => setSure(false)}>{words.cancel}</button>
          </div>
        </Dialog>
      )}
    </li>
  );
}

function Load({ changed }: { changed: () => void }) {
  const words = useOwn(WORDS);
  const toasts = useToasts();
  const [folder, setFolder] = useState("");
  const transport = useTransport();
  const { mutate, isPending, error } = useLongMutation({
    mutationFn: (bundleDir: string) => createClient(OperationsService, transport).loadModel({ bundleDir }, { timeoutMs: LOADING_MS }),
    onSuccess: ({ model }) => {
      setFolder("");
      toasts.show(words.loaded(model?.version ?? ""));
    },
    onSettled: changed,
  });
  return (
    <section aria-labelledby="load">
      <h2 id="load">{words.load}</h2>
      <form className="line-form" onSubmit={(event) => {
        event.preventDefault();
        mutate(folder.trim());
      }}>
        <label className="field"><span>{words.folder}</span><input value={folder} maxLength={4096} spellCheck={false} placeholder="/srv/models/movielens" onChange={(event) => setFolder(event.target.value)} /></label>
        <button type="submit" className="button-plain" disabled={isPending || folder.trim() === ""}>{isPending ? words.loading : words.load}</button>
      </form>
      <p className="soft small">{words.loadHelp}</p>
      {error !== null && <Problem error={error} />}
    </section>
  );
}
