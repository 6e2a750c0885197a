// What the console costs to load, in KB of gzip, against its budget: `node scripts/sizes.mjs`. Ends with 1 where it is
// more. What a browser takes over a wire with gzip is what counts; fonts come as they are.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const DIST = join(import.meta.dirname, "../dist");
const BUDGET = { script: 150, first: 230 };

function size(file) {
  const bytes = readFileSync(join(DIST, file));
  return (file.endsWith(".woff2") ? bytes.length : gzipSync(bytes, { level: 9 }).length) / 1024;
}

const page = readFileSync(join(DIST, "index.html"), "utf8");
const named = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((found) => found[1]);
const script = named.filter((file) => file.endsWith(".js")).reduce((sum, file) => sum + size(file), 0);
// Letters beyond Latin-1 are fetched where a title has them.
const fonts = readdirSync(join(DIST, "assets")).filter((file) => file.endsWith(".woff2") && !file.includes("latin-ext"));
const others = named.filter((file) => !file.endsWith(".js")).reduce((sum, file) => sum + size(file), 0);
const first = size("index.html") + script + others + fonts.reduce((sum, file) => sum + size(join("assets", file)), 0);

for (const file of readdirSync(join(DIST, "assets")).sort()) console.log(`${size(join("assets", file)).toFixed(1).padStart(7)} KB  ${file}`);
console.log(`scripts of the first page: ${script.toFixed(1)} KB of ${BUDGET.script}`);
console.log(`first load: ${first.toFixed(1)} KB of ${BUDGET.first}`);
process.exit(script > BUDGET.script || first > BUDGET.first ? 1 : 0);
