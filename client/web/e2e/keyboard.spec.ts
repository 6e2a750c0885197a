// By the keyboard alone.

import { expect, homeIsThere, test, watchAs } from "./fixtures.ts";
import type { Page } from "@playwright/test";

/** Presses Tab until something has the focus that fits. */
async function tabTo(page: Page, selector: string, most = 60): Promise<void> {
  for (let step = 0; step < most; step += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
  }
  throw new Error(`${selector} is not reached by ${most} tabs`);
}

test("somebody new tells their taste and rates, by the keyboard alone", async ({ page, open }) => {
  await page.goto(open);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Who is watching?");
  await tabTo(page, ".button-plain");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("What do you like?");
  await expect(page.locator(".chip").first()).toBeVisible();
  await tabTo(page, ".chip");
  await page.keyboard.press("Space");
  await expect(page.locator(".chip").first()).toHaveAttribute("aria-pressed", "true");
  await tabTo(page, ".form-buttons .button");
  await page.keyboard.press("Enter");
  await expect(page.locator(".choice").first()).toBeVisible();
  await tabTo(page, ".choice");
  for (let chosen = 0; chosen < 5; chosen += 1) {
    await page.keyboard.press("Enter");
    await page.keyboard.press("ArrowRight");
  }
  await expect(page.getByText("5 movies chosen")).toBeVisible();
  await page.keyboard.press("ArrowDown");
  await tabTo(page, ".choice-bar .button:not(:disabled)");
  await page.keyboard.press("Enter");
  await homeIsThere(page);
  await expect(page.locator(".toast")).toContainText("Your first page follows from");

  await tabTo(page, ".row .card-link");
  const first = await page.evaluate(() => document.activeElement?.getAttribute("href"));
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("4");
  await expect(page.locator(".card-mark").first()).toHaveText("4");
  await page.keyboard.press("ArrowDown");
  const third = await page.evaluate(() => document.activeElement?.getAttribute("href"));
  expect(third).not.toBe(first);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(`${open}${third}`);
});

test("keys go to the search, the pages and the help, and none counts while one writes", async ({ page, open }) => {
  await watchAs(page, 1n);
  await page.goto(open);
  await homeIsThere(page);
  await page.keyboard.press("/");
  await expect(page.getByRole("combobox", { name: "Search movies" })).toBeFocused();
  await page.keyboard.type("?gm");
  await expect(page.getByRole("combobox", { name: "Search movies" })).toHaveValue("?gm");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.keyboard.press("g");
  await page.keyboard.press("m");
  await expect(page).toHaveURL(`${open}/me`);
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await expect(page).toHaveURL(`${open}/`);
});

test("the way past the navigation is the first that Tab finds", async ({ page, open }) => {
  await watchAs(page, 1n);
  await page.goto(`${open}/design`);
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("#content")).toBeFocused();
});
