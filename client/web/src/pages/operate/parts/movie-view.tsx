// A movie as the catalogue has it, and what is like it.

import { Code } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { Link } from "wouter";
import { CatalogService } from "../../../api/generated/marquee/v1/catalog_pb.ts";
import { RecommendationService, SimilarityBasis } from "../../../api/generated/marquee/v1/recommendation_pb.ts";
import { hasCode } from "../../../api/problem.ts";
import { titleOf } from "../../../art/title.ts";
import { LineBones } from "../../../components/bones.tsx";
import { Poster } from "../../../components/poster.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useFormats, useMessages, useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/catalogue.ts";
import { Copy } from "./copy.tsx";
import { Facts } from "./facts.tsx";
import { useFigures } from "./figures.ts";
import { MovieFinder } from "./movie-finder.tsx";
import { placeOf } from "./places.ts";

const BASES = [SimilarityBasis.BLEND, SimilarityBasis.MODEL, SimilarityBasis.CONTENT];

function idOf(asked: string | null): number | undefined {
  return asked !== null && /^[0-9]{1,9}$/.test(asked) && Number(asked) > 0 ? Number(asked) : undefined;
}

export function MovieView({ asked, open }: { asked: string | null; open: (movie: string) => void }) {
  const { movie: words } = useOwn(WORDS);
  const movieId = idOf(asked);
  return (
    <>
      <div className="line-form">
        <div className="field-wide"><MovieFinder label={words.find} choose={({ movieId: id }) => open(String(id))} byId={(id) => open(String(id))} /></div>
      </div>
      {movieId === undefined ? <p className="lead">{asked === null ? words.start : words.unknown}</p> : <Movie key={movieId} movieId={movieId} />}
      <section>
        <p className="soft">{words.import}</p>
        <Copy name="marquee" text={`marquee --server ${window.location.origin} catalog import-movies < movies.jsonl`} />
      </section>
    </>
  );
}

function Movie({ movieId }: { movieId: number }) {
  const { movie: words } = useOwn(WORDS);
  const messages = useMessages();
  const { stars } = useFormats();
  const { number } = useFigures();
  const { data, error, refetch } = useQuery(CatalogService.method.getMovie, { movie: { case: "movieId", value: movieId } }, { retry: false });
  if (hasCode(error, Code.NotFound)) return <p className="lead">{words.unknown}</p>;
  if (error !== null) return <Problem error={error} again={() => void refetch()} />;
  const movie = data?.movie;
  if (movie === undefined) return <LineBones lines={6} />;
  const { name, year } = titleOf(movie.title);
  return (
    <>
      <section className="panel movie-facts" aria-label={name}>
        <div className="movie-poster"><Poster movie={movie} /></div>
        <div>
          <h2><Link href={`/movies/${movieId}`}>{name}</Link></h2>
          <Facts facts={[
            [words.id, <span key="id" className="numbers">{movieId}</span>],
            [words.year, year ?? movie.year],
            [words.genres, movie.genres.map((genre) => messages.genre[genre] ?? genre).join(", ")],
            [words.average, movie.averageRating === undefined ? undefined : `★ ${stars(movie.averageRating)}`],
            [words.ratings, number(movie.ratings)],
            [words.imdb, movie.imdbId],
            [words.tmdb, movie.tmdbId === undefined ? undefined : String(movie.tmdbId)],
            [words.tags, movie.tags.join(", ")],
          ]} />
        </div>
      </section>
      <Similar movieId={movieId} />
    </>
  );
}

function Similar({ movieId }: { movieId: number }) {
  const { movie: words } = useOwn(WORDS);
  const { fixed } = useFigures();
  const [basis, setBasis] = useState<SimilarityBasis>(SimilarityBasis.BLEND);
  const { data, error, refetch } = useQuery(RecommendationService.method.similarMovies, { movie: { case: "movieId", value: movieId }, k: 20, basis }, { placeholderData: (before) => before });
  return (
    <section aria-labelledby="similar">
      <header className="section-head">
        <h2 id="similar">{words.similar}</h2>
        <fieldset className="chips">
          <legend className="unseen">{words.basis}</legend>
          {BASES.map((one) => <button key={one} type="button" className="chip" aria-pressed={one === basis} onClick={() => setBasis(one)}>{words.bases[one]}</button>)}
        </fieldset>
      </header>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={8} />}
      {data?.movies.length === 0 && <p className="soft">{words.none}</p>}
      <ol className="plain-list columns">
        {data?.movies.map((movie) => (
          <li key={movie.movieId}><span className="list-line"><Link href={placeOf({ movie: String(movie.movieId) })}>{titleOf(movie.title).name}</Link> <span className="soft small numbers"><span className="unseen">{words.score} </span>{fixed(movie.score)}</span></span></li>
        ))}
      </ol>
    </section>
  );
}
