// Fetches a home page, more of it, and what changes of it.

import { createClient } from "@connectrpc/connect";
import { useCallback, useEffect, useReducer, useRef } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { type HomeRow, RecommendationService } from "../../api/generated/marquee/v1/recommendation_pb.ts";
import { useCalls, useUserId } from "../../api/visitor.tsx";
import { useActions } from "../../components/actions.tsx";
import { appended, placeOf, renewedAfter, withHero } from "./home-rows.ts";

/** How many rows are fetched at first and with each step on, and how many the server gives at most. */
const STEP = 8;
const MOST_ROWS = 50;
const ROW_SIZE = 18;

export interface HomePage {
  rows: readonly HomeRow[];
  /** How many of the rows are as they were before the last action: those after them are new. */
  kept: number | undefined;
  isLoading: boolean;
  isAtEnd: boolean;
  error: unknown;
}

type Event =
  | { is: "asked" }
  | { is: "came"; rows: HomeRow[]; isAtEnd: boolean; kept?: number }
  | { is: "failed"; error: unknown };

const EMPTY: HomePage = { rows: [], kept: undefined, isLoading: true, isAtEnd: false, error: undefined };

function next(page: HomePage, event: Event): HomePage {
  switch (event.is) {
    case "asked":
      return { ...page, isLoading: true, error: undefined };
    case "came":
      return { rows: event.rows, kept: event.kept, isLoading: false, isAtEnd: event.isAtEnd, error: undefined };
    case "failed":
      return { ...page, isLoading: false, error: event.error };
  }
}

export function useHome(): HomePage & { more: () => void; again: () => void } {
  const userId = useUserId();
  const transport = useCalls();
  const queries = useQueryClient();
  const { marks } = useActions();
  const key = `home ${userId}`;
  // Going back shows the page as it was left.
  const [page, tell] = useReducer(next, queries.getQueryData<HomePage>([key]) ?? EMPTY);
  const shown = useRef(page);
  const call = useRef(0);
  useEffect(() => {
    shown.current = page;
    queries.setQueryData([key], page);
  }, [queries, key, page]);

  /** Asks for so many rows; only the newest question is answered. */
  const ask = useCallback(async (count: number, merge: (shown: readonly HomeRow[], found: HomeRow[]) => HomeRow[], kept?: number) => {
    call.current += 1;
    const mine = call.current;
    tell({ is: "asked" });
    try {
      const { rows } = await createClient(RecommendationService, transport).getHomeRows({
        subject: { case: "userId", value: userId },
        rows: Math.min(count, MOST_ROWS),
        rowSize: ROW_SIZE,
        consistencyToken: marks.token,
      });
      if (mine !== call.current) return;
      const isAtEnd = rows.length < count || count >= MOST_ROWS;
      tell({ is: "came", rows: merge(shown.current.rows, rows), isAtEnd, ...(kept === undefined ? {} : { kept }) });
    } catch (error) {
      if (mine === call.current) tell({ is: "failed", error });
    }
  }, [transport, userId, marks]);

  const begin = useCallback(() => void ask(STEP, (_, found) => found), [ask]);
  const more = useCallback(() => {
    const { rows, isLoading, isAtEnd } = shown.current;
    if (!isLoading && !isAtEnd) void ask(rows.length + STEP, appended);
  }, [ask]);
  const again = useCallback(() => (shown.current.rows.length === 0 ? begin() : void ask(shown.current.rows.length + STEP, appended)), [ask, begin]);

  useEffect(() => {
    if (shown.current.rows.length === 0) begin();
  }, [begin]);

  useEffect(() => marks.onWrite((movieId) => {
    const { rows } = shown.current;
    const isHero = withHero(rows).hero?.movieId === movieId;
    const place = isHero ? 0 : placeOf(movieId, rows);
    if (place >= 0) void ask(Math.max(rows.length, STEP), (before, found) => renewedAfter(place, before, found), place + 1);
  }), [marks, ask]);

  return { ...page, more, again };
}
