import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { follow, type FollowState, type Sight } from "../../src/pages/operate/parts/follow.ts";

/** A page that is looked at, or not, as the test says. */
function page() {
  let isHidden = false;
  const listeners = new Set<() => void>();
  const sight: Sight = {
    isHidden: () => isHidden,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const turn = (hidden: boolean) => {
    isHidden = hidden;
    for (const listener of listeners) listener();
  };
  return { sight, hide: () => turn(true), show: () => turn(false), listeners };
}

/** Streams that give what the test pushes, and end with their signal. */
function streams() {
  const opened: { signal: AbortSignal; push: (value: number) => void; fail: (error: Error) => void }[] = [];
  const open = async function* (signal: AbortSignal) {
    const waiting: (number | Error)[] = [];
    let wake: () => void = () => undefined;
    const add = (value: number | Error) => {
      waiting.push(value);
      wake();
    };
    opened.push({ signal, push: add, fail: add });
    signal.addEventListener("abort", () => wake());
    while (!signal.aborted) {
      const next = waiting.shift();
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  return { open, opened };
}

const noPause = () => Promise.resolve();

test("the stream ends while nobody looks, and goes on afterwards", async () => {
  const { sight, hide, show } = page();
  const { open, opened } = streams();
  const taken: number[] = [];
  const states: FollowState[] = [];
  const stop = follow({ open, take: (value) => taken.push(value), tell: (state) => states.push(state), sight, pause: noPause });
  opened[0]!.push(1);
  await vi.waitFor(() => expect(taken).toEqual([1]));
  hide();
  expect(opened[0]!.signal.aborted).toBe(true);
  expect(states.at(-1)).toBe("resting");
  show();
  expect(opened).toHaveLength(2);
  opened[1]!.push(2);
  await vi.waitFor(() => expect(taken).toEqual([1, 2]));
  expect(states.at(-1)).toBe("live");
  stop();
});

test("no stream is opened on a page that nobody looks at yet", () => {
  const { sight, hide, show } = page();
  const { open, opened } = streams();
  hide();
  const stop = follow({ open, take: () => undefined, tell: () => undefined, sight, pause: noPause });
  expect(opened).toHaveLength(0);
  show();
  expect(opened).toHaveLength(1);
  stop();
});

test("a stream that breaks off is opened again, and its error is told", async () => {
  const { sight } = page();
  const { open, opened } = streams();
  const states: FollowState[] = [];
  const error = new ConnectError("drained", Code.Unavailable);
  const stop = follow({ open, take: () => undefined, tell: (state) => states.push(state), sight, pause: noPause });
  opened[0]!.fail(error);
  await vi.waitFor(() => expect(opened).toHaveLength(2));
  expect(states).toContainEqual({ error });
  stop();
});

test("a stream that is refused for good is not asked for again", async () => {
  const { sight } = page();
  const { open, opened } = streams();
  const states: FollowState[] = [];
  const pause = vi.fn(noPause);
  const error = new ConnectError("not you", Code.PermissionDenied);
  follow({ open, take: () => undefined, tell: (state) => states.push(state), sight, pause });
  opened[0]!.fail(error);
  await vi.waitFor(() => expect(states.at(-1)).toEqual({ error }));
  expect(pause).not.toHaveBeenCalled();
  expect(opened).toHaveLength(1);
});

test("whoever stops ends the stream and no longer listens", () => {
  const { sight, listeners } = page();
  const { open, opened } = streams();
  follow({ open, take: () => undefined, tell: () => undefined, sight, pause: noPause })();
  expect(opened[0]!.signal.aborted).toBe(true);
  expect(listeners.size).toBe(0);
});
