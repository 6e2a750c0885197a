// The browser's own dialog, opened while it is there. Escape and a click beside it close it, unless something would be lost.

import { type ReactNode, useEffect, useId, useRef } from "react";
import { useMessages } from "../i18n/index.tsx";
import { Icon } from "./icons.tsx";

interface DialogProps {
  title: string;
  close: () => void;
  children: ReactNode;
  narrow?: boolean;
  /** Called instead of closing it, where it has what is lost with it. */
  keep?: (() => void) | undefined;
}

export function Dialog({ title, close, children, narrow = false, keep }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const messages = useMessages();
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  const leave = keep ?? close;
  return (
    // A click on the dialog itself is one beside what it holds; the keyboard has Escape.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
    <dialog ref={dialog} className="dialog" data-narrow={narrow || undefined} aria-labelledby={heading} onCancel={(event) => {
      if (keep === undefined) return;
      event.preventDefault();
      keep();
    }} onClose={() => {
      // A browser closes it at the second Escape, whatever the page says to the first.
      if (keep === undefined) close();
      else dialog.current?.showModal();
    }} onClick={(event) => {
      if (event.target === dialog.current) leave();
    }}>
      <div className="dialog-body">
        <header className="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button type="button" className="icon-button" aria-label={messages.act.close} onClick={leave}><Icon name="close" /></button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
