// Searching: by a title as one types it in the box above, and by filters, all of which stand in the address.

import { useQuery } from "@connectrpc/connect-query";
import { useEffect, useId, useState } from "react";
import { useLocation } from "wouter";
import { useAsked } from "../../address.ts";
import { CatalogService } from "../../api/generated/marquee/v1/catalog_pb.ts";
import type { Movie } from "../../api/generated/marquee/v1/common_pb.ts";
import { useUserId } from "../../api/visitor.tsx";
import { GridBones, Loading } from "../../components/bones.tsx";
import { Card } from "../../components/card.tsx";
import { GenreChips, useGenreNames } from "../../components/genre-chips.tsx";
import { Problem } from "../../components/problem.tsx";
import { moveFocus } from "../../components/row.tsx";
import { usePaused } from "../../components/search-box.tsx";
import { useFormats, useMessages } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { filterOf, isFiltered, type Mode, modeOf, MODES, NOTHING, searchOf, type Wanted, wantedOf, withGenre, withoutUnknown, YEARS, yearFrom } from "./filters.ts";
import { useHistoryMarks } from "./use-history-marks.ts";

/** How many movies are shown first, and at most. */
const FIRST = 30;
const MOST = 100;

/** Changes what is asked for, from what is asked for now. */
type Want = (change: (now: Wanted) => Wanted) => void;

export default function Search() {
  const messages = useMessages();
  const userId = useUserId();
  const { list } = useFormats();
  useHistoryMarks();
  const [, go] = useLocation();
  const search = useAsked();
  const genres = useGenreNames();
  const asked = wantedOf(search);
  const { wanted, unknown } = genres.names === undefined ? { wanted: asked, unknown: [] } : withoutUnknown(asked, genres.names);
  // A genre that there is not is refused, so the genres are awaited where one is asked for.
  const isReady = genres.names !== undefined || genres.isFailed || MODES.every((mode) => asked[mode].length === 0);
  // More is shown of one search only.
  const [extended, setExtended] = useState<string>();
  const limit = extended === search ? MOST : FIRST;
  useTitle(wanted.query === "" ? messages.search.title : `${wanted.query} · ${messages.search.title}`);
  // What is typed elsewhere may have changed the address since this was drawn.
  const want: Want = (change) => {
    const written = searchOf(change(wantedOf(window.location.search)));
    go(written === "" ? "/search" : `/search?${written}`, { replace: true });
  };
  const isAsked = wanted.query !== "" || isFiltered(wanted);
  const isTurned = wanted.from !== undefined && wanted.to !== undefined && wanted.from > wanted.to;
  const found = useQuery(CatalogService.method.searchMovies, {
    query: wanted.query, limit, filter: filterOf(wanted), user: { case: "userId", value: userId },
  }, { enabled: isReady && isAsked && !isTurned, placeholderData: (before) => before });
  return (
    <div className="page search">
      <h1 className="unseen">{messages.search.title}</h1>
      <Filters wanted={wanted} want={want} />
      <section className="results" aria-label={messages.search.title}>
        {unknown.length > 0 && <p className="note" role="status">{messages.search.unknownGenres(list([...unknown]))}</p>}
        {isTurned ? <p className="bad" role="alert">{messages.search.years}</p>
          : !isAsked ? <Start />
          : found.error !== null ? <Problem error={found.error} again={() => void found.refetch()} />
          : found.data === undefined ? <><Loading /><GridBones /></>
          : found.data.movies.length === 0 ? <Nothing wanted={wanted} want={want} />
          : (
            <>
              <p className="results-head soft" role="status">
                {messages.search.results(found.data.movies.length, found.data.movies.length === limit)}
                {found.data.personal === true && ` · ${messages.search.personal}`}
              </p>
              <Movies movies={found.data.movies} />
              {found.data.movies.length === limit && limit < MOST && (
                <p className="more"><button type="button" className="button-plain" onClick={() => setExtended(search)}>{messages.search.more}</button></p>
              )}
            </>
          )}
      </section>
    </div>
  );
}

function Movies({ movies }: { movies: readonly Movie[] }) {
  const { stars, number } = useFormats();
  return (
    <ul className="grid-cards" onKeyDown={moveFocus}>
      {movies.map((movie) => (
        <li key={movie.movieId}>
          <Card movie={movie} reason={movie.averageRating === undefined ? "" : `★ ${stars(movie.averageRating)} (${number(movie.ratings)})`} />
        </li>
      ))}
    </ul>
  );
}

/** Before anything is asked for: what most people like. */
function Start() {
  const messages = useMessages();
  const { data, error, refetch } = useQuery(CatalogService.method.listPopularMovies, { pageSize: FIRST }, { staleTime: Infinity });
  return (
    <>
      <p className="lead">{messages.search.start}</p>
      <h2>{messages.search.startTitle}</h2>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined ? error === null && <GridBones /> : <Movies movies={data.movies} />}
    </>
  );
}

function Nothing({ wanted, want }: { wanted: Wanted; want: Want }) {
  const messages = useMessages();
  return (
    <div className="nothing" role="status">
      <h2>{messages.search.none(wanted.query)}</h2>
      <p>{messages.search.noneHelp}</p>
      {isFiltered(wanted) && <p><button type="button" className="button" onClick={() => want((now) => ({ ...NOTHING, query: now.query }))}>{messages.search.noneFiltered}</button></p>}
    </div>
  );
}

