// Genres to choose from.

import { useQuery } from "@connectrpc/connect-query";
import { useMemo } from "react";
import { CatalogService } from "../api/generated/marquee/v1/catalog_pb.ts";
import { useMessages } from "../i18n/index.tsx";

/** All names that a filter may have; nothing while they are asked for, and none of them where they cannot be had. */
export function useGenreNames(): { names: ReadonlySet<string> | undefined; isFailed: boolean } {
  const { data, isError } = useQuery(CatalogService.method.listGenres, {}, { staleTime: Infinity });
  const names = useMemo(() => data && new Set(data.genres.map(({ name }) => name)), [data]);
  return { names, isFailed: isError };
}

/** Names to choose from: that of movies without genres is none. */
function useGenres(): readonly string[] {
  const { names } = useGenreNames();
  return [...(names ?? [])].filter((name) => !name.startsWith("("));
}

interface GenreChipsProps {
  label: string;
  chosen: readonly string[];
  toggle: (genre: string) => void;
  /** Says of a genre what its colour says, to who does not see it. */
  sign?: (genre: string) => { state: string; words: string } | undefined;
}

export function GenreChips({ label, chosen, toggle, sign }: GenreChipsProps) {
  const messages = useMessages();
  const genres = useGenres();
  return (
    <fieldset className="chips">
      <legend className="unseen">{label}</legend>
      {genres.map((name) => {
        const signed = sign?.(name);
        return (
          <button key={name} type="button" className="chip" aria-pressed={chosen.includes(name)} data-state={signed?.state} onClick={() => toggle(name)}>
            {messages.genre[name] ?? name}
            {signed && <span className="unseen"> ({signed.words})</span>}
          </button>
        );
      })}
    </fieldset>
  );
}
