// Whoever is watching: their taste, their history, their preferences, and their data, to take along or to remove.

import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { CatalogService } from "../../api/generated/marquee/v1/catalog_pb.ts";
import { type GetUserStatsResponse, UserService } from "../../api/generated/marquee/v1/user_pb.ts";
import { hasCode, wordsFor } from "../../api/problem.ts";
import { useCalls, useUserId, useVisitor } from "../../api/visitor.tsx";
import { titleOf } from "../../art/title.ts";
import { Bars } from "../../components/bars.tsx";
import { LineBones } from "../../components/bones.tsx";
import { GenreChips } from "../../components/genre-chips.tsx";
import { Icon } from "../../components/icons.tsx";
import { Problem } from "../../components/problem.tsx";
import { useToasts } from "../../components/toasts.tsx";
import { useFormats, useMessages } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { DeleteMe } from "./delete-me.tsx";
import { History, useHistory } from "./history.tsx";
import { Password } from "./password.tsx";
import { decadesOf } from "./taste.ts";

/** How many movies preferences name at most, which a search finds at once. */
const MOST_TOLD = 100;

export default function Me() {
  const messages = useMessages();
  const { visitor } = useVisitor();
  const userId = useUserId();
  useTitle(messages.me.title);
  const user = { case: "userId", value: userId } as const;
  const found = useQuery(UserService.method.getUser, { user }, { meta: { ofUser: true } });
  const stats = useQuery(UserService.method.getUserStats, { user }, { meta: { ofUser: true } });
  const isUnknown = hasCode(found.error, Code.NotFound);
  const since = found.data?.user?.createTime;
  const { date, stars } = useFormats();
  const failed = isUnknown ? null : (found.error ?? (hasCode(stats.error, Code.NotFound) ? null : stats.error));
  return (
    <div className="page me">
      <header className="me-head">
        <h1>{visitor.who?.account?.email ?? messages.nav.watching(userId.toString())}</h1>
        <p className="soft">
          {[
            since && messages.me.since(date(timestampDate(since))),
            stats.data && messages.me.counts(stats.data.interactions, stats.data.ratings),
            stats.data?.averageRating !== undefined && messages.me.average(stars(stats.data.averageRating)),
          ].filter(Boolean).join(" · ") || " "}
        </p>
      </header>
      {failed !== null && <Problem error={failed} again={() => {
        void found.refetch();
        void stats.refetch();
      }} />}
      {(isUnknown || stats.data?.interactions === 0) && <p className="lead">{messages.me.nothing} <Link href="/welcome" className="button">{messages.me.again}</Link></p>}
      <Taste stats={stats.data} isUnknown={isUnknown} />
      {!isUnknown && <History />}
      <Preferences key={JSON.stringify(found.data?.user?.preferences)} genres={found.data?.user?.preferences?.genres ?? []} movieIds={found.data?.user?.preferences?.movieIds ?? []} />
      {visitor.who?.account !== undefined && <Password />}
      <Own isKnown={found.data !== undefined} />
    </div>
  );
}

function Taste({ stats, isUnknown }: { stats: GetUserStatsResponse | undefined; isUnknown: boolean }) {
  const messages = useMessages();
  const { entries } = useHistory();
  if (isUnknown || stats?.interactions === 0) return null;
  const decades = decadesOf(entries);
  return (
    <section className="taste" aria-labelledby="taste">
      <h2 id="taste">{messages.me.taste}</h2>
      <div className="taste-charts">
        <div className="panel">
          <h3>{messages.me.byGenre}</h3>
          {stats === undefined ? <LineBones lines={6} /> : <Bars bars={stats.genres.map(({ genre, movies }) => ({ name: messages.genre[genre] ?? genre, value: movies, text: `${movies}`, href: `/search?${new URLSearchParams({ any: genre })}` }))} />}
        </div>
        <div className="panel">
          <h3>{messages.me.byDecade}</h3>
          <Bars bars={decades.map(({ decade, movies }) => ({ name: messages.me.decade(decade), value: movies, text: `${movies}`, href: `/search?from=${decade}&to=${decade + 9}` }))} />
          {entries.length > 0 && <p className="soft small">{messages.me.decadeOf(entries.length)}</p>}
        </div>
      </div>
    </section>
  );
}

