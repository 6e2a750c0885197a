// Searching, and the address that holds what is asked for.

import { expect, homeIsThere, keep, test, watchAs } from "./fixtures.ts";

test.beforeEach(async ({ page }) => watchAs(page, 1n));

test("titles are suggested while one types, and chosen by the arrows @phone", async ({ page, open }, { project }) => {
  await page.goto(open);
  await homeIsThere(page);
  const box = page.getByRole("combobox", { name: "Search movies" });
  await box.click();
  await box.pressSequentially("the matr");
  await expect(page.getByRole("option").first()).toHaveText(/The Matrix/);
  await keep(page, `suggestions-${project.name}-dark`);
  await page.keyboard.press("ArrowDown");
  await expect(page.getByRole("option").first()).toHaveAttribute("aria-selected", "true");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("The Matrix");
});

test("Enter leads to all results, which follow what is typed on", async ({ page, open }) => {
  await page.goto(open);
  await homeIsThere(page);
  const box = page.getByRole("combobox", { name: "Search movies" });
  await box.fill("godfater");
  await box.press("Enter");
  await expect(page).toHaveURL(`${open}/search?q=godfater`);
  await expect(page.getByRole("link", { name: "The Godfather", exact: true })).toBeVisible();
  await box.fill("alien");
  await expect(page).toHaveURL(`${open}/search?q=alien`);
  await expect(page.getByRole("link", { name: "Alien", exact: true })).toBeVisible();
  await box.fill("qqqqqqqq");
  await expect(page.getByRole("heading", { name: "Nothing fits “qqqqqqqq”." })).toBeVisible();
});

test("a search is there again after Back and Forward, and while one is in its box", async ({ page, open }) => {
  await page.goto(open);
  await homeIsThere(page);
  const box = page.getByRole("combobox", { name: "Search movies" });
  await box.fill("godfater");
  await box.press("Enter");
  await expect(page).toHaveURL(`${open}/search?q=godfater`);
  await expect(page.getByRole("link", { name: "The Godfather", exact: true })).toBeVisible();
  await page.goBack();
  await homeIsThere(page);
  await expect(box).toHaveValue("");
  await page.goForward();
  await expect(page.getByRole("link", { name: "The Godfather", exact: true })).toBeVisible();
  await expect(box).toHaveValue("godfater");
  await expect(page).toHaveURL(`${open}/search?q=godfater`);
  // What was typed a moment before counts with the filter that is chosen then.
  await box.fill("alien");
  await page.locator(".filters").getByRole("button", { name: "Sci-Fi" }).click();
  await expect(page).toHaveURL(`${open}/search?q=alien&any=Sci-Fi`);
  await expect(box).toHaveValue("alien");
});

test("blanks are no search, a genre that there is not is left out, and a year that is none stays to be mended", async ({ page, open }) => {
  await page.goto(`${open}/search?q=%20%20`);
  await expect(page.getByRole("heading", { name: "Popular now" })).toBeVisible();
  await page.goto(`${open}/search?any=Nope`);
  await expect(page.getByText("The catalogue has no such genre, so it is left out: Nope.")).toBeVisible();
  await expect(page.getByRole("heading", { name: "Popular now" })).toBeVisible();
  await page.goto(`${open}/search?any=Nope,War&none=Nope`);
  await expect(page.locator(".results .card").first()).toBeVisible();
  const year = page.locator(".filters").getByLabel("From year");
  await year.fill("185");
  await year.blur();
  await expect(year).toHaveValue("185");
  await expect(year).toHaveAccessibleDescription("A year from 1870 to 2200, in four digits.");
  await year.fill("1985");
  await expect(page).toHaveURL(/from=1985/);
  await expect(year).not.toHaveAttribute("aria-invalid");
});

test("filters stand in the address, and back and forward go through pages", async ({ page, open }) => {
  await page.goto(`${open}/search`);
  const filters = page.locator(".filters");
  await filters.getByRole("button", { name: "Sci-Fi" }).click();
  await expect(page).toHaveURL(/any=Sci-Fi/);
  await filters.locator(".mode", { hasText: "None of" }).click();
  await filters.getByRole("button", { name: "Children" }).click();
  await expect(page).toHaveURL(/none=Children/);
  await filters.getByLabel("From year").fill("1980");
  await filters.getByLabel("To year").fill("1989");
  await filters.getByLabel("Rating at least").selectOption("4");
  await expect(page).toHaveURL(/from=1980.*to=1989.*rating=4/);
  await expect(page.locator(".results .poster-facts").first()).toContainText(/^198/);
  for (const facts of await page.locator(".results .poster-facts").allTextContents()) expect(facts).toMatch(/^198\d/);
  const address = page.url();
  await page.locator(".results .card-link").first().click();
  await expect(page).toHaveURL(/\/movies\//);
  await page.goBack();
  await expect(page).toHaveURL(address);
  await expect(page.locator(".results .card").first()).toBeVisible();
  await page.goForward();
  await expect(page).toHaveURL(/\/movies\//);
  await page.goto(address);
  await expect(page.locator(".filters").getByLabel("From year")).toHaveValue("1980");
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await expect(page).toHaveURL(`${open}/search`);
});

test("filters that contradict each other are told, and taken away where nothing fits", async ({ page, open }) => {
  await page.goto(`${open}/search?from=2000&to=1990`);
  await expect(page.getByRole("alert")).toContainText("The first year comes after the last one");
  await page.goto(`${open}/search?q=koyaanisqatsi&any=War`);
  await page.getByRole("button", { name: "Search without the filters" }).click();
  await expect(page).toHaveURL(`${open}/search?q=koyaanisqatsi`);
  await expect(page.getByRole("link", { name: "Koyaanisqatsi", exact: true })).toBeVisible();
});
