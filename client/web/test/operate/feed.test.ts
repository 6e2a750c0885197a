import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { InteractionKind, InteractionService, WatchInteractionsResponseSchema } from "../../src/api/generated/marquee/v1/interaction_pb.ts";
import { eventOf, Pace, passes, watchFrom } from "../../src/pages/operate/parts/feed.ts";

const message = create(WatchInteractionsResponseSchema, {
  position: "5-1",
  interaction: { user: { case: "userId", value: 7n }, movie: { case: "movieId", value: 6 }, kind: InteractionKind.RATING, rating: 4.5, time: timestampFromMs(1_000) },
});

test("an event is what was recorded, and where it stands", () => {
  expect(eventOf(message)).toEqual({ position: "5-1", userId: 7n, movieId: 6, kind: "rating", stars: 4.5, timeMs: 1_000, isDeleted: false });
  expect(eventOf(create(WatchInteractionsResponseSchema, { position: "5-2" }))).toBeUndefined();
});

test("filters that are set hold together", () => {
  const event = eventOf(message)!;
  expect(passes({ kinds: [], userId: undefined, movieId: undefined }, event)).toBe(true);
  expect(passes({ kinds: ["rating"], userId: 7n, movieId: 6 }, event)).toBe(true);
  expect(passes({ kinds: ["like"], userId: 7n, movieId: 6 }, event)).toBe(false);
  expect(passes({ kinds: ["rating"], userId: 8n, movieId: 6 }, event)).toBe(false);
});

test("a position that is no longer kept begins anew from the oldest, and that is told", async () => {
  const asked: string[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(InteractionService, {
      async *watchInteractions({ after }) {
        asked.push(after);
        if (after !== "0-0") throw new ConnectError("too old", Code.OutOfRange);
        yield message;
      },
    });
  });
  let missed = 0;
  const found = [];
  const told = { opened: () => undefined, missed: () => (missed += 1) };
  for await (const { position } of watchFrom(transport, "3-1", new AbortController().signal, told)) found.push(position);
  expect([asked, found, missed]).toEqual([["3-1", "0-0"], ["5-1"], 1]);
});

test("the rate is over the time that was watched, at most the last minute", () => {
  const pace = new Pace();
  expect(pace.read(100_000)).toBeUndefined();
  pace.turn(true, 100_000);
  for (const at of [100_200, 101_000, 103_000]) pace.take(at, at);
  expect(pace.read(106_000)).toEqual({ rate: 0.5, seconds: 6 });
  pace.take(170_000, 170_000);
  expect(pace.read(170_000)).toEqual({ rate: 1 / 60, seconds: 60 });
});

test("the time of a pause is not watched, and what happened in it is no rate", () => {
  const pace = new Pace();
  pace.turn(true, 0);
  pace.take(1_000, 1_000);
  pace.turn(false, 10_000);
  expect(pace.read(900_000)).toEqual({ rate: 0.1, seconds: 10 });
  pace.turn(true, 1_000_000);
  for (let burst = 0; burst < 500; burst += 1) pace.take(500_000, 1_000_001);
  pace.take(1_004_000, 1_004_000);
  expect(pace.read(1_010_000)).toEqual({ rate: 0.1, seconds: 20 });
});
