// What is drawn on a poster: one of twelve compositions of plain shapes, in a box of 200 by 300.
//
// Everything follows from the movie's id, so a movie looks the same wherever it is shown. The lower third is left calm,
// since the title stands there.

import type { Palette } from "./palette.ts";

/** One shape, as the attributes of its element. */
export interface Shape {
  as: "path" | "circle" | "rect";
  fill: string;
  opacity?: number;
  stroke?: string;
  strokeWidth?: number;
  d?: string;
  cx?: number;
  cy?: number;
  r?: number;
  x?: number;
  y?: number;
  width?: number;
  height?: number;
}

type Motif = (palette: Palette, random: () => number) => Shape[];

const WIDTH = 200;
const HEIGHT = 300;

const circle = (cx: number, cy: number, r: number, fill: string, more: Partial<Shape> = {}): Shape => ({
  as: "circle", cx: round(cx), cy: round(cy), r: round(r), fill, ...more,
});
const rect = (x: number, y: number, width: number, height: number, fill: string, more: Partial<Shape> = {}): Shape => ({
  as: "rect", x: round(x), y: round(y), width: round(width), height: round(height), fill, ...more,
});
const path = (d: string, fill: string, more: Partial<Shape> = {}): Shape => ({ as: "path", d, fill, ...more });
const ring = (cx: number, cy: number, r: number, stroke: string, strokeWidth: number): Shape =>
  circle(cx, cy, r, "none", { stroke, strokeWidth });
const polygon = (points: [number, number][], fill: string, more: Partial<Shape> = {}): Shape =>
  path(`M${points.map(([x, y]) => `${round(x)} ${round(y)}`).join("L")}Z`, fill, more);

function round(number: number): number {
  return Math.round(number * 10) / 10;
}

function between(random: () => number, least: number, most: number): number {
  return least + random() * (most - least);
}

function pick<T>(random: () => number, of: readonly T[]): T {
  return of[Math.floor(random() * of.length)]!;
}

/** A low sun in stripes over a horizon. */
const sun: Motif = (p, random) => {
  const [cx, cy, r] = [between(random, 75, 125), between(random, 105, 130), between(random, 58, 78)];
  const stripes = Array.from({ length: 6 }, (_, at) => {
    const y = cy + (at / 6) * r * 0.95 + 4;
    return rect(0, y, WIDTH, 2 + at * 1.5, p.deep);
  });
  return [rect(0, 0, WIDTH, HEIGHT, p.deep), circle(cx, cy, r * 1.32, p.main, { opacity: 0.35 }), circle(cx, cy, r, p.spark), ...stripes, rect(0, cy + r * 0.98, WIDTH, HEIGHT, p.night)];
};

/** Rays from a point. */
const rays: Motif = (p, random) => {
  const [cx, cy] = [between(random, 60, 140), between(random, 110, 175)];
  const count = pick(random, [14, 18, 24]);
  const turn = random() * Math.PI;
  const blades = Array.from({ length: count }, (_, at) => {
    const from = turn + (at * 2 * Math.PI) / count;
    const to = from + Math.PI / count;
    const far = 340;
    const fill = at % 3 === 0 ? p.light : at % 3 === 1 ? p.main : p.spark;
    return polygon([[cx, cy], [cx + far * Math.cos(from), cy + far * Math.sin(from)], [cx + far * Math.cos(to), cy + far * Math.sin(to)]], fill, { opacity: at % 3 === 2 ? 0.55 : 0.9 });
  });
  return [rect(0, 0, WIDTH, HEIGHT, p.deep), ...blades, circle(cx, cy, 40, p.night), circle(cx, cy, 29, p.spark)];
};

/** Rings, not quite around one middle. */
const rings: Motif = (p, random) => {
  const [cx, cy, drift] = [between(random, 70, 130), between(random, 80, 130), between(random, -5, 5)];
  const colours = [p.main, p.night, p.light, p.deep, p.spark, p.night, p.main, p.spark];
  return [
    rect(0, 0, WIDTH, HEIGHT, p.deep),
    ...colours.map((fill, at) => circle(cx + at * drift, cy + at * 2.5, 165 - at * 21, fill)),
  ];
};

