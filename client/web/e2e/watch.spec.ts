// What people do on the home page, on a movie's page and on their own.

import { expect, expectAccessible, homeIsThere, keep, test, watchAs } from "./fixtures.ts";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Page } from "@playwright/test";
import { InteractionKind, InteractionService } from "../src/api/generated/marquee/v1/interaction_pb.ts";

/** The rows, by their headings and their movies. */
async function rows(page: Page): Promise<string[]> {
  return page.locator("section.row").evaluateAll((found) => found.map((row) => `${row.querySelector("h2")?.textContent}: ${[...row.querySelectorAll("[data-movie]")].map((card) => (card as HTMLElement).dataset["movie"]).join(" ")}`));
}

/** Gives a new viewer some taste. */
async function likeSome(server: string, userId: bigint, movieIds: readonly number[]): Promise<void> {
  const client = createClient(InteractionService, createGrpcTransport({ baseUrl: server }));
  for (const [at, movieId] of movieIds.entries()) {
    await client.recordInteraction({ user: { case: "userId", value: userId }, movie: { case: "movieId", value: movieId }, kind: InteractionKind.LIKE, time: timestampFromMs(Date.now() - 100_000 + at) });
  }
}

const SPACE = [260, 1196, 1210, 541, 589];

test("a rating leaves the rows above as they are and renews those below @phone", async ({ page, open, viewer }) => {
  await likeSome(open, viewer, SPACE);
  await page.goto(open);
  await homeIsThere(page);
  const before = await rows(page);
  const [first] = before;
  const card = page.locator("section.row").first().locator(".card").nth(1);
  await card.locator(".card-more").click();
  await page.locator(".action-menu:popover-open").getByRole("button", { name: "5 of 5 stars" }).click();
  await expect(card.locator(".card-mark")).toHaveText("5");
  await expect(page.locator(".toast")).toContainText("5 stars");
  await expect(page.locator(".row-renewed")).toBeVisible();
  const after = await rows(page);
  expect(after[0]).toBe(first);
  expect(after).not.toEqual(before);
});

test("what was done is taken back, by its button and by its key", async ({ page, open, viewer }) => {
  await likeSome(open, viewer, SPACE);
  await page.goto(open);
  await homeIsThere(page);
  const card = page.locator("section.row").first().locator(".card").first();
  await card.locator(".card-link").focus();
  await page.keyboard.press("l");
  await expect(card.locator(".card-mark")).toHaveText("liked");
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(card.locator(".card-mark")).toHaveCount(0);
  await card.locator(".card-link").focus();
  await page.keyboard.press("h");
  await expect(card).toHaveAttribute("data-mark", "hide");
  await page.keyboard.press("u");
  await expect(card).not.toHaveAttribute("data-mark");
  await page.goto(`${open}/me`);
  await expect(page.locator(".history > li")).toHaveCount(SPACE.length);
});

