// One movie: what is known of it, why it is there for whoever watches, and what is like it.

import { Code } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import { Link } from "wouter";
import { CatalogService } from "../../api/generated/marquee/v1/catalog_pb.ts";
import type { Movie } from "../../api/generated/marquee/v1/common_pb.ts";
import { type ExplainRecommendationResponse, Obstacle, RecommendationService } from "../../api/generated/marquee/v1/recommendation_pb.ts";
import type { Kind } from "../../api/marks.ts";
import { hasCode } from "../../api/problem.ts";
import { useUserId } from "../../api/visitor.tsx";
import { titleOf } from "../../art/title.ts";
import { useActions, useMarks } from "../../components/actions.tsx";
import { Bars } from "../../components/bars.tsx";
import { LineBones, Loading, RowBones } from "../../components/bones.tsx";
import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { Art, Poster } from "../../components/poster.tsx";
import { Problem } from "../../components/problem.tsx";
import { Row } from "../../components/row.tsx";
import { Stars } from "../../components/stars.tsx";
import type { Messages } from "../../i18n/en.ts";
import { useFormats, useMessages } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { useHistoryMarks } from "./use-history-marks.ts";

const SIMILAR = 18;
const ACTIONS: readonly Exclude<Kind, "rating">[] = ["like", "watchlist", "view", "dislike", "hide"];

/** An id in an address; 0, which no movie has, for what is none. */
function movieIdOf(text: string): number {
  return /^[1-9][0-9]{0,9}$/.test(text) && Number(text) <= 4_294_967_295 ? Number(text) : 0;
}

export default function MoviePage({ id }: { id: string }) {
  const messages = useMessages();
  const movieId = movieIdOf(id);
  const { data, error, refetch } = useQuery(CatalogService.method.getMovie, { movie: { case: "movieId", value: movieId } }, { enabled: movieId !== 0, staleTime: 5 * 60_000 });
  if (movieId === 0 || hasCode(error, Code.NotFound)) return <NoSuch />;
  if (data?.movie !== undefined) return <Shown movie={data.movie} />;
  if (error !== null) return <div className="page"><Problem error={error} again={() => void refetch()} /></div>;
  return (
    <div className="page movie-bones">
      <Loading />
      <div className="bone bone-poster" aria-hidden="true" />
      <LineBones lines={6} />
      <p className="unseen">{messages.movie.facts}</p>
    </div>
  );
}

function NoSuch() {
  const messages = useMessages();
  useTitle(messages.movie.noSuch);
  return (
    <div className="page lost">
      <h1>{messages.movie.noSuch}</h1>
      <p><Link className="button" href="/search">{messages.nav.search}</Link></p>
    </div>
  );
}

function Shown({ movie }: { movie: Movie }) {
  const messages = useMessages();
  const { name, year } = titleOf(movie.title);
  useTitle(name);
  return (
    <article className="movie">
      <header className="movie-head">
        <Art movie={movie} wide />
        <div className="movie-head-body">
          <div className="movie-poster"><Poster movie={movie} /></div>
          <div className="movie-words">
            <h1>{name}</h1>
            {movie.title !== name && <p className="movie-title">{movie.title}</p>}
            <p>{[movie.year ?? year, ...movie.genres.map((genre) => messages.genre[genre] ?? genre)].filter(Boolean).join(" · ")}</p>
            <MovieActions movie={movie} />
          </div>
        </div>
      </header>
      <div className="movie-body">
        <Why movie={movie} />
        <Facts movie={movie} />
      </div>
      <Similar movie={movie} />
    </article>
  );
}

function MovieActions({ movie }: { movie: Movie }) {
  const messages = useMessages();
  const { rate, toggle } = useActions();
  useHistoryMarks();
  const marks = useMarks(movie.movieId);
  const { name } = titleOf(movie.title);
  return (
    <div className="hero-actions">
      <Stars name={name} value={marks.rating?.stars} rate={(stars) => void rate(movie, stars)} />
      {ACTIONS.map((kind) => (
        <button key={kind} type="button" className="glass" aria-pressed={marks[kind] !== undefined} onClick={() => void toggle(movie, kind)}>
          <Icon name={kind} filled={marks[kind] !== undefined && kind !== "hide" && kind !== "view"} /> {messages.act[kind]}
        </button>
      ))}
    </div>
  );
}

