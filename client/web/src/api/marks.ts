// What somebody has done with movies, and whether it can be taken back.
//
// A movie may have a mark of each kind: who rates it and puts it on a list has done both. What is done is shown at once,
// then sent with its time, so that sending it twice counts once, and one after the other, so that what is taken back was
// there. The server's token of the last write goes with whatever is asked next, so that any node's answer reflects it.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { InteractionKind, InteractionService } from "./generated/marquee/v1/interaction_pb.ts";
import { tellTabs } from "./tabs.ts";

/** What can be done, by the names of the messages. */
export const KINDS = ["rating", "like", "dislike", "watchlist", "view", "hide"] as const;
export type Kind = (typeof KINDS)[number];

export const NUMBER_OF: Record<Kind, InteractionKind> = {
  rating: InteractionKind.RATING,
  like: InteractionKind.LIKE,
  dislike: InteractionKind.DISLIKE,
  watchlist: InteractionKind.WATCHLIST,
  view: InteractionKind.VIEW,
  hide: InteractionKind.HIDE,
};

/** The name of a kind; what is not said is a rating. */
export function kindOf(number: InteractionKind): Kind {
  return KINDS.find((kind) => NUMBER_OF[kind] === number) ?? "rating";
}

/** Of these nobody means both. */
const OPPOSITE: Partial<Record<Kind, Kind>> = { like: "dislike", dislike: "like" };

/** How many actions can be taken back, the newest ones. */
const MOST_DONE = 20;

/** What was done with a movie: one event of the history. */
export interface Mark {
  kind: Kind;
  /** With a rating, in stars. */
  stars?: number;
  timeMs: number;
}

/** The newest mark of each kind that a movie has. */
export type Marked = Readonly<Partial<Record<Kind, Mark>>>;

export interface Named {
  movieId: number;
  title: string;
}

/** An action that may be taken back: what it wrote and what it deleted. */
export interface Done extends Named {
  added: readonly Mark[];
  removed: readonly Mark[];
}

/** A change of a history, as the tabs of a browser tell each other. */
export interface Change {
  movieId: number;
  mark: Mark;
  isDeleted: boolean;
}

const NONE: Marked = {};

/** The same event: there is one of a movie, a kind and a time. */
function isSame(one: Mark, other: Mark): boolean {
  return one.kind === other.kind && one.timeMs === other.timeMs;
}

function newestOf(marks: readonly Mark[]): Marked {
  const newest: Partial<Record<Kind, Mark>> = {};
  for (const mark of marks) {
    if ((newest[mark.kind]?.timeMs ?? -Infinity) < mark.timeMs) newest[mark.kind] = mark;
  }
  return newest;
}

/** All marks of one user that this page knows of. */
export class Marks {
  readonly #client: Client<typeof InteractionService>;
  readonly #userId: bigint;
  /** All events that are known, and the newest of each kind. */
  readonly #known = new Map<number, { marks: readonly Mark[]; newest: Marked }>();
  /** Events that were deleted, which an answer from before does not bring back. */
  readonly #deleted = new Set<string>();
  #done: readonly Done[] = [];
  #token = "";
  /** Ends with the last action that is being sent. */
  #sending: Promise<unknown> = Promise.resolve();
  readonly #listeners = new Set<() => void>();
  readonly #writes = new Set<(movieId: number) => void>();

  constructor(transport: Transport, userId: bigint) {
    this.#client = createClient(InteractionService, transport);
    this.#userId = userId;
  }

  /** That of the last write; empty before one. */
  get token(): string {
    return this.#token;
  }

  /** What was written elsewhere is reflected too from now on. */
  adopt(token: string): void {
    this.#token = token;
  }

  /** What was done with a movie; the same object while that is so. */
  of(movieId: number): Marked {
    return this.#known.get(movieId)?.newest ?? NONE;
  }

