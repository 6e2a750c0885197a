// A history to play with: movies with their titles, to take out, to move, to add, or taken over from a user.

import { createClient } from "@connectrpc/connect";
import { useTransport } from "@connectrpc/connect-query";
import { useState } from "react";
import { UserService } from "../../../api/generated/marquee/v1/user_pb.ts";
import { wordsFor } from "../../../api/problem.ts";
import { userIdOf } from "../../../api/storage.ts";
import { Icon } from "../../../components/icons.tsx";
import { useMessages, useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/playground.ts";
import { useTitles } from "./movie-titles.ts";
import { MovieFinder } from "./movie-finder.tsx";

/** How many of a user's newest movies are taken over: as many as are handled well by hand. */
const TAKEN = 30;

export function HistoryEditor({ movieIds, change }: { movieIds: readonly number[]; change: (movieIds: number[]) => void }) {
  const { history: words } = useOwn(WORDS);
  const titles = useTitles(movieIds);
  const swapped = (at: number, other: number) => movieIds.map((id, place) => (place === at ? (movieIds[other] ?? id) : place === other ? (movieIds[at] ?? id) : id));
  return (
    <div className="what-if">
      <p className="small"><strong>{words.title}</strong> <span className="soft">{words.count(movieIds.length)}</span></p>
      {movieIds.length === 0 && <p className="soft small">{words.empty}</p>}
      <ol className="what-if-list">
        {movieIds.map((id, at) => {
          const title = titles.get(id) ?? String(id);
          return (
            <li key={`${id} ${movieIds.indexOf(id) === at ? 0 : at}`}>
              <span>{title}</span>
              <button type="button" className="icon-button" disabled={at === 0} aria-label={words.older(title)} title={words.older(title)} onClick={() => change(swapped(at, at - 1))}><Icon name="back" /></button>
              <button type="button" className="icon-button" disabled={at === movieIds.length - 1} aria-label={words.newer(title)} title={words.newer(title)} onClick={() => change(swapped(at, at + 1))}><Icon name="forth" /></button>
              <button type="button" className="icon-button" aria-label={words.remove(title)} title={words.remove(title)} onClick={() => change(movieIds.filter((_, place) => place !== at))}><Icon name="close" /></button>
            </li>
          );
        })}
      </ol>
      <MovieFinder label={words.add} choose={({ movieId }) => change([...movieIds, movieId])} />
      <div className="what-if-take">
        <TakeOver change={change} />
        {movieIds.length > 0 && <button type="button" className="button-small" onClick={() => change([])}>{words.clear}</button>}
      </div>
    </div>
  );
}

/** Takes over a stored history. */
function TakeOver({ change }: { change: (movieIds: number[]) => void }) {
  const { history: words } = useOwn(WORDS);
  const messages = useMessages();
  const transport = useTransport();
  const [text, setText] = useState("1");
  const [isTaking, setTaking] = useState(false);
  const [failed, setFailed] = useState<string>();
  const userId = userIdOf(text);
  const take = async () => {
    if (userId === undefined) return;
    setTaking(true);
    setFailed(undefined);
    try {
      const { interactions } = await createClient(UserService, transport).listHistory({ user: { case: "userId", value: userId }, pageSize: TAKEN });
      const ids = interactions.flatMap(({ interaction }) => (interaction?.movie.case === "movieId" ? [interaction.movie.value] : []));
      change([...new Set(ids)].toReversed());
      if (ids.length === 0) setFailed(words.noSuch);
    } catch (error) {
      setFailed(wordsFor(error, messages).title);
    }
    setTaking(false);
  };
  return (
    <>
      <label className="field-line"><span>{words.take}</span><input inputMode="numeric" size={7} value={text} onChange={(event) => setText(event.target.value)} /></label>
      <button type="button" className="button-small" disabled={userId === undefined || isTaking} onClick={() => void take()}>{isTaking ? words.taking : words.takeIt}</button>
      {failed !== undefined && <span className="bad small" role="alert">{failed}</span>}
    </>
  );
}
