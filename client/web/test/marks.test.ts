import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { type DeleteInteractionRequest, InteractionKind, InteractionService, type RecordInteractionRequest } from "../src/api/generated/marquee/v1/interaction_pb.ts";
import { Marks } from "../src/api/marks.ts";

const HEAT = { movieId: 6, title: "Heat (1995)" };

/** A server that remembers what it is asked, and refuses on request. */
function server() {
  const recorded: RecordInteractionRequest[] = [];
  const deleted: DeleteInteractionRequest[] = [];
  const order: string[] = [];
  const state = { refuses: false };
  const check = () => {
    if (state.refuses) throw new ConnectError("no", Code.Unavailable);
  };
  const transport = createRouterTransport(({ service }) => {
    service(InteractionService, {
      recordInteraction: (request) => {
        check();
        recorded.push(request);
        order.push("record");
        return { consistencyToken: `token ${recorded.length}` };
      },
      deleteInteraction: (request) => {
        check();
        deleted.push(request);
        order.push("delete");
        return { consistencyToken: "token of a deletion", deleted: true };
      },
    });
  });
  return { marks: new Marks(transport, 7n), recorded, deleted, order, state };
}

test("a rating is sent with its stars and its time, and its token is kept", async () => {
  const { marks, recorded } = server();
  const done = await marks.act(HEAT, "rating", 4.5);
  expect(recorded[0]).toMatchObject({ user: { value: 7n }, movie: { value: 6 }, kind: InteractionKind.RATING, rating: 4.5 });
  expect(timestampMs(recorded[0]!.time!)).toBe(done.added[0]!.timeMs);
  expect(marks.of(6).rating).toEqual(done.added[0]);
  expect(marks.token).toBe("token 1");
});

test("a rating stays when the movie is put on the watch list", async () => {
  const { marks } = server();
  await marks.act(HEAT, "rating", 4);
  await marks.act(HEAT, "watchlist");
  expect(marks.of(6)).toMatchObject({ rating: { stars: 4 }, watchlist: { kind: "watchlist" } });
  marks.learn(6, { kind: "view", timeMs: 1 });
  expect(Object.keys(marks.of(6)).sort()).toEqual(["rating", "view", "watchlist"]);
});

test("a mark is taken off by deleting all its events, and comes back by undoing that", async () => {
  const { marks, recorded, deleted } = server();
  marks.learn(6, { kind: "like", timeMs: 1_000 });
  marks.learn(6, { kind: "like", timeMs: 2_000 });
  const done = await marks.takeBack(HEAT, "like");
  expect(deleted.map(({ kind, time }) => [kind, timestampMs(time!)])).toEqual([[InteractionKind.LIKE, 1_000], [InteractionKind.LIKE, 2_000]]);
  expect(marks.of(6)).toEqual({});
  await marks.undo(done);
  expect(recorded.map(({ time }) => timestampMs(time!))).toEqual([1_000, 2_000]);
  expect(marks.of(6).like?.timeMs).toBe(2_000);
});

test("what was taken off is not brought back by an older answer", async () => {
  const { marks } = server();
  marks.learn(6, { kind: "like", timeMs: 1_000 });
  await marks.takeBack(HEAT, "like");
  marks.learn(6, { kind: "like", timeMs: 1_000 });
  expect(marks.of(6)).toEqual({});
});

test("who dislikes no longer likes, and the other way around after an undo", async () => {
  const { marks, deleted } = server();
  await marks.act(HEAT, "like");
  const done = await marks.act(HEAT, "dislike");
  expect(Object.keys(marks.of(6))).toEqual(["dislike"]);
  expect(deleted.map(({ kind }) => kind)).toEqual([InteractionKind.LIKE]);
  await marks.undo(done);
  expect(Object.keys(marks.of(6))).toEqual(["like"]);
});

