// What stands in the place of what is still to come, of the same size. CSS shows it only after 200 ms.

import { useMessages } from "../i18n/index.tsx";

const PLACES = Array.from({ length: 12 }, (_, at) => at);

/** The large picture of the home page to come. */
export function HeroBones() {
  return <div className="hero hero-bones" aria-hidden="true"><div className="bone" /></div>;
}

/** A row of cards to come. */
export function RowBones() {
  return (
    <div className="row row-to-come" aria-hidden="true">
      <div className="row-head"><span className="bone bone-line bone-heading" /></div>
      <div className="row-cards row-bones">
        {PLACES.map((at) => (
          <div key={at} className="bone-card">
            <div className="bone bone-poster" />
            <div className="card-under"><p className="card-reason"><span className="bone bone-line bone-wide" /></p></div>
          </div>
        ))}
      </div>
    </div>
  );
}

/** A grid of cards to come. */
export function GridBones({ count = 12 }: { count?: number }) {
  return (
    <div className="grid-cards" aria-hidden="true">
      {PLACES.slice(0, count).map((at) => (
        <div key={at}>
          <div className="bone bone-poster" />
          <div className="card-under"><p className="card-reason" /></div>
        </div>
      ))}
    </div>
  );
}

/** Lines of text to come. */
export function LineBones({ lines = 3 }: { lines?: number }) {
  return (
    <div aria-hidden="true">
      {PLACES.slice(0, lines).map((at) => <div key={at} className="bone bone-line" />)}
    </div>
  );
}

/** Says to who cannot see the bones that something is loading. */
export function Loading() {
  return <p className="unseen" role="status">{useMessages().home.loading}</p>;
}
