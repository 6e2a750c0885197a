// What a search asks for, as it stands in the address of its page.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FilterSchema } from "../../api/generated/marquee/v1/common_pb.ts";

export interface Wanted {
  query: string;
  any: readonly string[];
  all: readonly string[];
  none: readonly string[];
  tags: readonly string[];
  from: number | undefined;
  to: number | undefined;
  rating: number | undefined;
  ratings: number | undefined;
}

export const NOTHING: Wanted = { query: "", any: [], all: [], none: [], tags: [], from: undefined, to: undefined, rating: undefined, ratings: undefined };

/** How a genre may stand in a filter. */
export const MODES = ["any", "all", "none"] as const;
export type Mode = (typeof MODES)[number];

/** Bounds of the API, which refuses what is beyond them. */
export const YEARS = [1870, 2200] as const;
const STARS = [0.5, 5] as const;
const MOST_NAMES = 50;

/** Reads the part of an address after `?`; what makes no sense there is left out. */
export function wantedOf(search: string): Wanted {
  const found = new URLSearchParams(search);
  const names = (key: string) => [...new Set((found.get(key) ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "" && name.length <= 100))].slice(0, MOST_NAMES);
  const number = (key: string, least: number, most: number, isWhole: boolean) => {
    const text = found.get(key);
    const value = text === null || text === "" ? Number.NaN : Number(text);
    return value >= least && value <= most && (!isWhole || Number.isInteger(value)) ? value : undefined;
  };
  return {
    query: (found.get("q") ?? "").trim().slice(0, 200),
    any: names("any"),
    all: names("all"),
    none: names("none"),
    tags: names("tags"),
    from: number("from", ...YEARS, true),
    to: number("to", ...YEARS, true),
    rating: number("rating", ...STARS, false),
    ratings: number("ratings", 1, 4_294_967_295, true),
  };
}

/** The part of the address after `?`; what is not asked for does not stand there. */
export function searchOf(wanted: Wanted): string {
  const written = new URLSearchParams();
  const set = (key: string, value: string | number | undefined) => {
    if (value !== undefined && value !== "") written.set(key, String(value));
  };
  set("q", wanted.query);
  for (const mode of MODES) set(mode, wanted[mode].join(","));
  set("from", wanted.from);
  set("to", wanted.to);
  set("rating", wanted.rating);
  set("ratings", wanted.ratings);
  set("tags", wanted.tags.join(","));
  return written.toString();
}

/** Whether there is a filter, beside what was typed. */
export function isFiltered(wanted: Wanted): boolean {
  return searchOf({ ...wanted, query: "" }) !== "";
}

/** The filter of the API. */
export function filterOf(wanted: Wanted): MessageInitShape<typeof FilterSchema> {
  return {
    genresAny: [...wanted.any],
    genresAll: [...wanted.all],
    genresNone: [...wanted.none],
    tagsAny: [...wanted.tags],
    ...(wanted.from === undefined ? {} : { yearMin: wanted.from }),
    ...(wanted.to === undefined ? {} : { yearMax: wanted.to }),
    ...(wanted.rating === undefined ? {} : { averageRatingMin: wanted.rating }),
    ...(wanted.ratings === undefined ? {} : { ratingsMin: wanted.ratings }),
  };
}

/** In which way a genre is asked for. */
export function modeOf(wanted: Wanted, genre: string): Mode | undefined {
  return MODES.find((mode) => wanted[mode].includes(genre));
}

/** Without the genres that there are not, which the server refuses, and which those were. */
export function withoutUnknown(wanted: Wanted, genres: ReadonlySet<string>): { wanted: Wanted; unknown: readonly string[] } {
  const known = (names: readonly string[]) => names.filter((name) => genres.has(name));
  const unknown = MODES.flatMap((mode) => wanted[mode]).filter((name) => !genres.has(name));
  return { wanted: { ...wanted, any: known(wanted.any), all: known(wanted.all), none: known(wanted.none) }, unknown: [...new Set(unknown)] };
}

/** A year as it is typed: none while it is not whole, and nothing at all where it is none that there may be. */
export function yearFrom(text: string): { year: number | undefined; isBad: boolean } {
  const typed = text.trim();
  const year = Number(typed);
  if (typed === "") return { year: undefined, isBad: false };
  const isYear = /^\d{4}$/.test(typed) && year >= YEARS[0] && year <= YEARS[1];
  return isYear ? { year, isBad: false } : { year: undefined, isBad: true };
}

/** With a genre asked for in this way; not at all where it was already. */
export function withGenre(wanted: Wanted, genre: string, mode: Mode): Wanted {
  const before = modeOf(wanted, genre);
  const without = (one: Mode) => wanted[one].filter((other) => other !== genre);
  const next = { ...wanted, any: without("any"), all: without("all"), none: without("none") };
  return before === mode ? next : { ...next, [mode]: [...next[mode], genre] };
}
