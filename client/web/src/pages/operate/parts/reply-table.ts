// A reply as a table: its longest list as rows, and all else as facts above it.

import type { Json, JsonObject } from "./form-model.ts";

export interface ReplyTable {
  facts: { name: string; text: string }[];
  columns: string[];
  rows: JsonObject[];
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value in one line. */
export function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([name, inner]) => `${name}: ${isObject(inner) ? `{ ${textOf(inner)} }` : textOf(inner)}`).join(", ");
  return String(value);
}

function factsOf(value: JsonObject, before: string): { name: string; text: string }[] {
  return Object.entries(value).flatMap(([name, inner]) => (isObject(inner) ? factsOf(inner, `${before}${name}.`) : [{ name: before + name, text: textOf(inner) }]));
}

/** What rows have, in the order in which it is first met. */
function columnsOf(rows: readonly JsonObject[]): string[] {
  return [...new Set(rows.flatMap((row) => Object.keys(row)))];
}

function listIn(reply: JsonObject): [name: string, rows: JsonObject[]] | undefined {
  return Object.entries(reply)
    .filter((entry): entry is [string, JsonObject[]] => Array.isArray(entry[1]) && entry[1].length > 0 && entry[1].every(isObject))
    .sort(([, one], [, other]) => other.length - one.length)[0];
}

/** `replies` are one, or those of a stream. What is shown elsewhere is left out. */
export function tableOf(replies: readonly JsonObject[], without: readonly string[] = []): ReplyTable {
  const [first] = replies;
  if (first === undefined) return { facts: [], columns: [], rows: [] };
  if (replies.length > 1) return { facts: [], columns: columnsOf(replies), rows: [...replies] };
  const shown = Object.fromEntries(Object.entries(first).filter(([name]) => !without.includes(name)));
  const list = listIn(shown);
  const { [list?.[0] ?? ""]: _, ...others } = shown;
  return { facts: factsOf(others, ""), columns: columnsOf(list?.[1] ?? []), rows: list?.[1] ?? [] };
}
