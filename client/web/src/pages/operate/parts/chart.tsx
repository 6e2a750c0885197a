// One chart of the overview: what it shows, the values of now or of the time that is pointed at, and the lines.

import { lazy, Suspense, useCallback, useMemo, useRef, useState } from "react";
import { type Figures, useFigures } from "./figures.ts";
import { columnsOf, type ReadingName, type Samples } from "./samples.ts";

const Plot = lazy(() => import("./plot.tsx"));

/** How values are written. */
export type Measure = "number" | "percent" | "bytes" | "ms" | "rate";

function writerOf(measure: Measure, figures: Figures): (value: number) => string {
  if (measure === "percent") return figures.percent;
  if (measure === "bytes") return figures.bytes;
  if (measure === "ms") return (value) => figures.span(value * 1_000);
  return figures.number;
}

/** What the axis reaches to at least. */
const LEAST: Record<Measure, number> = { number: 1, percent: 1, bytes: 2 ** 20, ms: 1, rate: 1 };

export interface Line {
  reading: ReadingName;
  name: string;
  /** Which of the colours of lines it has. */
  colour: number;
}

export interface ChartProps {
  title: string;
  measure: Measure;
  lines: readonly Line[];
  samples: Samples;
  /** What is told to who does not see the lines, of the least, the greatest and the last value. */
  tell: (name: string, least: string, most: string, last: string) => string;
}

/** The values of a line that there are. */
function present(column: readonly (number | null)[] | undefined): number[] {
  return column?.filter((value) => value !== null) ?? [];
}

export function Chart({ title, measure, lines, samples, tell }: ChartProps) {
  const figures = useFigures();
  const write = writerOf(measure, figures);
  const [pointed, setPointed] = useState<number>();
  const keys = useRef<HTMLUListElement>(null);
  const columns = useMemo(() => columnsOf(samples, lines.map(({ reading }) => reading)), [samples, lines]);
  const [times, ...values] = columns;
  const at = pointed !== undefined && pointed < times.length ? pointed : times.length - 1;
  const colours = useCallback(() => {
    const styles = [...(keys.current?.querySelectorAll(".line-key") ?? [])].map((key) => getComputedStyle(key));
    const ground = keys.current && getComputedStyle(keys.current);
    return {
      lines: styles.map(({ color }) => color),
      grid: ground?.borderBlockEndColor ?? "grey",
      figures: ground?.color ?? "grey",
      face: ground?.fontFamily ?? "sans-serif",
    };
  }, []);
  const told = lines.map(({ name }, column) => {
    const found = present(values[column]);
    return found.length === 0 ? "" : tell(name, write(Math.min(...found)), write(Math.max(...found)), write(found.at(-1) ?? 0));
  });
  return (
    <figure className="panel chart">
      <figcaption>
        <h3>{title}</h3>
        <time className="soft small numbers" aria-hidden="true">{pointed !== undefined && times[at] !== undefined && figures.clock(times[at] * 1_000)}</time>
      </figcaption>
      <ul className="chart-lines" ref={keys}>
        {lines.map(({ name, colour }, column) => {
          const value = values[column]?.[at];
          return (
            <li key={name}>
              <span className="line-key" data-colour={colour} />
              <span>{name}</span>
              <strong className="numbers">{value === null || value === undefined ? "–" : write(value)}</strong>
            </li>
          );
        })}
      </ul>
      <Suspense fallback={<div className="plot" />}>
        <Plot columns={columns} write={write} clock={figures.tick} least={LEAST[measure]} colours={colours} point={setPointed} />
      </Suspense>
      <p className="unseen">{told.filter(Boolean).join(" ")}</p>
    </figure>
  );
}
