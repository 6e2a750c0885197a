// Which role may call which method, as the protos say it.

import { useState } from "react";
import { Role } from "../../../api/generated/marquee/v1/rules_pb.ts";
import { Icon } from "../../../components/icons.tsx";
import { useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/access.ts";
import { nameOf } from "./method-names.ts";
import { accessOf, METHODS, ROLES } from "./methods.ts";

export function Rights() {
  const { rights: words } = useOwn(WORDS);
  const [text, setText] = useState("");
  const shown = METHODS.filter((method) => nameOf(method).toLowerCase().includes(text.trim().toLowerCase()));
  return (
    <section aria-labelledby="rights">
      <header className="section-head">
        <h2 id="rights">{words.title}</h2>
        <div className="section-more"><label className="field-line"><span>{words.filter}</span><input type="text" value={text} spellCheck={false} onChange={(event) => setText(event.target.value)} /></label></div>
      </header>
      <p className="soft">{words.lead}</p>
      {/* What is longer than the frame is scrolled by the keys too. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="table-frame rights" tabIndex={0} role="group" aria-label={words.title}>
        <table className="table">
          <thead>
            <tr>
              <th scope="col">{words.method}</th>
              {ROLES.map(({ name }) => <th key={name} scope="col" className="middle">{name}</th>)}
              <th scope="col" className="middle">{words.person}</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((method) => {
              const access = accessOf(method);
              const isAnyone = access?.least === Role.ANYONE;
              return (
                <tr key={nameOf(method)}>
                  <th scope="row"><span className="soft">{method.parent.name}/</span>{method.name}{isAnyone && <span className="soft small"> {words.anyone}</span>}</th>
                  {ROLES.map(({ role, name }) => <td key={name} className="middle"><May may={access !== undefined && access.least <= role} /></td>)}
                  <td className="middle"><May may={isAnyone || access?.person === true} /></td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function May({ may }: { may: boolean }) {
  const { rights: words } = useOwn(WORDS);
  return may
    ? <span className="may"><Icon name="check" /><span className="unseen">{words.yes}</span></span>
    : <span className="soft"><span aria-hidden="true">·</span><span className="unseen">{words.no}</span></span>;
}
