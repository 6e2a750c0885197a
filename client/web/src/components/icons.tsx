// Pictures for buttons, drawn here: outlines of 24 by 24 in the colour of the text.

const PATHS = {
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13ZM15.300 15.300 20 20",
  home: "M4 11.500 12 5l8 6.500M6.500 10v9h11v-9",
  person: "M12 12.500a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4.500 20c1-4 4-5.500 7.500-5.500s6.500 1.500 7.500 5.500",
  gauge: "M4.500 18a8.500 8.500 0 1 1 15 0M12 14l4-5M12 15.200a1.200 1.200 0 1 0 0-2.400 1.200 1.200 0 0 0 0 2.400",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  star: "M12 3.800l2.500 5.300 5.800.7-4.300 4 1.100 5.800L12 16.800l-5.100 2.800 1.100-5.800-4.300-4 5.800-.7z",
  like: "M12 19.500S4 15 4 9.300A4.300 4.300 0 0 1 12 7a4.300 4.300 0 0 1 8 2.300C20 15 12 19.500 12 19.500Z",
  dislike: "M7 5v9M7 14l4.500 6c1.300 0 2-.8 2-2v-3.500h4.300c1.200 0 2-1 1.700-2.200L18 6.500A2 2 0 0 0 16 5H7M7 5H4v9h3",
  watchlist: "M6.500 4.500h11v15L12 15.500l-5.500 4z",
  rating: "M12 3.800l2.500 5.300 5.800.7-4.300 4 1.100 5.800L12 16.800l-5.100 2.800 1.100-5.800-4.300-4 5.800-.7z",
  view: "M3 12s3.300-6 9-6 9 6 9 6-3.300 6-9 6-9-6-9-6ZM12 14.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5Z",
  hide: "M4 4l16 16M9.500 6.400A9 9 0 0 1 12 6c5.700 0 9 6 9 6a15 15 0 0 1-2.700 3.300M6.200 8A15 15 0 0 0 3 12s3.300 6 9 6a8.600 8.600 0 0 0 4-1",
  undo: "M8 6 4 10l4 4M4 10h9.500a5 5 0 0 1 0 10H11",
  close: "M6 6l12 12M18 6 6 18",
  back: "M14.500 6l-6 6 6 6",
  forth: "M9.500 6l6 6-6 6",
  check: "M5 12.500l4.500 4.500L19 7.500",
  warning: "M12 4 2.800 19.500h18.400zM12 10v4.500M12 17h.01",
  out: "M14 7h5v10h-5M4 7h6M4 12h10M4 17h6",
} as const;

export type IconName = keyof typeof PATHS;

export const ICONS = Object.keys(PATHS) as IconName[];

export function Icon({ name, filled = false }: { name: IconName; filled?: boolean }) {
  return (
    <svg viewBox="0 0 24 24" width="24" height="24" fill={filled ? "currentColor" : "none"} stroke="currentColor" strokeWidth={name === "more" ? 2.6 : 1.8} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