/** A quilt of half squares. */
const quilt: Motif = (p, random) => {
  const side = pick(random, [40, 50]);
  const fills = [p.main, p.spark, p.light, p.night, p.deep];
  const shapes = [rect(0, 0, WIDTH, HEIGHT, p.deep)];
  for (let y = 0; y < HEIGHT; y += side) {
    for (let x = 0; x < WIDTH; x += side) {
      const [one, other] = [pick(random, fills), pick(random, fills)];
      shapes.push(rect(x, y, side + 0.5, side + 0.5, one));
      const corners: [number, number][] = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]];
      const without = Math.floor(random() * 5);
      if (without < 4) shapes.push(polygon(corners.filter((_, at) => at !== without), other));
    }
  }
  return shapes;
};

/** A skyline in two depths. */
const skyline: Motif = (p, random) => {
  const shapes = [rect(0, 0, WIDTH, HEIGHT, p.main), circle(between(random, 40, 160), between(random, 50, 90), between(random, 22, 36), p.spark)];
  for (const [fill, low, high] of [[p.deep, 90, 170], [p.night, 150, 225]] as const) {
    for (let x = -5; x < WIDTH; ) {
      const width = between(random, 16, 34);
      const top = between(random, low, high);
      shapes.push(rect(x, top, width + 0.5, HEIGHT - top, fill));
      for (let y = top + 8; fill === p.night && y < HEIGHT - 70; y += 12) {
        if (random() < 0.3) shapes.push(rect(x + width * 0.3, y, 3.5, 5, p.light));
      }
      x += width;
    }
  }
  return shapes;
};

/** Hills under a moon. */
const hills: Motif = (p, random) => {
  const shapes = [rect(0, 0, WIDTH, HEIGHT, p.deep), circle(between(random, 45, 155), between(random, 55, 95), between(random, 24, 42), p.spark)];
  for (const [at, fill] of [p.light, p.main, p.deep, p.night].entries()) {
    const y = 120 + at * 34;
    const [a, b, c] = [between(random, -34, 34), between(random, -34, 34), between(random, -14, 14)];
    shapes.push(path(`M0 ${round(y + c)}C50 ${round(y + a)} 80 ${round(y - a)} 110 ${round(y)}S165 ${round(y + b)} 200 ${round(y - c)}V300H0Z`, fill));
  }
  return shapes;
};

/** Two planes and the light between them. */
const split: Motif = (p, random) => {
  const lean = between(random, -70, 70);
  const middle = between(random, 80, 120);
  const gap = between(random, 10, 26);
  return [
    rect(0, 0, WIDTH, HEIGHT, p.spark),
    polygon([[0, 0], [middle + lean - gap, 0], [middle - lean - gap, HEIGHT], [0, HEIGHT]], p.main),
    polygon([[middle + lean + gap, 0], [WIDTH, 0], [WIDTH, HEIGHT], [middle - lean + gap, HEIGHT]], p.night),
    circle(middle + (lean > 0 ? -46 : 46), between(random, 70, 130), between(random, 18, 32), lean > 0 ? p.light : p.main),
  ];
};

/** Halftone: dots that grow. */
const halftone: Motif = (p, random) => {
  const shapes = [rect(0, 0, WIDTH, HEIGHT, p.deep)];
  const [fx, fy] = [between(random, 20, 180), between(random, 20, 130)];
  for (let row = 0; row < 15; row += 1) {
    for (let column = 0; column < 11; column += 1) {
      const [x, y] = [column * 20 + (row % 2) * 10, row * 18];
      const near = 1 - Math.min(1, Math.hypot(x - fx, y - fy) / 210);
      if (near > 0.06) shapes.push(circle(x, y, near * 12.5, near > 0.62 ? p.spark : near > 0.34 ? p.light : p.main));
    }
  }
  return shapes;
};

