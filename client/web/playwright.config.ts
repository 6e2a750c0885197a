// The console in Chromium, over real servers with the bundled model: `npx playwright test`.
//
// MARQUEE_SERVER_PROGRAM names the server, CHROMIUM the browser. With MARQUEE_SCREENSHOTS, a folder, pictures of every
// page are left there.
import { defineConfig, devices } from "@playwright/test";

export default defineConfig({
  testDir: "e2e",
  globalSetup: "./e2e/servers.ts",
  fullyParallel: true,
  workers: 2,
  retries: 0,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  outputDir: "test-results",
  use: {
    launchOptions: { executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"] },
    contextOptions: { reducedMotion: "reduce" },
    colorScheme: "dark",
    locale: "en",
    serviceWorkers: "block",
  },
  projects: [
    { name: "desktop", use: { viewport: { width: 1280, height: 860 } } },
    { name: "phone", use: { ...devices["iPhone 13"], defaultBrowserType: "chromium" }, grep: /@phone/ },
  ],
});
