// Who may call: keys, what each role may do, and the record of what was done.

import { Icon } from "../../components/icons.tsx";
import { useVisitor } from "../../api/visitor.tsx";
import { useOwn } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";
import { Audit } from "./parts/audit.tsx";
import { Keys } from "./parts/keys.tsx";
import { Rights } from "./parts/rights.tsx";
import { WORDS } from "./words/access.ts";

export default function Access() {
  const words = useOwn(WORDS);
  const { visitor } = useVisitor();
  useTitle(words.title);
  return (
    <>
      {!visitor.facts.asksWho && <p className="note"><Icon name="warning" /><span>{words.open}</span></p>}
      <Keys />
      <Audit />
      <Rights />
    </>
  );
}
