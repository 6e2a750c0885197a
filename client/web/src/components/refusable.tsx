// A field of a form, with what the server says where it refuses what was typed.

import { type InputHTMLAttributes, useId } from "react";
import { useMessages } from "../i18n/index.tsx";

interface RefusableProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  /** The server's words, which begin with a verb. */
  refused: string | undefined;
}

export function Refusable({ label, refused, ...input }: RefusableProps) {
  const messages = useMessages();
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input {...input} id={id} aria-invalid={refused !== undefined || undefined} aria-describedby={refused === undefined ? undefined : `${id}-why`} />
      {refused !== undefined && <p id={`${id}-why`} className="bad small" role="alert">{messages.errors.refused} <span lang="en">{refused}</span></p>}
    </div>
  );
}
