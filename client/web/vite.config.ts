import react from "@vitejs/plugin-react";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds the API. */
const server = process.env["MARQUEE_SERVER"] ?? "http://127.0.0.1:50051";

/** Licences that Vite does not find: those of the letters, and the text of one that packages name without having it. */
const OTHER_LICENCES = {
  "Oswald": "node_modules/@fontsource-variable/oswald/LICENSE",
  "Limelight": "node_modules/@fontsource/limelight/LICENSE",
  "Apache License 2.0, of the packages of @bufbuild and @connectrpc": "../../LICENSE-APACHE",
};

function otherLicences(): Plugin {
  return {
    name: "other-licences",
    generateBundle() {
      const texts = Object.entries(OTHER_LICENCES).map(([name, file]) => `## ${name}\n\n${readFileSync(file, "utf8").trim()}\n`);
      this.emitFile({ type: "asset", fileName: "licences-others.txt", source: texts.join("\n") });
    },
  };
}

export default defineConfig({
  plugins: [react(), otherLicences()],
  build: {
    // Nothing stands in the page itself, which the server's policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    license: { fileName: "licences.txt" },
    // Two files for what every page needs, and not one for each pair of pages that has something in common.
    rolldownOptions: {
      checks: { pluginTimings: false },
      output: {
        codeSplitting: {
          groups: [
            { name: "libraries", test: /node_modules\/(react|react-dom|scheduler|@tanstack|@connectrpc|@bufbuild|wouter|regexparam|use-sync-external-store)\// },
            { name: "common", test: /src\/(components|art|api\/[a-z-]+\.tsx?|i18n\/(en|index)|keys)/ },
          ],
        },
      },
    },
  },
  server: {
    proxy: {
      "^/(marquee|grpc)\\.": { target: server },
      "^/(v1|docs|openapi\\.json|console\\.json)": { target: server },
    },
  },
  test: { include: ["test/**/*.test.{ts,tsx}"] },
});
