// A user as the server knows them: who they are by what they did, what they are shown, and who is like them.

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { useInfiniteQuery, useQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { Link } from "wouter";
import { RecommendationService } from "../../../api/generated/marquee/v1/recommendation_pb.ts";
import { UserService } from "../../../api/generated/marquee/v1/user_pb.ts";
import { kindOf } from "../../../api/marks.ts";
import { hasCode } from "../../../api/problem.ts";
import { userIdOf } from "../../../api/storage.ts";
import { titleOf } from "../../../art/title.ts";
import { Bars } from "../../../components/bars.tsx";
import { LineBones } from "../../../components/bones.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useFormats, useMessages, useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/catalogue.ts";
import { Facts } from "./facts.tsx";
import { useFigures } from "./figures.ts";
import { write } from "./form-model.ts";
import { benchOf, placeOf } from "./places.ts";
import { TimingsBar } from "./timings.tsx";

const PAGE_SIZE = 30;
const SHOWN = 30;

/** How much of a history is taken along to the playground. */
const TAKEN = 30;

export function UserView({ asked, open }: { asked: string | null; open: (user: string) => void }) {
  const { user: words } = useOwn(WORDS);
  const [text, setText] = useState(asked ?? "");
  const [before, setBefore] = useState(asked);
  if (before !== asked) {
    setBefore(asked);
    setText(asked ?? "");
  }
  const userId = userIdOf(asked);
  const isBad = text.trim() !== "" && userIdOf(text) === undefined;
  return (
    <>
      <form className="line-form" onSubmit={(event) => {
        event.preventDefault();
        if (!isBad && text.trim() !== "") open(text.trim());
      }}>
        <label className="field"><span>{words.find}</span><input inputMode="numeric" value={text} aria-invalid={isBad || undefined} onChange={(event) => setText(event.target.value)} /></label>
        <button type="submit" className="button-plain" disabled={isBad}>{words.go}</button>
      </form>
      {isBad && <p className="bad" role="alert">{words.bad}</p>}
      {userId === undefined ? <p className="lead">{words.start}</p> : <User key={userId.toString()} userId={userId} />}
    </>
  );
}

function User({ userId }: { userId: bigint }) {
  const { user: words } = useOwn(WORDS);
  const user = { case: "userId", value: userId } as const;
  const found = useQuery(UserService.method.getUser, { user }, { retry: false });
  const isUnknown = hasCode(found.error, Code.NotFound);
  return (
    <>
      {isUnknown && <p className="note"><span>{words.unknown}</span></p>}
      {found.error !== null && !isUnknown && <Problem error={found.error} again={() => void found.refetch()} />}
      <Profile userId={userId} isUnknown={isUnknown} />
      <div className="halves">
        <Recommended userId={userId} />
        <History userId={userId} />
      </div>
      <Neighbours userId={userId} />
    </>
  );
}

function Profile({ userId, isUnknown }: { userId: bigint; isUnknown: boolean }) {
  const { user: words } = useOwn(WORDS);
  const messages = useMessages();
  const { number, timeOf } = useFigures();
  const { stars } = useFormats();
  const user = { case: "userId", value: userId } as const;
  const found = useQuery(UserService.method.getUser, { user }, { retry: false });
  const stats = useQuery(UserService.method.getUserStats, { user }, { retry: false, enabled: !isUnknown });
  if (isUnknown) return null;
  const told = found.data?.user?.preferences;
  return (
    <section className="panel profile" aria-label={words.open(userId.toString())}>
      <h2>{words.open(userId.toString())}</h2>
      {stats.data === undefined && stats.error === null && <LineBones lines={3} />}
      {stats.data && (
        <div className="halves">
          <Facts facts={[
            [words.since, timeOf(found.data?.user?.createTime)],
            [words.movies, number(stats.data.interactions)],
            [words.ratings, number(stats.data.ratings)],
            [words.average, stats.data.averageRating === undefined ? undefined : `★ ${stars(stats.data.averageRating)}`],
            [words.first, timeOf(stats.data.firstTime)],
            [words.last, timeOf(stats.data.lastTime)],
            [words.told, told?.genres.map((genre) => messages.genre[genre] ?? genre).join(", ")],
          ]} />
          <div>
            <h3>{words.genres}</h3>
            <Bars bars={stats.data.genres.slice(0, 6).map(({ genre, movies }) => ({ name: messages.genre[genre] ?? genre, value: movies, text: number(movies) }))} />
          </div>
        </div>
      )}
    </section>
  );
}

function Recommended({ userId }: { userId: bigint }) {
  const { user: words } = useOwn(WORDS);
  const { number } = useFigures();
  const { data, error, refetch } = useQuery(RecommendationService.method.recommend, { subject: { case: "userId", value: userId }, k: SHOWN, explain: true });
  return (
    <section aria-labelledby="recommended">
      <header className="section-head">
        <h2 id="recommended">{words.recommended}</h2>
        {data && <span className="soft small">{words.bySource(words.sources[data.source] ?? "", data.modelVersion)}</span>}
      </header>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={10} />}
      {data?.timings && <TimingsBar timings={data.timings} legend={false} />}
      <ol className="plain-list">
        {data?.recommendations.map(({ movieId, title, score, because, source }) => (
          <li key={movieId}>
            <span className="list-line"><Link href={placeOf({ movie: String(movieId) })}>{titleOf(title).name}</Link> <span className="soft small numbers">{number(score)}</span></span>
            <span className="soft small">{because[0] !== undefined ? words.because(titleOf(because[0].title).name) : source === data.source ? "" : words.sources[source]}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function History({ userId }: { userId: bigint }) {
  const { user: words } = useOwn(WORDS);
  const messages = useMessages();
  const { moment, halves } = useFormats();
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(UserService.method.listHistory, { user: { case: "userId", value: userId }, pageSize: PAGE_SIZE, pageToken: "" }, {
    pageParamKey: "pageToken",
    getNextPageParam: (page) => (page.nextPageToken === "" ? undefined : page.nextPageToken),
    retry: false,
  });
  const entries = data?.pages.flatMap((page) => page.interactions) ?? [];
  const isUnknown = hasCode(error, Code.NotFound);
  const newest = [...new Set(entries.flatMap(({ interaction }) => (interaction?.movie.case === "movieId" ? [interaction.movie.value] : [])))].slice(0, TAKEN).toReversed();
  return (
    <section aria-labelledby="user-history">
      <header className="section-head">
        <h2 id="user-history">{words.history}</h2>
        {newest.length > 0 && <Link className="small" href={benchOf(RecommendationService.method.recommend, write({ history: { movie_ids: newest } }))}>{words.whatIf}</Link>}
      </header>
      {error !== null && !isUnknown && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={10} />}
      {(isUnknown || (data !== undefined && entries.length === 0)) && <p className="soft">{words.none}</p>}
      <ul className="plain-list">
        {entries.map(({ interaction, title }) => {
          if (interaction?.movie.case !== "movieId" || interaction.time === undefined) return null;
          const { value: movieId } = interaction.movie;
          const kind = kindOf(interaction.kind);
          return (
            <li key={`${movieId} ${timestampMs(interaction.time)} ${kind}`}>
              <span className="list-line"><Link href={placeOf({ movie: String(movieId) })}>{title === "" ? movieId : titleOf(title).name}</Link> <span className="small nowrap">{kind === "rating" ? `★ ${halves(interaction.rating ?? 0)}` : messages.act.marks[kind]}</span></span>
              <time className="soft small">{moment(timestampMs(interaction.time))}</time>
            </li>
          );
        })}
      </ul>
      {hasNextPage && <p><button type="button" className="button-small" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>{words.more}</button></p>}
    </section>
  );
}

function Neighbours({ userId }: { userId: bigint }) {
  const { user: words } = useOwn(WORDS);
  const { fixed } = useFigures();
  const { data, error, refetch } = useQuery(RecommendationService.method.similarUsers, { user: { case: "userId", value: userId }, k: 12 }, { retry: false });
  const isOff = hasCode(error, Code.FailedPrecondition);
  const isUnknown = hasCode(error, Code.NotFound);
  return (
    <section aria-labelledby="neighbours">
      <h2 id="neighbours">{words.neighbours}</h2>
      {isOff && <p className="note"><span>{words.neighboursOff}</span></p>}
      {isUnknown && <p className="soft">{words.neighboursNone}</p>}
      {error !== null && !isOff && !isUnknown && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={4} />}
      {data && (
        <>
          <p className="soft">{words.neighboursHelp}</p>
          <ul className="neighbours">
            {data.users.map((one) => (
              <li key={one.userId.toString()}>
                <Link href={placeOf({ user: one.userId.toString() })}>{words.open(one.userId.toString())}</Link>
                <svg className="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="8" className="bar-ground" /><rect width={Math.max(0, one.cosine) * 100} height="8" className="bar-value" /></svg>
                <span className="soft small numbers"><span className="unseen">{words.cosine} </span>{fixed(one.cosine)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
