// Recommends for a stored user, records a rating, and recommends again.
//
//     npm install --prefix client/examples/node
//     node client/examples/node/recommend.js

import { credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const proto = fileURLToPath(new URL("../../../proto", import.meta.url));
const files = ["marquee/v1/recommendation.proto", "marquee/v1/interaction.proto"];
const { marquee } = loadPackageDefinition(loadSync(files, { includeDirs: [proto], keepCase: true }));

const server = process.env.MARQUEE_SERVER ?? "127.0.0.1:50051";
const connect = (Service) => new Service(server, credentials.createInsecure());
const recommender = connect(marquee.v1.RecommendationService);
const interactions = connect(marquee.v1.InteractionService);
const recommend = promisify(recommender.Recommend.bind(recommender));
const record = promisify(interactions.RecordInteraction.bind(interactions));

const request = { user_id: 1, k: 3 };
for (const movie of (await recommend(request)).recommendations) {
  console.log(String(movie.movie_id).padStart(7), movie.title);
}
const time = { seconds: Math.floor(Date.now() / 1000) };
const written = await record({ user_id: 1, movie_id: 2571, rating: 5, time });
const again = await recommend({ ...request, consistency_token: written.consistency_token });
console.log("then:", again.recommendations[0].title);
