// The pages for people who run the server: one file each in this folder, named as here, with the page as its default
// export. A page is listed once its file is there; its name stands in the messages under `operate.names`.

import { type ComponentType, lazy } from "react";
import { type Least, may, type Visitor } from "../../api/visitor.tsx";

/** All that there may be, in the order in which they are listed, and the least role that has a use for each. */
const PLACES: readonly [name: string, least: Least][] = [
  ["overview", "viewer"],
  ["playground", "viewer"],
  ["models", "viewer"],
  ["catalogue", "recommender"],
  ["jobs", "operator"],
  ["experiments", "operator"],
  ["access", "admin"],
  ["events", "recommender"],
];

export interface OperatePage {
  /** The last part of its path, and its name among the messages. */
  name: string;
  path: string;
  least: Least;
  Page: ComponentType;
}

const FILES = import.meta.glob<{ default: ComponentType }>("./*.tsx");

/** The pages that there are. Each is fetched when it is opened. */
export const OPERATE_PAGES: readonly OperatePage[] = PLACES.flatMap(([name, least]) => {
  const file = FILES[`./${name}.tsx`];
  return file === undefined ? [] : [{ name, least, path: `/operate/${name}`, Page: lazy(file) }];
});

/** Those that somebody may see. */
export function pagesFor(visitor: Visitor): readonly OperatePage[] {
  return OPERATE_PAGES.filter(({ least }) => may(visitor, least));
}
