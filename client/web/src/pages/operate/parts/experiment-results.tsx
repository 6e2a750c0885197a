// What follows from an experiment by now: the decision in one sentence, and each arm's effect with where it lies.

import { createClient } from "@connectrpc/connect";
import { useTransport } from "@connectrpc/connect-query";
import { useEffect, useState } from "react";
import { type ArmEffect, Conclusion, type ExperimentHealth, ExperimentService, type GetResultsResponse, type MetricResults, type ShadowResults } from "../../../api/generated/marquee/v1/experiment_pb.ts";
import { Bars } from "../../../components/bars.tsx";
import { LineBones } from "../../../components/bones.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/experiments.ts";
import { useFigures } from "./figures.ts";
import { follow, type FollowState } from "./follow.ts";

/** How often the server looks whether results have changed, in seconds. */
const EVERY = 5;

/** The span that effects are drawn over: the same for all arms of a metric, with zero in it. */
export function spanOf(effects: readonly Pick<ArmEffect, "estimate" | "lower" | "upper">[]): [least: number, most: number] {
  const ends = effects.flatMap(({ estimate, lower, upper }) => [estimate, lower, upper]).filter((end) => end !== undefined && Number.isFinite(end)) as number[];
  const least = Math.min(0, ...ends);
  const most = Math.max(0, ...ends);
  const room = (most - least || 0.1) * 0.08;
  return [least - room, most + room];
}

/** Whether a span of an effect, a share of the control's figure, says next to nothing: neither which way nor how much. */
export function isWide(lower: number, upper: number): boolean {
  return lower < 0 && upper > 0 && upper - lower >= 1;
}

function useResults(name: string): { results: GetResultsResponse | undefined; state: FollowState } {
  const transport = useTransport();
  const [results, setResults] = useState<GetResultsResponse>();
  const [state, setState] = useState<FollowState>("opening");
  useEffect(() => follow({
    open: (signal) => createClient(ExperimentService, transport).watchResults({ name, every: EVERY }, { signal, timeoutMs: 0 }),
    take: ({ results: next }) => setResults(next),
    tell: setState,
  }), [transport, name]);
  return { results, state };
}

const SIGNS: Partial<Record<Conclusion, string>> = { [Conclusion.BETTER]: "good", [Conclusion.WORSE]: "bad", [Conclusion.BREACHED]: "bad", [Conclusion.UNHEALTHY]: "bad" };

export function ExperimentResults({ name }: { name: string }) {
  const words = useOwn(WORDS);
  const { number } = useFigures();
  const { results, state } = useResults(name);
  if (results === undefined) return typeof state === "object" ? <Problem error={state.error} /> : <LineBones lines={5} />;
  return (
    <div className="results-of" aria-label={words.of(words.results, name)} role="group">
      <p className="decision" aria-live="polite"><span className="sign" data-sign={SIGNS[results.conclusion]}>{words.conclusions[results.conclusion]}</span> {words.follows(results.conclusion, results.arm)} <span lang="en">{results.decision}</span></p>
      <div className="halves">
        <div>
          <h3>{words.users}</h3>
          <Bars bars={results.arms.map(({ arm, units }) => ({ name: arm, value: Number(units), text: number(Number(units)) }))} />
        </div>
        {results.health && <Health health={results.health} />}
      </div>
      {([["goals", results.goals], ["guardrails", results.guardrails], ["information", results.information]] as const).map(([part, metrics]) => metrics.length > 0 && <Metrics key={part} title={words[part]} metrics={metrics} control={results.arms[0]?.arm ?? words.control} />)}
      {results.shadow && <InTheShadow shadow={results.shadow} />}
    </div>
  );
}

/** How a model that answers unseen compares: each figure with its name, as far as it is known. */
export function comparedOf({ overlap, rankCorrelation, milliseconds, answerMilliseconds, failures }: ShadowResults): [figure: "overlap" | "order" | "time" | "beside" | "failures", value: number][] {
  const figures = [["overlap", overlap], ["order", rankCorrelation], ["time", milliseconds], ["beside", answerMilliseconds], ["failures", Number(failures)]] as const;
  return figures.flatMap(([figure, value]) => (value === undefined ? [] : [[figure, value]]));
}