  /** The newest action that can be taken back, once it is known that it was done. */
  async last(): Promise<Done | undefined> {
    await this.#sending;
    return this.#done.at(-1);
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Calls `listener` with each movie of which something is written. */
  onWrite(listener: (movieId: number) => void): () => void {
    this.#writes.add(listener);
    return () => this.#writes.delete(listener);
  }

  /** Takes over what the history says. */
  learn(movieId: number, mark: Mark): void {
    if (!this.#deleted.has(nameOf(movieId, mark))) this.#add(movieId, [mark]);
  }

  /** Takes over what another tab did. */
  hear({ movieId, mark, isDeleted }: Change): void {
    if (isDeleted) this.#take(movieId, [mark]);
    else this.#add(movieId, [mark]);
  }

  /** Does it, in the place of its opposite, or throws, and then all is as it was. */
  act(movie: Named, kind: Kind, stars?: number): Promise<Done> {
    const { movieId } = movie;
    // Two actions on one movie within a millisecond would be one event if they were of one kind.
    const newest = Math.max(0, ...this.#marks(movieId).map(({ timeMs }) => timeMs));
    const timeMs = Math.max(Date.now(), newest + 1);
    const opposite = OPPOSITE[kind];
    return this.#change({
      ...movie,
      added: [stars === undefined ? { kind, timeMs } : { kind, stars, timeMs }],
      removed: this.#marks(movieId).filter((mark) => mark.kind === opposite),
    });
  }

  /** Takes all marks of a kind away, or throws, and then all is as it was. */
  takeBack(movie: Named, kind: Kind): Promise<Done> {
    return this.#change({ ...movie, added: [], removed: this.#marks(movie.movieId).filter((mark) => mark.kind === kind) });
  }

  /** Deletes an event of the history, or throws, and then it is as it was. */
  remove(movie: Named, mark: Mark): Promise<Done> {
    return this.#change({ ...movie, added: [], removed: [mark] });
  }

  /** Takes an action back, or throws, and then it is as it was. */
  async undo(done: Done): Promise<void> {
    this.#done = this.#done.filter((one) => one !== done);
    try {
      await this.#apply({ ...done, added: done.removed, removed: done.added });
    } catch (error) {
      this.#remember(done);
      throw error;
    }
  }

  async #change(done: Done): Promise<Done> {
    await this.#apply(done);
    this.#remember(done);
    return done;
  }

  #remember(done: Done): void {
    this.#done = [...this.#done.slice(1 - MOST_DONE), done];
  }

  /** Shows a change at once, and sends it after those before it. */
  #apply({ movieId, added, removed }: Done): Promise<void> {
    this.#take(movieId, removed);
    this.#add(movieId, added);
    const before = this.#sending;
    const sent = (async () => {
      await before;
      try {
        for (const mark of added) await this.#record(movieId, mark);
        for (const mark of removed) await this.#delete(movieId, mark);
      } catch (error) {
        this.#take(movieId, added);
        this.#add(movieId, removed);
        // Whether it came to be all the same, the history says.
        for (const mark of added) this.#deleted.delete(nameOf(movieId, mark));
        throw error;
      }
    })();
    this.#sending = sent.catch(() => undefined);
    return sent;
  }

  async #record(movieId: number, mark: Mark): Promise<void> {
    const { consistencyToken } = await this.#client.recordInteraction({
      ...this.#event(movieId, mark),
      ...(mark.stars === undefined ? {} : { rating: mark.stars }),
    });
    this.#written({ movieId, mark, isDeleted: false }, consistencyToken);
  }

  /** One that is not there is no error. */
  async #delete(movieId: number, mark: Mark): Promise<void> {
    const { consistencyToken } = await this.#client.deleteInteraction(this.#event(movieId, mark));
    this.#written({ movieId, mark, isDeleted: true }, consistencyToken);
  }

  #event(movieId: number, { kind, timeMs }: Mark) {
    return {
      user: { case: "userId", value: this.#userId },
      movie: { case: "movieId", value: movieId },
      kind: NUMBER_OF[kind],
      time: timestampFromMs(timeMs),
    } as const;
  }

  #written(change: Change, token: string): void {
    this.#token = token;
    tellTabs({ what: "history", userId: this.#userId, token, change });
    for (const listener of this.#writes) listener(change.movieId);
  }

  #marks(movieId: number): readonly Mark[] {
    return this.#known.get(movieId)?.marks ?? [];
  }

  #add(movieId: number, added: readonly Mark[]): void {
    const now = this.#marks(movieId);
    for (const mark of added) this.#deleted.delete(nameOf(movieId, mark));
    this.#set(movieId, [...now, ...added.filter((mark) => !now.some((one) => isSame(one, mark)))]);
  }

  #take(movieId: number, taken: readonly Mark[]): void {
    for (const mark of taken) this.#deleted.add(nameOf(movieId, mark));
    this.#set(movieId, this.#marks(movieId).filter((mark) => !taken.some((one) => isSame(one, mark))));
  }

  #set(movieId: number, marks: readonly Mark[]): void {
    if (marks.length === this.#marks(movieId).length) return;
    if (marks.length === 0) this.#known.delete(movieId);
    else this.#known.set(movieId, { marks, newest: newestOf(marks) });
    for (const listener of this.#listeners) listener();
  }
}

function nameOf(movieId: number, { kind, timeMs }: Mark): string {
  return `${movieId} ${kind} ${timeMs}`;
}
