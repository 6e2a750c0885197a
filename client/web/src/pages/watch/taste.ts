// What a history tells of a taste beside its genres, which the server counts: in which decades it is at home.

import { titleOf } from "../../art/title.ts";

/** A decade by its first year, and how many different movies of it stand in a history. */
export interface DecadeCount {
  decade: number;
  movies: number;
}

/** Of the titles of a history, oldest decade first, without gaps between the first and the last. */
export function decadesOf(entries: readonly { movieId: number; title: string }[]): DecadeCount[] {
  const titles = new Map(entries.map(({ movieId, title }) => [movieId, title]));
  const counts = new Map<number, number>();
  for (const title of titles.values()) {
    const { year } = titleOf(title);
    if (year === undefined) continue;
    const decade = year - (year % 10);
    counts.set(decade, (counts.get(decade) ?? 0) + 1);
  }
  if (counts.size === 0) return [];
  const [first, last] = [Math.min(...counts.keys()), Math.max(...counts.keys())];
  return Array.from({ length: (last - first) / 10 + 1 }, (_, at) => {
    const decade = first + at * 10;
    return { decade, movies: counts.get(decade) ?? 0 };
  });
}
