/** Line icons on a 20-unit grid, drawn in the text's colour. They say nothing to a screen reader: labels do. */
const shapes = {
  grid1: "M3 4h14v12H3z",
  camera: "M3 6h9v8H3zM12 9l5-3v8l-5-3",
  terminal: "M4 3h12v9H4zM10 12v4M6 17h8",
  search: "M9 3a6 6 0 1 0 0 12A6 6 0 0 0 9 3zM13.500 13.500L18 18",
  close: "M5 5l10 10M15 5L5 15",
  back: "M12 4l-6 6 6 6",
  open: "M8 4l6 6-6 6",
  down: "M4 7l6 6 6-6",
  target: "M10 4a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM10 1v5M10 14v5M1 10h5M14 10h5",
  shot: "M3 6h3l2-2h4l2 2h3v10H3zM10 8a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  enlarge: "M3 8V3h5M17 12v5h-5M3 3l6 6M17 17l-6-6",
  full: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  download: "M10 3v9M6 9l4 4 4-4M4 17h12",
  fill: "M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM14 11v6M11 14h6",
  list: "M3 5h14M3 10h14M3 15h14",
  out: "M8 3H4v14h4M9 10h8M14 7l3 3-3 3",
  sound: "M3 8h3l4-4v12l-4-4H3zM13 7.500a3.500 3.500 0 0 1 0 5M15.500 5a7 7 0 0 1 0 10",
  mute: "M3 8h3l4-4v12l-4-4H3zM13 8l4 4M17 8l-4 4",
  rewind: "M4 4v4h4M4.500 8a6.500 6.500 0 1 1-.5 4M10 7v3.500l2.500 1.500",
  tour: "M4 8a6.500 6.500 0 0 1 11.500-2M16 2.500V6h-3.500M16 12a6.500 6.500 0 0 1-11.500 2M4 17.500V14h3.500",
  pause: "M7 4v12M13 4v12",
  play: "M6 4l10 6-10 6z",
  next: "M5 4l7 6-7 6zM15 4v12",
  bookmark: "M5 3h10v14l-5-4-5 4z",
  upload: "M10 12V3M6 6l4-4 4 4M4 17h12",
  trash: "M4 6h12M8 6V3h4v3M6 6l1 11h6l1-11",
  lock: "M5 9h10v8H5zM7 9V6.500a3 3 0 0 1 6 0V9",
  warn: "M10 3l8 14H2zM10 8v4M10 14.500v.5",
} as const;

export function Icon({ name, size = 16 }: { name: keyof typeof shapes; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path
        d={shapes[name]}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.6"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}

/** Geese in flight. */
export function Mark({ size = 26 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <g fill="none" stroke="currentColor" strokeWidth="2.4" strokeLinecap="round" strokeLinejoin="round">
        <path d="M3 22l5-3 2 4M9 14l5-3 2 4M17 8l5-3 2 4" />
        <path d="M22 17l5-3 2 4" opacity=".5" />
      </g>
    </svg>
  );
}

/** A wall of n by n. */
export function LayoutIcon({ n }: { n: number }) {
  const step = 14 / n;
  const lines = Array.from({ length: n - 1 }, (_, i) => 3 + step * (i + 1));
  const d = `M3 3h14v14H3z${lines.map((v) => `M${v} 3v14M3 ${v}h14`).join("")}`;
  return (
    <svg width="18" height="18" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={d} fill="none" stroke="currentColor" strokeWidth={n > 4 ? 0.9 : 1.3} />
    </svg>
  );
}
