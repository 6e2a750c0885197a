// In which language the console speaks: what was chosen before, else what the browser asks for.

import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import { en, type Messages } from "./en.ts";

export type { Messages };

const KEY = "marquee.language";

/** The languages that there are. */
export const LOCALES = ["en", "es"] as const;
export type Locale = (typeof LOCALES)[number];

interface Language {
  locale: Locale;
  messages: Messages;
  choose: (locale: Locale) => Promise<void>;
}

const LanguageContext = createContext<Language>({ locale: "en", messages: en, choose: () => Promise.resolve() });

/** What to begin in. */
export function preferredLocale(chosen: string | null, asked: readonly string[]): Locale {
  const of = (tag: string) => LOCALES.find((locale) => tag === locale || tag.startsWith(`${locale}-`));
  return of(chosen ?? "") ?? asked.map(of).find((locale) => locale !== undefined) ?? "en";
}

/** The messages of a language, fetched where they are not those that come with the program. */
export async function messagesOf(locale: Locale): Promise<Messages> {
  return locale === "es" ? (await import("./es.ts")).es : en;
}

/** What was chosen or is asked for in this browser. */
export function storedLocale(): Locale {
  return preferredLocale(localStorage.getItem(KEY), navigator.languages);
}

export function LanguageProvider({ locale, messages, children }: { locale: Locale; messages: Messages; children: ReactNode }) {
  const [spoken, setSpoken] = useState({ locale, messages });
  const language = useMemo<Language>(() => ({
    ...spoken,
    choose: async (next) => {
      const found = await messagesOf(next);
      localStorage.setItem(KEY, next);
      document.documentElement.lang = next;
      setSpoken({ locale: next, messages: found });
    },
  }), [spoken]);
  return <LanguageContext value={language}>{children}</LanguageContext>;
}

/** What to say. */
export function useMessages(): Messages {
  return useContext(LanguageContext).messages;
}

/** The language, to show or to change it. */
export function useLanguage(): Language {
  return useContext(LanguageContext);
}

/** A page's own messages: `useOwn({ en, es })` is the one that is spoken. */
export function useOwn<T>(own: Record<Locale, T>): T {
  return own[useContext(LanguageContext).locale];
}

/** Numbers, dates and lists as they are written in the language. */
export function useFormats() {
  const { locale } = useLanguage();
  return useMemo(() => ({
    number: new Intl.NumberFormat(locale).format,
    stars: new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format,
    halves: new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format,
    date: new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format,
    moment: new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format,
    list: (items: string[]) => new Intl.ListFormat(locale, { type: "conjunction" }).format(items),
  }), [locale]);
}
