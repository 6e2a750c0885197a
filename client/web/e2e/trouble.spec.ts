// When something is wrong: no server, a slow one, one that fails, a session that is over, more than one tab.

import { expect, homeIsThere, keep, test, watchAs } from "./fixtures.ts";

test.use({ tolerates: /Failed to load resource|net::ERR|status of 50|ERR_INTERNET/ });

test("without a connection the page says so, and goes on once there is one", async ({ page, context, open }) => {
  await watchAs(page, 1n);
  await page.goto(open);
  await homeIsThere(page);
  // Pages are fetched ahead, so that opening one needs the server for its content alone.
  await page.waitForFunction(() => performance.getEntriesByType("resource").some(({ name }) => /\/movie-/.test(name)));
  await context.setOffline(true);
  await page.locator(".row .card-link").first().click();
  await expect(page.getByRole("heading", { name: "The server cannot be reached" }).first()).toBeVisible();
  await keep(page, "offline-desktop-dark");
  await context.setOffline(false);
  await expect(page.locator(".movie-words")).toBeVisible();
});

test("what cannot be saved is told, and not shown as done", async ({ page, open }) => {
  await watchAs(page, 1n);
  await page.goto(open);
  await homeIsThere(page);
  await page.route("**/RecordInteraction", (route) => route.abort());
  const card = page.locator(".row .card").first();
  await card.locator(".card-link").focus();
  await page.keyboard.press("l");
  await expect(page.locator(".toast")).toContainText("Not saved");
  await expect(card.locator(".card-mark")).toHaveCount(0);
});

test("a slow server shows what is to come in its place, and only after a while", async ({ page, open }) => {
  await watchAs(page, 1n);
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route("**/GetHomeRows", async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(open);
  await expect(page.locator(".bone-poster").first()).toBeVisible();
  await expect(page.getByRole("status").filter({ hasText: "The page is loading" })).toBeAttached();
  await keep(page, "loading-desktop-dark");
  release();
  await homeIsThere(page);
});

test("a server that fails is told, and asked again", async ({ page, open }) => {
  await watchAs(page, 1n);
  let fails = true;
  await page.route("**/GetHomeRows", (route) => (fails ? route.fulfill({ status: 200, headers: { "content-type": "application/grpc-web+proto", "grpc-status": "13", "grpc-message": "on purpose" } }) : route.continue()));
  await page.goto(open);
  await expect(page.getByRole("heading", { name: "Something went wrong" })).toBeVisible();
  await expect(page.getByText("on purpose")).toBeVisible();
  await keep(page, "failed-desktop-dark");
  fails = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await homeIsThere(page);
});

test("a server that does not answer at all is waited for", async ({ page, open }) => {
  await watchAs(page, 1n);
  let isDown = true;
  await page.route("**/console.json", (route) => (isDown ? route.abort() : route.continue()));
  await page.goto(open);
  await expect(page.getByRole("heading", { name: "The server cannot be reached" })).toBeVisible();
  isDown = false;
  await homeIsThere(page);
});

test("a session that is over asks to sign in, and goes on where one was", async ({ page, context, closed }) => {
  await page.goto(closed);
  await signUp(page, "expired");
  await page.goto(`${closed}/movies/2571`);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("The Matrix");
  await context.clearCookies();
  await page.getByRole("button", { name: "Watch list" }).click();
  await expect(page.getByText("Your session has ended")).toBeVisible();
  await keep(page, "ended-desktop-dark");
  await page.getByLabel("E-mail address").fill(`expired${address}@example.org`);
  await page.getByLabel("Password", { exact: true }).fill("correct horse battery");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("The Matrix");
});

test("who signs out in one tab is out in the other", async ({ page, context, closed }) => {
  await page.goto(closed);
  await signUp(page, "tabs");
  await page.getByRole("link", { name: "Skip", exact: true }).click();
  await homeIsThere(page);
  const other = await context.newPage();
  await other.goto(`${closed}/me`);
  await expect(other.getByRole("heading", { level: 1 })).toContainText("tabs");
  await page.getByRole("button", { name: "You and settings" }).click();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Sign in");
  await expect(other.getByRole("heading", { level: 1 })).toHaveText("Sign in");
  // Neither session ended by itself.
  for (const one of [page, other]) await expect(one.getByText(/session has ended/i)).toHaveCount(0);
});

test("it is asked once who somebody is: at a load, and after signing in", async ({ page, closed, open }) => {
  let asked = 0;
  page.on("request", (request) => (asked += Number(request.url().endsWith("/WhoAmI"))));
  await page.goto(closed);
  await signUp(page, "once");
  // Once before anybody was known, and once after.
  expect(asked).toBe(2);
  asked = 0;
  await page.goto(`${closed}/me`);
  await expect(page.getByRole("heading", { level: 1 })).toContainText("once");
  await page.getByRole("link", { name: "Home", exact: true }).click();
  await homeIsThere(page);
  expect(asked).toBe(1);
  await page.getByRole("button", { name: "You and settings" }).click();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Sign in");
  asked = 0;
  await page.getByLabel("E-mail address").fill(`once${address}@example.org`);
  await page.getByLabel("Password", { exact: true }).fill("wrong password");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("the password is wrong");
  expect(asked).toBe(0);
  await watchAs(page, 1n);
  await page.goto(open);
  await homeIsThere(page);
  expect(asked).toBe(1);
});

test("who is not known is told that, and not that a session had ended", async ({ page, open }) => {
  await page.goto(`${open}/operate/playground?method=AccountService/WhoAmI`);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("does not know who you are");
  await expect(page.getByText(/session has ended/i)).toHaveCount(0);
});

test("who cannot be signed out is told that they are still in", async ({ page, closed }) => {
  await page.goto(closed);
  await signUp(page, "stays");
  await page.route("**/SignOut", (route) => route.abort());
  await page.getByRole("button", { name: "You and settings" }).click();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.locator(".toast")).toContainText("You are still signed in");
});

test("what is done in one tab is known in the other", async ({ page, context, open, viewer }) => {
  await page.goto(`${open}/movies/2571`);
  const other = await context.newPage();
  await watchAs(other, viewer);
  await other.goto(`${open}/me`);
  await expect(other.getByText("There is nothing yet").first()).toBeVisible();
  await page.bringToFront();
  await page.getByRole("button", { name: "Like", exact: true }).click();
  await expect(page.getByRole("button", { name: "Like", exact: true })).toHaveAttribute("aria-pressed", "true");
  await expect(other.locator(".history > li")).toHaveCount(1);
});

const address = Math.floor(Math.random() * 1e9);

/** Makes an account on the page for it, and waits until it is in. */
async function signUp(page: import("@playwright/test").Page, name: string): Promise<void> {
  await page.getByRole("button", { name: "No account yet? Make one" }).click();
  await page.getByLabel("E-mail address").fill(`${name}${address}@example.org`);
  await page.getByLabel(/^New password/).fill("correct horse battery");
  await page.getByRole("button", { name: "Make an account" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("What do you like?");
}
