// Bars beside names, the longest as wide as there is room.

import { Link } from "wouter";

export interface Bar {
  name: string;
  value: number;
  /** The value in words or figures. */
  text: string;
  /** Where its name leads. */
  href?: string;
}

export function Bars({ bars }: { bars: readonly Bar[] }) {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  return (
    <ul className="bars">
      {bars.map(({ name, value, text, href }) => (
        <li key={name}>
          {href === undefined ? <span>{name}</span> : <Link href={href}>{name}</Link>}
          <svg className="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="8" rx="0" className="bar-ground" /><rect width={(value / most) * 100} height="8" className="bar-value" /></svg>
          <span className="numbers small">{text}</span>
        </li>
      ))}
    </ul>
  );
}