/** Arches within arches. */
const arches: Motif = (p, random) => {
  const cx = between(random, 75, 125);
  const fills = [p.main, p.night, p.spark, p.deep, p.light, p.night];
  return [
    rect(0, 0, WIDTH, HEIGHT, p.deep),
    ...fills.map((fill, at) => {
      const [r, top] = [96 - at * 16, 40 + at * 20];
      return path(`M${round(cx - r)} 300V${top + r}A${r} ${r} 0 0 1 ${round(cx + r)} ${top + r}V300Z`, fill);
    }),
  ];
};

/** A staircase into the light. */
const stairs: Motif = (p, random) => {
  const left = random() < 0.5;
  const steps = pick(random, [6, 7, 8]);
  const shapes = [rect(0, 0, WIDTH, HEIGHT, p.main), circle(left ? 150 : 50, 70, between(random, 34, 50), p.spark)];
  for (let at = 0; at < steps; at += 1) {
    const [run, rise] = [WIDTH / steps, 170 / steps];
    const x = left ? 0 : at * run;
    const width = WIDTH - at * run;
    shapes.push(rect(x, 250 - at * rise, width, rise + 1, at % 2 === 0 ? p.night : p.deep));
  }
  shapes.push(rect(0, 250, WIDTH, 50, p.night));
  return shapes;
};

/** Orbits and what goes around in them. */
const orbits: Motif = (p, random) => {
  const [cx, cy] = [100, between(random, 100, 130)];
  const shapes = [rect(0, 0, WIDTH, HEIGHT, p.night)];
  for (let star = 0; star < 26; star += 1) {
    shapes.push(circle(random() * WIDTH, random() * 220, between(random, 0.6, 1.7), p.light, { opacity: between(random, 0.3, 0.9) }));
  }
  for (let at = 0; at < 4; at += 1) {
    const r = 38 + at * 27;
    const angle = random() * 2 * Math.PI;
    shapes.push(ring(cx, cy, r, at % 2 === 0 ? p.main : p.deep, 2.5));
    shapes.push(circle(cx + r * Math.cos(angle), cy + r * Math.sin(angle), between(random, 5, 11), at % 2 === 0 ? p.spark : p.light));
  }
  shapes.push(circle(cx, cy, 24, p.main), circle(cx - 6, cy - 6, 14, p.light));
  return shapes;
};

/** Bands that bend, one over the other. */
const ribbons: Motif = (p, random) => {
  const shapes = [rect(0, 0, WIDTH, HEIGHT, p.night)];
  const isMirrored = random() < 0.5;
  const at = (x: number) => round(isMirrored ? WIDTH - x : x);
  const [bend, lean, high] = [between(random, -130, 150), between(random, -40, 150), between(random, 60, 170)];
  const bands = [p.main, p.light, p.spark, p.deep, p.main, p.spark].slice(0, pick(random, [4, 5, 6]));
  const apart = 300 / bands.length;
  for (const [place, colour] of bands.entries()) {
    const x = -60 + place * apart;
    const width = round(between(random, apart * 0.35, apart * 0.75));
    shapes.push(path(`M${at(x)} -30C${at(x + bend)} ${round(high)} ${at(x + lean - bend)} ${round(high + 70)} ${at(x + lean)} 330`, "none", { stroke: colour, strokeWidth: width }));
  }
  return shapes;
};

const MOTIFS: readonly Motif[] = [
  sun, rays, rings, quilt, skyline, hills, split, halftone, arches, stairs, orbits, ribbons,
];

/** The shapes of a poster, those behind first; `place` chooses the composition, from 0. */
export function shapesOf(place: number, palette: Palette, random: () => number): Shape[] {
  return MOTIFS[place % MOTIFS.length]!(palette, random);
}

/** How many compositions there are. */
export const COMPOSITIONS = MOTIFS.length;
