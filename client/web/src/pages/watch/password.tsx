// Another password for the account that is signed in, which ends its other sessions; and the end of all of them.

import { Code } from "@connectrpc/connect";
import { useMutation } from "@connectrpc/connect-query";
import { AccountService } from "../../api/generated/marquee/v1/account_pb.ts";
import { hasCode, wordsFor } from "../../api/problem.ts";
import { refusedFields } from "../../api/refusal.ts";
import { useVisitor } from "../../api/visitor.tsx";
import { Refusable } from "../../components/refusable.tsx";
import { useToasts } from "../../components/toasts.tsx";
import { useMessages } from "../../i18n/index.tsx";

export function Password() {
  const messages = useMessages();
  const toasts = useToasts();
  const { leave } = useVisitor();
  const { mutate, isPending, error } = useMutation(AccountService.method.changePassword);
  const refused = refusedFields(error);
  const everywhere = useMutation(AccountService.method.signOut);
  const isWrong = hasCode(error, Code.PermissionDenied);
  return (
    <section aria-labelledby="password">
      <h2 id="password">{messages.me.password}</h2>
      <form className="form" onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const fields = new FormData(form);
        mutate({ currentPassword: String(fields.get("current")), newPassword: String(fields.get("new")) }, {
          onSuccess: () => {
            form.reset();
            toasts.show(messages.sign.changed);
          },
        });
      }}>
        <label className="field">
          <span>{messages.sign.currentPassword}</span>
          <input name="current" type="password" required maxLength={256} autoComplete="current-password" />
        </label>
        <Refusable label={messages.sign.newPassword} refused={refused.get("new_password")} name="new" type="password" required minLength={8} maxLength={256} autoComplete="new-password" />
        {error !== null && refused.size === 0 && <p className="bad" role="alert">{isWrong ? messages.me.deleteWrong : wordsFor(error, messages).title}</p>}
        <div className="form-buttons">
          <button type="submit" className="button" disabled={isPending}>{messages.sign.change}</button>
          <button type="button" className="button-plain" disabled={everywhere.isPending} onClick={() => everywhere.mutate({ everywhere: true }, { onSuccess: () => void leave() })}>{messages.me.everywhere}</button>
        </div>
      </form>
    </section>
  );
}
