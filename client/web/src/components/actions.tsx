// What people do with movies, for all parts of the page: rate, like, put on the list, hide, and take it back.

import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useSyncExternalStore } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { titleOf } from "../art/title.ts";
import { type Done, type Kind, type Mark, type Marked, Marks, type Named } from "../api/marks.ts";
import { hearTabs } from "../api/tabs.ts";
import { useCalls } from "../api/visitor.tsx";
import { useFormats, useMessages } from "../i18n/index.tsx";
import { useToasts } from "./toasts.tsx";

export interface Actions {
  marks: Marks;
  rate: (movie: Named, stars: number) => Promise<void>;
  /** Marks a movie, or takes the mark away where it is there. */
  toggle: (movie: Named, kind: Exclude<Kind, "rating">) => Promise<void>;
  /** Takes an action back; the newest one when none is said. */
  undo: (done?: Done) => Promise<void>;
  /** Deletes an event of the history. */
  remove: (movie: Named, mark: Mark) => Promise<void>;
}

const ActionsContext = createContext<Actions | undefined>(undefined);

export function ActionsProvider({ userId, children }: { userId: bigint; children: ReactNode }) {
  const transport = useCalls();
  const queries = useQueryClient();
  const toasts = useToasts();
  const messages = useMessages();
  const { halves } = useFormats();
  const marks = useMemo(() => new Marks(transport, userId), [transport, userId]);

  /** What is known of the user is asked for again where it is shown next. */
  const forget = useCallback(() => queries.invalidateQueries({ predicate: (query) => query.meta?.["ofUser"] === true }), [queries]);

  useEffect(() => hearTabs((told) => {
    if (told.what !== "history" || told.userId !== userId) return;
    marks.adopt(told.token);
    if (told.change !== undefined) marks.hear(told.change);
    void forget();
  }), [marks, userId, forget]);

  /** Tells of an action that went well, with a way to take it back, and of one that did not. */
  const tell = useCallback(async (title: string, doing: Promise<Done | void>, text: string, takeBack?: (done: Done) => void) => {
    try {
      const done = await doing;
      toasts.show(text, done && takeBack ? { undo: () => takeBack(done) } : {});
    } catch {
      toasts.show(messages.act.failed(title), { isBad: true });
    }
    await forget();
  }, [toasts, messages, forget]);

  const undo = useCallback<Actions["undo"]>(async (given) => {
    const done = given ?? (await marks.last());
    if (done === undefined) return;
    const name = nameOf(done);
    await tell(name, marks.undo(done), messages.act.undone(name));
  }, [marks, messages, tell]);

  const takeBack = useCallback((done: Done) => void undo(done), [undo]);

  const rate = useCallback<Actions["rate"]>(async (movie, stars) => {
    const name = nameOf(movie);
    await tell(name, marks.act(movie, "rating", stars), messages.act.done.rating(name, halves(stars)), takeBack);
  }, [marks, messages, halves, tell, takeBack]);

  const toggle = useCallback<Actions["toggle"]>(async (movie, kind) => {
    const name = nameOf(movie);
    if (marks.of(movie.movieId)[kind] === undefined) await tell(name, marks.act(movie, kind), messages.act.done[kind](name), takeBack);
    else await tell(name, marks.takeBack(movie, kind), messages.act.off[kind](name), takeBack);
  }, [marks, messages, tell, takeBack]);

  const remove = useCallback<Actions["remove"]>(async (movie, mark) => {
    const name = nameOf(movie);
    await tell(name, marks.remove(movie, mark), messages.me.removed(name), takeBack);
  }, [marks, messages, tell, takeBack]);

  const actions = useMemo(() => ({ marks, rate, toggle, undo, remove }), [marks, rate, toggle, undo, remove]);
  return <ActionsContext value={actions}>{children}</ActionsContext>;
}

/** A movie that the catalogue no longer has has no title. */
function nameOf({ movieId, title }: Named): string {
  return title === "" ? `${movieId}` : titleOf(title).name;
}

export function useActions(): Actions {
  const actions = useContext(ActionsContext);
  if (actions === undefined) throw new Error("useActions stands outside of an ActionsProvider");
  return actions;
}

/** What was done with a movie, as it changes. */
export function useMarks(movieId: number): Marked {
  const { marks } = useActions();
  return useSyncExternalStore(marks.subscribe, () => marks.of(movieId));
}
