import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { mayPass, troubleOf, wordsFor } from "../src/api/problem.ts";
import { refusedFields } from "../src/api/refusal.ts";
import { isKey, userIdOf } from "../src/api/storage.ts";
import { may, type Visitor } from "../src/api/visitor.tsx";
import { turned } from "../src/components/search-box.tsx";
import { starsAfter } from "../src/components/stars.tsx";
import { en } from "../src/i18n/en.ts";
import { es } from "../src/i18n/es.ts";
import { preferredLocale } from "../src/i18n/index.tsx";
import { decadesOf } from "../src/pages/watch/taste.ts";

test.each([
  [new ConnectError("x", Code.Unavailable), "offline"],
  [ConnectError.from(new TypeError("Failed to fetch")), "offline"],
  [new ConnectError("x", Code.DeadlineExceeded), "slow"],
  [new ConnectError("x", Code.ResourceExhausted), "busy"],
  [new ConnectError("x", Code.Unauthenticated), "unknown"],
  [ConnectError.from(new TypeError("NetworkError when attempting to fetch resource.")), "offline"],
  [new TypeError("Load failed"), "offline"],
  [ConnectError.from(new TypeError("Failed to execute 'set' on 'Headers': String contains non ISO-8859-1 code point.")), "other"],
  [new TypeError("x is not a function"), "other"],
  [new ConnectError("x", Code.Internal), "other"],
] as const)("%s is %s", (error, trouble) => {
  expect(troubleOf(error)).toBe(trouble);
});

test("what the server says of an error is shown where nothing better is known", () => {
  expect(wordsFor(new ConnectError("k is 501", Code.InvalidArgument), en)).toEqual({ title: en.errors.other, detail: "k is 501", lang: "en" });
  expect(mayPass("forbidden")).toBe(false);
});

test("a call that is refused for want of a session or key says nothing of a session that would have ended", () => {
  const words = wordsFor(new ConnectError("say who you are", Code.Unauthenticated), en);
  expect(words).toEqual({ title: en.errors.unknown, detail: "say who you are", lang: "en" });
  expect(words.title).not.toMatch(/session/i);
});

test("a refusal names the fields that it is about, in the server's words", () => {
  // Of google.rpc.BadRequest: {field_violations: [{field: "email", description: "is none"}, {field: "password", description: "é"}]}
  const value = Uint8Array.from([10, 16, 10, 5, ...bytes("email"), 18, 7, ...bytes("is none"), 10, 14, 10, 8, ...bytes("password"), 18, 2, ...bytes("é")]);
  const error = new ConnectError("refused", Code.InvalidArgument);
  error.details = [{ type: "google.rpc.ErrorInfo", value: Uint8Array.from([10, 1, 65]) }, { type: "google.rpc.BadRequest", value }];
  expect([...refusedFields(error)]).toEqual([["email", "is none"], ["password", "é"]]);
  expect(refusedFields(new Error("x")).size).toBe(0);
});

test.each([["mq_0f_A-z9", true], ["eyJ.a.b=", true], ["clé", false], ["mq_…", false], ["ключ", false], ["a b", false], ["", false]])("the key %s may be one: %s", (key, expected) => {
  expect(isKey(key)).toBe(expected);
});

test.each([["1", 1n], [" 42 ", 42n], ["18446744073709551615", 18446744073709551615n], ["18446744073709551616", undefined], ["0", undefined], ["-1", undefined], ["1e3", undefined], ["", undefined], [null, undefined]])("the id %s is %s", (text, id) => {
  expect(userIdOf(text)).toBe(id);
});

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function visitor(asksWho: boolean, roles?: string[]): Visitor {
  const facts = { version: "0", asksWho, signsUp: true };
  const who = roles === undefined ? undefined : { $typeName: "marquee.v1.WhoAmIResponse" as const, name: "n", roles };
  return { facts, who, userId: 1n, isPerson: false, isOutside: false, hasEnded: false };
}

test.each([
  [visitor(false), true],
  [visitor(false, ["person"]), true],
  [visitor(true), false],
  [visitor(true, ["person"]), false],
  [visitor(true, ["viewer"]), false],
  [visitor(true, ["operator"]), true],
  [visitor(true, ["admin"]), true],
  [visitor(true, ["of-their-own"]), true],
])("who may see what an operator needs: case %#", (who, expected) => {
  expect(may(who, "operator")).toBe(expected);
});

test("a star gives whole stars, and once more half a one less", () => {
  expect(starsAfter(4, undefined)).toBe(4);
  expect(starsAfter(4, 4)).toBe(3.5);
  expect(starsAfter(4, 3.5)).toBe(4);
  expect(starsAfter(1, 1)).toBe(0.5);
});

test.each([[null, ["es-MX", "en"], "es"], [null, ["fr", "en-GB"], "en"], ["en", ["es"], "en"], ["xx", ["de"], "en"], [null, [], "en"]] as const)("chosen %s, asked for %s: %s", (chosen, asked, locale) => {
  expect(preferredLocale(chosen, asked)).toBe(locale);
});

test("the arrows go through suggestions, and past either end to what was typed", () => {
  expect([-1, 0, 1].map((at) => turned(at, 1, 2))).toEqual([0, 1, -1]);
  expect([-1, 0, 1].map((at) => turned(at, -1, 2))).toEqual([1, -1, 0]);
});

/** The paths of all texts in messages. */
function paths(messages: object, before = ""): string[] {
  return Object.entries(messages).flatMap(([key, value]) => (typeof value === "object" ? paths(value as object, `${before}${key}.`) : [`${before}${key}`]));
}

test("both languages say the same things, and none of them nothing", () => {
  const isGenre = (path: string) => path.startsWith("genre.");
  expect(paths(es).filter((path) => !isGenre(path))).toEqual(paths(en));
  expect(JSON.stringify(es)).not.toContain('""');
});

test("decades are counted by movies and have no gaps", () => {
  const entries = [{ movieId: 1, title: "A (1951)" }, { movieId: 1, title: "A (1951)" }, { movieId: 2, title: "B (1979)" }, { movieId: 3, title: "no year" }];
  expect(decadesOf(entries)).toEqual([{ decade: 1950, movies: 1 }, { decade: 1960, movies: 0 }, { decade: 1970, movies: 1 }]);
  expect(decadesOf([])).toEqual([]);
});
