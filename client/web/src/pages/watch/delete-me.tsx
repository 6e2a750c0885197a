// Removes whoever is watching, once they have said it twice; with an account by its password.

import { Code, createClient } from "@connectrpc/connect";
import { useMutation } from "@tanstack/react-query";
import { AccountService } from "../../api/generated/marquee/v1/account_pb.ts";
import { UserService } from "../../api/generated/marquee/v1/user_pb.ts";
import { hasCode, wordsFor } from "../../api/problem.ts";
import { useCalls, useUserId, useVisitor } from "../../api/visitor.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { useToasts } from "../../components/toasts.tsx";
import { useMessages } from "../../i18n/index.tsx";

export function DeleteMe({ close }: { close: () => void }) {
  const messages = useMessages();
  const toasts = useToasts();
  const userId = useUserId();
  const transport = useCalls();
  const { visitor, leave } = useVisitor();
  const hasAccount = visitor.who?.account !== undefined;
  const { mutate, isPending, error } = useMutation({
    mutationFn: async (password: string) => {
      if (hasAccount) return createClient(AccountService, transport).deleteAccount({ password });
      return createClient(UserService, transport).deleteUser({ user: { case: "userId", value: userId } });
    },
    onSuccess: async ({ deletedInteractions }) => {
      await leave();
      toasts.show(messages.me.deleted(deletedInteractions));
    },
  });
  const isWrong = hasAccount && hasCode(error, Code.PermissionDenied);
  return (
    <Dialog title={messages.me.deleteTitle} close={close} narrow>
      <form className="form" onSubmit={(event) => {
        event.preventDefault();
        mutate(String(new FormData(event.currentTarget).get("password") ?? ""));
      }}>
        <p>{messages.me.deleteLead}</p>
        {hasAccount && (
          <label className="field">
            <span>{messages.me.deletePassword}</span>
            <input name="password" type="password" required maxLength={256} autoComplete="current-password" />
          </label>
        )}
        {error !== null && <p className="bad" role="alert">{isWrong ? messages.me.deleteWrong : wordsFor(error, messages).title}</p>}
        <div className="form-buttons">
          <button type="submit" className="button-bad" disabled={isPending}>{messages.me.deleteSure}</button>
          <button type="button" className="button-plain" onClick={close}>{messages.me.cancel}</button>
        </div>
      </form>
    </Dialog>
  );
}
