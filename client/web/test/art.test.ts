import { expect, test } from "vitest";
import { COMPOSITIONS, shapesOf } from "../src/art/motif.ts";
import { paletteOf } from "../src/art/palette.ts";
import { randomOf } from "../src/art/random.ts";

/** The luminance of an OKLCH colour is the cube of its lightness, near enough. */
function contrastWithWhite(lightness: number): number {
  return 1.05 / (lightness ** 3 + 0.05);
}

test("a movie looks the same each time and others look otherwise", () => {
  const drawn = (movieId: number) => {
    const random = randomOf(movieId);
    return shapesOf(movieId, paletteOf(["Drama"], random), random);
  };
  expect(drawn(318)).toEqual(drawn(318));
  expect(drawn(318)).not.toEqual(drawn(318 + COMPOSITIONS));
});

test("numbers are spread over all that there is", () => {
  const random = randomOf(7);
  const tenths = new Set(Array.from({ length: 200 }, () => Math.floor(random() * 10)));
  expect(tenths.size).toBe(10);
});

test.each(Array.from({ length: COMPOSITIONS }, (_, place) => [place]))("composition %i is made of attributes that SVG takes, and few of them", (place) => {
  for (let movieId = 1; movieId < 40; movieId += 1) {
    const random = randomOf(movieId);
    const shapes = shapesOf(place, paletteOf(["Action", "Sci-Fi"], random), random);
    expect(shapes.length).toBeGreaterThan(3);
    expect(shapes.length).toBeLessThan(200);
    expect(JSON.stringify(shapes)).not.toMatch(/NaN|null|Infinity/);
  }
});

test("white letters are read on the scrim over the lightest colour", () => {
  // The scrim below the lowest line of a title covers 94 of 100, below its highest line 78, as card.css has it.
  const lightest = Number(/oklch\(([0-9.]+)/.exec(paletteOf(["Comedy"], () => 0.5).light)?.[1]);
  expect(contrastWithWhite(lightest * (1 - 0.78))).toBeGreaterThan(4.5);
});

test("a genre of somebody's own has a colour, and no genre has one too", () => {
  for (const genres of [["Telenovela"], [""], []]) {
    expect(paletteOf(genres, () => 0.5).main).toMatch(/^oklch\([0-9.]+ [0-9.]+ [0-9.]+\)$/);
  }
});
