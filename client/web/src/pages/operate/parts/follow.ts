// Reads a stream of the server for as long as somebody looks at the page.
//
// Over HTTP/1.1 a browser has six connections to an origin, so a tab that nobody looks at must not hold one: its stream
// ends, and goes on where it was once the page is seen again. A stream that breaks off is begun anew after a pause.

import { Code, ConnectError } from "@connectrpc/connect";

/** What a reader does: it waits for the server, reads, rests while nobody looks, or met an error. */
export type FollowState = "opening" | "live" | "resting" | { error: unknown };

/** Whether the page is looked at. */
export interface Sight {
  isHidden: () => boolean;
  /** Calls `listener` when that changes, until the function that is returned is called. */
  onChange: (listener: () => void) => () => void;
}

export const documentSight: Sight = {
  isHidden: () => document.visibilityState === "hidden",
  onChange: (listener) => {
    document.addEventListener("visibilitychange", listener);
    return () => document.removeEventListener("visibilitychange", listener);
  },
};

export interface Following<M> {
  /** Begins the stream, or goes on with it after what was taken; `opened` is called once the server has taken the call. */
  open: (signal: AbortSignal, opened: () => void) => AsyncIterable<M>;
  take: (message: M) => void;
  tell: (state: FollowState) => void;
  sight?: Sight;
  /** What is waited for before the stream is opened again. */
  pause?: (signal: AbortSignal) => Promise<void>;
}

/** Between two attempts. */
const PAUSE_MS = 2_000;

function pauseFor(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, PAUSE_MS);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Whether opening it again cannot help. */
function isFinal(error: unknown): boolean {
  return [Code.PermissionDenied, Code.Unauthenticated, Code.Unimplemented, Code.InvalidArgument].includes(ConnectError.from(error).code);
}

/** Reads until the function that is returned is called. */
export function follow<M>({ open, take, tell, sight = documentSight, pause = pauseFor }: Following<M>): () => void {
  let reading: AbortController | undefined;

  const read = async ({ signal }: AbortController) => {
    while (!signal.aborted) {
      tell("opening");
      try {
        for await (const message of open(signal, () => tell("live"))) {
          if (signal.aborted) return;
          take(message);
          tell("live");
        }
      } catch (error) {
        if (signal.aborted) return;
        tell({ error });
        if (isFinal(error)) return;
      }
      await pause(signal);
    }
  };
  const turn = () => {
    if (sight.isHidden()) {
      reading?.abort();
      reading = undefined;
      tell("resting");
    } else if (reading === undefined) {
      reading = new AbortController();
      void read(reading);
    }
  };
  const forget = sight.onChange(turn);
  turn();
  return () => {
    forget();
    reading?.abort();
  };
}
