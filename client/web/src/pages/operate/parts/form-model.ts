// A request as a form: what its descriptor and the rules of the protos say of each field, and the JSON that the fields
// are edited in. The JSON is the one place where the request is; form and text both show it.

import { type DescField, type DescMessage, type DescOneof, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { type FieldRules, oneof_rules, rules } from "../../../api/generated/marquee/v1/rules_pb.ts";

/** What JSON can be. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

/** How a field is given. */
export type Kind = "text" | "integer" | "number" | "bool" | "enum" | "message" | "time" | "list" | "map" | "messages";

const TIMESTAMP = "google.protobuf.Timestamp";

const FRACTIONS = new Set([ScalarType.DOUBLE, ScalarType.FLOAT]);
const LONGS = new Set([ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64]);
const UNSIGNED = new Set([ScalarType.UINT32, ScalarType.UINT64, ScalarType.FIXED32, ScalarType.FIXED64]);

function scalarKind(scalar: ScalarType): Kind {
  if (scalar === ScalarType.BOOL) return "bool";
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return "text";
  return FRACTIONS.has(scalar) ? "number" : "integer";
}

export function kindOf(field: DescField): Kind {
  switch (field.fieldKind) {
    case "scalar":
      return scalarKind(field.scalar);
    case "enum":
      return "enum";
    case "message":
      return field.message.typeName === TIMESTAMP ? "time" : "message";
    case "list":
      return field.listKind === "message" ? "messages" : "list";
    case "map":
      return "map";
  }
}

export function rulesOf(field: DescField): FieldRules | undefined {
  return hasOption(field, rules) ? getOption(field, rules) : undefined;
}

/** Whether a request without it is refused. */
export function isRequired(member: DescField | DescOneof): boolean {
  if (member.kind === "oneof") return hasOption(member, oneof_rules) && getOption(member, oneof_rules).required;
  const found = rulesOf(member);
  return found?.required === true || (found?.minLength ?? 0) > 0;
}

/** The least and the most of a number. */
export function rangeOf(field: DescField): { min: number | undefined; max: number | undefined } {
  const found = rulesOf(field);
  const isUnsigned = field.fieldKind === "scalar" && UNSIGNED.has(field.scalar);
  return { min: found?.min ?? (isUnsigned ? 0 : undefined), max: found?.max };
}

/** What a person typed as the JSON of a scalar. What is no number stays text, so that nothing typed is lost. */
export function scalarFrom(text: string, scalar: ScalarType | undefined): Json {
  if (scalar === undefined || scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return text;
  if (scalar === ScalarType.BOOL) return text === "true";
  // 64 bits do not fit a number of JSON.
  if (LONGS.has(scalar)) return text;
  const value = Number(text);
  return text.trim() === "" || Number.isNaN(value) ? text : value;
}

/** A map as one line, name=value with commas between, and back. */
export function mapText(map: JsonObject): string {
  return Object.entries(map).map(([name, value]) => `${name}=${String(value)}`).join(", ");
}

export function mapFrom(text: string, scalar: ScalarType | undefined): JsonObject {
  return Object.fromEntries(text.split(",").flatMap((part) => {
    const at = part.indexOf("=");
    return at < 1 ? [] : [[part.slice(0, at).trim(), scalarFrom(part.slice(at + 1).trim(), scalar)]];
  }));
}

/** An object with another value at a name, or without the name where there is none. */
export function withValue(of: JsonObject, name: string, value: Json | undefined): JsonObject {
  if (value === undefined) {
    const { [name]: _, ...others } = of;
    return others;
  }
  return { ...of, [name]: value };
}

/** A field's value, whichever of JSON's two names it was given by. */
export function valueOf(of: JsonObject, field: DescField): Json | undefined {
  return of[field.name] ?? of[field.jsonName];
}

/** Sets a field, by its name in the proto, and takes the other members of its oneof away. */
export function withField(of: JsonObject, field: DescField, value: Json | undefined): JsonObject {
  let next = withValue(of, field.jsonName, undefined);
  if (field.oneof !== undefined && value !== undefined) {
    for (const other of field.oneof.fields) next = withValue(withValue(next, other.jsonName, undefined), other.name, undefined);
  }
  return withValue(next, field.name, value);
}

/** Which member of a oneof is there. */
export function memberOf(of: JsonObject, oneof: DescOneof): DescField | undefined {
  return oneof.fields.find((field) => valueOf(of, field) !== undefined);
}

/** What a field begins with once it is asked for. */
export function beginningOf(field: DescField): Json {
  const found = rulesOf(field);
  const said = found?.example || (kindOf(field) === "enum" ? "" : found?.defaultValue) || "";
  switch (kindOf(field)) {
    case "message":
      return exampleOf(field.message as DescMessage);
    case "list":
      return found?.example ? [scalarFrom(found.example, field.scalar)] : [];
    case "messages":
      return [];
    case "map":
      return {};
    case "bool":
      return said !== "false";
    case "enum":
      return field.enum?.values[1]?.name ?? 0;
    case "time":
      return new Date(0).toISOString();
    case "text":
      return said;
    default:
      return scalarFrom(said === "" ? String(Math.max(1, found?.min ?? 1)) : said, field.scalar);
  }
}

/** The least that a request needs: its required oneofs by their first members, and its required fields. */
export function exampleOf(message: DescMessage): JsonObject {
  let example: JsonObject = {};
  for (const member of message.members) {
    if (!isRequired(member)) continue;
    const field = member.kind === "oneof" ? member.fields[0] : member;
    if (field !== undefined) example = withField(example, field, beginningOf(field));
  }
  return example;
}

/** What is typed as JSON, or why it is none. */
export function parse(text: string): { value: JsonObject } | { error: string } {
  try {
    const value = JSON.parse(text.trim() === "" ? "{}" : text) as Json;
    if (value === null || typeof value !== "object" || Array.isArray(value)) return { error: "{ … }" };
    return { value };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** JSON as a person writes it: lists of plain values on one line. */
export function write(value: Json, indent = ""): string {
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== "object")) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
    return `[\n${value.map((item) => inner + write(item, inner)).join(",\n")}\n${indent}]`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value);
  if (entries.length === 0) return "{}";
  return `{\n${entries.map(([name, item]) => `${inner}${JSON.stringify(name)}: ${write(item, inner)}`).join(",\n")}\n${indent}}`;
}
