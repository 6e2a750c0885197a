// A movie's poster: drawn from its id, its genres and its title, since there are no images.

import { memo, useMemo } from "react";
import { COMPOSITIONS, type Shape, shapesOf } from "../art/motif.ts";
import { paletteOf } from "../art/palette.ts";
import { randomOf } from "../art/random.ts";
import { sizeOf, titleOf } from "../art/title.ts";
import { useMessages } from "../i18n/index.tsx";

/** What a poster is drawn from; every message of the API that is a movie fits. */
export interface Pictured {
  movieId: number;
  title: string;
  genres: readonly string[];
  year?: number | undefined;
}

/** The picture without a word on it. */
export const Art = memo(function Art({ movie, wide = false }: { movie: Pictured; wide?: boolean }) {
  const { movieId, genres } = movie;
  const key = genres.join("|");
  const shapes = useMemo(() => {
    const random = randomOf(movieId);
    const place = Math.floor(random() * COMPOSITIONS);
    const palette = paletteOf(key === "" ? [] : key.split("|"), random);
    return shapesOf(place, palette, random);
  }, [movieId, key]);
  return (
    <svg className="art" viewBox={wide ? "0 20 200 200" : "0 0 200 300"} preserveAspectRatio="xMidYMid slice" aria-hidden="true">
      {shapes.map(drawn)}
    </svg>
  );
});

function drawn({ as: Element, ...attributes }: Shape, at: number) {
  // Shapes never move among each other.
  return <Element key={`${at}`} {...attributes} />;
}

/** The poster: picture, title, year. What it says is said again in words that all can read, so it is hidden from them. */
export const Poster = memo(function Poster({ movie }: { movie: Pictured }) {
  const messages = useMessages();
  const { name, year } = titleOf(movie.title);
  const genres = movie.genres.map((genre) => messages.genre[genre] ?? genre).slice(0, 2);
  return (
    <div className="poster" aria-hidden="true">
      <Art movie={movie} />
      <div className="poster-words">
        <span className="poster-title" data-size={sizeOf(name)}>{name}</span>
        <span className="poster-facts">{[movie.year ?? year, ...genres].filter(Boolean).join("  ")}</span>
      </div>
    </div>
  );
});
