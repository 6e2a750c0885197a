import { expect, test } from "vitest";
import { filterOf, isFiltered, modeOf, NOTHING, searchOf, wantedOf, withGenre, withoutUnknown, yearFrom } from "../src/pages/watch/filters.ts";

test("what is asked for comes back from its address", () => {
  const wanted = { query: "star & wars", any: ["Sci-Fi", "War"], all: ["Action"], none: ["Children"], tags: ["space opera", "a=b"], from: 1970, to: 1999, rating: 3.5, ratings: 100 };
  expect(wantedOf(searchOf(wanted))).toEqual(wanted);
});

test("nothing asked for leaves the address bare", () => {
  expect(searchOf(NOTHING)).toBe("");
  expect(isFiltered({ ...NOTHING, query: "heat" })).toBe(false);
});

test.each(["from=12", "from=1e9", "from=19.5", "rating=9", "rating=NaN", "ratings=-1", "ratings=0.5", "any=,%20,", "q=%20%20", `tags=${"x".repeat(101)}`])("%s makes no sense and is left out", (search) => {
  expect(wantedOf(search)).toEqual(NOTHING);
});

test("a genre that there is not is left out, and told", () => {
  const asked = { ...NOTHING, any: ["War", "Nope"], none: ["Nope", "Children"] };
  expect(withoutUnknown(asked, new Set(["War", "Children"]))).toEqual({ wanted: { ...NOTHING, any: ["War"], none: ["Children"] }, unknown: ["Nope"] });
});

test.each([["", undefined, false], ["19", undefined, true], ["1850", undefined, true], ["19x0", undefined, true], [" 1985 ", 1985, false]])("the year %s is %s", (text, year, isBad) => {
  expect(yearFrom(text)).toEqual({ year, isBad });
});

test("a genre is asked for in one way at a time", () => {
  const any = withGenre(NOTHING, "Drama", "any");
  expect(modeOf(any, "Drama")).toBe("any");
  const none = withGenre(any, "Drama", "none");
  expect([none.any, none.none]).toEqual([[], ["Drama"]]);
  expect(withGenre(none, "Drama", "none")).toEqual(NOTHING);
});

test("conditions that are not set are not sent", () => {
  expect(filterOf(NOTHING)).toEqual({ genresAny: [], genresAll: [], genresNone: [], tagsAny: [] });
  expect(filterOf({ ...NOTHING, from: 1990, rating: 4 })).toMatchObject({ yearMin: 1990, averageRatingMin: 4 });
});
