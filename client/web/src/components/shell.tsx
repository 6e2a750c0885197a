// What stands around every page: the way to the others, the search, and who is watching.

import { Code, createClient } from "@connectrpc/connect";
import { type ReactNode, useCallback, useEffect, useId, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { AccountService } from "../api/generated/marquee/v1/account_pb.ts";
import { hasCode, wordsFor } from "../api/problem.ts";
import { apiKey, type Theme, theme } from "../api/storage.ts";
import { useCalls, useVisitor } from "../api/visitor.tsx";
import { LOCALES, useLanguage, useMessages } from "../i18n/index.tsx";
import { listenForKeys } from "../keys.ts";
import { pagesFor } from "../pages/operate/registry.ts";
import { Icon, type IconName } from "./icons.tsx";
import { KeysHelp } from "./keys-help.tsx";
import { SearchBox } from "./search-box.tsx";
import { useToasts } from "./toasts.tsx";

interface Place {
  href: string;
  icon: IconName;
  name: string;
  isOn: boolean;
}

function usePlaces(): Place[] {
  const messages = useMessages();
  const { visitor } = useVisitor();
  const [path] = useLocation();
  const operate = pagesFor(visitor)[0];
  const places: Place[] = [];
  if (visitor.userId !== undefined) {
    places.push(
      { href: "/", icon: "home", name: messages.nav.home, isOn: path === "/" },
      { href: "/search", icon: "search", name: messages.nav.search, isOn: path === "/search" },
      { href: "/me", icon: "person", name: messages.nav.me, isOn: path.startsWith("/me") },
    );
  }
  if (operate !== undefined) {
    places.push({ href: operate.path, icon: "gauge", name: messages.nav.operate, isOn: path.startsWith("/operate") });
  }
  return places;
}

export function Shell({ children, undo }: { children: ReactNode; undo?: () => void }) {
  const messages = useMessages();
  const places = usePlaces();
  const [, go] = useLocation();
  const [isHelping, setHelping] = useState(false);
  const { visitor } = useVisitor();
  const operate = pagesFor(visitor)[0]?.path;
  const closeHelp = useCallback(() => setHelping(false), []);

  useEffect(() => listenForKeys((wish) => {
    if (wish === "search") document.querySelector<HTMLInputElement>("[data-search]")?.focus();
    else if (wish === "help") setHelping(true);
    else if (wish === "home") go("/");
    else if (wish === "me") go("/me");
    else if (wish === "operate" && operate !== undefined) go(operate);
    else if (wish === "theme") turnTheme();
    else if (wish === "undo") undo?.();
  }), [go, operate, undo]);

  const links = places.map(({ href, icon, name, isOn }) => (
    <Link key={href} href={href} className="nav-link" aria-current={isOn ? "page" : undefined}>
      <Icon name={icon} /> <span>{name}</span>
    </Link>
  ));
  return (
    <>
      <a className="skip" href="#content" onClick={(event) => {
        event.preventDefault();
        document.querySelector<HTMLElement>("#content")?.focus();
      }}>{messages.skip}</a>
      <header className="header">
        <Link href="/" className="wordmark">Marquee</Link>
        <nav className="nav-wide" aria-label={messages.nav.label}>{links}</nav>
        {visitor.userId !== undefined ? <SearchBox /> : <span className="header-room" />}
        <VisitorMenu help={() => setHelping(true)} />
      </header>
      <main id="content" tabIndex={-1}>{children}</main>
      <nav className="nav-narrow" aria-label={messages.nav.label}>{links}</nav>
      {isHelping && <KeysHelp close={closeHelp} />}
    </>
  );
}

/** Dark where it was light, and the other way around. */
function turnTheme(): void {
  const isDark = theme.get() === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : theme.get() === "dark";
  theme.set(isDark ? "light" : "dark");
}

function VisitorMenu({ help }: { help: () => void }) {
  const messages = useMessages();
  const { locale, choose } = useLanguage();
  const { visitor, watch, leave } = useVisitor();
  const transport = useCalls();
  const toasts = useToasts();
  const [, go] = useLocation();
  const menu = useId();
  const popover = useRef<HTMLDivElement>(null);
  const [look, setLook] = useState<Theme>(theme.get);
  const [isOpen, setOpen] = useState(false);
  const name = visitor.who?.account?.email ?? visitor.who?.name ?? (visitor.userId === undefined ? undefined : messages.nav.watching(visitor.userId.toString()));
  const close = () => popover.current?.hidePopover();

  const signOut = async () => {
    close();
    try {
      if (apiKey.get() === null) await createClient(AccountService, transport).signOut({});
    } catch (error) {
      // Who is not known any more is out already.
      if (!hasCode(error, Code.Unauthenticated)) return toasts.show(`${messages.nav.stillIn}: ${wordsFor(error, messages).title}`, { isBad: true });
    }
    await leave();
    return go("/");
  };
  return (
    <div className="visitor">
      <button type="button" className="visitor-button" popoverTarget={menu} aria-label={messages.nav.menu} aria-expanded={isOpen}>
        <span aria-hidden="true">{initialOf(visitor.who?.account?.email ?? visitor.who?.name ?? visitor.userId?.toString())}</span>
      </button>
      <div id={menu} ref={popover} popover="auto" className="menu visitor-menu" role="group" aria-label={messages.nav.menu} onToggle={(event) => {
        setOpen(event.newState === "open");
        setLook(theme.get());
      }}>
        {name !== undefined && <p className="menu-title">{name}</p>}
        <label className="field">
          <span>{messages.nav.theme}</span>
          <select value={look} onChange={(event) => {
            const chosen = event.target.value as Theme;
            theme.set(chosen);
            setLook(chosen);
          }}>
            {(["system", "dark", "light"] as const).map((one) => <option key={one} value={one}>{messages.nav.themes[one]}</option>)}
          </select>
        </label>
        <label className="field">
          <span>{messages.nav.languages}</span>
          <select value={locale} onChange={(event) => void choose(event.target.value as typeof locale)}>
            {LOCALES.map((one) => <option key={one} value={one}>{one === "en" ? "English" : "Español"}</option>)}
          </select>
        </label>
        <button type="button" className="menu-item" onClick={() => {
          close();
          help();
        }}>{messages.nav.keys} <kbd>?</kbd></button>
        <Link href="/design" className="menu-item" onClick={close}>{messages.nav.design}</Link>
        <a href="/docs" className="menu-item">{messages.nav.api}</a>
        {visitor.who !== undefined && <button type="button" className="menu-item" onClick={() => void signOut()}><Icon name="out" /> {messages.nav.signOut}</button>}
        {!visitor.isPerson && visitor.userId !== undefined && (
          <button type="button" className="menu-item" onClick={() => {
            close();
            watch(undefined);
            go("/");
          }}><Icon name="person" /> {messages.nav.other}</button>
        )}
      </div>
    </div>
  );
}

function initialOf(name: string | undefined): ReactNode {
  const letter = name === undefined ? undefined : /[\p{L}\p{N}]/u.exec(name)?.[0]?.toUpperCase();
  return letter ?? <Icon name="person" />;
}
