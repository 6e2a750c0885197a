// Where the time of a call went: a bar of its stages and their names.

import type { Timings } from "../../../api/generated/marquee/v1/common_pb.ts";
import { useOwn } from "../../../i18n/index.tsx";
import { useFigures } from "./figures.ts";

const WORDS = {
  en: { total: "Total", stages: { profileUs: "profile", queueUs: "queue", encodeUs: "encode", scoreUs: "score", rerankUs: "rerank", fillUs: "fill", exploreUs: "explore", explainUs: "explain", hydrateUs: "hydrate", otherUs: "other" } },
  es: { total: "Total", stages: { profileUs: "perfil", queueUs: "cola", encodeUs: "codificar", scoreUs: "puntuar", rerankUs: "reordenar", fillUs: "completar", exploreUs: "explorar", explainUs: "explicar", hydrateUs: "títulos", otherUs: "resto" } },
};

/** In the order in which they happen. */
const STAGES = ["profileUs", "queueUs", "encodeUs", "scoreUs", "rerankUs", "fillUs", "exploreUs", "explainUs", "hydrateUs", "otherUs"] as const;

/** The stages that took time, and where each begins. */
export function stagesOf(timings: Timings): { stage: (typeof STAGES)[number]; at: number; us: number; colour: number }[] {
  let at = 0;
  return STAGES.flatMap((stage, colour) => {
    const us = timings[stage];
    const begin = at;
    at += us;
    return us === 0 ? [] : [{ stage, at: begin, us, colour }];
  });
}

/** `most` is how long the whole width stands for, where bars are to be compared. */
export function TimingsBar({ timings, most, legend = true }: { timings: Timings; most?: number; legend?: boolean }) {
  const words = useOwn(WORDS);
  const { span } = useFigures();
  const stages = stagesOf(timings);
  const width = Math.max(most ?? 0, timings.totalUs, stages.reduce((sum, { us }) => sum + us, 0), 1);
  const told = stages.map(({ stage, us }) => `${words.stages[stage]} ${span(us)}`).join(", ");
  return (
    <div className="timings">
      <svg className="timings-bar" viewBox={`0 0 ${width} 10`} preserveAspectRatio="none" role="img" aria-label={`${words.total} ${span(timings.totalUs)}: ${told}`}>
        <rect width={width} height="10" className="bar-ground" />
        {stages.map(({ stage, at, us, colour }) => <rect key={stage} x={at} width={us} height="10" className="stage" data-stage={colour}><title>{`${words.stages[stage]} ${span(us)}`}</title></rect>)}
      </svg>
      {legend && (
        <ul className="timings-legend" aria-hidden="true">
          <li><strong className="numbers">{span(timings.totalUs)}</strong></li>
          {stages.map(({ stage, us, colour }) => (
            <li key={stage}><span className="stage-key" data-stage={colour} />{words.stages[stage]} <span className="soft numbers">{span(us)}</span></li>
          ))}
        </ul>
      )}
    </div>
  );
}
