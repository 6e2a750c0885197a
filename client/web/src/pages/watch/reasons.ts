// Why a movie stands where it stands, in words.

import type { HomeRow, Recommendation } from "../../api/generated/marquee/v1/recommendation_pb.ts";
import { RowKind, Source } from "../../api/generated/marquee/v1/recommendation_pb.ts";
import { titleOf } from "../../art/title.ts";
import type { Messages } from "../../i18n/en.ts";

/** What the reply says of the movie itself, else what its source tells. */
export function reasonOf(movie: Recommendation, messages: Messages): string {
  const { reason } = messages;
  const [first] = movie.because;
  if (first !== undefined) return reason.because(titleOf(first.title).name);
  if (movie.similarTo !== undefined) return reason.like(titleOf(movie.similarTo.title).name);
  switch (movie.source) {
    case Source.MODEL:
      return reason.model;
    case Source.PREFERENCES:
      return reason.preferences;
    case Source.RULE:
      return reason.rule;
    case Source.EXPLORATION:
      return reason.exploration;
    case Source.SIMILARITY:
      return reason.similar;
    default:
      return reason.popular;
  }
}

/** What a row says of a movie in it; `liked` is the name of the movie that the row is about. */
export function reasonInRow(movie: Recommendation, row: HomeRow, liked: string | undefined, messages: Messages): string {
  const { reason } = messages;
  switch (row.kind) {
    case RowKind.BECAUSE:
      return liked === undefined ? reason.similar : reason.like(liked);
    case RowKind.NEW:
      return reason.new(movie.year);
    case RowKind.TRENDING:
      return reason.trending;
    case RowKind.POPULAR:
      return reason.popular;
    case RowKind.GENRE:
      return row.about.case === "genre" ? reason.genre(messages.genre[row.about.value] ?? row.about.value) : reason.model;
    case RowKind.DECADE:
      return row.about.case === "decade" ? reason.decade(row.about.value) : reason.model;
    default:
      return reasonOf(movie, messages);
  }
}

/** What stands above a row. */
export function titleOfRow(row: HomeRow, liked: string | undefined, messages: Messages): string {
  const { rows } = messages.home;
  switch (row.kind) {
    case RowKind.FOR_YOU:
      return rows.forYou;
    case RowKind.BECAUSE:
      return liked === undefined ? row.title : rows.because(liked);
    case RowKind.NEW:
      return rows.new;
    case RowKind.TRENDING:
      return rows.trending;
    case RowKind.POPULAR:
      return rows.popular;
    case RowKind.GENRE:
      return row.about.case === "genre" ? rows.genre(messages.genre[row.about.value] ?? row.about.value) : row.title;
    case RowKind.DECADE:
      return row.about.case === "decade" ? rows.decade(row.about.value) : row.title;
    default:
      return row.title;
  }
}
