// A catalogue that means harm: what it holds is shown, and never run.

import { expect, expectAccessible, test, watchAs } from "./fixtures.ts";
import { HOSTILE_TAG, HOSTILE_TITLES } from "./hostile.ts";

const ran = (page: import("@playwright/test").Page) => page.evaluate(() => (window as unknown as { hostile?: number }).hostile);

test("titles, genres and tags are words, whatever they say @phone", async ({ page, hostile }, { project }) => {
  await watchAs(page, 2n);
  await page.goto(hostile);
  await expect(page.locator(".hero h2")).toBeVisible();
  await expect(page.locator(".row .card").first()).toBeVisible();
  if (project.name === "desktop") await expectAccessible(page);
  for (const path of ["/search?q=script", "/search?q=%3Cscript%3Ewindow.hostile%3D1%3C%2Fscript%3E", `/search?tags=${encodeURIComponent(HOSTILE_TAG)}`, `/search?any=${encodeURIComponent("<img src=x onerror=window.hostile=1>")}`, "/me", "/welcome"]) {
    await page.goto(hostile + path);
    await expect(page.locator("#content")).not.toBeEmpty();
    expect(await ran(page), path).toBeUndefined();
  }
  for (const [at, title] of HOSTILE_TITLES.entries()) {
    await page.goto(`${hostile}/movies/${at + 1}`);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expect(page.locator(".tag")).toHaveText(HOSTILE_TAG);
    expect(await ran(page), title).toBeUndefined();
    const [scrollWidth, clientWidth] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth] as const);
    expect(scrollWidth, title).toBeLessThanOrEqual(clientWidth);
  }
});
