// How the server is: health, what it did lately, by method and by slowest call, and the model in service.

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import { type ReactNode, useMemo, useState } from "react";
import { type GetStatsResponse, ModelState, OperationsService } from "../../api/generated/marquee/v1/operations_pb.ts";
import { hasCode } from "../../api/problem.ts";
import { may, useVisitor } from "../../api/visitor.tsx";
import { LineBones } from "../../components/bones.tsx";
import { Problem } from "../../components/problem.tsx";
import { useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { Chart, type ChartProps, type Line } from "./parts/chart.tsx";
import { useFigures } from "./parts/figures.ts";
import { useHealth } from "./parts/health.ts";
import { LiveState } from "./parts/live-state.tsx";
import { shortMethod } from "./parts/method-names.ts";
import { failuresOf, READINGS, type Samples, totalOf } from "./parts/samples.ts";
import { TimingsBar } from "./parts/timings.tsx";
import { useSamples } from "./parts/use-samples.ts";
import { WORDS } from "./words/overview.ts";

/** How often numbers that are no stream are asked for again, while the page is looked at. */
const REFRESH_MS = 5_000;

export default function Overview() {
  const words = useOwn(WORDS);
  const { visitor } = useVisitor();
  const { samples, state } = useSamples();
  const stats = useQuery(OperationsService.method.getStats, {}, { refetchInterval: REFRESH_MS });
  useTitle(words.tiles.health);
  return (
    <>
      <p className="lead operate-lead">{words.lead} <LiveState state={state} /></p>
      {stats.error !== null && <Problem error={stats.error} again={() => void stats.refetch()} />}
      <Tiles stats={stats.data} at={stats.dataUpdatedAt} samples={samples} />
      {typeof state === "object" && samples.length === 0 ? <Problem error={state.error} /> : <Charts samples={samples} />}
      <Methods stats={stats.data} />
      {may(visitor, "operator") && <SlowCalls />}
    </>
  );
}

function Tile({ name, value, note, state }: { name: string; value: ReactNode; note?: ReactNode; state?: "good" | "bad" | undefined }) {
  return (
    <div className="tile" data-state={state}>
      <dt>{name}</dt>
      <dd className="tile-value numbers">{value}</dd>
      <dd className="soft small">{note ?? " "}</dd>
    </div>
  );
}

function Tiles({ stats, at, samples }: { stats: GetStatsResponse | undefined; at: number; samples: Samples }) {
  const { tiles } = useOwn(WORDS);
  const { number, percent, span, age, short } = useFigures();
  const health = useHealth();
  const models = useQuery(OperationsService.method.listModels, {}, { refetchInterval: 6 * REFRESH_MS });
  const active = models.data?.models.find(({ state }) => state === ModelState.ACTIVE);
  const last = samples.at(-1)?.sample;
  const window = stats?.methods[0]?.windows[0];
  const calls = window === undefined ? 0 : totalOf(window.calls);
  const failures = window === undefined ? 0 : failuresOf(window.calls);
  const start = stats?.startTime;
  const bone = <span className="bone bone-line" />;
  return (
    <dl className="tiles">
      <Tile name={tiles.health} state={health.error !== null ? "bad" : health.data === undefined ? undefined : health.data ? "good" : "bad"} value={health.error !== null ? tiles.unknown : health.data === undefined ? bone : health.data ? tiles.serving : tiles.notServing} note={stats && tiles.since(stats.serverVersion)} />
      <Tile name={tiles.up} value={start === undefined ? bone : age(at - timestampMs(start))} note={stats && tiles.workers(number(stats.workers))} />
      <Tile name={tiles.model} value={models.data === undefined ? bone : <span className="tile-text">{active?.version ?? tiles.noModel}</span>} note={active && `${tiles.on(active.device)} ${active.precision}`} state={models.data !== undefined && active === undefined ? "bad" : undefined} />
      <Tile name={tiles.rate} value={window === undefined ? bone : number(window.callsPerSecond)} note={tiles.minute} />
      <Tile name={tiles.errors} value={window === undefined ? bone : percent(calls === 0 ? 0 : failures / calls)} note={tiles.minute} state={failures > 0 ? "bad" : undefined} />
      <Tile name={tiles.p99} value={window === undefined ? bone : window.latencies === undefined ? "–" : span(window.latencies.p99Us)} note={tiles.minute} />
      <Tile name={tiles.queue} value={last === undefined && stats === undefined ? bone : number(last === undefined ? (stats?.queueDepth ?? 0) : (READINGS.queue(last) ?? 0))} note={tiles.now} />
      <Tile name={tiles.catalogue} value={stats === undefined ? bone : tiles.movies(short(stats.movies))} note={stats && `${tiles.users(short(Number(stats.users)))}, ${tiles.events(short(Number(stats.interactions)))}`} />
    </dl>
  );
}

function Charts({ samples }: { samples: Samples }) {
  const { charts } = useOwn(WORDS);
  const hasRedis = samples.some(({ sample }) => sample.redisFailureRatio !== undefined);
  const shown = useMemo(() => {
    const line = (reading: Line["reading"], name: string, colour: number): Line => ({ reading, name, colour });
    const all: Pick<ChartProps, "title" | "measure" | "lines">[] = [
      { title: charts.calls, measure: "rate", lines: [line("calls", charts.ended, 1), line("refused", charts.refused, 3), line("failures", charts.failed, 4)] },
      { title: charts.latency, measure: "ms", lines: [line("p50", charts.p50, 1), line("p95", charts.p95, 2), line("p99", charts.p99, 3)] },
      { title: charts.waiting, measure: "number", lines: [line("queue", charts.queue, 1), line("inFlight", charts.inFlight, 2), line("connections", charts.connections, 3)] },
      { title: charts.batch, measure: "number", lines: [line("batch", charts.batchSize, 1)] },
      { title: charts.busy, measure: "percent", lines: [line("busy", charts.busyRatio, 1)] },
      { title: charts.caches, measure: "percent", lines: [line("vectors", charts.vectors, 1), line("profiles", charts.profiles, 2)] },
      { title: charts.cpu, measure: "number", lines: [line("cores", charts.cores, 1)] },
      { title: charts.memory, measure: "bytes", lines: [line("memory", charts.resident, 1)] },
    ];
    if (hasRedis) all.push({ title: charts.redis, measure: "percent", lines: [line("redis", charts.redisFailures, 4)] });
    return all;
  }, [charts, hasRedis]);
  return (
    <section aria-labelledby="charts">
      <h2 id="charts">{charts.title}</h2>
      {samples.length === 0 && <p className="soft">{charts.empty}</p>}
      <div className="charts">{shown.map((chart) => <Chart key={chart.title} {...chart} samples={samples} tell={charts.tell} />)}</div>
    </section>
  );
}

function Methods({ stats }: { stats: GetStatsResponse | undefined }) {
  const { methods: words } = useOwn(WORDS);
  const { number, span } = useFigures();
  const [chosen, setChosen] = useState(1);
  const rows = (stats?.methods ?? []).flatMap(({ method, windows }) => {
    const window = windows[chosen] ?? windows.at(-1);
    return window === undefined ? [] : [{ method, window, calls: totalOf(window.calls), failures: failuresOf(window.calls) }];
  }).filter(({ method, calls }) => method === "" || calls > 0);
  return (
    <section aria-labelledby="methods">
      <header className="section-head">
        <h2 id="methods">{words.title}</h2>
        <fieldset className="chips">
          <legend className="unseen">{words.window}</legend>
          {[1, 5, 15].map((minutes, at) => <button key={minutes} type="button" className="chip" aria-pressed={chosen === at} onClick={() => setChosen(at)}>{words.minutes(minutes)}</button>)}
        </fieldset>
      </header>
      {stats === undefined && <LineBones lines={6} />}
      {stats !== undefined && rows.length === 0 && <p className="soft">{words.none}</p>}
      {rows.length > 0 && (
        // What is wider than the page is scrolled by the keys too.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <div className="table-frame" tabIndex={0} role="group" aria-label={words.method}>
          <table className="table">
            <thead>
              <tr>
                <th scope="col">{words.method}</th>
                {[words.calls, words.rate, words.failed, words.p50, words.p95, words.p99].map((name) => <th key={name} scope="col" className="number">{name}</th>)}
              </tr>
            </thead>
            <tbody>
              {rows.sort((one, other) => Number(other.method === "") - Number(one.method === "") || other.calls - one.calls).map(({ method, window, calls, failures }) => (
                <tr key={method}>
                  <th scope="row">{method === "" ? words.all : shortMethod(method)}</th>
                  <td className="number">{number(calls)}</td>
                  <td className="number">{number(window.callsPerSecond)}</td>
                  <td className="number" title={Object.entries(window.calls).map(([code, count]) => `${code} ${count}`).join(", ")}>{failures === 0 ? <span className="soft">0</span> : <span className="bad">{number(failures)}</span>}</td>
                  {(["p50Us", "p95Us", "p99Us"] as const).map((name) => <td key={name} className="number">{window.latencies === undefined ? <span className="soft">–</span> : span(window.latencies[name])}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function SlowCalls() {
  const { slow: words } = useOwn(WORDS);
  const { span, timeOf } = useFigures();
  const { data, error, refetch } = useQuery(OperationsService.method.listSlowCalls, { limit: 12 }, { refetchInterval: 2 * REFRESH_MS });
  const most = Math.max(...(data?.calls ?? []).map(({ durationUs }) => Number(durationUs)), 1);
  return (
    <section aria-labelledby="slow">
      <h2 id="slow">{words.title}</h2>
      {error !== null && !hasCode(error, Code.PermissionDenied) && <Problem error={error} again={() => void refetch()} />}
      {hasCode(error, Code.PermissionDenied) && <p className="soft">{words.forbidden}</p>}
      {data === undefined && error === null && <LineBones lines={6} />}
      {data?.calls.length === 0 && <p className="soft">{words.none}</p>}
      <ul className="slow-calls">
        {data?.calls.map(({ method, time, durationUs, code, requestId, caller, timings }) => (
          <li key={requestId + method}>
            <div>
              <strong className="method-name">{shortMethod(method)}</strong>{code !== "OK" && <span className="bad small"> {code}</span>}
              <p className="soft small">{timeOf(time)} · {caller} · <code>{requestId}</code></p>
            </div>
            <strong className="numbers slow-took">{span(Number(durationUs))}</strong>
            <div className="slow-where">{timings === undefined ? <Whole us={Number(durationUs)} most={most} /> : <TimingsBar timings={timings} most={most} />}</div>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** How long it took, of a method that does not say where the time went. */
function Whole({ us, most }: { us: number; most: number }) {
  const { slow: words } = useOwn(WORDS);
  return (
    <div className="timings">
      <svg className="timings-bar" viewBox={`0 0 ${most} 10`} preserveAspectRatio="none" aria-hidden="true"><rect width={most} height="10" className="bar-ground" /><rect width={us} height="10" className="stage" data-stage="9" /></svg>
      <p className="soft small">{words.notTold}</p>
    </div>
  );
}