function Facts({ movie }: { movie: Movie }) {
  const messages = useMessages();
  const { stars, number } = useFormats();
  const year = movie.year ?? titleOf(movie.title).year;
  return (
    <section className="panel" aria-labelledby="facts">
      <h2 id="facts">{messages.movie.facts}</h2>
      <dl className="facts">
        {year !== undefined && <div><dt>{messages.movie.year}</dt><dd><Link href={`/search?from=${year}&to=${year}`}>{year}</Link></dd></div>}
        {movie.genres.length > 0 && (
          <div>
            <dt>{messages.movie.genres}</dt>
            <dd className="facts-links">{movie.genres.map((genre) => <Link key={genre} href={`/search?${new URLSearchParams({ any: genre })}`}>{messages.genre[genre] ?? genre}</Link>)}</dd>
          </div>
        )}
        <div>
          <dt>{messages.movie.average}</dt>
          <dd>{movie.averageRating === undefined ? messages.movie.unrated : messages.movie.averageOf(stars(movie.averageRating), number(movie.ratings))}</dd>
        </div>
        {movie.tags.length > 0 && (
          <div>
            <dt>{messages.movie.tags}</dt>
            <dd className="facts-links">{movie.tags.map((tag) => <Link key={tag} className="tag" href={`/search?${new URLSearchParams({ tags: tag })}`}>{tag}</Link>)}</dd>
          </div>
        )}
        {(movie.imdbId !== undefined || movie.tmdbId !== undefined) && (
          <div>
            <dt>{messages.movie.elsewhere}</dt>
            <dd className="facts-links">
              {movie.imdbId !== undefined && /^tt[0-9]+$/.test(movie.imdbId) && <a href={`https://www.imdb.com/title/${movie.imdbId}/`} rel="noreferrer" target="_blank">IMDb</a>}
              {movie.tmdbId !== undefined && <a href={`https://www.themoviedb.org/movie/${movie.tmdbId}`} rel="noreferrer" target="_blank">TMDB</a>}
            </dd>
          </div>
        )}
      </dl>
    </section>
  );
}

function Why({ movie }: { movie: Movie }) {
  const messages = useMessages();
  const userId = useUserId();
  const { marks } = useActions();
  const { data, error, refetch } = useQuery(RecommendationService.method.explainRecommendation, {
    subject: { case: "userId", value: userId },
    movie: { case: "movieId", value: movie.movieId },
    consistencyToken: marks.token,
  }, { meta: { ofUser: true }, staleTime: 60_000, placeholderData: (before) => before });
  return (
    <section className="panel why" aria-labelledby="why">
      <h2 id="why">{messages.movie.why}</h2>
      {error !== null && data === undefined && (hasCode(error, Code.NotFound) ? <p>{messages.movie.whyNothing}</p> : <Problem error={error} again={() => void refetch()} />)}
      {data === undefined ? error === null && <LineBones lines={4} /> : <Explained found={data} />}
    </section>
  );
}

function Explained({ found }: { found: ExplainRecommendationResponse }) {
  const messages = useMessages();
  const { movie } = messages;
  const isKnown = found.because.length > 0 || found.similarTo !== undefined || found.rank !== undefined;
  return (
    <>
      {found.rank !== undefined && <p className="why-rank">{movie.whyAnswered(found.rank, found.others)}</p>}
      {!isKnown && <p>{movie.whyNothing}</p>}
      {found.because.length > 0 && (
        <>
          <h3>{movie.whyBecause}</h3>
          <Bars bars={found.because.map(({ movieId, title, scoreDrop, rankDrop }) => ({
            name: titleOf(title).name, value: scoreDrop, text: movie.whyDrop(rankDrop), href: `/movies/${movieId}`,
          }))} />
        </>
      )}
      {found.similarTo !== undefined && found.similarTo.title !== "" && <p>{movie.whySimilar(titleOf(found.similarTo.title).name)}</p>}
      {found.whyNot.length > 0 && (
        <>
          <h3>{movie.whyNot}</h3>
          <ul className="dots">{found.whyNot.map((one) => <li key={`${one.obstacle} ${one.field}`}>{obstacleOf(one.obstacle, messages) ?? one.description}</li>)}</ul>
        </>
      )}
    </>
  );
}

function obstacleOf(obstacle: Obstacle, { movie: { obstacles } }: Messages): string | undefined {
  switch (obstacle) {
    case Obstacle.UNKNOWN_TO_MODEL:
      return obstacles.model;
    case Obstacle.NOT_IN_CATALOGUE:
      return obstacles.catalogue;
    case Obstacle.FILTER:
      return obstacles.filter;
    case Obstacle.SEEN:
      return obstacles.seen;
    case Obstacle.RANK:
      return obstacles.rank;
    case Obstacle.RULE:
      return obstacles.rule;
    default:
      return undefined;
  }
}

function Similar({ movie }: { movie: Movie }) {
  const messages = useMessages();
  const { data, error, refetch } = useQuery(RecommendationService.method.similarMovies, { movie: { case: "movieId", value: movie.movieId }, k: SIMILAR }, { staleTime: 5 * 60_000 });
  if (error !== null) return <div className="page"><Problem error={error} again={() => void refetch()} /></div>;
  if (data === undefined) return <RowBones />;
  if (data.movies.length === 0) return <p className="page soft">{messages.movie.similarNone}</p>;
  return (
    <Row title={messages.movie.similar}>
      {data.movies.map((similar) => (
        <li key={similar.movieId}><Card movie={similar} reason={messages.reason.like(titleOf(movie.title).name)} /></li>
      ))}
    </Row>
  );
}
