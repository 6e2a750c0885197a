// The rules, in the order in which they decide.

import { toJson } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useInfiniteQuery, useMutation } from "@connectrpc/connect-query";
import { useState } from "react";
import { Link } from "wouter";
import { type Rule, RuleSchema, RuleService } from "../../../api/generated/marquee/v1/business_rule_pb.ts";
import { may, useVisitor } from "../../../api/visitor.tsx";
import { LineBones } from "../../../components/bones.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useToasts } from "../../../components/toasts.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/catalogue.ts";
import { type Figures, useFigures } from "./figures.ts";
import { type JsonObject, write } from "./form-model.ts";
import { benchOf } from "./places.ts";

/** What a new rule may look like: of whatever catalogue, and off until somebody has looked at it. */
export const EXAMPLE: JsonObject = {
  rule_id: "newer-movies",
  reason: "Newer movies",
  boost: { weight: 0.5 },
  filter: { year_min: 2010 },
  enabled: false,
};

type Words = (typeof WORDS)["en"]["rules"];

/** Whether a rule holds at a time, and if not, why. */
export function ruleState({ enabled, startTime, endTime }: Pick<Rule, "enabled" | "startTime" | "endTime">, nowMs: number): "on" | "off" | "over" | "soon" {
  if (!enabled) return "off";
  if (endTime !== undefined && timestampMs(endTime) <= nowMs) return "over";
  return startTime !== undefined && timestampMs(startTime) > nowMs ? "soon" : "on";
}

function actionOf({ action }: Rule, words: Words, { number }: Figures): string {
  const of = (movieIds: readonly number[]) => (movieIds.length === 0 ? words.filtered : words.movies(movieIds.length));
  switch (action.case) {
    case "pin":
      return words.pin(action.value.movieIds.length);
    case "boost":
      return `${words.boost(number(action.value.weight ?? 0))}: ${of(action.value.movieIds)}`;
    case "bury":
      return `${action.value.how.case === "penalty" ? words.bury(number(action.value.how.value)) : words.remove}: ${of(action.value.movieIds)}`;
    default:
      return "";
  }
}

/** A rule as the request that would write it, whose fields are the same. */
function requestOf(rule: Rule): string {
  return write(toJson(RuleSchema, rule, { useProtoFieldName: true }) as JsonObject);
}

export function RulesView() {
  const { rules: words } = useOwn(WORDS);
  const { visitor } = useVisitor();
  const changes = may(visitor, "operator");
  const { data, error, refetch, dataUpdatedAt, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(RuleService.method.listRules, { pageToken: "" }, {
    pageParamKey: "pageToken",
    getNextPageParam: (page) => (page.nextPageToken === "" ? undefined : page.nextPageToken),
  });
  const rules = data?.pages.flatMap((page) => page.rules) ?? [];
  return (
    <section aria-label={words.does}>
      <p className="soft">{words.lead}</p>
      <p className="soft">{words.holdIn}</p>
      {changes && <p><Link className="button-plain" href={benchOf(RuleService.method.putRule, write(EXAMPLE))}>{words.write}</Link></p>}
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={6} />}
      {data !== undefined && rules.length === 0 && <p className="lead">{words.none}</p>}
      <ul className="rules">{rules.map((rule) => <RuleLine key={rule.ruleId} rule={rule} nowMs={dataUpdatedAt} changes={changes} changed={() => void refetch()} />)}</ul>
      {hasNextPage && <p><button type="button" className="button-small" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>{words.more}</button></p>}
    </section>
  );
}

function RuleLine({ rule, nowMs, changes, changed }: { rule: Rule; nowMs: number; changes: boolean; changed: () => void }) {
  const { rules: words } = useOwn(WORDS);
  const toasts = useToasts();
  const figures = useFigures();
  const [isSure, setSure] = useState(false);
  const { mutate, error } = useMutation(RuleService.method.deleteRule, { onSuccess: () => toasts.show(words.deleted(rule.ruleId)), onSettled: changed });
  const state = ruleState(rule, nowMs);
  const start = figures.timeOf(rule.startTime);
  const end = figures.timeOf(rule.endTime);
  const when = [start && words.from(start), end && words.until(end)].filter(Boolean).join(", ");
  return (
    <li className="panel rule">
      <header className="section-head">
        <h2>{rule.reason}</h2>
        <code className="soft small">{rule.ruleId}</code>
        <span className="sign" data-sign={state === "on" ? "good" : undefined}>{words.states[state]}</span>
        {changes && (
          <div className="section-more">
            <Link className="button-small link-small" href={benchOf(RuleService.method.putRule, requestOf(rule))}>{words.edit}</Link>
            <button type="button" className="button-small" data-bad onClick={() => setSure(true)}>{words.delete}</button>
          </div>
        )}
      </header>
      <p>{actionOf(rule, words, figures)}</p>
      <p className="soft small">{words.where}: {rule.contexts.length === 0 ? words.everywhere : rule.contexts.join(", ")} · {words.when}: {when || words.always} · {words.priority}: {rule.priority}</p>
      {error !== null && <Problem error={error} />}
      {isSure && (
        <Dialog title={words.sureTitle(rule.ruleId)} close={() => setSure(false)} narrow>
          <p>{words.sure}</p>
          <div className="form-buttons">
            <button type="button" className="button-bad" onClick={() => {
              setSure(false);
              mutate({ ruleId: rule.ruleId });
            }}>{words.delete}</button>
            <button type="button" className="button-plain" onClick={() => setSure(false)}>{words.cancel}</button>
          </div>
        </Dialog>
      )}
    </li>
  );
}
