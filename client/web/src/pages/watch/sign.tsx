// Signing in, making an account, and using a key. What a session is the browser keeps as a cookie that no script reads.

import { Code } from "@connectrpc/connect";
import { useMutation } from "@connectrpc/connect-query";
import { type FormEvent, useState } from "react";
import { useLocation } from "wouter";
import { AccountService, type WhoAmIResponse } from "../../api/generated/marquee/v1/account_pb.ts";
import { hasCode, wordsFor } from "../../api/problem.ts";
import { ASKS_WHO } from "../../api/queries.ts";
import { refusedFields } from "../../api/refusal.ts";
import { apiKey, isKey } from "../../api/storage.ts";
import { useVisitor } from "../../api/visitor.tsx";
import { Refusable } from "../../components/refusable.tsx";
import { useMessages } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";

type Way = "in" | "up" | "key" | "change";

export default function Sign() {
  const messages = useMessages();
  const { visitor } = useVisitor();
  const [way, setWay] = useState<Way>("in");
  const [once, setOnce] = useState("");
  const title = way === "up" ? messages.sign.up : way === "key" ? messages.sign.key : way === "change" ? messages.sign.change : messages.sign.in;
  useTitle(title);
  return (
    <div className="gate">
      <h1>{title}</h1>
      {visitor.hasEnded && <p className="note" role="status">{messages.sign.ended}</p>}
      {way === "in" && <SignIn mustChange={(password) => {
        setOnce(password);
        setWay("change");
      }} />}
      {way === "up" && <SignUp />}
      {way === "key" && <UseKey />}
      {way === "change" && <ChangePassword once={once} />}
      {way !== "change" && (
        <p className="gate-ways">
          {way !== "in" && <button type="button" className="link" onClick={() => setWay("in")}>{messages.sign.toIn}</button>}
          {way !== "up" && (visitor.facts.signsUp
            ? <button type="button" className="link" onClick={() => setWay("up")}>{messages.sign.toUp}</button>
            : <span className="soft small">{messages.sign.closed}</span>)}
          {way !== "key" && <button type="button" className="link" onClick={() => setWay("key")}>{messages.sign.key}</button>}
        </p>
      )}
    </div>
  );
}

/** After somebody is known: on with the page they wanted, or home. */
function useEntered(): (where?: { to?: string; who?: WhoAmIResponse }) => Promise<void> {
  const { renew } = useVisitor();
  const [path, go] = useLocation();
  return async ({ to, who } = {}) => {
    await renew(who);
    if (to !== undefined) go(to);
    else if (path === "/sign-in") go("/");
  };
}

function SignIn({ mustChange }: { mustChange: (password: string) => void }) {
  const messages = useMessages();
  const entered = useEntered();
  const { mutate, isPending, error } = useMutation(AccountService.method.signIn, { meta: ASKS_WHO });
  const isWrong = hasCode(error, Code.Unauthenticated) || hasCode(error, Code.InvalidArgument);
  return (
    <PasswordForm
      lead={messages.sign.inLead}
      action={messages.sign.in}
      passwordLabel={messages.sign.password}
      autoComplete="current-password"
      isPending={isPending}
      error={error}
      failure={error === null ? undefined : isWrong ? messages.sign.wrong : failureOf(error, messages)}
      submit={(email, password) => mutate({ email, password }, {
        onSuccess: (reply) => {
          if (reply.mustChangePassword) mustChange(password);
          else void entered();
        },
      })}
    />
  );
}

function SignUp() {
  const messages = useMessages();
  const entered = useEntered();
  const { mutate, isPending, error } = useMutation(AccountService.method.signUp, { meta: ASKS_WHO });
  const failure = error === null ? undefined
    : hasCode(error, Code.AlreadyExists) ? messages.sign.taken
    : hasCode(error, Code.FailedPrecondition) ? messages.sign.closed
    : refusedFields(error).size > 0 ? undefined
    : failureOf(error, messages);
  return (
    <PasswordForm
      lead={messages.sign.upLead}
      action={messages.sign.up}
      passwordLabel={messages.sign.newPassword}
      autoComplete="new-password"
      isPending={isPending}
      error={error}
      failure={failure}
      submit={(email, password) => mutate({ email, password }, { onSuccess: () => void entered({ to: "/welcome" }) })}
    />
  );
}

