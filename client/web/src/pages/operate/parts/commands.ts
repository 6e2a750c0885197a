// The same call from a shell: by curl as JSON, by grpcurl, and by the command line that comes with the server.

import type { DescMethod } from "@bufbuild/protobuf";
import type { JsonObject } from "./form-model.ts";

/** A word of a shell's command. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A name as the command line writes it: WatchStats is watch-stats. */
export function kebab(name: string): string {
  return name.replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase();
}

export interface Where {
  /** Such as http://127.0.0.1:50051. */
  origin: string;
  /** Whether a key has to be shown. */
  asksWho: boolean;
}

/** Whether whoever calls sends one message, which is all that a page and curl can. */
export function sendsOne(method: DescMethod): boolean {
  return method.methodKind === "unary" || method.methodKind === "server_streaming";
}

export function curlLine(method: DescMethod, request: JsonObject, { origin, asksWho }: Where): string | undefined {
  if (method.methodKind !== "unary") return undefined;
  const key = asksWho ? ' -H "x-api-key: $MARQUEE_API_KEY"' : "";
  return `curl${key} -H 'content-type: application/json' -d ${quoted(JSON.stringify(request))} ${origin}/${method.parent.typeName}/${method.name}`;
}

export function grpcurlLine(method: DescMethod, request: JsonObject, { origin, asksWho }: Where): string {
  const { protocol, hostname, port } = new URL(origin);
  const isPlain = protocol === "http:";
  const key = asksWho ? ' -H "x-api-key: $MARQUEE_API_KEY"' : "";
  return `grpcurl${isPlain ? " -plaintext" : ""}${key} -d ${quoted(JSON.stringify(request))} ${hostname}:${port || (isPlain ? "80" : "443")} ${method.parent.typeName}/${method.name}`;
}

export function marqueeLine(method: DescMethod, request: JsonObject, { origin }: Where): string {
  const call = `marquee --server ${origin} ${kebab(method.parent.name.replace(/Service$/, ""))} ${kebab(method.name)}`;
  if (!sendsOne(method)) return `echo ${quoted(JSON.stringify(request))} | ${call}`;
  return `${call} --json ${quoted(JSON.stringify(request))}`;
}

/** All that there are, by the name of the program. */
export function linesOf(method: DescMethod, request: JsonObject, where: Where): { program: string; line: string }[] {
  const curl = curlLine(method, request, where);
  return [
    ...(curl === undefined ? [] : [{ program: "curl", line: curl }]),
    { program: "grpcurl", line: grpcurlLine(method, request, where) },
    { program: "marquee", line: marqueeLine(method, request, where) },
  ];
}

