// A chart of uPlot, which is fetched with this file and only where there are charts.
//
// A canvas knows no CSS: the colours are those that the legend's keys have, read again when the page turns dark or light.

import "uplot/dist/uPlot.min.css";

import { useEffect, useRef } from "react";
import uPlot from "uplot";

export interface PlotProps {
  /** Times in seconds, then the values of each line. */
  columns: [number[], ...(number | null)[][]];
  /** How values of the axis are written. */
  write: (value: number) => string;
  /** How times of the axis are written, to the second where ticks are closer than a minute. */
  clock: (ms: number, toTheSecond: boolean) => string;
  /** The least that the axis reaches to, so that noise about zero is not drawn as mountains. */
  least: number;
  /** Colours of the lines, of the grid and of the figures beside it, as they are now. */
  colours: () => { lines: string[]; grid: string; figures: string; face: string };
  /** Which sample is pointed at. */
  point: (at: number | undefined) => void;
}

const HEIGHT = 150;

/** All charts show the time that one of them is pointed at. */
const together = uPlot.sync("samples");

/** Where a line has a value without one on either side, which only a point can show. */
function alone(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  return [...values.keys()].filter((at) => values[at] != null && values[at - 1] == null && values[at + 1] == null);
}

function seriesOf(colour: string, at: number): uPlot.Series {
  return { stroke: colour, width: 1.75, points: { show: true, size: 4, fill: colour, filter: alone }, ...(at === 0 ? { fill: `color-mix(in srgb, ${colour} 14%, transparent)` } : {}) };
}

export default function Plot({ columns, write, clock, least, colours, point }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const latest = useRef({ columns, write, clock, point, colours });
  const lines = columns.length - 1;

  useEffect(() => {
    latest.current = { columns, write, clock, point, colours };
  }, [columns, write, clock, point, colours]);
  useEffect(() => {
    const root = place.current;
    if (root === null) return undefined;
    const draw = () => {
      plot.current?.destroy();
      const { lines: strokes, grid, figures, face } = latest.current.colours();
      const font = `11px ${face}`;
      const line = { stroke: figures, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
      plot.current = new uPlot({
        width: root.clientWidth,
        height: HEIGHT,
        padding: [8, 6, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: together.key }, y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: { x: { time: true }, y: { range: (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.08)] } },
        axes: [
          { ...line, size: 24, space: 90, values: (_, ticks, __, ___, step) => ticks.map((tick) => latest.current.clock(tick * 1_000, step < 60)) },
          { ...line, size: 58, space: 34, values: (_, ticks) => ticks.map((tick) => latest.current.write(tick)) },
        ],
        series: [{}, ...strokes.slice(0, lines).map(seriesOf)],
        hooks: { setCursor: [({ cursor }) => latest.current.point(cursor.idx ?? undefined)] },
      }, latest.current.columns, root);
    };
    draw();
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: root.clientWidth, height: HEIGHT }));
    sizes.observe(root);
    const looks = new MutationObserver(draw);
    looks.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "lang"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", draw);
    return () => {
      sizes.disconnect();
      looks.disconnect();
      system.removeEventListener("change", draw);
      plot.current?.destroy();
    };
  }, [lines, least]);

  useEffect(() => plot.current?.setData(columns), [columns]);
  return <div ref={place} className="plot" aria-hidden="true" />;
}
