// The rows of a home page as a person sees them: they grow at the end, and what is done with a movie changes the rows
// after its own. Rows that are on the screen already stay as they are, so nothing moves under anybody's finger.

import type { HomeRow, Recommendation } from "../../api/generated/marquee/v1/recommendation_pb.ts";

/** A row that ends up with fewer movies is left out, as the server does. */
const LEAST_MOVIES = 3;

/** What tells one row from another: its kind and what it is about. */
export function keyOf(row: HomeRow): string {
  const { about } = row;
  return `${row.kind}:${about.case ?? ""}:${about.value ?? ""}`;
}

/** Rows of a longer page after those that are shown: no row and no movie twice. */
export function appended(shown: readonly HomeRow[], page: readonly HomeRow[]): HomeRow[] {
  const known = new Set(shown.map(keyOf));
  return [...shown, ...withoutRepeats(shown, page.filter((row) => !known.has(keyOf(row))))];
}

/** The shown rows up to `place`, that one too, and then a new page's; -1 takes the new page alone. */
export function renewedAfter(place: number, shown: readonly HomeRow[], page: readonly HomeRow[]): HomeRow[] {
  return appended(shown.slice(0, place + 1), page);
}

function withoutRepeats(shown: readonly HomeRow[], rows: readonly HomeRow[]): HomeRow[] {
  const seen = new Set(shown.flatMap((row) => row.movies.map((movie) => movie.movieId)));
  return rows.flatMap((row) => {
    const movies = row.movies.filter((movie) => !seen.has(movie.movieId));
    if (movies.length < LEAST_MOVIES) return [];
    return [movies.length === row.movies.length ? row : { ...row, movies }];
  });
}

/** The row in which a movie stands; -1 where it stands in none. */
export function placeOf(movieId: number, rows: readonly HomeRow[]): number {
  return rows.findIndex((row) => row.movies.some((movie) => movie.movieId === movieId));
}

/** The movie above all rows, and the rows without it. */
export function withHero(rows: readonly HomeRow[]): { hero: Recommendation | undefined; rest: readonly HomeRow[] } {
  const [first, ...others] = rows;
  const hero = first?.movies[0];
  if (first === undefined || hero === undefined) return { hero: undefined, rest: rows };
  return { hero, rest: [{ ...first, movies: first.movies.slice(1) }, ...others] };
}
