// What `?` shows.

import { useMessages } from "../i18n/index.tsx";
import { Dialog } from "./dialog.tsx";

export function KeysHelp({ close }: { close: () => void }) {
  const { keys } = useMessages();
  // Keys, with a blank between them, and what they do; a word of more than one letter in lower case is said between keys.
  const groups: [string, [string, string][]][] = [
    [keys.groups.anywhere, [
      ["/", keys.search],
      ["?", keys.help],
      [`g ${keys.thenKey} h`, keys.home],
      [`g ${keys.thenKey} m`, keys.me],
      [`g ${keys.thenKey} o`, keys.operate],
      ["t", keys.theme],
      ["u", keys.undo],
    ]],
    [keys.groups.card, [
      ["← → ↑ ↓", keys.move],
      [keys.enter, keys.open],
      ["1 2 3 4 5", keys.rate],
      ["l", keys.like],
      ["d", keys.dislike],
      ["w", keys.watchlist],
      ["v", keys.view],
      ["h", keys.hide],
      ["m", keys.menu],
    ]],
  ];
  return (
    <Dialog title={keys.title} close={close}>
      <div className="keys">
        {groups.map(([title, rows]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {rows.map(([shown, meaning]) => (
                <div key={meaning}>
                  <dt><Keys shown={shown} /></dt>
                  <dd>{meaning}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}

function Keys({ shown }: { shown: string }) {
  return shown.split(" ").map((part) => (/^[a-z]{2,}$/.test(part) ? <span key={part}> {part} </span> : <kbd key={part}>{part}</kbd>));
}
