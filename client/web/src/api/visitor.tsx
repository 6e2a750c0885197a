// Who sits before the console, and what they may do.
//
// Three things are asked once: how the server is set (/console.json), who the session's cookie or the key says they are
// (WhoAmI), and, where neither says which user is theirs, whose id they gave. All pages go by what comes of it.

import { Code, type Transport } from "@connectrpc/connect";
import { createConnectQueryKey, useQuery as useCall, useTransport } from "@connectrpc/connect-query";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import { AccountService, type WhoAmIResponse } from "./generated/marquee/v1/account_pb.ts";
import { hasCode } from "./problem.ts";
import { ASKS_WHO } from "./queries.ts";
import { apiKey, watching } from "./storage.ts";
import { hearTabs, tellTabs } from "./tabs.ts";

/** The roles that come with the server; each may do what those before it may. */
const LADDER = ["viewer", "recommender", "writer", "operator", "admin"] as const;
export type Least = (typeof LADDER)[number];

/** The least that recommendations of any user are shown to. */
export const WATCHES: Least = "recommender";

/** The role of people who have signed in, who may do what is their own. */
const PERSON = "person";

/** How the server is set. */
export interface Facts {
  version: string;
  /** Whether callers have to say who they are. */
  asksWho: boolean;
  /** Whether people may make accounts. */
  signsUp: boolean;
}

export interface Visitor {
  facts: Facts;
  /** Who the server says they are; absent where it does not know. */
  who: WhoAmIResponse | undefined;
  /** Whose recommendations are shown; absent where nobody has said. */
  userId: bigint | undefined;
  /** Whether the user is theirs by an account, and not by an id that anybody may give. */
  isPerson: boolean;
  /** Whether the server asks for a session or a key before anything else. */
  isOutside: boolean;
  /** Whether there was a session, and it is over though nobody ended it on purpose. */
  hasEnded: boolean;
}

export interface VisitorActions {
  visitor: Visitor;
  /** Lets somebody watch, where the server does not say who. */
  watch: (userId: bigint | undefined) => void;
  /** Asks anew who they are, after they have signed in or out, where the server has not just said it. */
  renew: (who?: WhoAmIResponse) => Promise<void>;
  /** Gives up what is known, after they left on purpose. */
  leave: () => Promise<void>;
}

const VisitorContext = createContext<VisitorActions | undefined>(undefined);

/** What is shown while it is asked for, and when that fails. */
export interface Waiting {
  error: Error | undefined;
  again: () => void;
}

async function fetchFacts(): Promise<Facts> {
  const answer = await fetch("/console.json", { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`/console.json: ${answer.status}`);
  return (await answer.json()) as Facts;
}

export function VisitorProvider({ children, waiting }: { children: ReactNode; waiting: (state: Waiting) => ReactNode }) {
  const queries = useQueryClient();
  const transport = useTransport();
  const facts = useQuery({ queryKey: ["console.json"], queryFn: fetchFacts, staleTime: Infinity });
  const whoAmI = useCall(AccountService.method.whoAmI, {}, {
    staleTime: Infinity,
    retry: (failures, error) => !hasCode(error, Code.Unauthenticated) && failures < 2,
    meta: ASKS_WHO,
  });
  const [userId, setUserId] = useState(watching.get);
  // The answer whose session or key was given up on purpose, here or in another tab, by when it came.
  const [leftAt, setLeftAt] = useState(0);
  const isUnknown = hasCode(whoAmI.error, Code.Unauthenticated);
  // The last answer stays with the error that came after it.
  const { dataUpdatedAt: knownAt, refetch } = whoAmI;
  const who = isUnknown ? undefined : whoAmI.data;
  const hasEnded = isUnknown && whoAmI.data !== undefined && knownAt !== leftAt;

  const renew = useCallback(async (told?: WhoAmIResponse) => {
    if (told === undefined) await refetch();
    else queries.setQueryData(createConnectQueryKey({ schema: AccountService.method.whoAmI, input: {}, transport, cardinality: "finite" }), told);
    await queries.resetQueries({ predicate: (query) => query.meta?.["asksWho"] !== true && query.queryKey[0] !== "console.json" });
    tellTabs({ what: "visitor" });
  }, [refetch, queries, transport]);

  const watch = useCallback((next: bigint | undefined) => {
    watching.set(next);
    setUserId(next);
    tellTabs({ what: "visitor" });
  }, []);

  const leave = useCallback(async () => {
    apiKey.set(null);
    watching.set(undefined);
    setUserId(undefined);
    setLeftAt(knownAt);
    await renew();
  }, [renew, knownAt]);

  useEffect(() => hearTabs((told) => {
    if (told.what !== "visitor") return;
    setUserId(watching.get());
    setLeftAt(knownAt);
    void refetch();
  }), [refetch, knownAt]);

  const actions = useMemo<VisitorActions | undefined>(() => {
    if (facts.data === undefined) return undefined;
    const own = who?.userId;
    const visitor: Visitor = {
      facts: facts.data,
      who,
      userId: own ?? (may({ facts: facts.data, who }, WATCHES) ? userId : undefined),
      isPerson: own !== undefined,
      isOutside: facts.data.asksWho && who === undefined,
      hasEnded,
    };
    return { visitor, watch, renew, leave };
  }, [facts.data, who, userId, hasEnded, watch, renew, leave]);

  // While it is asked again, what is shown stays.
  const isAsked = whoAmI.data !== undefined || (whoAmI.isFetched && (isUnknown || whoAmI.error === null));
  if (actions === undefined || !isAsked) {
    const error = facts.error ?? (isUnknown ? undefined : whoAmI.error) ?? undefined;
    const again = () => {
      void facts.refetch();
      void refetch();
    };
    return waiting({ error, again });
  }
  return <VisitorContext value={actions}>{children}</VisitorContext>;
}

export function useVisitor(): VisitorActions {
  const actions = useContext(VisitorContext);
  if (actions === undefined) throw new Error("useVisitor stands outside of a VisitorProvider");
  return actions;
}

/** The user whose pages are shown. Only below what asks who is watching. */
export function useUserId(): bigint {
  const { userId } = useVisitor().visitor;
  if (userId === undefined) throw new Error("nobody is watching");
  return userId;
}

/**
 * Whether somebody may see what asks for this role. An open server lets everybody; a role of the server's own is not known
 * here, so it is let in, and the server decides.
 */
export function may({ facts, who }: Pick<Visitor, "facts" | "who">, least: Least): boolean {
  if (who === undefined) return !facts.asksWho;
  if (!facts.asksWho) return true;
  const needed = LADDER.indexOf(least);
  return who.roles.some((role) => {
    const place = LADDER.indexOf(role as Least);
    return place === -1 ? role !== PERSON : place >= needed;
  });
}

/** The transport that the calls of this page take, for those that are no query. */
export function useCalls(): Transport {
  return useTransport();
}
