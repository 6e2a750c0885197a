// Titles of movies that only their ids are known of. Each is asked for once.

import { createQueryOptions, useTransport } from "@connectrpc/connect-query";
import { useQueries } from "@tanstack/react-query";
import { CatalogService } from "../../../api/generated/marquee/v1/catalog_pb.ts";

export function useTitles(movieIds: readonly number[]): ReadonlyMap<number, string> {
  const transport = useTransport();
  return useQueries({
    queries: [...new Set(movieIds)].map((movieId) => Object.assign(
      createQueryOptions(CatalogService.method.getMovie, { movie: { case: "movieId", value: movieId } }, { transport }),
      { staleTime: Infinity, retry: false },
    )),
    combine: (found) => new Map(found.flatMap(({ data }) => (data?.movie === undefined ? [] : [[data.movie.movieId, data.movie.title] as const]))),
  });
}
