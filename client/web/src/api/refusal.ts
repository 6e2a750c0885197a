// Which fields of a request the server refuses, and its words about each: `google.rpc.BadRequest`, which refusals carry.

import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ConnectError } from "@connectrpc/connect";

const BAD_REQUEST = "google.rpc.BadRequest";

/** The texts of a message by the numbers of their fields; what is no text is left out. */
function textsOf(reader: BinaryReader, end: number): Map<number, string> {
  const texts = new Map<number, string>();
  while (reader.pos < end) {
    const [field, wire] = reader.tag();
    if (wire === 2) texts.set(field, reader.string());
    else reader.skip(wire, field);
  }
  return texts;
}

/** What the server says of each field that it refuses, such as "is no address"; a list's fields are named with their place. */
export function refusedFields(error: unknown): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (!(error instanceof ConnectError)) return found;
  for (const detail of error.details) {
    if (!("type" in detail) || detail.type !== BAD_REQUEST) continue;
    const reader = new BinaryReader(detail.value);
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field !== 1 || wire !== 2) {
        reader.skip(wire, field);
        continue;
      }
      const length = reader.uint32();
      const texts = textsOf(reader, reader.pos + length);
      const name = texts.get(1);
      if (name !== undefined && !found.has(name)) found.set(name, texts.get(2) ?? "");
    }
  }
  return found;
}
