// What users do, as it happens.

import { useTransport } from "@connectrpc/connect-query";
import { useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { type Kind, KINDS } from "../../api/marks.ts";
import { userIdOf } from "../../api/storage.ts";
import { titleOf } from "../../art/title.ts";
import { Icon } from "../../components/icons.tsx";
import { Problem } from "../../components/problem.tsx";
import { useFormats, useMessages, useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { eventOf, type FeedEvent, MOST_EVENTS, OLDEST, Pace, passes, watchFrom } from "./parts/feed.ts";
import { useFigures } from "./parts/figures.ts";
import { follow, type FollowState } from "./parts/follow.ts";
import { LiveState } from "./parts/live-state.tsx";
import { useTitles } from "./parts/movie-titles.ts";
import { placeOf } from "./parts/places.ts";
import { WORDS } from "./words/events.ts";

/** How many lines are shown, of those that pass the filters. */
const SHOWN = 100;

/** How often the page is drawn anew while events come. */
const FRAME_MS = 250;

interface Feed {
  events: readonly FeedEvent[];
  /** How many were read, those let go included. */
  read: number;
  pace: ReturnType<Pace["read"]>;
  hasMissed: boolean;
}

const NOTHING: Feed = { events: [], read: 0, pace: undefined, hasMissed: false };

/** What is known of a feed that begins after a position. */
function begun(position: string) {
  return { events: [] as FeedEvent[], pace: new Pace(), read: 0, hasMissed: false, position };
}

/** Reads while the page is looked at and not paused; `start` is the position after which to begin. */
function useFeed(start: string, isPaused: boolean): { feed: Feed; state: FollowState; clear: () => void } {
  const transport = useTransport();
  const [feed, setFeed] = useState(NOTHING);
  const [state, setState] = useState<FollowState>("opening");
  const known = useRef(begun(start));

  useEffect(() => {
    known.current = begun(start);
    setFeed(NOTHING);
  }, [start]);

  useEffect(() => {
    if (isPaused) return undefined;
    const stop = follow({
      open: (signal, opened) => watchFrom(transport, known.current.position, signal, {
        opened,
        missed: () => {
          known.current.hasMissed = true;
        },
      }),
      take: (message) => {
        const event = eventOf(message);
        const now = known.current;
        now.position = message.position;
        if (event === undefined) return;
        now.read += 1;
        now.events.unshift(event);
        now.events.length = Math.min(now.events.length, MOST_EVENTS);
        now.pace.take(event.timeMs, Date.now());
      },
      tell: (next) => {
        known.current.pace.turn(next === "live", Date.now());
        setState(next);
      },
    });
    const timer = setInterval(() => {
      const { events, pace, read, hasMissed } = known.current;
      const now = pace.read(Date.now());
      setFeed((before) => (before.read === read && before.pace?.rate === now?.rate && before.pace?.seconds === now?.seconds ? before : { events: [...events], read, pace: now, hasMissed }));
    }, FRAME_MS);
    return () => {
      stop();
      known.current.pace.turn(false, Date.now());
      clearInterval(timer);
    };
  }, [transport, start, isPaused]);

  const clear = () => {
    known.current.events = [];
    setFeed((before) => ({ ...before, events: [] }));
  };
  return { feed, state, clear };
}

export default function Events() {
  const words = useOwn(WORDS);
  const { kinds: kindNames } = useMessages().me;
  const { number } = useFigures();
  const [isPaused, setPaused] = useState(false);
  const [start, setStart] = useState("");
  const [kinds, setKinds] = useState<readonly Kind[]>([]);
  const [user, setUser] = useState("");
  const [movie, setMovie] = useState("");
  const { feed, state, clear } = useFeed(start, isPaused);
  useTitle(words.title);
  const filter = { kinds, userId: userIdOf(user), movieId: /^[0-9]{1,9}$/.test(movie.trim()) ? Number(movie) : undefined };
  const passing = feed.events.filter((event) => passes(filter, event));
  const toggle = (kind: Kind) => setKinds((now) => (now.includes(kind) ? now.filter((one) => one !== kind) : [...now, kind]));
  return (
    <>
      <p className="lead operate-lead">{words.lead} {isPaused ? <span className="live">{words.paused}</span> : <LiveState state={state} />}</p>
      <div className="feed-bar">
        <button type="button" className="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>{isPaused ? words.resume : words.pause}</button>
        <button type="button" className="button-plain" onClick={clear}>{words.clear}</button>
        <label className="check"><input type="checkbox" checked={start === OLDEST} onChange={(event) => setStart(event.target.checked ? OLDEST : "")} />{words.oldest}</label>
      </div>
      <div className="feed-bar">
        <fieldset className="chips">
          <legend className="unseen">{words.kinds}</legend>
          <button type="button" className="chip" aria-pressed={kinds.length === 0} onClick={() => setKinds([])}>{words.all}</button>
          {KINDS.map((kind) => <button key={kind} type="button" className="chip" aria-pressed={kinds.includes(kind)} onClick={() => toggle(kind)}>{kindNames[kind]}</button>)}
        </fieldset>
        <label className="field-line"><span>{words.user}</span><input inputMode="numeric" size={8} value={user} onChange={(event) => setUser(event.target.value)} /></label>
        <label className="field-line"><span>{words.movie}</span><input inputMode="numeric" size={8} value={movie} onChange={(event) => setMovie(event.target.value)} /></label>
      </div>
      <p className="soft small numbers">{feed.pace && `${feed.pace.seconds === 60 ? words.rate(number(feed.pace.rate)) : words.rateOf(number(feed.pace.rate), feed.pace.seconds)} · `}{words.shown(number(Math.min(SHOWN, passing.length)), number(feed.read))}</p>
      {typeof state === "object" && <Problem error={state.error} />}
      {feed.hasMissed && <p className="note"><Icon name="warning" /><span>{words.tooSlow}</span></p>}
      {feed.events.length === 0 && typeof state !== "object" && <p className="soft">{words.waiting}</p>}
      {feed.events.length > 0 && passing.length === 0 && <p className="soft">{words.noneFits}</p>}
      {passing.length > 0 && <FeedTable events={passing.slice(0, SHOWN)} />}
    </>
  );
}

function FeedTable({ events }: { events: readonly FeedEvent[] }) {
  const { table: words, deleted, title: name } = useOwn(WORDS);
  const messages = useMessages();
  const { halves } = useFormats();
  const { moment } = useFigures();
  const titles = useTitles(events.map(({ movieId }) => movieId));
  return (
    // What is wider than the page is scrolled by the keys too.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="table-frame" tabIndex={0} role="group" aria-label={name}>
      <table className="table feed">
        <thead><tr>{[words.time, words.user, words.what, words.movie, words.position].map((column) => <th key={column} scope="col">{column}</th>)}</tr></thead>
        <tbody>
          {events.map(({ position, userId, movieId, kind, stars, timeMs, isDeleted }) => (
            <tr key={position} data-deleted={isDeleted || undefined}>
              <td className="nowrap small numbers">{moment(timeMs)}</td>
              <td><Link href={placeOf({ user: userId.toString() })}>{userId.toString()}</Link></td>
              <td className="nowrap"><span className="feed-what"><Icon name={kind} filled={kind !== "hide" && kind !== "view"} />{kind === "rating" ? `★ ${halves(stars ?? 0)}` : messages.act.marks[kind]}{isDeleted && <span className="sign" data-sign="bad">{deleted}</span>}</span></td>
              <td><Link href={placeOf({ movie: String(movieId) })} className="cell">{titleOf(titles.get(movieId) ?? String(movieId)).name}</Link></td>
              <td><code className="small soft">{position}</code></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
