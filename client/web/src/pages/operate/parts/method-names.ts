// Names of methods as they are shown: without the package, which is the same of all.

import type { DescMethod } from "@bufbuild/protobuf";

/** Of package.Service/Method. */
export function shortMethod(method: string): string {
  return method.replace(/^marquee\.v\d+\./, "");
}

/** As the pages and their addresses have it: Service/Method. */
export function nameOf(method: DescMethod): string {
  return `${method.parent.name}/${method.name}`;
}
