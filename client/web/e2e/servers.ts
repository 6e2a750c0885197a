// The servers that the tests call: one that asks nobody who they are, one that does, and one with a hostile catalogue.
// Each has a folder of its own, and the first two the sample and the model that come with the program.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { HOSTILE_TAG, HOSTILE_TITLES } from "./hostile.ts";

const PROGRAM = process.env["MARQUEE_SERVER_PROGRAM"] ?? "marquee-server";

interface Server {
  address: string;
  stop: () => Promise<void>;
}

async function start(folder: string, options: readonly string[]): Promise<Server> {
  const server = spawn(PROGRAM, ["serve", "--listen", "127.0.0.1:0", ...options], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const complaints: string[] = [];
  server.stderr.on("data", (text) => complaints.push(String(text)));
  const ended = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  const stop = async () => {
    server.kill();
    await ended;
  };
  for await (const line of createInterface(server.stdout)) {
    const address = /^console (http:\/\/[0-9.:]+)\/$/.exec(line)?.[1];
    if (address !== undefined) {
      server.stdout.resume();
      return { address, stop };
    }
  }
  throw new Error(`the server ended: ${complaints.join("").slice(-2_000)}`);
}

/** A MovieLens folder whose titles and tags are what somebody would like a page to run. */
function writeHostile(folder: string): string {
  const data = join(folder, "hostile");
  mkdirSync(data);
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const movies = HOSTILE_TITLES.map((title, at) => `${at + 1},${quoted(title)},${quoted(`Drama|${title.slice(0, 90).replaceAll("|", "")}`)}`);
  writeFileSync(join(data, "movies.csv"), `movieId,title,genres\n${movies.join("\n")}\n`);
  writeFileSync(join(data, "ratings.csv"), `userId,movieId,rating,timestamp\n${HOSTILE_TITLES.map((_, at) => `1,${at + 1},4.0,${1_500_000_000 + at}`).join("\n")}\n`);
  writeFileSync(join(data, "tags.csv"), `userId,movieId,tag,timestamp\n${HOSTILE_TITLES.map((_, at) => `1,${at + 1},${quoted(HOSTILE_TAG)},1500000000`).join("\n")}\n`);
  writeFileSync(join(data, "links.csv"), `movieId,imdbId,tmdbId\n${HOSTILE_TITLES.map((_, at) => `${at + 1},0114709,862`).join("\n")}\n`);
  return data;
}

/** A key of the role, made before its server holds the store. */
function keyOf(folder: string, role: string): string {
  const told = execFileSync(PROGRAM, ["access", "create-key", `console-${role}`, "--role", role], { cwd: folder, encoding: "utf8" });
  const key = /mq_[A-Za-z0-9_-]+/.exec(told)?.[0];
  if (key === undefined) throw new Error(`no key in ${told}`);
  return key;
}

export default async function setup(): Promise<() => Promise<void>> {
  const folders = ["open", "closed", "hostile"].map((name) => mkdtempSync(join(tmpdir(), `marquee-console-${name}-`)));
  const [openFolder, closedFolder, hostileFolder] = folders as [string, string, string];
  execFileSync(PROGRAM, ["import", writeHostile(hostileFolder)], { cwd: hostileFolder, stdio: "ignore" });
  process.env["VIEWER_KEY"] = keyOf(closedFolder, "viewer");
  process.env["OPERATOR_KEY"] = keyOf(closedFolder, "operator");
  process.env["ADMIN_KEY"] = keyOf(closedFolder, "admin");
  const servers = await Promise.all([
    start(openFolder, ["--sign-up", "off"]),
    start(closedFolder, ["--auth", "on", "--sign-up", "on"]),
    start(hostileFolder, []),
  ]);
  const [open, closed, hostile] = servers as [Server, Server, Server];
  Object.assign(process.env, { OPEN: open.address, CLOSED: closed.address, HOSTILE: hostile.address });
  return async () => {
    await Promise.all(servers.map(({ stop }) => stop()));
    for (const folder of folders) rmSync(folder, { recursive: true });
  };
}
