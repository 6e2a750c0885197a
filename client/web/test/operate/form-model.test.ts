import { fromJson } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { RecommendationService, RecommendRequestSchema } from "../../src/api/generated/marquee/v1/recommendation_pb.ts";
import { RunJobRequestSchema } from "../../src/api/generated/marquee/v1/job_pb.ts";
import { beginningOf, exampleOf, isRequired, kindOf, mapFrom, mapText, memberOf, parse, rangeOf, scalarFrom, valueOf, withField, write } from "../../src/pages/operate/parts/form-model.ts";
import { METHODS, methodNamed, SERVICES } from "../../src/pages/operate/parts/methods.ts";

const { field } = RecommendRequestSchema;
const subject = RecommendRequestSchema.oneofs[0]!;

test("every service of the protos is there", () => {
  expect(SERVICES.map(({ name }) => name)).toEqual(expect.arrayContaining(["AccessService", "JobService", "OperationsService", "RecommendationService", "UserService"]));
  expect(methodNamed("RecommendationService/Recommend")).toBe(RecommendationService.method.recommend);
});

test("ranges come from the rules of the protos", () => {
  expect(rangeOf(field.k)).toEqual({ min: 1, max: 500 });
  expect(rangeOf(field.popularityWeight)).toEqual({ min: -1, max: 1 });
  expect(isRequired(subject)).toBe(true);
  expect(isRequired(field.k)).toBe(false);
});

test("a field is given as what it is", () => {
  expect([field.k, field.diversity, field.method, field.excludeSeen, field.filter, field.context].map(kindOf)).toEqual(["integer", "number", "enum", "bool", "message", "text"]);
});

test("every method's example is a message that can be sent", () => {
  for (const { input } of METHODS) expect(() => fromJson(input, exampleOf(input)), input.typeName).not.toThrow();
});

test("a member of a oneof takes the place of the others, by either of its names", () => {
  const history = withField({ user_id: "7", k: 3 }, field.history, { movie_ids: [1] });
  expect(history).toEqual({ history: { movie_ids: [1] }, k: 3 });
  expect(memberOf(history, subject)).toBe(field.history);
  expect(withField({ userId: "7" }, field.userId, "8")).toEqual({ user_id: "8" });
  expect(valueOf({ excludeSeen: false }, field.excludeSeen)).toBe(false);
});

test("a field that is emptied is left out", () => {
  expect(withField({ k: 3 }, field.k, undefined)).toEqual({});
});

test("64 bits stay text, and what is no number is not lost", () => {
  expect(scalarFrom("18446744073709551615", field.userId.scalar)).toBe("18446744073709551615");
  expect(scalarFrom("12", field.k.scalar)).toBe(12);
  expect(scalarFrom("1-", field.k.scalar)).toBe("1-");
});

test("what is asked for begins with what the proto says", () => {
  expect(beginningOf(field.k)).toBe(10);
  expect(beginningOf(field.userId)).toBe("1");
});

test("a map is written as names and values, and read back", () => {
  const { scalar } = RunJobRequestSchema.field.arguments;
  const map = mapFrom("users=200, path = /data=x", scalar);
  expect(map).toEqual({ users: "200", path: "/data=x" });
  expect(mapFrom(mapText(map), scalar)).toEqual(map);
});

test("JSON that is no object is told, and lists of ids are one line", () => {
  expect(parse("[1]")).toHaveProperty("error");
  expect(parse("{")).toHaveProperty("error");
  expect(parse("")).toEqual({ value: {} });
  const text = write({ history: { movie_ids: [1, 2, 3] }, filter: {} });
  expect(text).toBe('{\n  "history": {\n    "movie_ids": [1, 2, 3]\n  },\n  "filter": {}\n}');
  expect(parse(text)).toEqual({ value: { history: { movie_ids: [1, 2, 3] }, filter: {} } });
});
