// A server for the tests of one file, on a free port, with the sample that it is shipped with.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Starts the program that MARQUEE_SERVER_PROGRAM names; its address, and how it is ended. */
export async function startServer() {
  const folder = await mkdtemp(join(tmpdir(), "marquee-web-"));
  const server = spawn(process.env.MARQUEE_SERVER_PROGRAM, ["serve", "--listen", "127.0.0.1:0"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => server.once("exit", resolve));
  const address = await addressIn(server.stdout);
  if (address === undefined) throw new Error(`the server ended with ${await ended}`);
  return {
    address,
    async stop() {
      server.kill();
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

async function addressIn(output) {
  for await (const line of createInterface(output)) {
    const address = /listens on (http:\/\/[0-9.:]+)/.exec(line)?.[1];
    if (address !== undefined) {
      output.resume();
      return address;
    }
  }
}
