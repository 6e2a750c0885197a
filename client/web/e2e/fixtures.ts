// What every test here has: servers by name, a page that tells what it complains of, and somebody who watches.

import { AxeBuilder } from "@axe-core/playwright";
import { type BrowserContext, test as base, expect, type Page } from "@playwright/test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

export { expect };

function address(name: string): string {
  const found = process.env[name];
  if (found === undefined) throw new Error(`${name} is set by servers.ts`);
  return found;
}

interface Fixtures {
  /** Asks nobody who they are. */
  open: string;
  /** Asks for a session or a key; people may make accounts. */
  closed: string;
  /** Has a catalogue that somebody filled who means harm. */
  hostile: string;
  /** What the console of the browser may say without failing the test. */
  tolerates: RegExp | undefined;
  /** Fails the test if the page complains, or asks anybody else for anything. */
  peace: void;
  /** Lets a new viewer watch on the open server. */
  viewer: bigint;
}

let viewers = 0;

/**
 * While one works on the console: its files from the folder that CONSOLE_DIST names (`vite build --outDir`), and all
 * else from the server, so that this need not be built again. The server's policy holds for them too.
 */
async function takeFrom(folder: string, context: BrowserContext): Promise<void> {
  const isConsoles = ({ pathname }: URL) => !/^\/(docs|v1|console\.json)/.test(pathname) && (pathname.startsWith("/assets/") || !pathname.includes("."));
  await context.route(isConsoles, async (route) => {
    const { origin, pathname } = new URL(route.request().url());
    const file = join(folder, pathname);
    const policy = (await fetch(origin)).headers.get("content-security-policy") ?? "";
    return route.fulfill({ path: pathname.startsWith("/assets/") && existsSync(file) ? file : join(folder, "index.html"), headers: { "content-security-policy": policy } });
  });
}

export const test = base.extend<Fixtures>({
  open: async ({}, use) => use(address("OPEN")),
  closed: async ({}, use) => use(address("CLOSED")),
  hostile: async ({}, use) => use(address("HOSTILE")),
  tolerates: [undefined, { option: true }],
  peace: [async ({ context, tolerates }, use) => {
    const folder = process.env["CONSOLE_DIST"];
    if (folder !== undefined) await takeFrom(folder, context);
    const complaints: string[] = [];
    const known = [address("OPEN"), address("CLOSED"), address("HOSTILE"), "data:", "blob:"];
    context.on("page", (page) => {
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(String(error)));
    });
    context.on("request", (request) => {
      if (!known.some((start) => request.url().startsWith(start))) complaints.push(`asks for ${request.url()}`);
    });
    await use();
    expect(complaints.filter((complaint) => tolerates?.test(complaint) !== true)).toEqual([]);
  }, { auto: true }],
  viewer: async ({ page }, use, { workerIndex, project }) => {
    viewers += 1;
    const id = BigInt(50_000_000 + workerIndex * 100_000 + viewers * 10 + (project.name === "phone" ? 1 : 0));
    await watchAs(page, id);
    await use(id);
  },
});

/** Lets a page show what this user sees, from when it is loaded next. */
export async function watchAs(page: Page, id: bigint): Promise<void> {
  await page.addInitScript((text) => {
    if (localStorage.getItem("marquee.watching") === null) localStorage.setItem("marquee.watching", text);
  }, id.toString());
}

interface Looked {
  /** The part of the page that is new, where the page itself was looked at elsewhere: axe takes seconds for a whole one. */
  within?: string;
  /** Rules that do not hold there. */
  without?: readonly string[];
}

/**
 * Fails when axe finds anything on the page. Pictures are hidden from whom it speaks for,
 * and rows from the third on are as those before.
 */
export async function expectAccessible(page: Page, { within, without = [] }: Looked = {}): Promise<void> {
  const axe = new AxeBuilder({ page }).exclude(".art").exclude("section.row ~ section.row ~ section.row").withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).disableRules([...without]);
  if (within !== undefined) {
    await expect(page.locator(within).first()).toBeVisible();
    axe.include(within);
  }
  const { violations } = await axe.analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`)).toEqual([]);
}

/** Dark on a desktop and light on a phone, so that axe sees each page once in both; in both where pictures are asked for. */
export function schemesOf(project: string): readonly ("dark" | "light")[] {
  if (process.env["MARQUEE_SCREENSHOTS"] !== undefined) return ["dark", "light"];
  return project === "desktop" ? ["dark"] : ["light"];
}

/** Leaves a picture of the page where MARQUEE_SCREENSHOTS says. */
export async function keep(page: Page, name: string): Promise<void> {
  const folder = process.env["MARQUEE_SCREENSHOTS"];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** Waits until the home page has its first rows. */
export async function homeIsThere(page: Page): Promise<void> {
  await expect(page.locator(".hero h2")).toBeVisible();
  await expect(page.locator(".row .card").first()).toBeVisible();
}
