// "Who is watching?", where the server asks nobody who they are. It says that an id proves nothing.

import { type FormEvent, useId, useState } from "react";
import { Link, useLocation } from "wouter";
import { userIdOf } from "../../api/storage.ts";
import { may, useVisitor } from "../../api/visitor.tsx";
import { Icon } from "../../components/icons.tsx";
import { useMessages } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";

/** Ids that somebody new gets: far above those of data sets, far below those that the server gives to accounts. */
const NEW_FROM = 1_000_000_000;
const NEW_COUNT = 8_000_000_000;

export function newUserId(): bigint {
  return BigInt(NEW_FROM) + BigInt(Math.floor(Math.random() * NEW_COUNT));
}

export default function Enter() {
  const messages = useMessages();
  useTitle(messages.enter.title);
  const { visitor, watch } = useVisitor();
  const [, go] = useLocation();
  const [text, setText] = useState("1");
  const [isBad, setBad] = useState(false);
  const help = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const id = userIdOf(text);
    setBad(id === undefined);
    if (id !== undefined) watch(id);
  };
  return (
    <div className="gate">
      <h1>{messages.enter.title}</h1>
      <p className="lead">{visitor.who === undefined ? messages.enter.lead : messages.sign.service(visitor.who.name)}</p>
      <form className="form" onSubmit={submit} noValidate>
        <label className="field">
          <span>{messages.enter.id}</span>
          <input inputMode="numeric" autoComplete="off" value={text} aria-invalid={isBad} aria-describedby={help} onChange={(event) => setText(event.target.value)} />
        </label>
        <p id={help} className={isBad ? "bad small" : "soft small"}>{isBad ? messages.enter.idBad : messages.enter.idHelp}</p>
        <div className="form-buttons">
          <button type="submit" className="button">{messages.enter.go}</button>
          {/* What somebody new likes has to be written. */}
          {may(visitor, "writer") && <button type="button" className="button-plain" onClick={() => {
            watch(newUserId());
            go("/welcome");
          }}>{messages.enter.someone}</button>}
        </div>
      </form>
      {visitor.who === undefined && (
        <>
          <p className="note"><Icon name="warning" /> <span>{messages.enter.warning}</span></p>
          <p><Link href="/sign-in">{messages.enter.account}</Link></p>
        </>
      )}
    </div>
  );
}
