// The feed of interactions: those read last, and from where to go on.

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { InteractionService, type WatchInteractionsResponse } from "../../../api/generated/marquee/v1/interaction_pb.ts";
import { type Kind, kindOf } from "../../../api/marks.ts";

export interface FeedEvent {
  position: string;
  userId: bigint;
  movieId: number;
  kind: Kind;
  stars: number | undefined;
  /** When it happened, as its sender says. */
  timeMs: number;
  isDeleted: boolean;
}

/** How many are kept: what was read before is let go. */
export const MOST_EVENTS = 2_000;

/** The oldest that is kept. */
export const OLDEST = "0-0";

export function eventOf({ interaction, position, deleted }: WatchInteractionsResponse): FeedEvent | undefined {
  if (interaction?.user.case !== "userId" || interaction.movie.case !== "movieId") return undefined;
  return {
    position,
    userId: interaction.user.value,
    movieId: interaction.movie.value,
    kind: kindOf(interaction.kind),
    stars: interaction.rating,
    timeMs: interaction.time === undefined ? 0 : timestampMs(interaction.time),
    isDeleted: deleted,
  };
}

/** What is told of a stream beside its events. */
export interface Told {
  opened: () => void;
  /** Events are missing, since the position after which to go on is no longer kept. */
  missed: () => void;
}

/** The stream after a position; only what is recorded from now on after none. One that is no longer kept begins anew from the oldest. */
export async function* watchFrom(transport: Transport, after: string, signal: AbortSignal, { opened, missed }: Told): AsyncIterable<WatchInteractionsResponse> {
  const client = createClient(InteractionService, transport);
  const options = { signal, timeoutMs: 0, onHeader: opened };
  try {
    yield* client.watchInteractions({ after }, options);
  } catch (error) {
    if (ConnectError.from(error).code !== Code.OutOfRange) throw error;
    missed();
    yield* client.watchInteractions({ after: OLDEST }, options);
  }
}

export interface Filter {
  /** All when empty. */
  kinds: readonly Kind[];
  userId: bigint | undefined;
  movieId: number | undefined;
}

export function passes({ kinds, userId, movieId }: Filter, event: FeedEvent): boolean {
  return (kinds.length === 0 || kinds.includes(event.kind)) && (userId === undefined || event.userId === userId) && (movieId === undefined || event.movieId === movieId);
}

/** Over how long a rate is taken at most, and for how long an event may have been on its way or its sender's clock slow. */
const WINDOW_MS = 60_000;

/**
 * How many events a second happen while they are watched. Its clock runs only then: what happened before, in a pause or
 * while nobody looked, is read afterwards in one burst and is no rate.
 */
export class Pace {
  #arrivals: number[] = [];
  #watchedMs = 0;
  /** Since when it is watched without a break. */
  #since: number | undefined;

  /** It is watched from now on, or no longer. */
  turn(isWatched: boolean, nowMs: number): void {
    if (isWatched === (this.#since !== undefined)) return;
    this.#watchedMs = this.#clock(nowMs);
    this.#since = isWatched ? nowMs : undefined;
  }

  /** An event has come that happened at a time. */
  take(timeMs: number, nowMs: number): void {
    if (this.#since !== undefined && timeMs >= this.#since - WINDOW_MS) this.#arrivals.push(this.#clock(nowMs));
  }

  /** How many a second, over how many seconds that were watched; nothing before there is one. */
  read(nowMs: number): { rate: number; seconds: number } | undefined {
    const clock = this.#clock(nowMs);
    const spanMs = Math.min(clock, WINDOW_MS);
    const seconds = Math.floor(spanMs / 1_000);
    this.#arrivals = this.#arrivals.filter((at) => at >= clock - spanMs);
    return seconds < 1 ? undefined : { rate: this.#arrivals.length / (spanMs / 1_000), seconds };
  }

  #clock(nowMs: number): number {
    return this.#watchedMs + (this.#since === undefined ? 0 : nowMs - this.#since);
  }
}
