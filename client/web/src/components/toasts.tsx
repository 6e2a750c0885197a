// Short notes at the foot of the page: what was done, with a way to take it back, or what failed.

import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import { useMessages } from "../i18n/index.tsx";
import { Icon } from "./icons.tsx";

/** How long a note stays. It does longer while somebody points at it or is in it. */
const STAY_MS = 7_000;

interface Note {
  id: number;
  text: string;
  isBad: boolean;
  undo: (() => void) | undefined;
}

interface Toasts {
  show: (text: string, more?: { isBad?: boolean; undo?: () => void }) => void;
}

const ToastContext = createContext<Toasts>({ show: () => undefined });

export function ToastProvider({ children }: { children: ReactNode }) {
  const [note, setNote] = useState<Note>();
  const [isHeld, setHeld] = useState(false);
  const ids = useRef(0);
  const messages = useMessages();
  const show = useCallback<Toasts["show"]>((text, more = {}) => {
    ids.current += 1;
    setNote({ id: ids.current, text, isBad: more.isBad ?? false, undo: more.undo });
  }, []);
  const hide = useCallback(() => {
    setNote(undefined);
    setHeld(false);
  }, []);
  useEffect(() => {
    if (note === undefined || isHeld) return undefined;
    const timer = setTimeout(hide, STAY_MS);
    return () => clearTimeout(timer);
  }, [note, isHeld, hide]);
  const toasts = useMemo(() => ({ show }), [show]);
  return (
    <ToastContext value={toasts}>
      {children}
      <div className="toasts" role="status" aria-live="polite" onMouseEnter={() => setHeld(true)} onMouseLeave={() => setHeld(false)} onFocus={() => setHeld(true)} onBlur={() => setHeld(false)}>
        {note && (
          <div className="toast" key={note.id} data-bad={note.isBad || undefined}>
            <span>{note.text}</span>
            {note.undo && (
              <button type="button" className="toast-undo" onClick={() => {
                note.undo?.();
                hide();
              }}>
                <Icon name="undo" /> {messages.act.undo}
              </button>
            )}
            <button type="button" className="icon-button" aria-label={messages.act.close} onClick={hide}><Icon name="close" /></button>
          </div>
        )}
      </div>
    </ToastContext>
  );
}

export function useToasts(): Toasts {
  return useContext(ToastContext);
}
