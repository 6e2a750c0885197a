// Every page, on a desktop in the dark and on a phone in the light: it is there, axe finds nothing, nobody else is asked.

import { expect, expectAccessible, homeIsThere, keep, schemesOf, test, watchAs } from "./fixtures.ts";
import type { Page } from "@playwright/test";

/** Someone of the sample, with a history. */
const OF_SAMPLE = 1n;

const PAGES: [name: string, path: string, isThere: (page: Page) => Promise<void>][] = [
  ["home", "/", homeIsThere],
  ["search", "/search", async (page) => expect(page.locator(".results .card").first()).toBeVisible()],
  ["results", "/search?q=star%20wars&any=Sci-Fi&none=Children", async (page) => expect(page.locator(".results-head")).toContainText("movie")],
  ["nothing", "/search?q=qqqqqqqq&any=War", async (page) => expect(page.locator(".nothing")).toBeVisible()],
  ["movie", "/movies/2571", async (page) => {
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("The Matrix");
    await expect(page.locator(".why-rank")).toBeVisible();
    await expect(page.locator(".row .card").first()).toBeAttached();
  }],
  ["no movie", "/movies/4000000", async (page) => expect(page.getByRole("heading", { level: 1 })).toContainText("no such movie")],
  ["me", "/me", async (page) => {
    await expect(page.locator(".bars li").first()).toBeVisible();
    await expect(page.locator(".history li").first()).toBeVisible();
  }],
  ["welcome", "/welcome", async (page) => expect(page.locator(".chip").first()).toBeVisible()],
  ["sign in", "/sign-in", async (page) => expect(page.getByLabel("E-mail address")).toBeVisible()],
  ["design", "/design", async (page) => expect(page.locator(".poster").first()).toBeVisible()],
  ["lost", "/nowhere", async (page) => expect(page.getByRole("heading", { level: 1 })).toContainText("no such page")],
];

for (const [name, path, isThere] of PAGES) {
  test(`the page "${name}" is there for everybody @phone`, async ({ page, open }, { project }) => {
    await watchAs(page, OF_SAMPLE);
    for (const colorScheme of schemesOf(project.name)) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.goto(open + path);
      await isThere(page);
      await keep(page, `${name}-${project.name}-${colorScheme}`);
      await expectAccessible(page);
    }
    const [scrollWidth, clientWidth] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth] as const);
    expect(scrollWidth).toBeLessThanOrEqual(clientWidth);
    await expect(page).toHaveTitle(/Marquee$/);
  });
}

test('the page "who is watching" says that an id proves nothing @phone', async ({ page, open }, { project }) => {
  await page.goto(open);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Who is watching?");
  await expect(page.getByText("An id is no authentication")).toBeVisible();
  await keep(page, `who-${project.name}-dark`);
  await expectAccessible(page);
  await page.getByLabel("Viewer’s id").fill("zero");
  await page.getByRole("button", { name: "Watch" }).click();
  await expect(page.getByText("Give a whole number")).toBeVisible();
  await page.getByLabel("Viewer’s id").fill("1");
  await page.getByRole("button", { name: "Watch" }).click();
  await homeIsThere(page);
});

test("menus and dialogs are for everybody too @phone", async ({ page, open }, { project }) => {
  await watchAs(page, OF_SAMPLE);
  await page.goto(`${open}/movies/2571`);
  await page.locator(".card-more").first().click();
  await expect(page.locator(".action-menu:popover-open")).toBeVisible();
  await keep(page, `menu-${project.name}-dark`);
  // What lies below a popover is taken for its neighbour.
  await expectAccessible(page, { within: ".action-menu:popover-open", without: ["target-size"] });
  await page.keyboard.press("Escape");
  await expect(page.locator(".action-menu:popover-open")).toHaveCount(0);
  await page.getByRole("button", { name: "You and settings" }).click();
  await expectAccessible(page, { within: ".visitor-menu:popover-open", without: ["target-size"] });
  await page.getByRole("button", { name: /^Keys/ }).click();
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await keep(page, `keys-${project.name}-dark`);
  await expectAccessible(page, { within: "dialog" });
});

