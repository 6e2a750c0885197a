// A history, newest first, page by page.

import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useInfiniteQuery } from "@connectrpc/connect-query";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { type HistoryEntry, UserService } from "../../api/generated/marquee/v1/user_pb.ts";
import { type Kind, kindOf, KINDS } from "../../api/marks.ts";
import { useUserId } from "../../api/visitor.tsx";
import { titleOf } from "../../art/title.ts";
import { useActions } from "../../components/actions.tsx";
import { LineBones } from "../../components/bones.tsx";
import { Icon } from "../../components/icons.tsx";
import { Problem } from "../../components/problem.tsx";
import { useFormats, useMessages } from "../../i18n/index.tsx";

const PAGE_SIZE = 100;

/** One event, as the page shows it. */
export interface Entry {
  movieId: number;
  title: string;
  kind: Kind;
  stars: number | undefined;
  timeMs: number;
}

function entryOf({ interaction, title }: HistoryEntry): Entry[] {
  if (interaction?.movie.case !== "movieId" || interaction.time === undefined) return [];
  return [{
    movieId: interaction.movie.value,
    title,
    kind: kindOf(interaction.kind),
    stars: interaction.rating,
    timeMs: timestampDate(interaction.time).getTime(),
  }];
}

export function useHistory() {
  const userId = useUserId();
  const query = useInfiniteQuery(UserService.method.listHistory, { user: { case: "userId", value: userId }, pageSize: PAGE_SIZE, pageToken: "" }, {
    pageParamKey: "pageToken",
    getNextPageParam: (page) => (page.nextPageToken === "" ? undefined : page.nextPageToken),
    meta: { ofUser: true },
    retry: false,
  });
  const entries = useMemo(() => query.data?.pages.flatMap((page) => page.interactions.flatMap(entryOf)) ?? [], [query.data]);
  return { ...query, entries };
}

export function History() {
  const messages = useMessages();
  const { entries, error, isPending, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useHistory();
  const [kind, setKind] = useState<Kind | "all">("all");
  const shown = kind === "all" ? entries : entries.filter((entry) => entry.kind === kind);
  return (
    <section aria-labelledby="history">
      <h2 id="history">{messages.me.history}</h2>
      <fieldset className="chips">
        <legend className="unseen">{messages.me.history}</legend>
        {(["all", ...KINDS] as const).map((one) => (
          <button key={one} type="button" className="chip" aria-pressed={kind === one} onClick={() => setKind(one)}>{messages.me.kinds[one]}</button>
        ))}
      </fieldset>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {isPending && error === null && <LineBones lines={8} />}
      {!isPending && shown.length === 0 && <p className="soft">{kind === "all" ? messages.me.nothing : messages.me.noneOfKind}</p>}
      <ul className="history">{shown.map((entry) => <Line key={`${entry.timeMs} ${entry.movieId} ${entry.kind}`} entry={entry} />)}</ul>
      {hasNextPage && <p className="more"><button type="button" className="button-plain" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>{messages.me.more}</button></p>}
    </section>
  );
}

function Line({ entry }: { entry: Entry }) {
  const messages = useMessages();
  const { moment, halves } = useFormats();
  const { remove } = useActions();
  const { movieId, title, kind, stars, timeMs } = entry;
  const { name, year } = titleOf(title);
  return (
    <li>
      <span className="history-kind" data-kind={kind}><Icon name={kind} filled={kind !== "hide" && kind !== "view"} /></span>
      <span className="history-title">
        {title === "" ? <span className="soft">{movieId}: {messages.me.gone}</span> : <Link href={`/movies/${movieId}`}>{name}</Link>}
        {year !== undefined && <span className="soft small"> {year}</span>}
      </span>
      <span className="history-what small">{kind === "rating" ? `★ ${halves(stars ?? 0)}` : messages.act.marks[kind]}</span>
      <time className="soft small numbers" dateTime={new Date(timeMs).toISOString()}>{moment(timeMs)}</time>
      <button type="button" className="icon-button" aria-label={messages.me.removeOf(name === "" ? `${movieId}` : name)} title={messages.me.remove} onClick={() => void remove({ movieId, title }, { kind, timeMs, ...(stars === undefined ? {} : { stars }) })}><Icon name="close" /></button>
    </li>
  );
}
