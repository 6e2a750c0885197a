// The keys of services: which there are, a new one, another one in the place of one, and one no more.

import { useMutation, useQuery } from "@connectrpc/connect-query";
import { type ReactNode, useState } from "react";
import { AccessService, type Key } from "../../../api/generated/marquee/v1/access_pb.ts";
import { apiKey } from "../../../api/storage.ts";
import { useVisitor } from "../../../api/visitor.tsx";
import { LineBones } from "../../../components/bones.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { Icon } from "../../../components/icons.tsx";
import { Problem } from "../../../components/problem.tsx";
import { useToasts } from "../../../components/toasts.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/access.ts";
import { Copy } from "./copy.tsx";
import { useFigures } from "./figures.ts";
import { ROLES } from "./methods.ts";

const HOUR_S = 3_600;
const DAY_S = 24 * HOUR_S;

/** The most that 32 bits of seconds hold. */
const MOST_DAYS = 49_710;

/** What is shown above the page. */
type Asking = { what: "create" } | { what: "rotate" | "revoke"; key: Key } | { what: "secret"; name: string; secret: string; goesOn: boolean };

/** Whether this page itself calls with the key, which its id begins. */
export function isOwn({ keyId }: Pick<Key, "keyId">): boolean {
  return apiKey.get()?.startsWith(`mq_${keyId}_`) ?? false;
}

