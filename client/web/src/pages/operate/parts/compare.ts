// Two ways to recommend, asked about the same users, and how their answers differ.

import { createClient, type Transport } from "@connectrpc/connect";
import type { Method } from "../../../api/generated/marquee/v1/common_pb.ts";
import { RecommendationService, type RecommendOutcome, type RecommendResponse, Source } from "../../../api/generated/marquee/v1/recommendation_pb.ts";
import { type Moved, movedOver, overlapOf } from "./lists.ts";

/** A way to recommend. */
export interface Way {
  /** The version of a model; empty for the one in service. */
  modelVersion: string;
  method: Method;
}

export interface UserCompared {
  userId: number;
  before: number[];
  after: number[];
  overlap: number;
}

export interface Comparison {
  users: UserCompared[];
  /** How many users one of the two could not answer. */
  failed: number;
  /** How many are answered by popularity or preferences, where models make no difference. */
  popular: number;
  moved: Moved[];
  titles: ReadonlyMap<number, string>;
  /** The median time of a request on the server, before and after. */
  medianUs: [number, number];
}

/** How many users are asked about at most: their two lists each make one batch. */
export const MOST_USERS = 200;

function median(values: number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function replyOf(outcome: RecommendOutcome | undefined): RecommendResponse | undefined {
  return outcome?.outcome.case === "response" ? outcome.outcome.value : undefined;
}

/** What part of the users is, on average over them; 0 where there are none. */
export function meanOf(users: readonly UserCompared[], part: (user: UserCompared) => number): number {
  return users.length === 0 ? 0 : users.reduce((sum, user) => sum + part(user), 0) / users.length;
}

export async function compareWays(transport: Transport, ways: readonly [Way, Way], userIds: readonly number[], k: number, signal?: AbortSignal): Promise<Comparison> {
  const client = createClient(RecommendationService, transport);
  const options = signal === undefined ? { timeoutMs: 60_000 } : { signal, timeoutMs: 60_000 };
  const ask = async ({ modelVersion, method }: Way) => {
    const requests = userIds.map((userId) => ({ subject: { case: "userId", value: BigInt(userId) } as const, k, modelVersion, method }));
    return (await client.recommendBatch({ requests }, options)).outcomes.map(replyOf);
  };
  // One after the other, so that neither waits for the other's work.
  const before = await ask(ways[0]);
  const after = await ask(ways[1]);
  const titles = new Map<number, string>();
  const idsOf = (reply: RecommendResponse) => reply.recommendations.map(({ movieId, title }) => {
    titles.set(movieId, title);
    return movieId;
  });
  const pairs = userIds.flatMap((userId, at) => {
    const one = before[at];
    const other = after[at];
    return one === undefined || other === undefined ? [] : [{ userId, one, other }];
  });
  const users = pairs.map(({ userId, one, other }) => {
    const lists = { before: idsOf(one), after: idsOf(other) };
    return { userId, ...lists, overlap: overlapOf(lists.before, lists.after) };
  });
  const timesOf = (replies: (RecommendResponse | undefined)[]) => median(replies.flatMap((reply) => (reply?.timings === undefined ? [] : [reply.timings.totalUs])));
  return {
    users,
    failed: userIds.length - users.length,
    popular: pairs.filter(({ one }) => one.source !== Source.MODEL).length,
    moved: movedOver(users).filter(({ places }) => places !== 0),
    titles,
    medianUs: [timesOf(before), timesOf(after)],
  };
}
