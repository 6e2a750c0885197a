import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { OperationsService, type StatsSample, StatsSampleSchema } from "../../src/api/generated/marquee/v1/operations_pb.ts";
import { columnsOf, failuresOf, READINGS, type Samples, SPAN_SECONDS, totalOf, unknownSeconds, watchStats, withSample } from "../../src/pages/operate/parts/samples.ts";

function sampleAt(seconds: number, calls: Record<string, bigint> = { OK: 10n }): StatsSample {
  return create(StatsSampleSchema, { time: timestampFromMs(seconds * 1_000), calls: { seconds: 5, calls, callsPerSecond: 2 }, queueDepth: seconds });
}

const ring = (...seconds: number[]): Samples => seconds.reduce<Samples>((samples, at) => withSample(samples, sampleAt(at)), []);
const times = (samples: Samples) => samples.map(({ timeMs }) => timeMs / 1_000);

test("samples stand in the order of their time, each once", () => {
  expect(times(ring(1_000, 1_010, 1_005, 1_010))).toEqual([1_000, 1_005, 1_010]);
});

test("what is older than the span is let go", () => {
  expect(times(ring(1_000, 1_005, 1_005 + SPAN_SECONDS))).toEqual([1_005 + SPAN_SECONDS]);
});

test("only what is not known yet is asked for when the page is seen again", () => {
  expect(unknownSeconds([], 5_000_000)).toBe(SPAN_SECONDS);
  expect(unknownSeconds(ring(1_000), 1_042_500)).toBe(43);
  expect(unknownSeconds(ring(1_000), 9_000_000)).toBe(SPAN_SECONDS);
  expect(unknownSeconds(ring(1_000), 999_000)).toBe(0);
});

test("errors are the server's, not its callers'", () => {
  const calls = { OK: 5n, NOT_FOUND: 3n, INTERNAL: 2n, RESOURCE_EXHAUSTED: 1n };
  expect(failuresOf(calls)).toBe(3);
  expect(totalOf(calls)).toBe(11);
  expect(READINGS.failures(sampleAt(0, calls))).toBeCloseTo(0.6);
});

test("a gap breaks the lines, and what cannot be told is no zero", () => {
  const [at, queue, busy] = columnsOf(ring(1_000, 1_005, 1_060), ["queue", "busy"]);
  expect(at).toEqual([1_000, 1_005, 1_010, 1_060]);
  expect(queue).toEqual([1_000, 1_005, null, 1_060]);
  expect(busy).toEqual([null, null, null, null]);
});

test("the stream is asked for so much of what was", async () => {
  const asked: (number | undefined)[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(OperationsService, {
      async *watchStats({ pastSeconds }) {
        asked.push(pastSeconds);
        yield { sample: sampleAt(1_000) };
      },
    });
  });
  const found = [];
  for await (const { sample } of watchStats(transport, 43, new AbortController().signal)) found.push(sample?.queueDepth);
  expect([asked, found]).toEqual([[43], [1_000]]);
});