export function Keys() {
  const { keys: words } = useOwn(WORDS);
  const { timeOf } = useFigures();
  const { leave } = useVisitor();
  const [asking, setAsking] = useState<Asking>();
  const { data, error, refetch } = useQuery(AccessService.method.listKeys, {});
  const close = () => setAsking(undefined);
  // The list is read again once the secret was taken: with the key of the reader gone, the answer would take it away.
  const made = (key: Key | undefined, secret: string, goesOn = false) => setAsking({ what: "secret", name: key?.name ?? "", secret, goesOn });
  const taken = ({ secret, goesOn }: { secret: string; goesOn: boolean }) => {
    if (goesOn) apiKey.set(secret);
    close();
    void refetch();
  };
  return (
    <section aria-labelledby="keys">
      <header className="section-head">
        <h2 id="keys">{words.title}</h2>
        <div className="section-more"><button type="button" className="button" onClick={() => setAsking({ what: "create" })}>{words.create}</button></div>
      </header>
      <p className="soft">{words.lead}</p>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined && error === null && <LineBones lines={5} />}
      {data?.keys.length === 0 && <p>{words.none}</p>}
      {data !== undefined && data.keys.length > 0 && (
        // What is wider than the page is scrolled by the keys too.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <div className="table-frame" tabIndex={0} role="group" aria-label={words.title}>
          <table className="table">
            <thead><tr>{[words.name, words.role, words.id, words.made, words.expires, words.used].map((name) => <th key={name} scope="col">{name}</th>)}<th scope="col"><span className="unseen">{words.change}</span></th></tr></thead>
            <tbody>
              {data.keys.map((key) => (
                <tr key={key.keyId}>
                  <th scope="row"><span className="cell">{key.name}</span>{isOwn(key) && <> <span className="sign">{words.own}</span></>}</th>
                  <td>{key.role}</td>
                  <td><code>{key.keyId}</code></td>
                  <td className="nowrap small">{timeOf(key.createTime)}</td>
                  <td className="nowrap small">{timeOf(key.expireTime) ?? words.noEnd}</td>
                  <td className="nowrap small">{timeOf(key.lastUseTime) ?? words.never}</td>
                  <td className="nowrap">
                    <button type="button" className="button-small" aria-label={words.of(words.rotate, key.name, key.keyId)} onClick={() => setAsking({ what: "rotate", key })}>{words.rotate}</button>{" "}
                    <button type="button" className="button-small" data-bad aria-label={words.of(words.revoke, key.name, key.keyId)} onClick={() => setAsking({ what: "revoke", key })}>{words.revoke}</button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {asking?.what === "create" && <Create close={close} made={made} />}
      {asking?.what === "rotate" && <Rotate of={asking.key} close={close} made={made} />}
      {asking?.what === "revoke" && <Revoke of={asking.key} close={close} done={() => {
        close();
        // Without its own key the page is known no longer: who revoked it has signed out.
        void (isOwn(asking.key) ? leave() : refetch());
      }} />}
      {asking?.what === "secret" && <Secret name={asking.name} secret={asking.secret} close={() => taken(asking)} />}
    </section>
  );
}

interface MadeProps {
  close: () => void;
  /** `goesOn`: whether this page calls with the new one from now on. */
  made: (key: Key | undefined, secret: string, goesOn?: boolean) => void;
}

function Buttons({ go, isBad = false, isPending, close }: { go: ReactNode; isBad?: boolean; isPending: boolean; close: () => void }) {
  const { keys: words } = useOwn(WORDS);
  return (
    <div className="form-buttons">
      <button type="submit" className={isBad ? "button-bad" : "button"} disabled={isPending}>{go}</button>
      <button type="button" className="button-plain" onClick={close}>{words.cancel}</button>
    </div>
  );
}

function Create({ close, made }: MadeProps) {
  const { keys: words } = useOwn(WORDS);
  const [name, setName] = useState("");
  const [role, setRole] = useState("recommender");
  const [own, setOwn] = useState("");
  const [days, setDays] = useState("");
  const { mutate, isPending, error } = useMutation(AccessService.method.createKey, { onSuccess: ({ key, secret }) => made(key, secret) });
  return (
    <Dialog title={words.create} close={close} narrow>
      <form className="form" onSubmit={(event) => {
        event.preventDefault();
        mutate({ name: name.trim(), role: role === "" ? own.trim() : role, ...(days === "" ? {} : { lifetimeSeconds: Number(days) * DAY_S }) });
      }}>
        <label className="field"><span>{words.name}</span><input required maxLength={100} value={name} onChange={(event) => setName(event.target.value)} /><span className="soft small">{words.nameHelp}</span></label>
        <label className="field"><span>{words.role}</span>
          <select value={role} onChange={(event) => setRole(event.target.value)}>
            {ROLES.map(({ name: one }) => <option key={one} value={one}>{one}</option>)}
            <option value="">{words.otherRole}</option>
          </select>
        </label>
        {role === "" && <label className="field"><span>{words.roleName}</span><input required maxLength={100} value={own} onChange={(event) => setOwn(event.target.value)} /></label>}
        <label className="field"><span>{words.days}</span><input type="number" min={1} max={MOST_DAYS} step={1} value={days} onChange={(event) => setDays(event.target.value)} /><span className="soft small">{words.daysHelp}</span></label>
        {error !== null && <Problem error={error} />}
        <Buttons go={words.go} isPending={isPending} close={close} />
      </form>
    </Dialog>
  );
}

function Rotate({ of, close, made }: { of: Key } & MadeProps) {
  const { keys: words } = useOwn(WORDS);
  const [hours, setHours] = useState("24");
  const { mutate, isPending, error } = useMutation(AccessService.method.rotateKey, { onSuccess: ({ key, secret }) => made(key, secret, isOwn(of)) });
  return (
    <Dialog title={words.rotateTitle(of.name)} close={close} narrow>
      <form className="form" onSubmit={(event) => {
        event.preventDefault();
        mutate({ key: { case: "keyId", value: of.keyId }, overlapSeconds: Math.round(Number(hours) * HOUR_S) });
      }}>
        <p>{words.rotateLead}</p>
        {isOwn(of) && <p className="note"><Icon name="warning" /> <span>{words.rotateOwn}</span></p>}
        <label className="field"><span>{words.overlap}</span><input type="number" required min={0} max={24 * MOST_DAYS} step="any" value={hours} onChange={(event) => setHours(event.target.value)} /></label>
        {error !== null && <Problem error={error} />}
        <Buttons go={words.rotate} isPending={isPending} close={close} />
      </form>
    </Dialog>
  );
}

function Revoke({ of, close, done }: { of: Key; close: () => void; done: () => void }) {
  const { keys: words } = useOwn(WORDS);
  const toasts = useToasts();
  const { mutate, isPending, error } = useMutation(AccessService.method.revokeKey, {
    onSuccess: () => {
      toasts.show(words.revoked(of.name));
      done();
    },
  });
  return (
    <Dialog title={words.revokeTitle(of.name)} close={close} narrow>
      <form className="form" onSubmit={(event) => {
        event.preventDefault();
        mutate({ key: { case: "keyId", value: of.keyId } });
      }}>
        <p>{words.revokeLead}</p>
        {isOwn(of) && <p className="note"><Icon name="warning" /> <span>{words.revokeOwn}</span></p>}
        {error !== null && <Problem error={error} />}
        <Buttons go={words.revoke} isBad isPending={isPending} close={close} />
      </form>
    </Dialog>
  );
}

/** The key itself, which is gone from the page once this is closed: so only by saying that it is kept. */
function Secret({ name, secret, close }: { name: string; secret: string; close: () => void }) {
  const { keys: words } = useOwn(WORDS);
  const [isLeaving, setLeaving] = useState(false);
  return (
    <Dialog title={words.secretTitle(name)} close={close} keep={() => setLeaving(true)}>
      <p>{words.secret}</p>
      <Copy name={name} text={secret} />
      {isLeaving && <p className="note" role="alert"><Icon name="warning" /> <span>{words.notKept}</span></p>}
      <div className="form-buttons"><button type="button" className="button" onClick={close}>{words.kept}</button></div>
    </Dialog>
  );
}