test("the page goes on as long as somebody scrolls, and nothing jumps @phone", async ({ page, open }) => {
  await watchAs(page, 1n);
  await page.goto(open);
  await homeIsThere(page);
  await page.evaluate(() => {
    (window as unknown as { shifts: number }).shifts = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as unknown as { value: number; hadRecentInput: boolean }[]) {
        if (!entry.hadRecentInput) (window as unknown as { shifts: number }).shifts += entry.value;
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  const count = () => page.locator("section.row").count();
  const first = await count();
  await page.mouse.wheel(0, 20_000);
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
  await expect.poll(count).toBeGreaterThan(first);
  for (let step = 0; step < 12 && !(await page.locator(".home-end").isVisible()); step += 1) {
    const now = await count();
    await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
    await expect.poll(async () => (await count()) > now || (await page.locator(".home-end").isVisible())).toBe(true);
  }
  await expect(page.locator(".home-end")).toBeVisible();
  const shown = (await rows(page)).flatMap((row) => row.split(": ").at(-1)!.split(" "));
  expect(new Set(shown).size).toBe(shown.length);
  expect(await page.evaluate(() => (window as unknown as { shifts: number }).shifts)).toBeLessThan(0.1);
});

test("every card says why it is there", async ({ page, open }) => {
  await watchAs(page, 1n);
  await page.goto(open);
  await homeIsThere(page);
  await expect(page.locator(".row .card .card-reason").first()).toContainText("Because you watched");
  for (const reason of await page.locator(".row .card .card-reason").allTextContents()) expect(reason).not.toBe("");
});

test("a movie is rated in halves, and its page remembers it", async ({ page, open, viewer }) => {
  await likeSome(open, viewer, SPACE);
  await page.goto(`${open}/movies/2571`);
  const stars = page.getByRole("group", { name: "Your rating of The Matrix" });
  await stars.getByRole("button", { name: "4 of 5 stars" }).click();
  await expect(stars.getByRole("button", { pressed: true })).toHaveAccessibleName("4 of 5 stars");
  await stars.getByRole("button", { pressed: true }).click();
  await expect(stars.getByRole("button", { pressed: true })).toHaveAccessibleName("3.5 of 5 stars");
  await expect(page.locator(".why")).toContainText("You know it already");
  await page.reload();
  await expect(stars.getByRole("button", { pressed: true })).toHaveAccessibleName("3.5 of 5 stars");
  await expect(page.getByRole("link", { name: "IMDb" })).toHaveAttribute("href", "https://www.imdb.com/title/tt0133093/");
});

test("a movie keeps each mark until that is pressed again", async ({ page, open, viewer }) => {
  await likeSome(open, viewer, SPACE);
  await page.goto(`${open}/movies/2571`);
  const pressed = page.locator(".movie-words").getByRole("button", { pressed: true });
  await page.getByRole("button", { name: "4 of 5 stars" }).click();
  await page.getByRole("button", { name: "Watch list", exact: true }).click();
  await page.getByRole("button", { name: "Like", exact: true }).click();
  await expect(pressed).toHaveCount(3);
  await page.getByRole("button", { name: "Like", exact: true }).click();
  await expect(page.locator(".toast")).toContainText("no longer liked");
  await page.getByRole("button", { name: "Watch list", exact: true }).click();
  await expect(page.locator(".toast")).toContainText("off your watch list");
  await expect(pressed).toHaveCount(1);
  await page.goto(`${open}/me`);
  await expect(page.locator(".history > li")).toHaveCount(SPACE.length + 1);
  await expect(page.locator(".history > li").first()).toContainText("★ 4");
});

test("a history of 10,000 events is paged and stays quick to use", async ({ page, open, viewer }) => {
  const movies = (await (await fetch(`${open}/v1/movies:popular?page_size=500`)).json()) as { movies: { movie_id: number }[] };
  const ids = movies.movies.map((movie) => movie.movie_id);
  const client = createClient(InteractionService, createGrpcTransport({ baseUrl: open }));
  async function* events() {
    for (let at = 0; at < 10_000; at += 1) {
      yield { interaction: { user: { case: "userId", value: viewer } as const, movie: { case: "movieId", value: ids[at % ids.length]! } as const, kind: InteractionKind.VIEW, time: timestampFromMs(1_600_000_000_000 + at * 1_000) } };
    }
  }
  const reply = await client.recordInteractions(events());
  expect(reply.accepted).toBe(10_000n);
  await page.goto(`${open}/me`);
  await expect(page.locator(".history > li")).toHaveCount(100);
  for (let pages = 2; pages <= 5; pages += 1) {
    await page.getByRole("button", { name: "Show more" }).click();
    await expect(page.locator(".history > li")).toHaveCount(pages * 100);
  }
  await page.locator(".history > li").first().getByRole("button").click();
  await expect(page.locator(".toast")).toContainText("Removed");
  await page.goto(open);
  await homeIsThere(page);
});

test("an event is removed from the history, and brought back", async ({ page, open, viewer }) => {
  await likeSome(open, viewer, SPACE);
  await page.goto(`${open}/me`);
  await expect(page.locator(".history > li")).toHaveCount(5);
  await page.getByRole("button", { name: /^Remove .* from the history/ }).first().click();
  await expect(page.locator(".history > li")).toHaveCount(4);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(page.locator(".history > li")).toHaveCount(5);
  await page.getByRole("button", { name: /^Remove .* from the history/ }).first().click();
  await expect(page.locator(".history > li")).toHaveCount(4);
  await page.keyboard.press("u");
  await expect(page.locator(".history > li")).toHaveCount(5);
  await page.getByRole("button", { name: "Ratings" }).click();
  await expect(page.getByText("None of this kind")).toBeVisible();
});

test("preferences are kept, and all that is held can be taken along", async ({ page, open, viewer }) => {
  await likeSome(open, viewer, SPACE);
  await page.goto(`${open}/me`);
  await page.locator("section", { hasText: "Preferences" }).getByRole("button", { name: "Western" }).click();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await expect(page.locator(".toast")).toContainText("Saved");
  await page.reload();
  await expect(page.locator("section", { hasText: "Preferences" }).getByRole("button", { name: "Western" })).toHaveAttribute("aria-pressed", "true");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export" }).click()]);
  expect(download.suggestedFilename()).toBe(`marquee-${viewer}.jsonl`);
  const chunks: Buffer[] = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
  const kinds = Buffer.concat(chunks).toString().trim().split("\n").map((line) => (JSON.parse(line) as { kind: string }).kind);
  expect(kinds.filter((kind) => kind === "interaction")).toHaveLength(5);
});

test("what is chosen at the beginning survives a step back, and stands in the preferences to be taken out", async ({ page, open, viewer }) => {
  void viewer;
  await page.goto(`${open}/welcome`);
  await page.getByRole("button", { name: "Sci-Fi" }).click();
  await page.getByRole("button", { name: "Next" }).click();
  const first = page.locator(".choice").first();
  const name = (await first.getAttribute("aria-label"))!;
  for (let at = 0; at < 5; at += 1) await page.locator(".choice").nth(at).click();
  await page.getByRole("button", { name: "Back", exact: true }).click();
  await expect(page.getByRole("button", { name: "Sci-Fi" })).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "Western" }).click();
  await page.getByRole("button", { name: "Next" }).click();
  await expect(page.getByText("5 movies chosen")).toBeVisible();
  await expect(page.locator('.choice[aria-pressed="true"]')).toHaveCount(5);
  await page.goBack();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("What do you like?");
  await page.goForward();
  await expect(page.getByText("5 movies chosen")).toBeVisible();
  await page.getByRole("button", { name: "Show me what to watch" }).click();
  await homeIsThere(page);
  await page.goto(`${open}/me`);
  const told = page.locator(".told li");
  await expect(told).toHaveCount(5);
  await expect(told.getByRole("link", { name, exact: true })).toBeVisible();
  await expectAccessible(page, { within: ".told" });
  await page.getByRole("button", { name: `Take ${name} out of the preferences` }).click();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await expect(page.locator(".toast")).toContainText("Saved");
  await page.reload();
  await expect(told).toHaveCount(4);
  await expect(told.getByRole("link", { name, exact: true })).toHaveCount(0);
});

test("who deletes themselves is gone, after a second question", async ({ page, open, viewer }) => {
  await likeSome(open, viewer, SPACE);
  await page.goto(`${open}/me`);
  await page.getByRole("button", { name: "Delete me" }).click();
  await expect(page.getByRole("dialog", { name: "Delete everything?" })).toBeVisible();
  await expectAccessible(page, { within: "dialog" });
  await keep(page, "delete-desktop-dark");
  await page.getByRole("button", { name: "Delete for good" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Who is watching?");
  expect((await fetch(`${open}/v1/users/${viewer}`)).status).toBe(404);
});
