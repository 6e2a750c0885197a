// What somebody did with movies before this page was opened, as far as their newest events tell.

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useQuery } from "@connectrpc/connect-query";
import { useEffect } from "react";
import { UserService } from "../../api/generated/marquee/v1/user_pb.ts";
import { kindOf } from "../../api/marks.ts";
import { useUserId } from "../../api/visitor.tsx";
import { useActions } from "../../components/actions.tsx";

/** How far back is looked. */
const NEWEST = 300;

export function useHistoryMarks(): void {
  const userId = useUserId();
  const { marks } = useActions();
  const { data } = useQuery(UserService.method.listHistory, { user: { case: "userId", value: userId }, pageSize: NEWEST }, { meta: { ofUser: true }, retry: false });
  useEffect(() => {
    for (const { interaction } of data?.interactions ?? []) {
      if (interaction?.movie.case !== "movieId" || interaction.time === undefined) continue;
      const mark = { kind: kindOf(interaction.kind), timeMs: timestampMs(interaction.time) };
      marks.learn(interaction.movie.value, interaction.rating === undefined ? mark : { ...mark, stars: interaction.rating });
    }
  }, [data, marks]);
}
