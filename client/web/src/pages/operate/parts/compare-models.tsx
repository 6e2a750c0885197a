// How two models, or two methods, differ on a sample of users.

import { useTransport } from "@connectrpc/connect-query";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Method } from "../../../api/generated/marquee/v1/common_pb.ts";
import { type Model, ModelState } from "../../../api/generated/marquee/v1/operations_pb.ts";
import { titleOf } from "../../../art/title.ts";
import { Problem } from "../../../components/problem.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/models.ts";
import { type Comparison, compareWays, meanOf, MOST_USERS, type Way } from "./compare.ts";
import { useFigures } from "./figures.ts";
import { idsFrom, movesOf, type Moved } from "./lists.ts";
import { Move } from "./move.tsx";

const METHODS = [["AUTO", Method.AUTO], ["EXACT", Method.EXACT], ["ANN", Method.ANN]] as const;

/** How many movies that moved are shown. */
const MOST_MOVED = 10;

export function CompareModels({ models }: { models: readonly Model[] }) {
  const { compare: words } = useOwn(WORDS);
  const transport = useTransport();
  const loaded = models.filter(({ state }) => state === ModelState.ACTIVE || state === ModelState.STANDBY);
  const versions = loaded.map(({ version }) => version);
  const [before, setBefore] = useState<Way>({ modelVersion: versions[0] ?? "", method: Method.EXACT });
  const [after, setAfter] = useState<Way>({ modelVersion: versions[1] ?? versions[0] ?? "", method: versions[1] === undefined ? Method.ANN : Method.EXACT });
  const [users, setUsers] = useState("1-20");
  const [k, setK] = useState(20);
  const userIds = idsFrom(users, MOST_USERS);
  const { mutate, data, error, isPending } = useMutation({ mutationFn: () => compareWays(transport, [before, after], userIds, k) });
  return (
    <section aria-labelledby="compare">
      <h2 id="compare">{words.title}</h2>
      <p className="soft">{versions.length > 1 ? words.lead : `${words.lead} ${words.one}`}</p>
      <form className="compare-form" onSubmit={(event) => {
        event.preventDefault();
        mutate();
      }}>
        <WayChoice name={words.before} way={before} change={setBefore} versions={versions} />
        <WayChoice name={words.after} way={after} change={setAfter} versions={versions} />
        <label className="field"><span>{words.users}</span><input value={users} spellCheck={false} onChange={(event) => setUsers(event.target.value)} /><span className="soft small">{words.usersHelp(MOST_USERS)}</span></label>
        <label className="field"><span>{words.k}</span><input type="number" min={1} max={100} value={k} onChange={(event) => setK(Math.min(100, Math.max(1, Number(event.target.value) || 1)))} /></label>
        <button type="submit" className="button" disabled={isPending || userIds.length === 0}>{isPending ? words.going : words.go}</button>
      </form>
      {error !== null && <Problem error={error} />}
      <div aria-live="polite" className="compare-result">{data !== undefined && <Result found={data} />}</div>
    </section>
  );
}

function WayChoice({ name, way, change, versions }: { name: string; way: Way; change: (way: Way) => void; versions: readonly string[] }) {
  const { compare: words } = useOwn(WORDS);
  return (
    <fieldset className="way">
      <legend>{name}</legend>
      <label className="field"><span>{words.model}</span>
        <select value={way.modelVersion} onChange={(event) => change({ ...way, modelVersion: event.target.value })}>{versions.map((version) => <option key={version} value={version}>{version}</option>)}</select>
      </label>
      <label className="field"><span>{words.method}</span>
        <select value={way.method} onChange={(event) => change({ ...way, method: Number(event.target.value) })}>{METHODS.map(([method, number]) => <option key={method} value={number}>{method}</option>)}</select>
      </label>
    </fieldset>
  );
}

function Result({ found }: { found: Comparison }) {
  const { compare: words } = useOwn(WORDS);
  const { percent, span } = useFigures();
  const { users, moved } = found;
  const tiles: [string, string][] = [
    [words.overlap, percent(meanOf(users, ({ overlap }) => overlap))],
    [words.identical, percent(meanOf(users, ({ before, after }) => Number(before.length === after.length && before.every((id, at) => id === after[at]))))],
    [words.first, percent(meanOf(users, ({ before, after }) => Number(before[0] === after[0])))],
    [words.took, found.medianUs.map(span).join(" → ")],
  ];
  const rose = moved.filter(({ places }) => places > 0).slice(0, MOST_MOVED);
  const fell = moved.filter(({ places }) => places < 0).slice(-MOST_MOVED).toReversed();
  return (
    <>
      <dl className="tiles">{tiles.map(([name, value]) => <div key={name} className="tile"><dt>{name}</dt><dd className="tile-value numbers">{value}</dd></div>)}</dl>
      {found.failed > 0 && <p className="bad">{words.failed(found.failed)}</p>}
      {found.popular > 0 && <p className="soft">{words.popular(found.popular)}</p>}
      <div className="halves">
        <MovedList title={words.up} moved={rose} titles={found.titles} />
        <MovedList title={words.down} moved={fell} titles={found.titles} />
      </div>
      <h3>{words.perUser}</h3>
      <ul className="compared">
        {users.map(({ userId, before, after, overlap }) => (
          <li key={userId}>
            <details>
              <summary>
                <span>{words.user(String(userId))}</span>
                <svg className="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="8" className="bar-ground" /><rect width={overlap * 100} height="8" className="bar-value" /></svg>
                <span className="numbers small">{percent(overlap)}</span>
              </summary>
              <div className="halves">
                <ol className="plain-list" aria-label={words.before}>{before.map((id) => <li key={id}>{nameOf(found, id)}</li>)}</ol>
                <ol className="plain-list" aria-label={words.after}>{after.map((id) => <li key={id}>{nameOf(found, id)} <Move places={movesOf(before, after).get(id)} /></li>)}</ol>
              </div>
            </details>
          </li>
        ))}
      </ul>
    </>
  );
}

function nameOf({ titles }: Pick<Comparison, "titles">, id: number): string {
  const title = titles.get(id);
  return title === undefined ? String(id) : titleOf(title).name;
}

function MovedList({ title, moved, titles }: { title: string; moved: readonly Moved[]; titles: Comparison["titles"] }) {
  const { compare: words } = useOwn(WORDS);
  return (
    <div className="panel">
      <h3>{title}</h3>
      {moved.length === 0 && <p className="soft">{words.nothing}</p>}
      <ul className="plain-list">
        {moved.map(({ movieId, lists, places }) => (
          <li key={movieId}>{nameOf({ titles }, movieId)} <span className="soft small">{words.lists(lists)}</span> <span title={words.places}><Move places={places} /></span></li>
        ))}
      </ul>
    </div>
  );
}
