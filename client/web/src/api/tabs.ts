// The tabs of one browser tell each other what has changed, so that none shows what is over.

import type { Change } from "./marks.ts";

/** What is told: who is signed in has changed, or somebody's history has; how, where one event tells it. */
export type Told = { what: "visitor" } | { what: "history"; userId: bigint; token: string; change?: Change };

const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel("marquee");

export function tellTabs(told: Told): void {
  channel?.postMessage(told);
}

/** Calls `hear` for what other tabs tell, until the function that is returned is called. */
export function hearTabs(hear: (told: Told) => void): () => void {
  const listen = (event: MessageEvent<Told>) => hear(event.data);
  channel?.addEventListener("message", listen);
  return () => channel?.removeEventListener("message", listen);
}
