// Titles as people write them, from titles as MovieLens writes them.

const ARTICLES = "The|A|An|Le|La|Les|L'|Il|Lo|Gli|I|El|Los|Las|Un|Una|Une|Der|Die|Das|Ein|Eine|Den|Det|De|O|Os|As";
const MOVED = new RegExp(`^(.*), (${ARTICLES})$`);
const YEAR = /\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$/;
const OTHER_NAMES = /\s*\((?:[^()]|\([^()]*\))*\)\s*$/;

/** A title in its parts. */
export interface Title {
  /** `The Matrix` for `Matrix, The (1999)`, without names in other languages. */
  name: string;
  /** What stands in brackets at the end, if it is a year. */
  year: number | undefined;
}

/** The parts of a title; the text itself where nothing else would be left. */
export function titleOf(text: string): Title {
  const found = YEAR.exec(text);
  let name = found === null ? text.trim() : text.slice(0, found.index);
  for (let short = name.replace(OTHER_NAMES, ""); short !== name && short !== ""; short = name.replace(OTHER_NAMES, "")) {
    name = short;
  }
  const moved = MOVED.exec(name);
  if (moved !== null) {
    const article = moved[2]!;
    name = article.endsWith("'") ? `${article}${moved[1]}` : `${article} ${moved[1]}`;
  }
  return { name: name === "" ? text : name, year: found === null ? undefined : Number(found[1]) };
}

/** How large a poster's title may be: from 1, the largest, to 8, by its longest word and its length. */
export function sizeOf(name: string): number {
  const longest = Math.max(...name.split(/[\s-]+/).map((word) => word.length), 1);
  const byWord = longest <= 6 ? 1 : longest <= 7 ? 2 : longest <= 8 ? 3 : longest <= 10 ? 4 : longest <= 12 ? 5 : longest <= 14 ? 6 : 7;
  const byLength = name.length <= 18 ? 1 : name.length <= 26 ? 3 : name.length <= 36 ? 4 : name.length <= 50 ? 5 : name.length <= 75 ? 6 : 8;
  return Math.max(byWord, byLength);
}
