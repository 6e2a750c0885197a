import { create, fromJson } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { CreateExperimentRequestSchema, ShadowResultsSchema } from "../../src/api/generated/marquee/v1/experiment_pb.ts";
import { exampleOf } from "../../src/pages/operate/parts/form-model.ts";
import { comparedOf, isWide, spanOf } from "../../src/pages/operate/parts/experiment-results.tsx";
import { WORDS } from "../../src/pages/operate/words/experiments.ts";

test("effects of a metric are drawn over one span that has zero in it", () => {
  const [least, most] = spanOf([{ estimate: 0.1, lower: 0.05, upper: 0.2 }, { estimate: 0.3, lower: 0.1, upper: 0.5 }]);
  expect(least).toBeLessThan(0);
  expect(most).toBeGreaterThan(0.5);
});

test("where nothing is known there is a span all the same", () => {
  const [least, most] = spanOf([{}]);
  expect(most - least).toBeGreaterThan(0);
});

test("the least of an experiment can be sent", () => {
  expect(fromJson(CreateExperimentRequestSchema, exampleOf(CreateExperimentRequestSchema)).experiment?.name).toBe("calibrated-lists");
});

test.each([[-2.11, 3.4, true], [-0.6, 0.6, true], [-0.1, 0.15, false], [0.2, 1.9, false], [-1.2, -0.1, false]])("from %d to %d may be anything: %s", (lower, upper, expected) => {
  expect(isWide(lower, upper)).toBe(expected);
});

test("no language calls a span sure", () => {
  expect(WORDS.en.interval).not.toMatch(/sure/);
  expect(WORDS.es.interval).not.toMatch(/segur/);
  expect(WORDS.en.wide("−211 %", "340 %")).toContain("may be anything");
});

test("of a model in the shadow is shown what is known, and that nothing failed", () => {
  const shadow = create(ShadowResultsSchema, { answers: 3n, overlap: 0.5, milliseconds: 6 });
  expect(comparedOf(shadow)).toEqual([["overlap", 0.5], ["time", 6], ["failures", 0]]);
});