function failureOf(error: Error, messages: ReturnType<typeof useMessages>): string {
  const { title, detail } = wordsFor(error, messages);
  return detail === "" ? title : `${title}: ${detail}`;
}

interface PasswordFormProps {
  lead: string;
  action: string;
  passwordLabel: string;
  autoComplete: "current-password" | "new-password";
  isPending: boolean;
  /** What the last attempt met, of which fields that are refused are told beside them. */
  error: Error | null;
  failure: string | undefined;
  submit: (email: string, password: string) => void;
}

function PasswordForm({ lead, action, passwordLabel, autoComplete, isPending, error, failure, submit }: PasswordFormProps) {
  const messages = useMessages();
  const [isShown, setShown] = useState(false);
  // Of who signs in nobody says what was wrong.
  const refused = refusedFields(autoComplete === "new-password" ? error : null);
  const onSubmit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    submit(String(fields.get("email")).trim(), String(fields.get("password")));
  };
  return (
    <>
      <p className="lead">{lead}</p>
      <form className="form" onSubmit={onSubmit}>
        <Refusable label={messages.sign.email} refused={refused.get("email")} name="email" type="email" required autoComplete="username" maxLength={254} />
        <Refusable label={passwordLabel} refused={refused.get("password")} name="password" type={isShown ? "text" : "password"} required minLength={autoComplete === "new-password" ? 8 : 1} maxLength={256} autoComplete={autoComplete} />
        <label className="check"><input type="checkbox" checked={isShown} onChange={(event) => setShown(event.target.checked)} /> {messages.sign.show}</label>
        {failure !== undefined && <p className="bad" role="alert">{failure}</p>}
        <button type="submit" className="button" disabled={isPending}>{action}</button>
      </form>
    </>
  );
}

function UseKey() {
  const messages = useMessages();
  const entered = useEntered();
  const [isNone, setNone] = useState(false);
  const { mutate, reset, isPending, error } = useMutation(AccountService.method.whoAmI, { meta: ASKS_WHO });
  const failure = isNone ? messages.sign.keyLetters
    : error === null ? undefined
    : hasCode(error, Code.Unauthenticated) ? messages.sign.keyWrong
    : failureOf(error, messages);
  return (
    <form className="form" onSubmit={(event) => {
      event.preventDefault();
      reset();
      const key = String(new FormData(event.currentTarget).get("key")).trim();
      setNone(!isKey(key));
      if (!isKey(key)) return;
      apiKey.set(key);
      mutate({}, { onSuccess: (who) => void entered({ who }), onError: () => apiKey.set(null) });
    }}>
      <label className="field">
        <span>{messages.sign.keyLabel}</span>
        <input name="key" type="password" required autoComplete="off" aria-invalid={isNone || undefined} />
      </label>
      <p className="soft small">{messages.sign.keyHelp}</p>
      {failure !== undefined && <p className="bad" role="alert">{failure}</p>}
      <button type="submit" className="button" disabled={isPending}>{messages.sign.keyGo}</button>
    </form>
  );
}

/** After a password that signs in once. */
function ChangePassword({ once }: { once: string }) {
  const messages = useMessages();
  const entered = useEntered();
  const { mutate, isPending, error } = useMutation(AccountService.method.changePassword, { meta: ASKS_WHO });
  const refused = refusedFields(error);
  return (
    <form className="form" onSubmit={(event) => {
      event.preventDefault();
      const newPassword = String(new FormData(event.currentTarget).get("password"));
      mutate({ currentPassword: once, newPassword }, { onSuccess: () => void entered() });
    }}>
      <p className="lead">{messages.sign.mustChange}</p>
      <Refusable label={messages.sign.newPassword} refused={refused.get("new_password")} name="password" type="password" required minLength={8} maxLength={256} autoComplete="new-password" />
      {error !== null && refused.size === 0 && <p className="bad" role="alert">{failureOf(error, messages)}</p>}
      <button type="submit" className="button" disabled={isPending}>{messages.sign.change}</button>
    </form>
  );
}
