// Calling any method with a message of JSON, and what came of it.

import { type DescMethod, fromJson, type Message, toJson } from "@bufbuild/protobuf";
import { createContextValues, type Transport } from "@connectrpc/connect";
import type { Timings } from "../../../api/generated/marquee/v1/common_pb.ts";
import type { JsonObject } from "./form-model.ts";

/** What came of a call. */
export interface Outcome {
  method: DescMethod;
  replies: readonly Message[];
  /** From the call to the last reply, as the page saw it. */
  tookMs: number;
  requestId: string | undefined;
  error: unknown;
  /** Whether more replies may come. */
  isOpen: boolean;
}

/** How many replies of a stream are kept. */
export const MOST_REPLIES = 200;

/** Calls a method that takes one message, and tells what came of it so far each time that something has come. */
export async function callMethod(transport: Transport, method: DescMethod, request: JsonObject, signal: AbortSignal, tell: (outcome: Outcome) => void): Promise<void> {
  const begin = performance.now();
  let outcome: Outcome = { method, replies: [], tookMs: 0, requestId: undefined, error: undefined, isOpen: true };
  const go = (more: Partial<Outcome>) => {
    outcome = { ...outcome, ...more, tookMs: performance.now() - begin };
    tell(outcome);
  };
  try {
    const input = fromJson(method.input, request);
    if (method.methodKind === "unary") {
      const reply = await transport.unary(method as DescMethod & { methodKind: "unary" }, signal, undefined, undefined, input, createContextValues());
      go({ replies: [reply.message], requestId: reply.header.get("x-request-id") ?? undefined });
    } else {
      const reply = await transport.stream(method as DescMethod & { methodKind: "server_streaming" }, signal, 0, undefined, once(input), createContextValues());
      go({ requestId: reply.header.get("x-request-id") ?? undefined });
      for await (const message of reply.message) {
        go({ replies: [...outcome.replies, message].slice(-MOST_REPLIES) });
      }
    }
    go({ isOpen: false });
  } catch (error) {
    // Whoever stops a stream knows it.
    go({ error: signal.aborted ? undefined : error, isOpen: false });
  }
}

async function* once<T>(message: T): AsyncIterable<T> {
  yield message;
}

/** A reply in the names of the proto. */
export function jsonOf(method: DescMethod, reply: Message): JsonObject {
  return toJson(method.output, reply, { useProtoFieldName: true }) as JsonObject;
}

/** Where the time went, of a reply that says it. */
export function timingsOf(reply: Message | undefined): Timings | undefined {
  const found = reply as (Message & { timings?: Timings }) | undefined;
  return found?.timings?.$typeName === "marquee.v1.Timings" ? found.timings : undefined;
}
