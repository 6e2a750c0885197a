// From a new account to none: what a person does here, on a server that asks who they are.

import { expect, expectAccessible, homeIsThere, keep, test } from "./fixtures.ts";

const PASSWORD = "correct horse battery";

test("somebody signs up, tells their taste, rates five, sees other rows, and deletes themselves @phone", async ({ page, closed }, { project }) => {
  const email = `ada-${project.name}-${Math.floor(Math.random() * 1e9)}@example.org`;
  await page.goto(closed);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Sign in");
  await page.getByRole("button", { name: "No account yet? Make one" }).click();
  await keep(page, `sign-up-${project.name}-dark`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel(/^New password/).fill(PASSWORD);
  await page.getByRole("button", { name: "Make an account" }).click();

  await expect(page.getByRole("heading", { level: 1 })).toHaveText("What do you like?");
  await page.getByRole("button", { name: "Sci-Fi" }).click();
  await page.getByRole("button", { name: "Next" }).click();
  await expect(page.locator(".choice").first()).toBeVisible();
  await expect(page.getByRole("button", { name: "Show me what to watch" })).toBeDisabled();
  for (let at = 0; at < 5; at += 1) await page.locator(".choice").nth(at).click();
  await keep(page, `choose-${project.name}-dark`);
  if (project.name === "desktop") await expectAccessible(page);
  await page.getByRole("button", { name: "Show me what to watch" }).click();
  await homeIsThere(page);
  await expect(page.getByRole("heading", { name: "For you", exact: true })).toBeVisible();

  const movies = () => page.locator(".row [data-movie]").evaluateAll((cards) => cards.map((card) => (card as HTMLElement).dataset["movie"]));
  const before = await movies();
  for (let at = 0; at < 5; at += 1) {
    const card = page.locator("section.row").first().locator(".card").nth(at);
    await card.locator(".card-link").focus();
    await page.keyboard.press(String((at % 3) + 3));
    await expect(card.locator(".card-mark")).toHaveText(String((at % 3) + 3));
  }
  await expect(page.locator(".row-renewed")).toBeVisible();
  await expect.poll(movies).not.toEqual(before);

  await page.goto(`${closed}/me`);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(email);
  await expect(page.locator(".history > li")).toHaveCount(10);
  await page.getByRole("button", { name: "Delete me" }).click();
  await page.getByLabel("Your password").fill("wrong password");
  await page.getByRole("button", { name: "Delete for good" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toContainText("The password is wrong");
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Delete for good" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Sign in");
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("There is no such account");
});

test("a key of an operator is let in, and watches for others", async ({ page, closed }) => {
  await page.goto(closed);
  await page.getByRole("button", { name: "Use an API key" }).click();
  await page.getByLabel("API key").fill("clave-ñ-ключ");
  await page.getByRole("button", { name: "Use this key" }).click();
  await expect(page.getByRole("alert")).toContainText("No key has such characters");
  await page.getByLabel("API key").fill("mq_wrong");
  await page.getByRole("button", { name: "Use this key" }).click();
  await expect(page.getByRole("alert")).toContainText("does not accept this key");
  await page.getByLabel("API key").fill(process.env["OPERATOR_KEY"]!);
  await page.getByRole("button", { name: "Use this key" }).click();
  await expect(page.getByText("Signed in as console-operator")).toBeVisible();
  await page.getByRole("button", { name: "Watch", exact: true }).click();
  await homeIsThere(page);
});

test("a viewer's key leads to the pages that it may see", async ({ page, closed }) => {
  await page.goto(closed);
  await page.getByRole("button", { name: "Use an API key" }).click();
  await page.getByLabel("API key").fill(process.env["VIEWER_KEY"]!);
  await page.getByRole("button", { name: "Use this key" }).click();
  await expect(page).toHaveURL(`${closed}/operate/overview`);
  await expect(page.locator(".tile[data-state=good]")).toBeVisible();
  await page.goto(`${closed}/movies/2571`);
  await expect(page.getByText("Your role is shown no recommendations")).toBeVisible();
  await page.locator("#content").getByRole("link", { name: "Models" }).click();
  await expect(page).toHaveURL(`${closed}/operate/models`);
  await page.getByRole("link", { name: "Marquee" }).click();
  await expect(page).toHaveURL(`${closed}/operate/overview`);
});

test("what the server refuses of an account is told at the field, in its words", async ({ page, closed }) => {
  await page.goto(closed);
  await page.getByRole("button", { name: "No account yet? Make one" }).click();
  // The browser lets both through: a name that is too long for mail, and four characters of two units each.
  await page.getByLabel("E-mail address").fill(`${"a".repeat(65)}@example.org`);
  await page.getByLabel(/^New password/).fill("correct horse battery");
  await page.getByRole("button", { name: "Make an account" }).click();
  await expect(page.getByLabel("E-mail address")).toHaveAccessibleDescription(/does not take this. It is no address/);
  await expectAccessible(page, { within: ".gate" });
  await page.getByLabel("E-mail address").fill("ada@example.org");
  await page.getByLabel(/^New password/).fill("🍿🍿🍿🍿");
  await page.getByRole("button", { name: "Make an account" }).click();
  await expect(page.getByLabel(/^New password/)).toHaveAccessibleDescription(/does not take this. It has 4/);
  await expect(page.getByLabel("E-mail address")).not.toHaveAttribute("aria-invalid");
});

test("an open server that lets nobody make an account says so", async ({ page, open }) => {
  await page.goto(`${open}/sign-in`);
  await expect(page.getByText("lets nobody make an account")).toBeVisible();
});

test.use({ tolerates: /status of 40/ });
