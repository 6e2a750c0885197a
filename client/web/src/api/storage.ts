// What a browser remembers for the console. Where it may not (a private window, a full disk), nothing is remembered,
// and nothing else fails.

const USER = "marquee.watching";
const KEY = "marquee.key";
const THEME = "marquee.theme";

function read(storage: Storage, name: string): string | null {
  try {
    return storage.getItem(name);
  } catch {
    return null;
  }
}

function write(storage: Storage, name: string, value: string | null): void {
  try {
    if (value === null) storage.removeItem(name);
    else storage.setItem(name, value);
  } catch {
    // It is forgotten with the page.
  }
}

/** An id of a user as a person types it; `undefined` for what is none. */
export function userIdOf(text: string | null): bigint | undefined {
  if (text === null || !/^[0-9]{1,20}$/.test(text.trim())) return undefined;
  const id = BigInt(text.trim());
  return id >= 1n && id <= 18446744073709551615n ? id : undefined;
}

/** Who watches where the server does not know it. */
export const watching = {
  name: USER,
  get: () => userIdOf(read(localStorage, USER)),
  set: (id: bigint | undefined) => write(localStorage, USER, id === undefined ? null : id.toString()),
};

/** Whether a text may be a key or a token: characters beyond these cannot be sent as one. */
export function isKey(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

/** The API key that a person gave, for this tab. */
export const apiKey = {
  get: () => {
    const key = read(sessionStorage, KEY);
    return key !== null && isKey(key) ? key : null;
  },
  set: (key: string | null) => write(sessionStorage, KEY, key),
};

export type Theme = "system" | "dark" | "light";

export const theme = {
  get: (): Theme => {
    const found = read(localStorage, THEME);
    return found === "dark" || found === "light" ? found : "system";
  },
  set: (chosen: Theme) => {
    write(localStorage, THEME, chosen === "system" ? null : chosen);
    showTheme(chosen);
  },
};

/** Lets the page look so. */
export function showTheme(chosen: Theme): void {
  if (chosen === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}
