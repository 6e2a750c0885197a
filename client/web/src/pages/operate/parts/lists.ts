// Two ranked lists of movies beside each other: what they have in common, and what moved.

/** How many movies two lists have in common, of the longer one, from 0 to 1. Two empty lists are alike. */
export function overlapOf(one: readonly number[], other: readonly number[]): number {
  const longest = Math.max(one.length, other.length);
  if (longest === 0) return 1;
  const inOne = new Set(one);
  return other.filter((id) => inOne.has(id)).length / longest;
}

/** By how many places each movie of `after` stands higher than in `before`; `undefined` for one that is new there. */
export function movesOf(before: readonly number[], after: readonly number[]): Map<number, number | undefined> {
  const places = new Map(before.map((id, place) => [id, place]));
  return new Map(after.map((id, place) => {
    const was = places.get(id);
    return [id, was === undefined ? undefined : was - place];
  }));
}

export interface Moved {
  movieId: number;
  /** In how many pairs of lists it stands in either. */
  lists: number;
  /** Places won, on average over those lists; one that is in one list only is counted at the place behind the other's end. */
  places: number;
}

/** What moved most over many pairs of lists: those that rose first, those that fell last. */
export function movedOver(pairs: readonly { before: readonly number[]; after: readonly number[] }[]): Moved[] {
  const sums = new Map<number, { lists: number; places: number }>();
  for (const { before, after } of pairs) {
    const placeIn = (list: readonly number[], id: number) => (list.includes(id) ? list.indexOf(id) : list.length);
    for (const id of new Set([...before, ...after])) {
      const sum = sums.get(id) ?? { lists: 0, places: 0 };
      sums.set(id, { lists: sum.lists + 1, places: sum.places + placeIn(before, id) - placeIn(after, id) });
    }
  }
  return [...sums]
    .map(([movieId, { lists, places }]) => ({ movieId, lists, places: places / lists }))
    .sort((one, other) => other.places * other.lists - one.places * one.lists || one.movieId - other.movieId);
}

/** Ids as a person lists them: numbers and spans such as 1-20, with commas or blanks between. At most `most`. */
export function idsFrom(text: string, most: number): number[] {
  const ids = new Set<number>();
  for (const part of text.split(/[\s,;]+/)) {
    const found = /^(\d{1,15})(?:[-–](\d{1,15}))?$/.exec(part);
    if (found === null) continue;
    const first = Number(found[1]);
    const last = Number(found[2] ?? found[1]);
    for (let id = Math.max(1, first); id <= last && ids.size < most; id += 1) ids.add(id);
  }
  return [...ids];
}