function Preferences({ genres: known, movieIds: told }: { genres: readonly string[]; movieIds: readonly number[] }) {
  const messages = useMessages();
  const toasts = useToasts();
  const userId = useUserId();
  const queries = useQueryClient();
  const [genres, setGenres] = useState(known);
  const [movieIds, setMovieIds] = useState(told);
  const { mutate, isPending, error } = useMutation(UserService.method.setPreferences);
  const toggle = (genre: string) => setGenres((now) => (now.includes(genre) ? now.filter((one) => one !== genre) : [...now, genre]));
  return (
    <section aria-labelledby="preferences">
      <h2 id="preferences">{messages.me.preferences}</h2>
      <p className="soft">{messages.me.preferencesLead}</p>
      <GenreChips label={messages.me.preferences} chosen={genres} toggle={toggle} />
      {movieIds.length > 0 && <ToldMovies movieIds={movieIds} remove={(movieId) => setMovieIds((now) => now.filter((one) => one !== movieId))} />}
      {error !== null && <Problem error={error} />}
      <div className="form-buttons">
        <button type="button" className="button" disabled={isPending} onClick={() => mutate(
          { user: { case: "userId", value: userId }, preferences: { genres: [...genres], movieIds: [...movieIds] } },
          {
            onSuccess: () => {
              toasts.show(messages.me.saved);
              void queries.invalidateQueries({ predicate: (query) => query.meta?.["ofUser"] === true });
            },
          },
        )}>{messages.me.save}</button>
        <Link href="/welcome" className="button-plain">{messages.me.again}</Link>
      </div>
    </section>
  );
}

/** The movies that somebody said they like, such as those chosen at the beginning. */
function ToldMovies({ movieIds, remove }: { movieIds: readonly number[]; remove: (movieId: number) => void }) {
  const messages = useMessages();
  const { data } = useQuery(CatalogService.method.searchMovies, { filter: { allowMovieIds: [...movieIds] }, limit: MOST_TOLD }, { placeholderData: (before) => before });
  const titles = new Map(data?.movies.map(({ movieId, title }) => [movieId, titleOf(title).name]));
  return (
    <>
      <h3 id="told">{messages.me.told}</h3>
      <p className="soft">{messages.me.toldLead}</p>
      <ul className="chips told" aria-labelledby="told">
        {movieIds.map((movieId) => {
          const name = titles.get(movieId);
          return (
            <li key={movieId} className="chip">
              {name === undefined ? <span>{movieId}{data !== undefined && `: ${messages.me.gone}`}</span> : <Link href={`/movies/${movieId}`}>{name}</Link>}
              <button type="button" className="icon-button" aria-label={messages.me.untell(name ?? `${movieId}`)} title={messages.me.remove} onClick={() => remove(movieId)}><Icon name="close" /></button>
            </li>
          );
        })}
      </ul>
    </>
  );
}

/** What is held, to take along or to remove. */
function Own({ isKnown }: { isKnown: boolean }) {
  const messages = useMessages();
  const toasts = useToasts();
  const userId = useUserId();
  const transport = useCalls();
  const [isExporting, setExporting] = useState(false);
  const [isDeleting, setDeleting] = useState(false);
  const exportAll = async () => {
    setExporting(true);
    try {
      const lines: string[] = [];
      const replies = createClient(UserService, transport).exportUser({ user: { case: "userId", value: userId } }, { timeoutMs: 120_000 });
      for await (const { line } of replies) lines.push(`${line}\n`);
      download(new Blob(lines, { type: "application/x-ndjson" }), `marquee-${userId}.jsonl`);
    } catch (error) {
      toasts.show(wordsFor(error, messages).title, { isBad: true });
    }
    setExporting(false);
  };
  return (
    <section aria-labelledby="own">
      <h2 id="own">{messages.me.data}</h2>
      <div className="form-buttons">
        <button type="button" className="button-plain" disabled={!isKnown || isExporting} onClick={() => void exportAll()}>{isExporting ? messages.me.exporting : messages.me.export}</button>
        <button type="button" className="button-bad" onClick={() => setDeleting(true)}>{messages.me.delete}</button>
      </div>
      {isDeleting && <DeleteMe close={() => setDeleting(false)} />}
    </section>
  );
}

function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
