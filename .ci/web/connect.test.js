// The server as Connect's own client for Node.js finds it, over both versions of HTTP and in both formats.
//
// The services come from a set of descriptors that was made of the protos (MARQUEE_DESCRIPTORS), so nothing is
// generated.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { startServer } from "./server.js";

const set = fromBinary(FileDescriptorSetSchema, readFileSync(process.env.MARQUEE_DESCRIPTORS));
const registry = createFileRegistry(set);
const service = (name) => registry.getService(`marquee.v1.${name}`);
const ErrorInfo = registry.getMessage("google.rpc.ErrorInfo");
const BadRequest = registry.getMessage("google.rpc.BadRequest");

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

/** The error that a call ends with. */
async function failure(call) {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    return error;
  }
  assert.fail("the call succeeds");
}

/** The first replies of a stream, which is given up afterwards. */
async function first(count, replies) {
  const found = [];
  for await (const reply of replies) {
    found.push(reply);
    if (found.length === count) break;
  }
  return found;
}

const user = (id) => ({ case: "userId", value: id });
const movie = (id) => ({ case: "movieId", value: id });
const reasonOf = (error) => error.findDetails(ErrorInfo)[0]?.reason;

for (const httpVersion of ["1.1", "2"]) {
  for (const useBinaryFormat of [false, true]) {
    const options = () => ({ baseUrl: server.address, httpVersion, useBinaryFormat });
    const client = (name, more = {}) =>
      createClient(service(name), createConnectTransport({ ...options(), ...more }));

    describe(`HTTP/${httpVersion}, ${useBinaryFormat ? "Protobuf" : "JSON"}`, () => {
      test("a call is answered", async () => {
        const reply = await client("CatalogService").getMovie({ movie: movie(1) });
        assert.equal(reply.movie.title, "Toy Story (1995)");
        const { recommendations } = await client("RecommendationService").recommend({ subject: user(1n), k: 3 });
        assert.equal(recommendations.length, 3);
      });

      test("a long reply comes in gzip", async () => {
        let encoding;
        const { movies } = await client("CatalogService").searchMovies(
          { query: "the", limit: 100 },
          { onHeader: (headers) => (encoding = headers.get("content-encoding")) },
        );
        assert.equal(movies.length, 100);
        assert.equal(encoding, "gzip");
      });

      test("an error has its code, its details and the fields that are wrong", async () => {
        const request = { subject: user(1n), k: 501 };
        const error = await failure(client("RecommendationService").recommend(request));
        assert.equal(error.code, Code.InvalidArgument);
        assert.equal(reasonOf(error), "INVALID_FIELD");
        assert.equal(error.findDetails(BadRequest)[0].fieldViolations[0].field, "k");
        const unknown = await failure(client("CatalogService").getMovie({ movie: movie(4_000_000_000) }));
        assert.deepEqual([unknown.code, reasonOf(unknown)], [Code.NotFound, "UNKNOWN_MOVIE"]);
      });

      test("what changes nothing is called by GET too, but for what is shown to people", async () => {
        const useHttpGet = true;
        const reply = await client("CatalogService", { useHttpGet }).getMovie({ movie: movie(1) });
        assert.equal(reply.movie.title, "Toy Story (1995)");
        const request = { subject: user(1n) };
        const error = await failure(client("RecommendationService", { useHttpGet }).recommend(request));
        assert.match(error.message, /takes POST/);
      });

      test("a deadline ends a call, by the server and by the client", async () => {
        const headers = { "connect-timeout-ms": "0" };
        const late = await failure(client("CatalogService").listGenres({}, { headers }));
        assert.equal(late.code, Code.DeadlineExceeded);
        const replies = client("InteractionService").watchInteractions({}, { timeoutMs: 500 });
        assert.equal((await failure(first(1, replies))).code, Code.DeadlineExceeded);
      });

      test("a stream gives what is recorded, by Connect's protocol and by gRPC-web", async () => {
        const interactions = client("InteractionService");
        for (const id of [1, 2]) {
          await interactions.recordInteraction({ user: user(7_000_000n), movie: movie(id), rating: 4.5 });
        }
        const grpcWeb = createGrpcWebTransport({ ...options(), useBinaryFormat: true });
        const ofGrpcWeb = createClient(service("InteractionService"), grpcWeb);
        for (const watcher of [interactions, ofGrpcWeb]) {
          const [one, two] = await first(2, watcher.watchInteractions({ after: "0-0" }));
          assert.deepEqual([one.interaction.movie, two.interaction.movie], [movie(1), movie(2)]);
          const [next] = await first(1, watcher.watchInteractions({ after: one.position }));
          assert.equal(next.position, two.position);
        }
      });

      test("a stream that fails says why", async () => {
        const replies = client("InteractionService").watchInteractions({ after: "yesterday" });
        const error = await failure(first(1, replies));
        assert.deepEqual([error.code, reasonOf(error)], [Code.InvalidArgument, "INVALID_FIELD"]);
      });
    });
  }
}
