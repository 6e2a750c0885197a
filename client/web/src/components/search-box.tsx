// The one place to search from, on every page: suggestions while one types, all results by Enter. On the page of results
// it is that page's query.

import { useQuery } from "@connectrpc/connect-query";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { useLocation } from "wouter";
import { useAsked } from "../address.ts";
import { CatalogService } from "../api/generated/marquee/v1/catalog_pb.ts";
import { useMessages } from "../i18n/index.tsx";
import { Icon } from "./icons.tsx";

/** For how long nothing is typed before it is asked for. */
const PAUSE_MS = 90;

/** A value that follows another one after a pause. */
export function usePaused<T>(value: T, pause = PAUSE_MS): T {
  const [paused, setPaused] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setPaused(value), pause);
    return () => clearTimeout(timer);
  }, [value, pause]);
  return paused;
}

/** The next of `count` suggestions; beyond either end there is none (-1), and then the other end. */
export function turned(at: number, move: number, count: number): number {
  return ((at + 1 + move + count + 1) % (count + 1)) - 1;
}

export function SearchBox() {
  const messages = useMessages();
  const [path, go] = useLocation();
  const search = useAsked();
  const isResults = path === "/search";
  const inUrl = isResults ? (new URLSearchParams(search).get("q") ?? "") : "";
  const [text, setText] = useState(inUrl);
  const [isOpen, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const list = useId();
  const input = useRef<HTMLInputElement>(null);
  const typed = usePaused(text.trim());
  // What this box has written into the address, and on which page: anything else there came by another way.
  const own = useRef({ path, query: inUrl });
  const writing = useRef<ReturnType<typeof setTimeout>>(undefined);

  // Back and forward, or another page: the box says what the page is about, whoever is in it.
  useEffect(() => {
    if (own.current.path === path && own.current.query === inUrl) return;
    own.current = { path, query: inUrl };
    clearTimeout(writing.current);
    setText(inUrl);
  }, [path, inUrl]);
  useEffect(() => () => clearTimeout(writing.current), []);

  /** What is typed on the page of results stands in its address, beside the filters that stand there now. */
  const write = (next: string) => {
    clearTimeout(writing.current);
    const query = next.trim();
    const current = new URLSearchParams(window.location.search);
    if (window.location.pathname !== "/search" || (current.get("q") ?? "") === query) return;
    own.current = { path, query };
    if (query === "") current.delete("q");
    else current.set("q", query);
    go(`/search${current.size > 0 ? `?${current}` : ""}`, { replace: true });
  };
  const type = (next: string) => {
    setText(next);
    setOpen(true);
    setActive(-1);
    clearTimeout(writing.current);
    if (isResults) writing.current = setTimeout(() => write(next), PAUSE_MS);
  };

  const asks = isOpen && !isResults && typed !== "";
  const { data } = useQuery(CatalogService.method.suggestMovies, { query: typed, limit: 7 }, { enabled: asks, placeholderData: (before) => before });
  const suggestions = asks ? (data?.suggestions ?? []) : [];
  const isShown = suggestions.length > 0;

  const toResults = () => {
    setOpen(false);
    const query = text.trim();
    if (isResults) return write(text);
    return go(query === "" ? "/search" : `/search?${new URLSearchParams({ q: query })}`);
  };
  const open = (at: number) => {
    const chosen = suggestions[at];
    if (chosen === undefined) return toResults();
    setOpen(false);
    setText("");
    input.current?.blur();
    return go(`/movies/${chosen.movieId}`);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const move = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (move !== 0 && isShown) {
      event.preventDefault();
      setActive((at) => turned(at, move, suggestions.length));
    } else if (event.key === "Escape") {
      if (isShown) setOpen(false);
      else input.current?.blur();
    }
  };

  return (
    <form className="search-box" role="search" onSubmit={(event) => {
      event.preventDefault();
      open(isShown ? active : -1);
    }}>
      <label className="unseen" htmlFor={`${list}-input`}>{messages.searchBox.label}</label>
      <Icon name="search" />
      <input
        ref={input}
        id={`${list}-input`}
        data-search
        type="search"
        role="combobox"
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        enterKeyHint="search"
        maxLength={200}
        placeholder={messages.searchBox.hint}
        aria-expanded={isShown}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={isShown && active >= 0 ? `${list}-${active}` : undefined}
        value={text}
        onChange={(event) => type(event.target.value)}
        onFocus={() => setOpen(true)}
        onBlur={() => {
          setOpen(false);
          // What is clicked next works with what was typed.
          if (isResults) write(text);
        }}
        onKeyDown={onKeyDown}
      />
      {text === "" && <kbd aria-hidden="true">/</kbd>}
      <ul id={list} className="suggestions" role="listbox" aria-label={messages.searchBox.suggestions} hidden={!isShown}>
        {suggestions.map((suggestion, at) => (
          // The input keeps the focus and its keys.
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
          <li key={suggestion.movieId} id={`${list}-${at}`} role="option" aria-selected={at === active} onPointerDown={(event) => event.preventDefault()} onClick={() => open(at)}>
            <span>{suggestion.name}</span>
            <span className="soft small">{/\((\d{4})\)\s*$/.exec(suggestion.title)?.[1]}</span>
          </li>
        ))}
      </ul>
      <p className="unseen" role="status">{asks && data ? messages.searchBox.found(suggestions.length) : ""}</p>
    </form>
  );
}
