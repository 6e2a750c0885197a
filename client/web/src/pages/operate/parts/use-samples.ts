// The server's samples, as they come in while the page is looked at.

import { useTransport } from "@connectrpc/connect-query";
import { useEffect, useRef, useState } from "react";
import { follow, type FollowState } from "./follow.ts";
import { type Samples, unknownSeconds, watchStats, withSample } from "./samples.ts";

export function useSamples(): { samples: Samples; state: FollowState } {
  const transport = useTransport();
  const [samples, setSamples] = useState<Samples>([]);
  const [state, setState] = useState<FollowState>("opening");
  const known = useRef<Samples>([]);
  useEffect(() => {
    let isDue = false;
    // The first fifteen minutes come as one burst: the page is drawn once for all of it.
    const show = () => {
      isDue = false;
      setSamples(known.current);
    };
    return follow({
      open: (signal) => watchStats(transport, unknownSeconds(known.current, Date.now()), signal),
      take: ({ sample }) => {
        if (sample === undefined) return;
        known.current = withSample(known.current, sample);
        if (!isDue) setTimeout(show);
        isDue = true;
      },
      tell: setState,
    });
  }, [transport]);
  return { samples, state };
}
