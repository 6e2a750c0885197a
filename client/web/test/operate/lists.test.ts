import { create } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { Method } from "../../src/api/generated/marquee/v1/common_pb.ts";
import { RecommendationService, RecommendBatchResponseSchema, Source } from "../../src/api/generated/marquee/v1/recommendation_pb.ts";
import { compareWays, meanOf } from "../../src/pages/operate/parts/compare.ts";
import { idsFrom, movedOver, movesOf, overlapOf } from "../../src/pages/operate/parts/lists.ts";

test("lists have in common what stands in both, of the longer one", () => {
  expect(overlapOf([1, 2, 3, 4], [3, 4, 5, 6])).toBe(0.5);
  expect(overlapOf([1], [1, 2])).toBe(0.5);
  expect(overlapOf([], [])).toBe(1);
});

test("places are won and lost, and what was not there is new", () => {
  expect([...movesOf([1, 2, 3], [3, 1, 9])]).toEqual([[3, 2], [1, -1], [9, undefined]]);
});

test("what moved over all lists stands with the greatest rise first and the greatest fall last", () => {
  const moved = movedOver([{ before: [1, 2, 3], after: [3, 2, 1] }, { before: [1, 3], after: [3, 1] }]);
  expect(moved).toEqual([{ movieId: 3, lists: 2, places: 1.5 }, { movieId: 2, lists: 1, places: 0 }, { movieId: 1, lists: 2, places: -1.5 }]);
});

test("ids are given one by one and as spans, and not more than may be", () => {
  expect(idsFrom("1-3, 7 x 0 2", 10)).toEqual([1, 2, 3, 7]);
  expect(idsFrom("1-1000000000", 5)).toEqual([1, 2, 3, 4, 5]);
});

test("two models are asked about the same users, and one that cannot be answered is told", async () => {
  const asked: string[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(RecommendationService, {
      recommendBatch: ({ requests }) => create(RecommendBatchResponseSchema, {
        outcomes: requests.map(({ subject, modelVersion, k, method }) => {
          const userId = subject.case === "userId" ? subject.value : 0n;
          asked.push(`${userId} ${modelVersion} ${k} ${method}`);
          if (userId === 3n) return { outcome: { case: "error", value: { code: 8, message: "full" } } } as const;
          const ids = modelVersion === "old@1" ? [10, 20] : [20, 30];
          return { outcome: { case: "response", value: { recommendations: ids.map((movieId) => ({ movieId, title: `Movie ${movieId}` })), source: userId === 2n ? Source.POPULARITY : Source.MODEL, timings: { totalUs: 100 } } } } as const;
        }),
      }),
    });
  });
  const found = await compareWays(transport, [{ modelVersion: "old@1", method: Method.EXACT }, { modelVersion: "new@2", method: Method.ANN }], [1, 2, 3], 2);
  expect(asked).toEqual(["1 old@1 2 2", "2 old@1 2 2", "3 old@1 2 2", "1 new@2 2 3", "2 new@2 2 3", "3 new@2 2 3"]);
  expect(found).toMatchObject({ failed: 1, popular: 1, medianUs: [100, 100] });
  expect(found.users.map(({ userId, overlap }) => [userId, overlap])).toEqual([[1, 0.5], [2, 0.5]]);
  expect(meanOf(found.users, ({ overlap }) => overlap)).toBe(0.5);
  expect(found.titles.get(30)).toBe("Movie 30");
  expect(found.moved.map(({ movieId }) => movieId)).toEqual([20, 30, 10]);
});
