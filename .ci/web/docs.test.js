// /docs as people see it, in Chromium on a desktop and on a phone.
//
// CHROMIUM names the browser. With MARQUEE_SCREENSHOTS, a folder, what was seen is kept there.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium, devices } from "playwright-core";
import { startServer } from "./server.js";

const screens = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: devices["iPhone 13"],
};

let server, browser;
before(async () => {
  server = await startServer();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** How many operations the description has, and which groups. */
async function described() {
  const { paths, tags } = await (await fetch(`${server.address}/openapi.json`)).json();
  const operations = Object.values(paths).flatMap((verbs) => Object.keys(verbs));
  return { operations: operations.length, groups: tags.map((tag) => tag.name) };
}

/** The page, and what it complains of or asks others for. */
async function opened(screen) {
  const page = await browser.newPage(screen);
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(server.address) && !url.startsWith("data:")) complaints.push(`asks for ${url}`);
  });
  await page.goto(`${server.address}/docs`);
  await page.locator(".opblock-tag").first().waitFor();
  return { page, complaints };
}

async function keep(page, name) {
  const folder = process.env.MARQUEE_SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: false });
}

for (const [name, screen] of Object.entries(screens)) {
  test(`on a ${name} every operation is listed, and a request is sent from there`, async () => {
    const { page, complaints } = await opened(screen);
    const { operations, groups } = await described();
    await keep(page, `${name}-groups`);
    const shown = page.locator(".opblock-tag");
    assert.deepEqual(await shown.evaluateAll((tags) => tags.map((tag) => tag.dataset.tag)), groups);
    for (const group of await shown.all()) await group.click();
    await page.waitForFunction((count) => document.querySelectorAll(".opblock").length === count, operations);

    const recommend = page.locator(".opblock", { has: page.locator('[data-path="/v1/recommend"]') });
    await recommend.locator(".opblock-summary-control").click();
    await recommend.locator("button.execute").click();
    const reply = recommend.locator(".live-responses-table");
    await reply.waitFor();
    assert.match(await reply.locator(".response-col_status").last().innerText(), /^200/);
    assert.match(await reply.locator(".response-col_description").last().innerText(), /"recommendations"/);
    await reply.scrollIntoViewIfNeeded();
    await keep(page, `${name}-reply`);

    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= screen.viewport.width, `the page is ${width} wide on a screen of ${screen.viewport.width}`);
    assert.deepEqual(complaints, []);
    await page.close();
  });
}
