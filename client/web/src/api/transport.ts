// How the console calls the server that it comes from: gRPC-web, with the session's cookie, or with a key that a person
// gave.

import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { apiKey } from "./storage.ts";

/** After how long a call without a stream is given up. */
const PATIENCE_MS = 15_000;

const withKey: Interceptor = (next) => (request) => {
  const key = apiKey.get();
  if (key !== null) request.header.set("x-api-key", key);
  return next(request);
};

export function serverTransport(): Transport {
  return createGrpcWebTransport({
    baseUrl: window.location.origin,
    interceptors: [withKey],
    defaultTimeoutMs: PATIENCE_MS,
  });
}
