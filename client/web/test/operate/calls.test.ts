import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { InteractionService } from "../../src/api/generated/marquee/v1/interaction_pb.ts";
import { RecommendationService } from "../../src/api/generated/marquee/v1/recommendation_pb.ts";
import { callMethod, jsonOf, type Outcome, timingsOf } from "../../src/pages/operate/parts/calls.ts";
import { helpFrom } from "../../src/pages/operate/parts/help.ts";
import { tableOf, textOf } from "../../src/pages/operate/parts/reply-table.ts";
import { stagesOf } from "../../src/pages/operate/parts/timings.tsx";

const { recommend } = RecommendationService.method;

const transport = createRouterTransport(({ service }) => {
  service(RecommendationService, {
    recommend: ({ subject, k }, { responseHeader }) => {
      if (subject.case !== "userId") throw new ConnectError("who?", Code.InvalidArgument);
      responseHeader.set("x-request-id", "abc");
      return { recommendations: [{ movieId: 1, title: "Toy Story (1995)", score: 2.5, genres: ["Comedy", "Children"] }], modelVersion: `m@${k}`, timings: { totalUs: 30, encodeUs: 20, otherUs: 10 } };
    },
  });
  service(InteractionService, {
    async *watchInteractions() {
      yield { position: "1-1" };
      yield { position: "1-2" };
    },
  });
});

/** All that is told of a call, the last of it last. */
async function told(...[method, request]: [Parameters<typeof callMethod>[1], Parameters<typeof callMethod>[2]]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  await callMethod(transport, method, request, new AbortController().signal, (outcome) => outcomes.push(outcome));
  return outcomes;
}

test("any method is called with JSON, and its reply is shown in the proto's names", async () => {
  const outcome = (await told(recommend, { user_id: "7", k: 3 })).at(-1)!;
  expect(outcome).toMatchObject({ requestId: "abc", error: undefined, isOpen: false });
  const reply = jsonOf(recommend, outcome.replies[0]!);
  expect(reply).toMatchObject({ model_version: "m@3", recommendations: [{ movie_id: 1 }] });
  expect(stagesOf(timingsOf(outcome.replies[0])!).map(({ stage, at, us }) => [stage, at, us])).toEqual([["encodeUs", 0, 20], ["otherUs", 20, 10]]);
  const table = tableOf([reply], ["timings"]);
  expect(table.facts).toEqual([{ name: "model_version", text: "m@3" }]);
  expect(table.columns).toEqual(["movie_id", "title", "score", "genres"]);
  expect(textOf(table.rows[0]!["genres"])).toBe("Comedy, Children");
});

test("a refusal is told, and so is JSON that is no such message", async () => {
  expect(ConnectError.from((await told(recommend, {})).at(-1)!.error).code).toBe(Code.InvalidArgument);
  expect(String((await told(recommend, { nobody: 1 })).at(-1)!.error)).toContain("nobody");
});

test("the replies of a stream are told one by one", async () => {
  const outcomes = await told(InteractionService.method.watchInteractions, {});
  expect(outcomes.map(({ replies, isOpen }) => [replies.length, isOpen])).toEqual([[0, true], [1, true], [2, true], [2, false]]);
});

test("help is that of the server's description, of requests where they differ", () => {
  const help = helpFrom({
    paths: { "/v1/recommend": { post: { operationId: "RecommendationService_Recommend", description: "The best movies.\n\nMore." } } },
    components: { schemas: { Boost: { properties: { weight: { description: "reply" } } }, BoostInput: { properties: { weight: { description: "request" } } } } },
  });
  expect(help.field("Boost", "weight")).toBe("request");
  expect(help.field("Boost", "nothing")).toBeUndefined();
  expect(help.method("RecommendationService", "Recommend")).toBe("The best movies.");
});
