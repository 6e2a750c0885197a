// The colours of a poster: its first genre gives the hue, the movie how far it strays.

/** Five colours from dark to light, in CSS. */
export interface Palette {
  night: string;
  deep: string;
  main: string;
  light: string;
  /** Of another hue than the others. */
  spark: string;
}

/** The hue of each genre of MovieLens, and that of its spark, in degrees of OKLCH. */
const HUES: Record<string, [number, number]> = {
  Action: [25, 85],
  Adventure: [65, 205],
  Animation: [330, 95],
  Children: [105, 345],
  Comedy: [80, 250],
  Crime: [350, 65],
  Documentary: [210, 75],
  Drama: [265, 45],
  Fantasy: [305, 165],
  "Film-Noir": [260, 95],
  Horror: [20, 135],
  IMAX: [235, 60],
  Musical: [345, 190],
  Mystery: [285, 85],
  Romance: [5, 320],
  "Sci-Fi": [195, 330],
  Thriller: [175, 35],
  War: [125, 40],
  Western: [50, 220],
};

/** That of a genre of somebody's own. */
function hueOf(genre: string): [number, number] {
  let hash = 7;
  for (const letter of genre) hash = (Math.imul(hash, 31) + letter.codePointAt(0)!) >>> 0;
  return [hash % 360, (hash + 140) % 360];
}

/** Between three and six greys where film noir is meant, else as strong as paint. */
export function paletteOf(genres: readonly string[], random: () => number): Palette {
  const genre = genres[0] ?? "";
  const [base, far] = HUES[genre] ?? hueOf(genre);
  const second = genres[1] === undefined ? far : (HUES[genres[1]] ?? hueOf(genres[1]))[0];
  // The second genre lends its hue where that is seen beside the first one's.
  const apart = Math.abs(((second - base + 540) % 360) - 180);
  const spark = apart > 40 && random() < 0.6 ? second : far;
  const hue = base + (random() - 0.5) * 22;
  const strength = genre === "Film-Noir" ? 0.18 : genre === "Documentary" || genre === "War" ? 0.65 : 1;
  const colour = (light: number, chroma: number, of: number) =>
    `oklch(${light.toFixed(3)} ${(chroma * strength).toFixed(3)} ${((of + 360) % 360).toFixed(1)})`;
  return {
    night: colour(0.2, 0.055, hue - 10),
    deep: colour(0.34, 0.1, hue - 4),
    main: colour(0.55, 0.16, hue),
    light: colour(0.78, 0.13, hue + 12),
    spark: `oklch(0.76 0.15 ${((spark + 360) % 360).toFixed(1)})`,
  };
}
