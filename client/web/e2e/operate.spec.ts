// The pages for people who run the server: each is there for everybody, behind its right, and does what it says.

import type { Page } from "@playwright/test";
import { expect, expectAccessible, keep, schemesOf, test } from "./fixtures.ts";

/** Calls a method as JSON, beside the page. */
async function call(page: Page, server: string, method: string, request: object): Promise<void> {
  const answer = await page.request.post(`${server}/marquee.v1.${method}`, { data: request });
  expect(answer.ok(), await answer.text()).toBe(true);
}

/** Lets the page show a key of the closed server, as somebody who has signed in with it. */
async function holdKey(page: Page, name: "OPERATOR_KEY" | "ADMIN_KEY"): Promise<void> {
  await page.addInitScript((key) => sessionStorage.setItem("marquee.key", key), process.env[name]!);
}

/** The page is no longer looked at, or is again. */
async function turn(page: Page, state: "hidden" | "visible"): Promise<void> {
  await page.evaluate((next) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => next });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}

const PAGES: [name: string, path: string, isThere: (page: Page) => Promise<void>][] = [
  ["overview", "/operate/overview", async (page) => {
    await expect(page.locator(".tile[data-state=good]")).toContainText("Serving");
    await expect(page.locator(".plot canvas")).toHaveCount(8);
    await expect(page.locator(".live")).toHaveText("live");
  }],
  ["playground", "/operate/playground", async (page) => {
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await expect(page.locator(".reply-rows tbody tr")).toHaveCount(10);
  }],
  ["models", "/operate/models", async (page) => {
    await page.getByLabel("Users", { exact: false }).fill("1-5");
    await page.getByRole("button", { name: "Compare" }).click();
    await expect(page.locator(".compared > li")).toHaveCount(5);
  }],
  ["user", "/operate/catalogue?user=1", async (page) => {
    await expect(page.locator(".halves ol.plain-list li").first()).toBeVisible();
    await expect(page.getByText("--similar-users on")).toBeVisible();
  }],
  ["movie looked up", "/operate/catalogue?movie=1", async (page) => expect(page.locator(".columns li")).toHaveCount(20)],
  ["rules", "/operate/catalogue?show=rules", async (page) => expect(page.getByRole("link", { name: "Write a rule" })).toBeVisible()],
  ["jobs", "/operate/jobs", async (page) => expect(page.getByRole("heading", { name: "sync", exact: true })).toBeVisible()],
  ["experiments", "/operate/experiments", async (page) => expect(page.getByRole("link", { name: "Write an experiment" })).toBeVisible()],
  ["access", "/operate/access", async (page) => {
    await expect(page.getByText("asks nobody who they are")).toBeVisible();
    // One service tells what all do, and axe is done sooner.
    await page.getByLabel("Find a method").fill("AccessService");
    await expect(page.getByRole("rowheader", { name: "AccessService/CreateKey" })).toBeVisible();
  }],
  ["events", "/operate/events", async (page) => expect(page.locator(".live")).toHaveText("live")],
];

for (const [name, path, isThere] of PAGES) {
  test(`the operators' page "${name}" is there for everybody @phone`, async ({ page, open }, { project }) => {
    for (const colorScheme of schemesOf(project.name)) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.goto(open + path);
      await isThere(page);
      await keep(page, `operate-${name}-${project.name}-${colorScheme}`);
      await expectAccessible(page);
    }
    const [scrollWidth, clientWidth] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth] as const);
    expect(scrollWidth).toBeLessThanOrEqual(clientWidth);
    await expect(page).toHaveTitle(/Marquee$/);
  });
}

test.describe("in Spanish", () => {
  test.use({ locale: "es-ES" });

  test("the operators' pages speak it", async ({ page, open }) => {
    await page.goto(`${open}/operate/overview`);
    await expect(page.getByText("En servicio", { exact: true })).toBeVisible();
    await page.getByRole("link", { name: "Laboratorio" }).click();
    await page.getByRole("button", { name: "Ejecutar", exact: true }).click();
    await expect(page.locator(".reply-rows tbody tr")).toHaveCount(10);
  });

  test("every kind of job and what it is told is in it too", async ({ page, open }) => {
    const reply = await page.request.post(`${open}/marquee.v1.JobService/ListJobKinds`, { data: {} });
    const { kinds } = (await reply.json()) as { kinds: { kind: string; description: string; arguments: { description: string }[] }[] };
    await page.goto(`${open}/operate/jobs`);
    const form = page.locator(".job-form");
    for (const { kind, description, arguments: told } of kinds) {
      await form.getByLabel("Clase").selectOption(kind);
      for (const english of [description, ...told.map((one) => one.description)]) await expect(form.getByText(english), kind).toHaveCount(0);
      // What is left in the server's own words says so.
      await expect(form.locator("[lang=en]"), kind).toHaveCount(0);
    }
  });
});

