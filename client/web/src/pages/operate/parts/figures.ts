// Quantities as people read them: a unit that fits, and no more digits than tell something.

import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { useMemo } from "react";
import { useLanguage } from "../../../i18n/index.tsx";

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function figuresIn(locale: string) {
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 }).format;
  const three = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 }).format;
  const short = new Intl.NumberFormat(locale, { notation: "compact", maximumSignificantDigits: 3 }).format;
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 }).format;
  const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" }).format;
  const minute = new Intl.DateTimeFormat(locale, { timeStyle: "short" }).format;
  const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" }).format;
  const number = (value: number) => (Math.abs(value) >= 1_000 ? whole(value) : three(value));
  return {
    number,
    short,
    percent,
    clock,
    tick: (ms: number, toTheSecond: boolean) => (toTheSecond ? clock : minute)(ms),
    moment,
    fixed: new Intl.NumberFormat(locale, { minimumFractionDigits: 4, maximumFractionDigits: 4 }).format,
    /** A time span of microseconds. */
    span: (us: number) => (us >= 1e6 ? `${number(us / 1e6)} s` : us >= 1e3 ? `${number(us / 1e3)} ms` : `${whole(us)} µs`),
    bytes: (bytes: number) => {
      const power = Math.min(BYTES.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
      return `${number(bytes / 1024 ** power)} ${BYTES[power]}`;
    },
    /** How long something runs: the two greatest of days, hours, minutes and seconds. */
    age: (ms: number) => {
      const seconds = Math.max(0, Math.round(ms / 1_000));
      const parts = [[Math.floor(seconds / 86_400), "d"], [Math.floor(seconds / 3_600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"]] as const;
      const first = parts.findIndex(([count]) => count > 0);
      return first === -1 ? "0 s" : parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(" ");
    },
    timeOf: (time: Timestamp | undefined) => (time === undefined ? undefined : moment(timestampMs(time))),
  };
}

export type Figures = ReturnType<typeof figuresIn>;

export function useFigures(): Figures {
  const { locale } = useLanguage();
  return useMemo(() => figuresIn(locale), [locale]);
}