test("it is shown before the server has answered, and no more if that refuses", async () => {
  const { marks, state } = server();
  const seen: unknown[] = [];
  marks.subscribe(() => seen.push(marks.of(6).like?.kind));
  state.refuses = true;
  await expect(marks.act(HEAT, "like")).rejects.toThrow("no");
  expect(seen).toEqual(["like", undefined]);
  expect(await marks.last()).toBeUndefined();
});

test("what is taken back is the very event, and what was before it is shown again", async () => {
  const { marks, deleted } = server();
  const first = await marks.act(HEAT, "rating", 4);
  const second = await marks.act(HEAT, "rating", 2);
  expect(second.added[0]!.timeMs).toBeGreaterThan(first.added[0]!.timeMs);
  await marks.undo(second);
  expect(deleted[0]).toMatchObject({ movie: { value: 6 }, kind: InteractionKind.RATING });
  expect(timestampMs(deleted[0]!.time!)).toBe(second.added[0]!.timeMs);
  expect(marks.of(6).rating).toEqual(first.added[0]);
  expect(await marks.last()).toBe(first);
  expect(marks.token).toBe("token of a deletion");
});

test("a removal from the history is the last thing done, and is taken back as any other", async () => {
  const { marks, recorded } = server();
  await marks.act({ movieId: 9, title: "Alien (1979)" }, "like");
  const removed = { kind: "rating", stars: 3.5, timeMs: 5_000 } as const;
  marks.learn(6, removed);
  const done = await marks.remove(HEAT, removed);
  expect(marks.of(6)).toEqual({});
  expect(await marks.last()).toBe(done);
  await marks.undo(done);
  expect(recorded.at(-1)).toMatchObject({ movie: { value: 6 }, rating: 3.5 });
  expect(marks.of(6).rating).toEqual(removed);
  expect((await marks.last())?.movieId).toBe(9);
});

test("what is still being sent can be taken back once it is there", async () => {
  const { marks } = server();
  const sent = marks.act(HEAT, "hide");
  const last = await marks.last();
  expect(last).toBe(await sent);
});

test("what is done one after the other is sent in that order", async () => {
  const { marks, order } = server();
  await Promise.all([marks.act(HEAT, "like"), marks.takeBack(HEAT, "like"), marks.act(HEAT, "like")]);
  expect(order).toEqual(["record", "delete", "record"]);
  expect(Object.keys(marks.of(6))).toEqual(["like"]);
});

test("what cannot be taken back stays", async () => {
  const { marks, state } = server();
  const done = await marks.act(HEAT, "hide");
  state.refuses = true;
  await expect(marks.undo(done)).rejects.toThrow("no");
  expect(marks.of(6).hide).toEqual(done.added[0]);
  expect(await marks.last()).toBe(done);
});

test("an older event of the history changes nothing that is known", async () => {
  const { marks } = server();
  const done = await marks.act(HEAT, "rating", 4);
  const before = marks.of(6);
  marks.learn(6, { kind: "rating", stars: 1, timeMs: done.added[0]!.timeMs - 1 });
  expect(marks.of(6).rating).toEqual(done.added[0]);
  marks.learn(6, done.added[0]!);
  expect(marks.of(6)).toEqual(before);
});

test("what another tab did is known, and what it took back is gone", () => {
  const { marks } = server();
  const mark = { kind: "watchlist", timeMs: 1_000 } as const;
  marks.hear({ movieId: 6, mark, isDeleted: false });
  expect(marks.of(6).watchlist).toEqual(mark);
  marks.hear({ movieId: 6, mark, isDeleted: true });
  expect(marks.of(6)).toEqual({});
});

test("whoever listens hears of each write, and of none that was refused", async () => {
  const { marks, state } = server();
  const heard: number[] = [];
  const stop = marks.onWrite((movieId) => heard.push(movieId));
  await marks.act(HEAT, "like");
  state.refuses = true;
  await expect(marks.act({ movieId: 9, title: "" }, "like")).rejects.toThrow("no");
  stop();
  expect(heard).toEqual([6]);
});
