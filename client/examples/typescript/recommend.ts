// Recommends for a stored user, records a rating, and recommends again.
//
//     client/packages/build
//     cd client/examples/typescript && npm install && npm start

import { InteractionServiceDefinition } from "marquee-client/v1/interaction";
import { RecommendationServiceDefinition } from "marquee-client/v1/recommendation";
import { createChannel, createClient } from "nice-grpc";

const channel = createChannel(process.env.MARQUEE_SERVER ?? "127.0.0.1:50051");
const recommender = createClient(RecommendationServiceDefinition, channel);
const interactions = createClient(InteractionServiceDefinition, channel);
const options = { signal: AbortSignal.timeout(10_000) };

const request = { userId: 1n, k: 3 };
for (const movie of (await recommender.recommend(request, options)).recommendations) {
  console.log(String(movie.movieId).padStart(7), movie.title);
}
const rating = { userId: 1n, movieId: 2571, rating: 5, time: new Date() };
const written = await interactions.recordInteraction(rating, options);
const again = await recommender.recommend(
  { ...request, consistencyToken: written.consistencyToken },
  options,
);
console.log("then:", again.recommendations[0].title);
channel.close();
