import { expect, test } from "vitest";
import { InteractionService } from "../../src/api/generated/marquee/v1/interaction_pb.ts";
import { RecommendationService } from "../../src/api/generated/marquee/v1/recommendation_pb.ts";
import { kebab, linesOf, quoted, sendsOne } from "../../src/pages/operate/parts/commands.ts";

const open = { origin: "http://127.0.0.1:50051", asksWho: false };
const closed = { origin: "https://movies.example", asksWho: true };

test("the same call by curl, grpcurl and the command line", () => {
  expect(linesOf(RecommendationService.method.recommend, { user_id: "1" }, open)).toEqual([
    { program: "curl", line: `curl -H 'content-type: application/json' -d '{"user_id":"1"}' http://127.0.0.1:50051/marquee.v1.RecommendationService/Recommend` },
    { program: "grpcurl", line: `grpcurl -plaintext -d '{"user_id":"1"}' 127.0.0.1:50051 marquee.v1.RecommendationService/Recommend` },
    { program: "marquee", line: `marquee --server http://127.0.0.1:50051 recommendation recommend --json '{"user_id":"1"}'` },
  ]);
});

test("a server that asks who calls is shown a key, which is not in the line itself", () => {
  const [curl, grpcurl] = linesOf(RecommendationService.method.recommend, {}, closed).map(({ line }) => line);
  expect(curl).toContain('-H "x-api-key: $MARQUEE_API_KEY"');
  expect(grpcurl).toContain("movies.example:443");
  expect(grpcurl).not.toContain("-plaintext");
});

test("a stream of requests is written to the command line, and no page sends it", () => {
  const { recordInteractions, watchInteractions } = InteractionService.method;
  expect(sendsOne(recordInteractions)).toBe(false);
  expect(sendsOne(watchInteractions)).toBe(true);
  expect(linesOf(recordInteractions, {}, open).map(({ program }) => program)).toEqual(["grpcurl", "marquee"]);
  expect(linesOf(recordInteractions, {}, open)[1]?.line).toBe("echo '{}' | marquee --server http://127.0.0.1:50051 interaction record-interactions");
});

test("what a shell would read otherwise is quoted", () => {
  expect(quoted("it's $HOME")).toBe(`'it'\\''s $HOME'`);
  expect(quoted("127.0.0.1:50051")).toBe("127.0.0.1:50051");
  expect(kebab("WhoAmI")).toBe("who-am-i");
});
