// What went wrong, as a person needs to know it: what it is, and whether trying again may help.

import { Code, ConnectError } from "@connectrpc/connect";
import type { Messages } from "../i18n/en.ts";

export type Trouble = "offline" | "slow" | "busy" | "forbidden" | "notFound" | "unknown" | "other";

/**
 * Whether a fetch came to nothing, which is a TypeError, whatever code Connect gives it; so is a mistake of the page's
 * own, which only the words tell from it, and each browser has its own.
 */
function isUnreached(error: unknown): boolean {
  const cause = error instanceof ConnectError ? error.cause : error;
  return cause instanceof TypeError && /failed to fetch|fetch failed|network|load failed/i.test(cause.message);
}

/** The kind of trouble that an error is. */
export function troubleOf(error: unknown): Trouble {
  const known = ConnectError.from(error);
  if (isUnreached(error)) return "offline";
  switch (known.code) {
    case Code.Unavailable:
      return "offline";
    case Code.DeadlineExceeded:
    case Code.Canceled:
      return "slow";
    case Code.ResourceExhausted:
      return "busy";
    case Code.PermissionDenied:
      return "forbidden";
    case Code.NotFound:
      return "notFound";
    case Code.Unauthenticated:
      return "unknown";
    default:
      return "other";
  }
}

/** Whether the same call may go well in a moment. */
export function mayPass(trouble: Trouble): boolean {
  return trouble === "offline" || trouble === "slow" || trouble === "busy" || trouble === "other";
}

/** A heading and a sentence, which is in the server's language where it is the server's. */
export function wordsFor(error: unknown, messages: Messages): { title: string; detail: string; lang?: "en" } {
  const { errors } = messages;
  const trouble = troubleOf(error);
  switch (trouble) {
    case "offline":
      return { title: errors.offline, detail: errors.offlineDetail };
    case "slow":
      return { title: errors.slow, detail: errors.slowDetail };
    case "busy":
      return { title: errors.busy, detail: errors.busyDetail };
    default:
      return { title: errors[trouble], detail: ConnectError.from(error).rawMessage, lang: "en" };
  }
}

/** Whether an error has this code. */
export function hasCode(error: unknown, code: Code): boolean {
  return error instanceof ConnectError && error.code === code && !isUnreached(error);
}
