import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { RuleSchema } from "../../src/api/generated/marquee/v1/business_rule_pb.ts";
import { JobSchema, JobState } from "../../src/api/generated/marquee/v1/job_pb.ts";
import { requestOf } from "../../src/pages/operate/parts/audit.tsx";
import { figuresIn } from "../../src/pages/operate/parts/figures.ts";
import { isOver, partDone } from "../../src/pages/operate/parts/job-list.tsx";
import { ruleState } from "../../src/pages/operate/parts/rules-view.tsx";
import { said } from "../../src/pages/operate/parts/run-job.tsx";

test("quantities have a unit that fits, in the language that is spoken", () => {
  const { span, bytes, age } = figuresIn("en");
  expect([span(12), span(1_234), span(2_500_000)]).toEqual(["12 µs", "1.23 ms", "2.5 s"]);
  expect([bytes(0), bytes(1_536), bytes(2 ** 30)]).toEqual(["0 B", "1.5 KiB", "1 GiB"]);
  expect([age(0), age(61_000), age(90_061_000)]).toEqual(["0 s", "1 min 1 s", "1 d 1 h"]);
  expect(figuresIn("es").span(1_234)).toBe("1,23 ms");
});

test("a rule holds while it is on and within its time", () => {
  const rule = create(RuleSchema, { enabled: true, startTime: timestampFromMs(100), endTime: timestampFromMs(200) });
  expect([50, 100, 199, 200].map((now) => ruleState(rule, now))).toEqual(["soon", "on", "on", "over"]);
  expect(ruleState(create(RuleSchema, { enabled: false }), 0)).toBe("off");
});

test("how far a job is is told where anybody knows", () => {
  expect(partDone(create(JobSchema, { state: JobState.RUNNING, progress: { done: 1n, total: 4n } }))).toBe(0.25);
  expect(partDone(create(JobSchema, { state: JobState.RUNNING, progress: { done: 1n } }))).toBeUndefined();
  expect(partDone(create(JobSchema, { state: JobState.SUCCEEDED }))).toBe(1);
  expect(isOver(create(JobSchema, { state: JobState.CANCELLED }))).toBe(true);
});

test("a job is told what was typed, and nothing that was not", () => {
  expect(said({ users: " 200 ", strict: " " })).toEqual({ users: "200" });
});

test("records are asked for as they are filtered", () => {
  const asked = requestOf({ caller: " shop ", method: "", outcome: "OK", from: "2026-01-31T12:00", until: "" });
  expect(asked).toMatchObject({ caller: "shop", outcome: "OK", pageSize: 50 });
  expect(asked.startTime?.seconds).toBe(BigInt(new Date("2026-01-31T12:00").getTime() / 1_000));
  expect(asked).not.toHaveProperty("endTime");
});
