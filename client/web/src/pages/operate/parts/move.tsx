// By how many places something stands higher or lower than in the other list.

import { useOwn } from "../../../i18n/index.tsx";
import { useFigures } from "./figures.ts";

const WORDS = {
  en: { fresh: "new", same: "same place", up: (places: string) => `${places} up`, down: (places: string) => `${places} down` },
  es: { fresh: "nueva", same: "mismo puesto", up: (places: string) => `sube ${places}`, down: (places: string) => `baja ${places}` },
};

export function Move({ places }: { places: number | undefined }) {
  const words = useOwn(WORDS);
  const { number } = useFigures();
  if (places === undefined) return <span className="move" data-way="new">{words.fresh}</span>;
  if (places === 0) return <span className="move soft" title={words.same}><span aria-hidden="true">=</span><span className="unseen">{words.same}</span></span>;
  const size = number(Math.abs(places));
  return (
    <span className="move numbers" data-way={places > 0 ? "up" : "down"}>
      <span aria-hidden="true">{places > 0 ? "▲" : "▼"} {size}</span>
      <span className="unseen">{places > 0 ? words.up(size) : words.down(size)}</span>
    </span>
  );
}
