// A row of movies that is longer than the page is wide. The arrow keys go along it and from row to row.

import { type KeyboardEvent, memo, type ReactNode, useId, useRef } from "react";
import { useMessages } from "../i18n/index.tsx";
import { Icon } from "./icons.tsx";

interface RowProps {
  title: string;
  /** A word beside the title. */
  note?: string | undefined;
  children: ReactNode;
}

export const Row = memo(function Row({ title, note, children }: RowProps) {
  const messages = useMessages();
  const cards = useRef<HTMLUListElement>(null);
  const heading = useId();
  const turn = (way: 1 | -1) => {
    const shown = cards.current;
    shown?.scrollBy({ left: way * shown.clientWidth * 0.85, behavior: "smooth" });
  };
  return (
    <section className="row" aria-labelledby={heading}>
      <header className="row-head">
        <h2 id={heading}>{title}</h2>
        {note !== undefined && <span className="row-renewed">{note}</span>}
        <div className="row-turn">
          <button type="button" className="icon-button" aria-label={`${messages.home.back}: ${title}`} tabIndex={-1} onClick={() => turn(-1)}><Icon name="back" /></button>
          <button type="button" className="icon-button" aria-label={`${messages.home.forth}: ${title}`} tabIndex={-1} onClick={() => turn(1)}><Icon name="forth" /></button>
        </div>
      </header>
      <ul className="row-cards" ref={cards} onKeyDown={moveFocus}>{children}</ul>
    </section>
  );
});

/** Left and right to the next card, up and down to the row above or below. */
export function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const card = (event.target as HTMLElement).closest("li");
  if (card === null || !(event.target as HTMLElement).matches(".card-link")) return;
  const found = event.key === "ArrowRight" ? card.nextElementSibling
    : event.key === "ArrowLeft" ? card.previousElementSibling
    : event.key === "ArrowDown" ? below(card, 1)
    : event.key === "ArrowUp" ? below(card, -1)
    : undefined;
  if (found === undefined) return;
  event.preventDefault();
  const link = found?.querySelector<HTMLElement>(".card-link");
  link?.focus();
  link?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** The card that stands nearest to this one in another row, or in another line of a grid. */
function below(card: Element, way: 1 | -1): Element | null {
  const at = card.getBoundingClientRect();
  const rows = [...document.querySelectorAll(".row-cards, .grid-cards")];
  const here = rows.findIndex((row) => row.contains(card));
  const isGrid = rows[here]?.matches(".grid-cards") ?? false;
  const others = isGrid ? [...(rows[here]?.children ?? [])] : [...(rows[here + way]?.children ?? [])];
  const lines = isGrid ? others.filter((other) => (other.getBoundingClientRect().top - at.top) * way > at.height / 2) : others;
  const distance = (other: Element) => {
    const there = other.getBoundingClientRect();
    return Math.abs(there.left - at.left) + Math.abs(there.top - at.top) * 10;
  };
  return lines.reduce<Element | null>((best, other) => (best === null || distance(other) < distance(best) ? other : best), null);
}
