// The keys that count anywhere. None does while somebody writes, or with a key that is the browser's or the system's.

/** What a key asks for. */
export type Wish = "search" | "help" | "home" | "me" | "operate" | "theme" | "undo";

const ALONE: Record<string, Wish> = { "/": "search", "?": "help", t: "theme", u: "undo" };
const AFTER_G: Record<string, Wish> = { h: "home", m: "me", o: "operate" };

/** For how long a `g` waits for what it goes to. */
const WAIT_MS = 1_200;

/** Whether what is typed there is text. */
function isWriting(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "submit", "range"].includes(target.type);
}

/** Calls `wish` for what the keys ask for, until the function that is returned is called. */
export function listenForKeys(wish: (wish: Wish) => void): () => void {
  let begunAt = -Infinity;
  const listen = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
    const isGoing = event.timeStamp - begunAt < WAIT_MS;
    begunAt = event.key === "g" ? event.timeStamp : -Infinity;
    const found = isGoing ? AFTER_G[event.key] : ALONE[event.key];
    if (found === undefined) return;
    event.preventDefault();
    wish(found);
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}
