// Whether what is shown is what happens now.

import { useOwn } from "../../../i18n/index.tsx";
import type { FollowState } from "./follow.ts";

const WORDS = {
  en: { opening: "connecting", live: "live", resting: "resting while nobody looks", failed: "connection lost, trying again" },
  es: { opening: "conectando", live: "en directo", resting: "en pausa mientras nadie mira", failed: "conexión perdida, reintentando" },
};

export function LiveState({ state }: { state: FollowState }) {
  const name = typeof state === "object" ? "failed" : state;
  return <span className="live" data-state={name} role="status">{useOwn(WORDS)[name]}</span>;
}
