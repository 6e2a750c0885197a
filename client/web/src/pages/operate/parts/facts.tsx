// Names and what they are; those of which nothing is known are left out.

import type { ReactNode } from "react";

export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ReactNode])[] }) {
  return (
    <dl className="model-facts">
      {facts.map(([name, value]) => value !== undefined && value !== "" && value !== null && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}
