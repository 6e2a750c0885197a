// How fast it feels, printed and not judged, as it depends on the machine: first contentful paint, the largest one, the
// longest interaction to next paint, and how much the page shifts.

import { expect, homeIsThere, test, watchAs } from "./fixtures.ts";

interface Seen {
  interactions: number[];
  largest: number;
}

test("times are measured", async ({ page, open }) => {
  await watchAs(page, 1n);
  await page.addInitScript(() => {
    const seen: Seen = { interactions: [], largest: 0 };
    (window as unknown as { seen: Seen }).seen = seen;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as PerformanceEventTiming[]) {
        if ((entry as unknown as { interactionId: number }).interactionId > 0) seen.interactions.push(entry.duration);
      }
    }).observe({ type: "event", durationThreshold: 16, buffered: true } as PerformanceObserverInit);
    new PerformanceObserver((list) => {
      seen.largest = list.getEntries().at(-1)!.startTime;
    }).observe({ type: "largest-contentful-paint", buffered: true });
  });
  // Once, so that the server has what it keeps.
  await page.goto(open);
  await homeIsThere(page);
  await page.goto(open);
  await homeIsThere(page);
  const largest = await page.evaluate(() => (window as unknown as { seen: Seen }).seen.largest);
  const first = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]!.startTime);
  await page.locator(".card-more").first().click();
  await page.keyboard.press("Escape");
  await page.locator(".row .card-link").first().focus();
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown", "l"]) await page.keyboard.press(key);
  await expect(page.locator(".toast")).toBeVisible();
  await page.getByRole("button", { name: "You and settings" }).click();
  await page.keyboard.press("Escape");
  await page.getByRole("combobox", { name: "Search movies" }).pressSequentially("star", { delay: 40 });
  await expect(page.getByRole("option").first()).toBeVisible();
  await page.keyboard.press("Enter");
  await expect(page.locator(".results .card").first()).toBeVisible();
  await page.locator(".filters").getByRole("button", { name: "Sci-Fi" }).click();
  await expect(page).toHaveURL(/any=Sci-Fi/);
  const { interactions } = await page.evaluate(() => (window as unknown as { seen: Seen }).seen);
  const longest = Math.max(0, ...interactions);
  console.log(`first contentful paint ${first.toFixed(0)} ms, largest ${largest.toFixed(0)} ms; longest interaction to next paint ${longest} ms of ${interactions.length} that took 16 ms or more`);
  expect(first).toBeGreaterThan(0);
});
