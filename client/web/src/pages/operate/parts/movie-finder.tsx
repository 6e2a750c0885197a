// A box that finds a movie by its title, or by its id where that is wanted, and gives it to whoever asked.

import { useQuery } from "@connectrpc/connect-query";
import { useId, useState } from "react";
import { CatalogService, type Suggestion } from "../../../api/generated/marquee/v1/catalog_pb.ts";
import { usePaused } from "../../../components/search-box.tsx";

interface FinderProps {
  label: string;
  choose: (movie: Suggestion) => void;
  byId?: (movieId: number) => void;
}

export function MovieFinder({ label, choose, byId }: FinderProps) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useId();
  const typed = usePaused(text.trim());
  const { data } = useQuery(CatalogService.method.suggestMovies, { query: typed, limit: 6 }, { enabled: typed !== "", placeholderData: (before) => before });
  const found = text.trim() === "" ? [] : (data?.suggestions ?? []);
  const take = (movie: Suggestion | undefined) => {
    if (movie === undefined) return;
    choose(movie);
    setText("");
    setAt(0);
  };
  return (
    <div className="finder">
      <label className="field">
        <span>{label}</span>
        <input type="text" role="combobox" autoComplete="off" spellCheck={false} maxLength={200} aria-expanded={found.length > 0} aria-controls={list} aria-autocomplete="list" aria-activedescendant={found.length > 0 ? `${list}-${at}` : undefined} value={text}
          onChange={(event) => {
            setText(event.target.value);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") {
              event.preventDefault();
              if (byId !== undefined && /^[0-9]{1,9}$/.test(text.trim())) byId(Number(text));
              else take(found[at]);
            } else if (event.key === "Escape") {
              setText("");
            } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length > 0) {
              event.preventDefault();
              setAt((at + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length);
            }
          }} />
      </label>
      <ul id={list} className="finder-list" role="listbox" aria-label={label} hidden={found.length === 0}>
        {found.map((movie, place) => (
          // The input keeps the focus and its keys.
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
          <li key={movie.movieId} id={`${list}-${place}`} role="option" aria-selected={place === at} onPointerDown={(event) => event.preventDefault()} onClick={() => take(movie)}>{movie.title}</li>
        ))}
      </ul>
    </div>
  );
}
