// A movie in a row or a grid: its poster, why it is there, and all that can be done with it.

import { Fragment, memo, type KeyboardEvent, useId, useLayoutEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { titleOf } from "../art/title.ts";
import { type Kind, KINDS, type Marked } from "../api/marks.ts";
import { useFormats, useMessages } from "../i18n/index.tsx";
import { useActions, useMarks } from "./actions.tsx";
import { Icon } from "./icons.tsx";
import { Poster, type Pictured } from "./poster.tsx";
import { Stars } from "./stars.tsx";

type Choosable = Exclude<Kind, "rating">;

/** Keys on a movie, beside 1 to 5 for stars. */
const KEYS: Record<string, Choosable> = { l: "like", w: "watchlist", v: "view", h: "hide", d: "dislike" };

const CHOICES: readonly Choosable[] = ["like", "watchlist", "view", "dislike", "hide"];

/** In which way a list of cards lets its cards be reached. */
export interface CardProps {
  movie: Pictured;
  reason: string;
  isFresh?: boolean;
}

export const Card = memo(function Card({ movie, reason, isFresh = false }: CardProps) {
  const messages = useMessages();
  const { rate, toggle } = useActions();
  const marks = useMarks(movie.movieId);
  const [isOpen, setOpen] = useState(false);
  const more = useRef<HTMLButtonElement>(null);
  const menu = useId();
  const { name, year } = titleOf(movie.title);
  const described = [movie.year ?? year, movie.genres.map((genre) => messages.genre[genre] ?? genre).join(", "), reason].filter(Boolean).join(". ");

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const kind = KEYS[event.key];
    if (kind !== undefined) void toggle(movie, kind);
    else if (/^[1-5]$/.test(event.key)) void rate(movie, Number(event.key));
    else if (event.key === "m") more.current?.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <article className="card" data-mark={KINDS.filter((kind) => marks[kind]).join(" ") || undefined} data-fresh={isFresh || undefined} data-movie={movie.movieId}>
      <Link href={`/movies/${movie.movieId}`} className="card-link" aria-label={name} aria-description={described} onKeyDown={onKeyDown}>
        <Poster movie={movie} />
      </Link>
      <MarkBadge marks={marks} />
      <div className="card-under">
        <p className="card-reason">{reason}</p>
        <button ref={more} type="button" className="card-more" aria-label={messages.act.more(name)} aria-expanded={isOpen} aria-controls={menu} popoverTarget={menu}>
          <Icon name="more" />
        </button>
      </div>
      <ActionMenu id={menu} movie={movie} marks={marks} isOpen={isOpen} toggled={setOpen} />
    </article>
  );
});

function MarkBadge({ marks }: { marks: Marked }) {
  const messages = useMessages();
  const { halves } = useFormats();
  const shown = KINDS.flatMap((kind) => marks[kind] ?? []);
  if (shown.length === 0) return null;
  return (
    <p className="card-mark">
      {shown.map(({ kind, stars }) => (
        <Fragment key={kind}>
          <Icon name={kind} filled={kind !== "hide" && kind !== "view"} />
          <span className={kind === "rating" ? "" : "unseen"}>{kind === "rating" ? halves(stars ?? 0) : messages.act.marks[kind]}</span>
        </Fragment>
      ))}
    </p>
  );
}

/** The browser's own popover: it closes by Escape and by a click beside it, and gives the focus back. */
function ActionMenu({ id, movie, marks, isOpen, toggled }: { id: string; movie: Pictured; marks: Marked; isOpen: boolean; toggled: (isOpen: boolean) => void }) {
  const { rate, toggle } = useActions();
  const popover = useRef<HTMLDivElement>(null);
  const { name } = titleOf(movie.title);
  // Once it holds what it shows, its size is known.
  useLayoutEffect(() => {
    if (isOpen && popover.current !== null) placeBeside(popover.current);
  }, [isOpen]);
  const choose = (does: Promise<void>) => {
    popover.current?.hidePopover();
    void does;
  };
  return (
    <div id={id} ref={popover} popover="auto" className="menu action-menu" role="group" aria-label={name} onToggle={(event) => {
      toggled(event.newState === "open");
    }}>
      {isOpen && (
        <>
          <p className="menu-title">{name}</p>
          <Stars name={name} value={marks.rating?.stars} rate={(stars) => choose(rate(movie, stars))} />
          {CHOICES.map((kind) => <Choice key={kind} kind={kind} isOn={marks[kind] !== undefined} choose={() => choose(toggle(movie, kind))} />)}
        </>
      )}
    </div>
  );
}

function Choice({ kind, isOn, choose }: { kind: Choosable; isOn: boolean; choose: () => void }) {
  const messages = useMessages();
  return (
    <button type="button" className="menu-item" aria-pressed={isOn} onClick={choose}>
      <Icon name={kind} filled={isOn} /> {messages.act[kind]}
    </button>
  );
}

/** Puts a popover where there is room for it, near the button that opened it. */
function placeBeside(popover: HTMLElement): void {
  const opener = document.querySelector(`[popovertarget="${CSS.escape(popover.id)}"]`);
  if (opener === null) return;
  const at = opener.getBoundingClientRect();
  const { offsetWidth, offsetHeight } = popover;
  const left = Math.max(8, Math.min(at.right - offsetWidth, window.innerWidth - offsetWidth - 8));
  const below = at.bottom + 6;
  const top = below + offsetHeight < window.innerHeight ? below : Math.max(8, at.top - offsetHeight - 6);
  popover.style.setProperty("left", `${left}px`);
  popover.style.setProperty("top", `${top}px`);
  popover.querySelector("button")?.focus();
}
