// Looking up what the server knows: a user with what they are shown, a movie with what is like it, and the rules.
//
// What is looked at stands in the address, so that it can be sent to somebody else.

import { Link, useLocation } from "wouter";
import { useAsked } from "../../address.ts";
import { useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { MovieView } from "./parts/movie-view.tsx";
import { placeOf } from "./parts/places.ts";
import { RulesView } from "./parts/rules-view.tsx";
import { UserView } from "./parts/user-view.tsx";
import { WORDS } from "./words/catalogue.ts";

const TABS = ["users", "movies", "rules"] as const;
type Tab = (typeof TABS)[number];

function tabOf(asked: URLSearchParams): Tab {
  if (asked.has("movie")) return "movies";
  return TABS.find((tab) => tab === asked.get("show")) ?? "users";
}

export default function Catalogue() {
  const words = useOwn(WORDS);
  const [, go] = useLocation();
  const asked = new URLSearchParams(useAsked());
  const shown = tabOf(asked);
  useTitle(words.title);
  return (
    <>
      <nav className="chips" aria-label={words.tabs.label}>
        {TABS.map((tab) => <Link key={tab} href={placeOf({ show: tab })} className="chip chip-link" aria-current={tab === shown ? "page" : undefined}>{words.tabs[tab]}</Link>)}
      </nav>
      {shown === "users" && <UserView asked={asked.get("user")} open={(user) => go(placeOf({ user }))} />}
      {shown === "movies" && <MovieView asked={asked.get("movie")} open={(movie) => go(placeOf({ movie }))} />}
      {shown === "rules" && <RulesView />}
    </>
  );
}
