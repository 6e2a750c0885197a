// Five stars to rate with, in halves: a star gives whole ones, and once more half a one less. So it works alike for
// pointer, finger and keyboard.

import { useFormats, useMessages } from "../i18n/index.tsx";

const STAR = "M12 3.800l2.500 5.300 5.800.7-4.300 4 1.100 5.800L12 16.800l-5.100 2.800 1.100-5.800-4.300-4 5.800-.7z";

/** What a star gives, once there are `now` stars. */
export function starsAfter(chosen: number, now: number | undefined): number {
  return now === chosen ? chosen - 0.5 : chosen;
}

export function Stars({ name, value, rate }: { name: string; value: number | undefined; rate: (stars: number) => void }) {
  const messages = useMessages();
  const { halves } = useFormats();
  return (
    <fieldset className="stars">
      <legend className="unseen">{messages.act.rateLabel(name)}</legend>
      {[1, 2, 3, 4, 5].map((star) => {
        const filled = Math.max(0, Math.min(1, (value ?? 0) - star + 1));
        const isOn = value !== undefined && Math.ceil(value) === star;
        return (
          <button key={star} type="button" className="star" aria-pressed={isOn} aria-label={messages.act.stars(halves(isOn ? value : star))} title={messages.act.halves} onClick={() => rate(starsAfter(star, value))}>
            <Star filled={filled} />
          </button>
        );
      })}
    </fieldset>
  );
}

function Star({ filled }: { filled: number }) {
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true">
      <path d={STAR} className="star-empty" />
      {filled === 1 && <path d={STAR} className="star-full" />}
      {filled === 0.5 && <path d="M12 3.800v13l-5.100 2.800 1.100-5.800-4.300-4 5.800-.7z" className="star-full" />}
    </svg>
  );
}
