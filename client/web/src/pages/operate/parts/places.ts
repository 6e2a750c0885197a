// Where things are shown among these pages.

import type { DescMethod } from "@bufbuild/protobuf";
import { nameOf } from "./method-names.ts";

/** A user, a movie, or a part of the page of the catalogue. */
export function placeOf(what: Record<string, string>): string {
  return `/operate/catalogue?${new URLSearchParams(what)}`;
}

/** The playground with a request. */
export function benchOf(method: DescMethod, request: string): string {
  return `/operate/playground?${new URLSearchParams({ method: nameOf(method), json: request })}`;
}