test.describe("in Spanish", () => {
  test.use({ locale: "es-MX" });

  test("the console speaks Spanish to who asks for it, and keeps what is chosen", async ({ page, open }) => {
    await watchAs(page, OF_SAMPLE);
    await page.goto(open);
    await homeIsThere(page);
    await expect(page.locator("html")).toHaveAttribute("lang", "es");
    await expect(page.getByRole("heading", { name: "Para ti", exact: true })).toBeVisible();
    // The words on the posters too.
    const facts = (await page.locator(".poster-facts").allTextContents()).join(" ");
    expect(facts).toMatch(/Comedia|Aventura|Suspense|Crimen/);
    expect(facts).not.toMatch(/Comedy|Adventure|Thriller|Sci-Fi|Crime\b|Children|Fantasy/);
    await keep(page, "home-spanish");
    // The longer language fits the smallest phone.
    await page.setViewportSize({ width: 360, height: 740 });
    await page.goto(`${open}/movies/2571`);
    await expect(page.locator(".why .bars li").first()).toBeVisible();
    const [end, most] = await page.locator(".why .bars").evaluate((bars) => [Math.max(...[...bars.querySelectorAll("span")].map((words) => words.getBoundingClientRect().right)), bars.getBoundingClientRect().right] as const);
    expect(end).toBeLessThanOrEqual(most + 1);
    await page.setViewportSize({ width: 1280, height: 860 });
    await page.goto(open);
    await page.getByRole("button", { name: "Tú y los ajustes" }).click();
    await page.getByLabel("Idioma").selectOption("en");
    await expect(page.getByRole("heading", { name: "For you", exact: true })).toBeVisible();
    await page.reload();
    await expect(page.getByRole("heading", { name: "For you", exact: true })).toBeVisible();
  });
});

/** The luminance of the lightest point of a part of the page. */
async function lightestOf(page: Page, selector: string): Promise<number> {
  const picture = (await page.locator(selector).screenshot()).toString("base64");
  return page.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d")!;
    context.drawImage(image, 0, 0);
    const { data: pixels } = context.getImageData(0, 0, image.width, image.height);
    const linear = (value: number) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    let most = 0;
    for (let at = 0; at < pixels.length; at += 4) {
      most = Math.max(most, 0.2126 * linear(pixels[at]!) + 0.7152 * linear(pixels[at + 1]!) + 0.0722 * linear(pixels[at + 2]!));
    }
    return most;
  }, picture);
}

test.describe("on the lightest picture there could be", () => {
  test.use({ bypassCSP: true });

  /** Luminances of the letters: #ff9d66, and white at 80 of 100 over black. */
  const KICKER = 0.46;
  const SOFT = 0.6;

  test("words are read, however wide the page is", async ({ page, open }) => {
    await watchAs(page, OF_SAMPLE);
    const bleach = () => page.addStyleTag({ content: ":is(.hero, .movie-head) > .art, :is(.hero, .movie-head) > .art * { fill: #fff !important; background: #fff; filter: none !important } :is(.hero-words, .movie-words) > * { opacity: 0 !important }" });
    await page.goto(open);
    await homeIsThere(page);
    await bleach();
    for (const width of [360, 700, 1000, 1280]) {
      await page.setViewportSize({ width, height: 860 });
      expect((KICKER + 0.05) / ((await lightestOf(page, ".hero-kicker")) + 0.05), `${width}`).toBeGreaterThan(4.5);
      expect((SOFT + 0.05) / ((await lightestOf(page, ".hero-reason")) + 0.05), `${width}`).toBeGreaterThan(4.5);
    }
    await page.goto(`${open}/movies/2571`);
    await expect(page.locator(".movie-words h1")).toBeVisible();
    await bleach();
    for (const width of [360, 1280]) {
      await page.setViewportSize({ width, height: 860 });
      for (const words of ["h1", "p:last-of-type"]) expect((SOFT + 0.05) / ((await lightestOf(page, `.movie-words > ${words}`)) + 0.05), `${width} ${words}`).toBeGreaterThan(4.5);
    }
  });
});

test("dark and light are chosen against the system, and kept", async ({ page, open }) => {
  await watchAs(page, OF_SAMPLE);
  await page.goto(`${open}/design`);
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await ground();
  await page.keyboard.press("t");
  const light = await ground();
  expect(light).not.toBe(dark);
  await page.reload();
  expect(await ground()).toBe(light);
});