function InTheShadow({ shadow }: { shadow: ShadowResults }) {
  const words = useOwn(WORDS);
  const { number, percent, span } = useFigures();
  const texts = { overlap: percent, order: number, time: (value: number) => span(value * 1_000), beside: (value: number) => span(value * 1_000), failures: number };
  return (
    <div>
      <h3>{words.shadow}</h3>
      <p className="small">{words.inTheShadow(shadow.modelVersion, number(Number(shadow.answers)))}</p>
      <p className="soft small">{comparedOf(shadow).map(([figure, value]) => words.compared[figure](texts[figure](value))).join(" · ")}</p>
    </div>
  );
}

function Health({ health }: { health: ExperimentHealth }) {
  const words = useOwn(WORDS);
  const { number } = useFigures();
  return (
    <div>
      <h3>{words.health}</h3>
      {health.problems.length === 0 ? <p className="good">{words.healthy}</p> : <ul className="dots bad">{health.problems.map((problem) => <li key={problem} lang="en">{problem}</li>)}</ul>}
      <p className="soft small">{[words.ratio(number(health.sampleRatioPValue)), health.crossedUnits > 0n && words.crossed(number(Number(health.crossedUnits))), health.lostExposures > 0n && words.lost(number(Number(health.lostExposures)))].filter(Boolean).join(" · ")}</p>
    </div>
  );
}

function Metrics({ title, metrics, control }: { title: string; metrics: readonly MetricResults[]; control: string }) {
  const words = useOwn(WORDS);
  const { number } = useFigures();
  return (
    <div className="metrics-of">
      <h3>{title}</h3>
      {metrics.map((metric) => {
        const span = spanOf(metric.arms);
        return (
          // What is wider than the page is scrolled by the keys too.
          // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
          <div key={metric.name} className="table-frame" tabIndex={0} role="group" aria-label={metric.name}>
            <table className="table">
              <thead><tr><th scope="col">{metric.name}</th><th scope="col" className="number">{words.figure}</th><th scope="col" className="number">{words.effect}</th><th scope="col" title={words.intervalHelp}>{words.interval}</th><th scope="col" className="number">{words.p}</th></tr></thead>
              <tbody>
                <tr><th scope="row">{control}</th><td className="number">{number(metric.control)}</td><td className="number soft">–</td><td className="soft small">{words.control}</td><td className="number soft">–</td></tr>
                {metric.arms.map((effect) => <EffectRow key={effect.arm} effect={effect} span={span} />)}
              </tbody>
            </table>
          </div>
        );
      })}
    </div>
  );
}

function EffectRow({ effect, span }: { effect: ArmEffect; span: [number, number] }) {
  const words = useOwn(WORDS);
  const { number, percent } = useFigures();
  const { arm, mean, estimate, lower, upper, correctedPValue, fixedHorizon } = effect;
  const isKnown = lower !== undefined && upper !== undefined;
  return (
    <tr title={fixedHorizon && words.fixed(percent(fixedHorizon.lower), percent(fixedHorizon.upper), number(fixedHorizon.pValue))}>
      <th scope="row">{arm}</th>
      <td className="number">{number(mean)}</td>
      <td className="number">{estimate === undefined ? <span className="soft">–</span> : percent(estimate)}</td>
      <td>{isKnown ? <Interval lower={lower} upper={upper} estimate={estimate} span={span} told={(isWide(lower, upper) ? words.wide : words.range)(percent(lower), percent(upper))} /> : <span className="soft small">{words.unknown}</span>}</td>
      <td className="number">{number(correctedPValue)}</td>
    </tr>
  );
}

/** Where an effect lies, about zero. */
function Interval({ lower, upper, estimate, span: [least, most], told }: { lower: number; upper: number; estimate: number | undefined; span: [number, number]; told: string }) {
  const at = (value: number) => ((value - least) / (most - least)) * 200;
  const way = lower > 0 ? "up" : upper < 0 ? "down" : "open";
  return (
    <div className="interval">
      <svg viewBox="0 0 200 16" preserveAspectRatio="none" role="img" aria-label={told}>
        <line x1={at(0)} x2={at(0)} y1="0" y2="16" className="interval-zero" />
        <rect x={at(lower)} width={Math.max(1, at(upper) - at(lower))} y="6" height="4" className="interval-span" data-way={way} />
        {estimate !== undefined && <rect x={at(estimate) - 1.5} width="3" y="2" height="12" className="interval-span" data-way={way} />}
      </svg>
      <span className="soft small numbers" aria-hidden="true">{told}</span>
    </div>
  );
}
