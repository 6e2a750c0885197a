// Whether the server serves, as gRPC's health service says it, which stands outside of this API.

import { useQuery } from "@tanstack/react-query";

async function check(): Promise<boolean> {
  const answer = await fetch("/grpc.health.v1.Health/Check", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  if (!answer.ok) throw new Error(`Health/Check: ${answer.status}`);
  const { status } = (await answer.json()) as { status?: string };
  return status === "SERVING";
}

/** Asked every ten seconds, while the page is looked at. */
export function useHealth() {
  return useQuery({ queryKey: ["health"], queryFn: check, refetchInterval: 10_000, retry: false });
}