test("who may not run the server is not shown how, and an operator says nothing of who may call", async ({ page, closed }) => {
  await page.goto(`${closed}/operate/overview`);
  await expect(page.getByLabel("E-mail address")).toBeVisible();
  await holdKey(page, "OPERATOR_KEY");
  await page.goto(`${closed}/operate/overview`);
  await expect(page.locator(".tile[data-state=good]")).toBeVisible();
  await expect(page.getByRole("link", { name: "Jobs" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Access" })).toHaveCount(0);
  await page.goto(`${closed}/operate/access`);
  await expect(page.getByText("You may not see these pages")).toBeVisible();
});

test("a key is shown once, renewed and revoked, and all of it is on record", async ({ page, closed }) => {
  await holdKey(page, "ADMIN_KEY");
  await page.goto(`${closed}/operate/access`);
  await page.getByRole("button", { name: "Make a key" }).click();
  await page.getByLabel("Name", { exact: false }).fill("shop");
  await page.getByLabel("Role").selectOption("viewer");
  await expectAccessible(page, { within: "dialog" });
  await page.getByRole("button", { name: "Make it" }).click();
  const shown = page.getByRole("dialog", { name: "The key of shop" });
  const secret = await shown.locator("pre").textContent();
  expect(secret).toMatch(/^mq_/);
  // Neither Escape, however often, nor a click beside it takes it away.
  for (const key of ["Escape", "Escape", "Escape"]) await page.keyboard.press(key);
  await page.mouse.click(5, 5);
  await expect(shown.getByText("Once this is closed the key is gone")).toBeVisible();
  await expect(shown.locator("pre")).toHaveText(secret!);
  await expectAccessible(page, { within: "dialog" });
  await shown.getByRole("button", { name: "I have kept it" }).click();
  await expect(page.getByText(secret!)).toHaveCount(0);
  const answer = await page.request.post(`${closed}/marquee.v1.OperationsService/GetStats`, { data: {}, headers: { "x-api-key": secret! } });
  expect(answer.ok()).toBe(true);

  await page.getByRole("button", { name: /^Rotate: shop/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("button", { name: "I have kept it" }).click();
  await expect(page.getByRole("rowheader", { name: "shop" })).toHaveCount(2);
  for (const left of [1, 0]) {
    await page.getByRole("button", { name: /^Revoke: shop/ }).first().click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await expect(page.getByRole("rowheader", { name: "shop" })).toHaveCount(left);
  }

  await page.getByRole("textbox", { name: "Caller" }).fill("console-admin");
  await page.getByRole("combobox", { name: "Method" }).selectOption("AccessService/RotateKey");
  await page.getByRole("button", { name: "Look" }).click();
  const records = page.getByRole("group", { name: "Records" });
  await expect(records.getByText("console-admin")).toHaveCount(1);
  await expect(records.getByText("AccessService/RotateKey")).toHaveCount(1);
});

test("who revokes the key that the page calls with is warned, and signed out", async ({ page, closed }) => {
  const answer = await page.request.post(`${closed}/marquee.v1.AccessService/CreateKey`, { data: { name: "own", role: "admin" }, headers: { "x-api-key": process.env["ADMIN_KEY"]! } });
  const { secret } = (await answer.json()) as { secret: string };
  await page.addInitScript((key) => {
    if (sessionStorage.getItem("marquee.begun") === null) sessionStorage.setItem("marquee.key", key);
    sessionStorage.setItem("marquee.begun", "yes");
  }, secret);
  await page.goto(`${closed}/operate/access`);
  await page.getByRole("button", { name: /^Rotate: own/ }).click();
  await expect(page.getByRole("dialog").getByText("It goes on with the new one")).toBeVisible();
  await page.getByLabel("Hours of the old key").fill("0");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("button", { name: "I have kept it" }).click();
  // It goes on, though the old key is over.
  await expect(page.getByRole("rowheader", { name: /own.*this page’s/ })).toBeVisible();
  const own = page.getByRole("row").filter({ hasText: "this page’s" });
  await own.getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByRole("dialog").getByText("you lock yourself out")).toBeVisible();
  await expectAccessible(page, { within: "dialog" });
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Sign in");
  await expect(page.getByText(/session has ended/i)).toHaveCount(0);
});

test("a method that there is not is told, and another address shows another one", async ({ page, open }) => {
  await page.goto(`${open}/operate/playground?method=RecommendationService/Recomend&json=%7B%22k%22%3A3%7D`);
  await expect(page.getByText("The API has no method RecommendationService/Recomend. Here is RecommendationService/Recommend.")).toBeVisible();
  await expect(page.getByLabel("Request as JSON")).toHaveValue(/user_id/);
  await page.getByRole("combobox", { name: "Method", exact: true }).selectOption("CatalogService/ListGenres");
  await expect(page).toHaveURL(`${open}/operate/playground?method=CatalogService%2FListGenres`);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.locator(".reply-rows tbody tr").first()).toBeVisible();
  await page.getByRole("link", { name: "Playground" }).click();
  await expect(page.getByRole("combobox", { name: "Method", exact: true })).toHaveValue("RecommendationService/Recommend");
});

test("what is asked for by an address and is not there is told", async ({ page, open }) => {
  await page.goto(`${open}/operate/catalogue?movie=abc`);
  await expect(page.getByText("The catalogue has no movie with this id")).toBeVisible();
  await page.goto(`${open}/operate/experiments?name=nobody`);
  await expect(page.getByText("There is no experiment nobody.")).toBeVisible();
});

test("form and JSON say the same, and a call is made by the keys", async ({ page, open }) => {
  await page.goto(`${open}/operate/playground`);
  const json = page.getByLabel("Request as JSON");
  await page.getByText("Fields that may be left out").click();
  await page.getByLabel(/^k /).fill("3");
  await expect(json).toHaveValue('{\n  "user_id": "1",\n  "k": 3\n}');
  await json.fill('{"user_id": "2", "k": 4, "method": "METHOD_EXACT"}');
  await expect(page.getByLabel(/^user_id/)).toHaveValue("2");
  await expect(page.getByLabel("method", { exact: true })).toHaveValue("METHOD_EXACT");
  await expect(page.locator(".shell pre").first()).toContainText('"k":4');
  await json.press("Control+Enter");
  await expect(page.locator(".reply-rows tbody tr")).toHaveCount(4);
  await expect(page.getByRole("img", { name: /^Total / })).toBeVisible();
  await page.getByLabel(/^k /).fill("501");
  await expect(page.getByLabel(/^k /)).toHaveAttribute("aria-invalid", "true");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("k");
  await json.fill("{");
  await expect(page.getByText("This is no JSON object")).toBeVisible();
  await expect(page.getByRole("button", { name: "Run", exact: true })).toBeDisabled();
});

test("two requests side by side, and a history without one of its movies", async ({ page, open }) => {
  await page.goto(`${open}/operate/playground`);
  await page.getByLabel("subject").selectOption("history");
  await page.getByRole("button", { name: "Take over" }).click();
  await expect(page.locator(".what-if-list li")).toHaveCount(20);
  await page.getByLabel("Two side by side").check();
  const second = page.getByRole("region", { name: "Second request" });
  await second.getByRole("button", { name: /^Take out / }).last().click();
  await expect(second.locator(".what-if-list li")).toHaveCount(19);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.getByText(/of the movies are in both/)).toBeVisible();
  await second.getByRole("combobox", { name: "Add a movie" }).fill("matrix");
  await expect(second.locator(".finder-list li").first()).toContainText("Matrix");
  await page.keyboard.press("Enter");
  await expect(second.locator(".what-if-list li")).toHaveCount(20);
  await expectAccessible(page, { within: ".bench-sides" });
});

test("a stream ends while nobody looks, and goes on afterwards", async ({ page, open }) => {
  const isStream = (url: string) => url.endsWith("/WatchStats");
  let opened = 0;
  let ended = 0;
  page.on("request", (request) => (opened += Number(isStream(request.url()))));
  page.on("requestfailed", (request) => (ended += Number(isStream(request.url()))));
  await page.goto(`${open}/operate/overview`);
  await expect(page.locator(".live")).toHaveText("live");
  // React's development of effects aside, one is open.
  expect(opened - ended).toBe(1);
  await turn(page, "hidden");
  await expect(page.locator(".live")).toHaveText("resting while nobody looks");
  await expect.poll(() => opened - ended).toBe(0);
  await turn(page, "visible");
  await expect(page.locator(".live")).toHaveText("live");
  expect(opened - ended).toBe(1);
});

test("what users do is shown as it happens, by kind and by user", async ({ page, open, viewer }) => {
  await page.goto(`${open}/operate/events`);
  await expect(page.locator(".live")).toHaveText("live");
  await page.getByLabel("User", { exact: true }).fill(viewer.toString());
  await call(page, open, "InteractionService/RecordInteraction", { user_id: viewer.toString(), movie_id: 6, rating: 4.5 });
  await call(page, open, "InteractionService/RecordInteraction", { user_id: viewer.toString(), movie_id: 1, kind: "INTERACTION_KIND_LIKE" });
  const rows = page.locator(".feed tbody tr");
  await expect(rows).toHaveCount(2);
  await expect(page.getByText(/a second in the last \d+ s/)).toBeVisible();
  await expect(rows.first()).toContainText("Toy Story");
  await page.getByRole("button", { name: "Ratings" }).click();
  await expect(rows).toHaveCount(1);
  await expect(rows.first()).toContainText("★ 4.5");
  await expectAccessible(page, { within: ".feed" });
});

test("a job is asked for and watched to its end", async ({ page, open }) => {
  await page.goto(`${open}/operate/jobs`);
  await page.getByLabel("Kind").selectOption("vectors");
  await page.getByLabel(/^users/).fill("3");
  await page.getByRole("button", { name: "Run it" }).click();
  const job = page.locator(".job").filter({ has: page.getByRole("heading", { name: "vectors" }) }).first();
  await expect(job.locator(".sign").first()).toHaveText("done");
  await job.locator("summary").click();
  await expect(job.getByText("Measured")).toBeVisible();
  await expectAccessible(page, { within: ".job:has(details[open])" });
});

test("a schedule is put, paused and deleted", async ({ page, open }) => {
  await page.goto(`${open}/operate/jobs`);
  await page.getByRole("button", { name: "Put a schedule" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: false }).first().fill("nightly");
  await dialog.getByLabel("Kind").selectOption("statistics");
  await dialog.getByLabel(/^When/).fill("30 2 * * *");
  await expectAccessible(page, { within: "dialog" });
  await dialog.getByRole("button", { name: "Put a schedule" }).click();
  await page.getByRole("button", { name: "Pause: nightly" }).click();
  await page.getByRole("button", { name: "Resume: nightly" }).click();
  await page.getByRole("button", { name: "Delete: nightly" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("heading", { name: "nightly" })).toHaveCount(0);
});

test("a rule is shown as it is, opened in the playground, and deleted", async ({ page, open }) => {
  await call(page, open, "RuleService/PutRule", { rule_id: "later", reason: "Later", boost: { weight: 1.5 }, filter: { genres_any: ["Sci-Fi"] }, start_time: "2999-01-01T00:00:00Z" });
  await page.goto(`${open}/operate/catalogue?show=rules`);
  await expect(page.getByText("The rows of the home page (GetHomeRows)")).toBeVisible();
  const rule = page.locator(".rule").filter({ hasText: "later" });
  await expect(rule).toContainText("to come");
  await expect(rule).toContainText("lifts by 1.5");
  await expectAccessible(page, { within: ".rule" });
  await rule.getByRole("link", { name: "Edit" }).click();
  await expect(page.getByLabel("Request as JSON")).toHaveValue(/"rule_id": "later"/);
  await page.goBack();
  await rule.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(rule).toHaveCount(0);
});

test("the rule that one begins with is taken by the server as it is", async ({ page, open }) => {
  await page.goto(`${open}/operate/catalogue?show=rules`);
  await page.getByRole("link", { name: "Write a rule" }).click();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.locator(".reply-facts")).toContainText("newer-movies");
  await page.goto(`${open}/operate/catalogue?show=rules`);
  await expect(page.locator(".rule").filter({ hasText: "newer-movies" }).locator(".sign")).toHaveText("off");
});

test("an experiment is written, started, read and ended", async ({ page, open }) => {
  await page.goto(`${open}/operate/experiments`);
  await page.getByRole("link", { name: "Write an experiment" }).click();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.locator(".reply-facts")).toContainText("calibrated-lists");
  await page.getByRole("link", { name: "Experiments" }).click();
  await page.getByRole("button", { name: "Start: calibrated-lists" }).click();
  await page.getByRole("button", { name: "Results: calibrated-lists" }).click();
  await expect(page.locator(".decision")).not.toBeEmpty();
  await expect(page.getByRole("group", { name: "conversion" }).getByRole("rowheader")).toHaveText(["control", "calibrated"]);
  await expectAccessible(page, { within: ".results-of" });
  await page.getByRole("button", { name: "Pause: calibrated-lists" }).click();
  await page.getByRole("button", { name: "Go on: calibrated-lists" }).click();
  await page.getByRole("button", { name: "End: calibrated-lists" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
  await expect(page.locator(".job").filter({ hasText: "calibrated-lists" }).locator(".sign").first()).toHaveText("over");
});

test.describe("over a server that is not there", () => {
  test.use({ tolerates: /status of 503/ });

  test("that is told, and no page breaks", async ({ page, open }) => {
    await page.goto(`${open}/operate/overview`);
    await expect(page.locator(".live")).toHaveText("live");
    await page.route(/marquee\.v1/, (route) => route.fulfill({ status: 503, body: "" }));
    await page.getByRole("link", { name: "Models" }).click();
    await expect(page.getByRole("alert").first()).toContainText("cannot be reached");
  });
});