function Filters({ wanted, want }: { wanted: Wanted; want: Want }) {
  const messages = useMessages();
  const [mode, setMode] = useState<Mode>("any");
  const isWide = matchMedia("(min-width: 60rem)").matches;
  return (
    <details className="filters" open={isWide || undefined}>
      <summary>{messages.search.filters}{isFiltered(wanted) && <span className="filters-on" aria-hidden="true" />}</summary>
      <div className="filters-body">
        <fieldset>
          <legend>{messages.search.genres}</legend>
          <div className="modes">
            {MODES.map((one) => (
              <label key={one} className="mode" data-state={one}>
                <input type="radio" name="mode" className="unseen" checked={mode === one} onChange={() => setMode(one)} />
                <span>{messages.search.modes[one]}</span>
              </label>
            ))}
          </div>
          <GenreChips
            label={messages.search.modeHelp[mode]}
            chosen={MODES.flatMap((one) => wanted[one])}
            toggle={(genre) => want((now) => withGenre(now, genre, mode))}
            sign={(genre) => {
              const state = modeOf(wanted, genre);
              return state === undefined ? undefined : { state, words: messages.search.modeHelp[state] };
            }}
          />
        </fieldset>
        <div className="filters-pair">
          <Year label={messages.search.from} value={wanted.from} change={(from) => want((now) => ({ ...now, from }))} />
          <Year label={messages.search.to} value={wanted.to} change={(to) => want((now) => ({ ...now, to }))} />
        </div>
        <div className="filters-pair">
          <Chosen label={messages.search.rating} value={wanted.rating} of={[3, 3.5, 4, 4.5]} change={(rating) => want((now) => ({ ...now, rating }))} />
          <Chosen label={messages.search.ratings} value={wanted.ratings} of={[5, 20, 50, 100, 200]} change={(ratings) => want((now) => ({ ...now, ratings }))} />
        </div>
        <Typed label={messages.search.tags} help={messages.search.tagsHelp} value={wanted.tags.join(", ")} most={300} change={(text) => want((now) => ({ ...now, tags: text.split(",").map((tag) => tag.trim()).filter((tag) => tag !== "") }))} />
        {isFiltered(wanted) && <button type="button" className="button-plain" onClick={() => want((now) => ({ ...NOTHING, query: now.query }))}>{messages.search.clear}</button>}
      </div>
    </details>
  );
}

function Year({ label, value, change }: { label: string; value: number | undefined; change: (year: number | undefined) => void }) {
  const messages = useMessages();
  return (
    <Typed
      label={label}
      value={value?.toString() ?? ""}
      mode="numeric"
      most={4}
      refuse={(text) => (yearFrom(text).isBad ? messages.search.yearBad(...YEARS) : undefined)}
      change={(text) => change(yearFrom(text).year)}
    />
  );
}

interface TypedProps {
  label: string;
  help?: string;
  value: string;
  mode?: "numeric" | "text";
  /** How many characters there may be. */
  most: number;
  /** Why what is typed does not count; it stays where it is then. */
  refuse?: (text: string) => string | undefined;
  change: (text: string) => void;
}

const TAKES_ALL = () => undefined;

/** A field whose text counts after a pause, and once it is left. */
function Typed({ label, help, value, mode = "text", most, refuse = TAKES_ALL, change }: TypedProps) {
  const [text, setText] = useState(value);
  const [isIn, setIn] = useState(false);
  const [before, setBefore] = useState(value);
  const paused = usePaused(text, 400);
  const id = useId();
  // The value has become another one, by another way than this field: by back and forward, or by clearing all.
  if (before !== value) {
    setBefore(value);
    if (!isIn) setText(value);
  }
  const refused = isIn ? undefined : refuse(text);
  const take = () => {
    if (text !== value && refuse(text) === undefined) change(text);
  };
  useEffect(() => {
    if (isIn && paused === text) take();
  // What is typed is what counts, and not who hears of it.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [paused]);
  return (
    <div className="field">
      <label htmlFor={id}>{label}{help !== undefined && <span className="soft small"> ({help})</span>}</label>
      <input id={id} inputMode={mode} maxLength={most} autoComplete="off" value={text} aria-invalid={refused !== undefined || undefined} aria-describedby={refused === undefined ? undefined : `${id}-why`} onFocus={() => setIn(true)} onBlur={() => {
        take();
        setIn(false);
      }} onChange={(event) => setText(event.target.value)} />
      {refused !== undefined && <p id={`${id}-why`} className="bad small" role="alert">{refused}</p>}
    </div>
  );
}

function Chosen({ label, value, of, change }: { label: string; value: number | undefined; of: readonly number[]; change: (value: number | undefined) => void }) {
  const messages = useMessages();
  const { halves } = useFormats();
  const offered = value === undefined || of.includes(value) ? of : [...of, value].sort((one, other) => one - other);
  return (
    <label className="field">
      <span>{label}</span>
      <select value={value ?? ""} onChange={(event) => change(event.target.value === "" ? undefined : Number(event.target.value))}>
        <option value="">{messages.search.anyRating}</option>
        {offered.map((one) => <option key={one} value={one}>{halves(one)}</option>)}
      </select>
    </label>
  );
}
