// What the address of a page asks for, after `?`.

import { useSearch } from "wouter";

/** As it stands there: wouter's own is decoded once, and reading its parts would decode `%2541` twice. */
export function useAsked(): string {
  useSearch();
  return window.location.search;
}
