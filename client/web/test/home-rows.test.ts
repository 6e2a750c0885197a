import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type HomeRow, HomeRowSchema, RowKind } from "../src/api/generated/marquee/v1/recommendation_pb.ts";
import { appended, placeOf, renewedAfter, withHero } from "../src/pages/watch/home-rows.ts";

function row(kind: RowKind, movieIds: number[], genre?: string): HomeRow {
  const about = genre === undefined ? { case: undefined } : ({ case: "genre", value: genre } as const);
  return create(HomeRowSchema, { kind, about, movies: movieIds.map((movieId) => ({ movieId, title: `${movieId}` })) });
}

const ids = (rows: readonly HomeRow[]) => rows.map((one) => one.movies.map((movie) => movie.movieId));

test("a longer page adds rows and shows no row and no movie twice", () => {
  const shown = [row(RowKind.FOR_YOU, [1, 2, 3])];
  const page = [row(RowKind.FOR_YOU, [9, 8, 7]), row(RowKind.GENRE, [3, 4, 5, 6], "Drama"), row(RowKind.GENRE, [1, 2, 7], "War")];
  // Of the last one a single movie would be left.
  expect(ids(appended(shown, page))).toEqual([[1, 2, 3], [4, 5, 6]]);
});

test("rows of two genres are two rows", () => {
  const rows = [row(RowKind.GENRE, [1, 2, 3], "Drama"), row(RowKind.GENRE, [4, 5, 6], "War")];
  expect(appended([], rows)).toHaveLength(2);
});

test("an action leaves its row and those before it, and renews those after it", () => {
  const shown = [row(RowKind.FOR_YOU, [1, 2, 3]), row(RowKind.NEW, [4, 5, 6]), row(RowKind.POPULAR, [7, 8, 9])];
  const page = [row(RowKind.FOR_YOU, [7, 8, 9]), row(RowKind.BECAUSE, [10, 11, 12]), row(RowKind.POPULAR, [13, 14, 4, 15])];
  expect(ids(renewedAfter(1, shown, page))).toEqual([[1, 2, 3], [4, 5, 6], [10, 11, 12], [13, 14, 15]]);
  expect(ids(renewedAfter(-1, shown, page))).toEqual(ids(page));
});

test("the first movie stands above all rows and in none", () => {
  const { hero, rest } = withHero([row(RowKind.FOR_YOU, [1, 2, 3]), row(RowKind.NEW, [4, 5, 6])]);
  expect(hero?.movieId).toBe(1);
  expect(ids(rest)).toEqual([[2, 3], [4, 5, 6]]);
  expect(withHero([])).toEqual({ hero: undefined, rest: [] });
});

test("a movie is found in its row", () => {
  const rows = [row(RowKind.FOR_YOU, [1, 2, 3]), row(RowKind.NEW, [4, 5, 6])];
  expect([placeOf(5, rows), placeOf(7, rows)]).toEqual([1, -1]);
});
