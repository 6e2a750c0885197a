// What the protos say of each field and method, from the server's own description of its API: the descriptors in the
// program have no comments.

import { useQuery } from "@tanstack/react-query";

interface OpenApi {
  paths?: Record<string, Record<string, { description?: string; operationId?: string }>>;
  components?: { schemas?: Record<string, { properties?: Record<string, { description?: string }> }> };
}

export interface Help {
  field: (message: string, field: string) => string | undefined;
  method: (service: string, method: string) => string | undefined;
}

const NOTHING: Help = { field: () => undefined, method: () => undefined };

export function helpFrom({ paths = {}, components }: OpenApi): Help {
  const schemas = components?.schemas ?? {};
  const methods = new Map(Object.values(paths).flatMap((path) => Object.values(path)).map(({ operationId, description }) => [operationId, description]));
  return {
    // What requests take and replies give may differ; the former are described with another name then.
    field: (message, field) => (schemas[`${message}Input`] ?? schemas[message])?.properties?.[field]?.description,
    method: (service, method) => methods.get(`${service}_${method}`)?.split("\n\n")[0],
  };
}

async function fetchHelp(): Promise<Help> {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`/openapi.json: ${answer.status}`);
  return helpFrom((await answer.json()) as OpenApi);
}

/** Nothing while it is fetched, and where it cannot be. */
export function useHelp(): Help {
  return useQuery({ queryKey: ["openapi.json"], queryFn: fetchHelp, staleTime: Infinity, retry: false }).data ?? NOTHING;
}
