import { expect, test } from "vitest";
import { sizeOf, titleOf } from "../src/art/title.ts";

test.each([
  ["Matrix, The (1999)", "The Matrix", 1999],
  ["Fish Called Wanda, A (1988)", "A Fish Called Wanda", 1988],
  ["City of God (Cidade de Deus) (2002)", "City of God", 2002],
  ["Raiders of the Lost Ark (Indiana Jones and the Raiders of the Lost Ark) (1981)", "Raiders of the Lost Ark", 1981],
  ["Umbrellas of Cherbourg, The (Parapluies de Cherbourg, Les) (1964)", "The Umbrellas of Cherbourg", 1964],
  ["Avventura, L' (Adventure, The) (1960)", "L'Avventura", 1960],
  ["Fawlty Towers (1975-1979)", "Fawlty Towers", 1975],
  ["Hyena Road", "Hyena Road", undefined],
  ["(500) Days of Summer (2009)", "(500) Days of Summer", 2009],
  ["(1999)", "(1999)", 1999],
  ["", "", undefined],
])("%s is written as %s", (text, name, year) => {
  expect(titleOf(text)).toEqual({ name, year });
});

test("a longer word makes the letters of a poster smaller", () => {
  const sizes = ["Heat", "Aliens", "Blade Runner", "Ghostbusters", "Koyaanisqatsi"].map(sizeOf);
  expect(sizes).toEqual([...sizes].sort((one, other) => one - other));
  expect(sizeOf("A".repeat(200))).toBe(8);
});
