// How answers are kept: a while, so that going back shows a page at once; and asked for again where that may help.

import { Code } from "@connectrpc/connect";
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { hasCode, mayPass, troubleOf } from "./problem.ts";

/** How often a call is made again that may pass the next time. */
const RETRIES = 2;

/** What a call says of itself that asks who somebody is, or tells it: that it is refused says nothing of a session. */
export const ASKS_WHO = { asksWho: true };

/** `ended` is called when the server says that it does not know who is calling. */
export function createQueries(ended: () => void): QueryClient {
  const check = (error: unknown, { meta }: { meta?: Record<string, unknown> | undefined }) => {
    if (hasCode(error, Code.Unauthenticated) && meta?.["asksWho"] !== true) ended();
  };
  return new QueryClient({
    queryCache: new QueryCache({ onError: check }),
    mutationCache: new MutationCache({ onError: (error, _variables, _result, mutation) => check(error, mutation) }),
    defaultOptions: {
      queries: {
        // A server on this machine is there without a network too.
        networkMode: "always",
        staleTime: 30_000,
        gcTime: 10 * 60_000,
        refetchOnWindowFocus: false,
        retry: (failures, error) => failures < RETRIES && mayPass(troubleOf(error)) && troubleOf(error) !== "other",
        retryDelay: (attempt) => 300 * 2 ** attempt,
      },
      mutations: { networkMode: "always" },
    },
  });
}
