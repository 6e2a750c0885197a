// Long work: what runs, what was done, what is to be done by a schedule, and a job to ask for.

import { useQuery } from "@connectrpc/connect-query";
import { JobService } from "../../api/generated/marquee/v1/job_pb.ts";
import { may, useVisitor } from "../../api/visitor.tsx";
import { Problem } from "../../components/problem.tsx";
import { useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { JobList } from "./parts/job-list.tsx";
import { RunJob } from "./parts/run-job.tsx";
import { Schedules } from "./parts/schedules.tsx";
import { WORDS } from "./words/jobs.ts";

export default function Jobs() {
  const words = useOwn(WORDS);
  const { visitor } = useVisitor();
  const { data, error, refetch } = useQuery(JobService.method.listJobKinds, {}, { staleTime: Infinity });
  useTitle(words.title);
  const kinds = data?.kinds ?? [];
  return (
    <>
      <p className="lead operate-lead">{words.lead}</p>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {may(visitor, "operator") ? <RunJob kinds={kinds} /> : <p className="soft">{words.run.forbidden}</p>}
      <JobList changes={may(visitor, "operator")} />
      <Schedules kinds={kinds} changes={may(visitor, "operator")} />
    </>
  );
}
