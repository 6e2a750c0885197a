// The home page: a pick for tonight, and rows that go on as long as somebody scrolls.

import { useQuery } from "@connectrpc/connect-query";
import { memo, useEffect, useRef } from "react";
import { Link } from "wouter";
import { CatalogService } from "../../api/generated/marquee/v1/catalog_pb.ts";
import { type HomeRow, type Recommendation, RecommendationService, RowKind, Source } from "../../api/generated/marquee/v1/recommendation_pb.ts";
import { useUserId } from "../../api/visitor.tsx";
import { titleOf } from "../../art/title.ts";
import { useActions, useMarks } from "../../components/actions.tsx";
import { HeroBones, Loading, RowBones } from "../../components/bones.tsx";
import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { Art } from "../../components/poster.tsx";
import { Problem } from "../../components/problem.tsx";
import { Row } from "../../components/row.tsx";
import { Stars } from "../../components/stars.tsx";
import { useMessages } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { keyOf, withHero } from "./home-rows.ts";
import { reasonInRow, reasonOf, titleOfRow } from "./reasons.ts";
import { useHome } from "./use-home.ts";

export default function Home() {
  const messages = useMessages();
  useTitle(messages.home.title);
  const { rows, kept, isLoading, isAtEnd, error, more, again } = useHome();
  const { hero, rest } = withHero(rows);
  const reasons = useReasons(rows);
  const isNewcomer = rows.length > 0 && rows[0]!.kind !== RowKind.FOR_YOU && hero?.source !== Source.MODEL;
  return (
    <div className="home">
      <h1 className="unseen">{messages.home.title}</h1>
      {hero === undefined ? error === undefined && <HeroBones /> : <Hero movie={hero} reason={reasons.get(hero.movieId) ?? reasonOf(hero, messages)} />}
      {isNewcomer && <p className="newcomer">{messages.home.newcomer} <Link href="/welcome" className="button">{messages.home.newcomerGo}</Link></p>}
      <p className="unseen" role="status">{kept !== undefined && !isLoading ? messages.home.renewedRows : ""}</p>
      {rest.map((row, place) => (
        <ShownRow key={keyOf(row)} row={row} reasons={reasons} isNew={kept !== undefined && place >= kept} isNext={kept === place} />
      ))}
      {error !== undefined && <div className="page"><Problem error={error} again={again} /></div>}
      {!isAtEnd && error === undefined && <Onward key={rows.length} isLoading={isLoading} more={more} />}
      {isAtEnd && <p className="home-end soft">{messages.home.end} <Link href="/search">{messages.home.endSearch}</Link></p>}
    </div>
  );
}

/** Reasons of one's own for the movies of the model's row, which are asked for once the row is there. */
function useReasons(rows: readonly HomeRow[]): Map<number, string> {
  const userId = useUserId();
  const messages = useMessages();
  const row = rows.find((one) => one.kind === RowKind.FOR_YOU);
  const ids = row?.movies.map((movie) => movie.movieId) ?? [];
  const { data } = useQuery(RecommendationService.method.recommend, {
    subject: { case: "userId", value: userId },
    k: Math.max(ids.length, 1),
    filter: { allowMovieIds: ids },
    excludeSeen: false,
    explain: true,
    explainNewest: 8,
  }, { enabled: ids.length > 0, staleTime: Infinity });
  return new Map(data?.recommendations.filter((movie) => movie.because.length > 0 || movie.similarTo !== undefined).map((movie) => [movie.movieId, reasonOf(movie, messages)]));
}

const ShownRow = memo(function ShownRow({ row, reasons, isNew, isNext }: { row: HomeRow; reasons: Map<number, string>; isNew: boolean; isNext: boolean }) {
  const messages = useMessages();
  const liked = useLiked(row);
  return (
    <Row title={titleOfRow(row, liked, messages)} note={isNext ? messages.home.renewed : undefined}>
      {row.movies.map((movie) => (
        <li key={movie.movieId}>
          <Card movie={movie} isFresh={isNew} reason={reasons.get(movie.movieId) ?? reasonInRow(movie, row, liked, messages)} />
        </li>
      ))}
    </Row>
  );
});

/** The name of the movie that a row is about. The row's own title has it in English. */
function useLiked(row: HomeRow): string | undefined {
  const movieId = row.about.case === "movieId" ? row.about.value : 0;
  const { data } = useQuery(CatalogService.method.getMovie, { movie: { case: "movieId", value: movieId } }, { enabled: movieId !== 0, staleTime: Infinity });
  const said = /^Because you liked (.+)$/.exec(row.title)?.[1];
  const title = data?.movie?.title ?? said;
  return movieId === 0 || title === undefined ? undefined : titleOf(title).name;
}

function Hero({ movie, reason }: { movie: Recommendation; reason: string }) {
  const messages = useMessages();
  const { rate, toggle } = useActions();
  const marks = useMarks(movie.movieId);
  const { name, year } = titleOf(movie.title);
  return (
    <section className="hero" aria-labelledby="hero">
      <Art movie={movie} wide />
      <div className="hero-words">
        <p className="hero-kicker">{messages.home.hero}</p>
        <h2 id="hero"><Link href={`/movies/${movie.movieId}`}>{name}</Link></h2>
        <p>{[movie.year ?? year, ...movie.genres.map((genre) => messages.genre[genre] ?? genre)].filter(Boolean).join(" · ")}</p>
        <p className="hero-reason">{reason}</p>
        <div className="hero-actions">
          <Stars name={name} value={marks.rating?.stars} rate={(stars) => void rate(movie, stars)} />
          <button type="button" className="glass" aria-pressed={marks.watchlist !== undefined} onClick={() => void toggle(movie, "watchlist")}><Icon name="watchlist" filled={marks.watchlist !== undefined} /> {messages.act.watchlist}</button>
          <button type="button" className="glass" aria-pressed={marks.hide !== undefined} onClick={() => void toggle(movie, "hide")}><Icon name="hide" /> {messages.act.hide}</button>
          <Link href={`/movies/${movie.movieId}`} className="glass">{messages.home.details}</Link>
        </div>
      </div>
    </section>
  );
}

/** Asks for more once somebody is about to see the end. What will come has its place already. */
function Onward({ isLoading, more }: { isLoading: boolean; more: () => void }) {
  const mark = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const seen = mark.current;
    if (seen === null || isLoading) return undefined;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting) more();
    }, { rootMargin: "900px" });
    observer.observe(seen);
    return () => observer.disconnect();
  }, [isLoading, more]);
  return (
    <div ref={mark}>
      {isLoading && <Loading />}
      <RowBones />
      <RowBones />
    </div>
  );
}
