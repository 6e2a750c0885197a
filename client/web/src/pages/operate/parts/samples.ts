// What the server did lately, in periods of five seconds: the ring that the charts are drawn from.

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
import { OperationsService, type StatsSample, type WatchStatsResponse } from "../../../api/generated/marquee/v1/operations_pb.ts";

/** How much is shown, and kept. */
export const SPAN_SECONDS = 900;

/** Samples by the time at which their periods ended, in milliseconds, ascending. */
export type Samples = readonly { timeMs: number; sample: StatsSample }[];

/** With one more; one of the same time takes the place of the one before, and what is too old is let go. */
export function withSample(samples: Samples, sample: StatsSample): Samples {
  if (sample.time === undefined) return samples;
  const timeMs = timestampMs(sample.time);
  const others = samples.filter((one) => one.timeMs !== timeMs && one.timeMs > timeMs - SPAN_SECONDS * 1_000);
  const at = others.findLastIndex((one) => one.timeMs < timeMs) + 1;
  return [...others.slice(0, at), { timeMs, sample }, ...others.slice(at)];
}

/** How many seconds before now are not known yet. */
export function unknownSeconds(samples: Samples, nowMs: number): number {
  const last = samples.at(-1);
  if (last === undefined) return SPAN_SECONDS;
  return Math.min(SPAN_SECONDS, Math.max(0, Math.ceil((nowMs - last.timeMs) / 1_000)));
}

/** The stream of samples, with those of the last `pastSeconds` first. */
export function watchStats(transport: Transport, pastSeconds: number, signal: AbortSignal): AsyncIterable<WatchStatsResponse> {
  return createClient(OperationsService, transport).watchStats({ pastSeconds }, { signal, timeoutMs: 0 });
}

/** A line of a chart: its value in each sample; `undefined` where there is none. */
export type Reading = (sample: StatsSample) => number | undefined;

/** Calls a second that ended by an error of the server, or were refused by it. What is the caller's fault is none. */
const FAULTS = new Set(["UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNIMPLEMENTED"]);

/** How many of some calls, by their status codes, failed by the server's fault. */
export function failuresOf(calls: Readonly<Record<string, bigint>>): number {
  return Object.entries(calls).reduce((sum, [code, count]) => sum + (FAULTS.has(code) ? Number(count) : 0), 0);
}

/** How many calls there were, by any status code. */
export function totalOf(calls: Readonly<Record<string, bigint>>): number {
  return Object.values(calls).reduce((sum, count) => sum + Number(count), 0);
}

const ms = (us: number | undefined) => (us === undefined ? undefined : us / 1_000);

/** What the charts show. */
export const READINGS = {
  calls: ({ calls }) => calls?.callsPerSecond,
  failures: ({ calls }) => (calls === undefined || calls.seconds === 0 ? undefined : failuresOf(calls.calls) / calls.seconds),
  p50: ({ calls }) => ms(calls?.latencies?.p50Us),
  p95: ({ calls }) => ms(calls?.latencies?.p95Us),
  p99: ({ calls }) => ms(calls?.latencies?.p99Us),
  inFlight: ({ inFlight }) => inFlight,
  connections: ({ connections }) => connections,
  queue: ({ queueDepth }) => queueDepth,
  batch: ({ batchSize }) => batchSize,
  busy: ({ busyRatio }) => busyRatio,
  vectors: ({ vectorCacheHitRatio }) => vectorCacheHitRatio,
  profiles: ({ profileCacheHitRatio }) => profileCacheHitRatio,
  redis: ({ redisFailureRatio }) => redisFailureRatio,
  refused: ({ refusedCalls, calls }) => (calls === undefined || calls.seconds === 0 ? undefined : Number(refusedCalls) / calls.seconds),
  cores: ({ cpuCores }) => cpuCores,
  memory: ({ residentBytes }) => (residentBytes === undefined ? undefined : Number(residentBytes)),
} satisfies Record<string, Reading>;

export type ReadingName = keyof typeof READINGS;

/** Times in seconds and the values of each reading, as uPlot takes them. A longer gap breaks the lines. */
export function columnsOf(samples: Samples, names: readonly ReadingName[]): [number[], ...(number | null)[][]] {
  const times: number[] = [];
  const columns: (number | null)[][] = names.map(() => []);
  let before: number | undefined;
  for (const { timeMs, sample } of samples) {
    if (before !== undefined && timeMs - before > 12_000) {
      times.push((before + 5_000) / 1_000);
      for (const column of columns) column.push(null);
    }
    times.push(timeMs / 1_000);
    for (const [at, name] of names.entries()) columns[at]?.push((READINGS[name] as Reading)(sample) ?? null);
    before = timeMs;
  }
  return [times, ...columns];
}
