// What is shown in the place of what failed, with what helps.

import { Component, type ReactNode, useEffect } from "react";
import { mayPass, troubleOf, wordsFor } from "../api/problem.ts";
import { useMessages } from "../i18n/index.tsx";
import { Icon } from "./icons.tsx";

export function Problem({ error, again, children }: { error: unknown; again?: (() => void) | undefined; children?: ReactNode }) {
  const messages = useMessages();
  const { title, detail, lang } = wordsFor(error, messages);
  const trouble = troubleOf(error);
  useEffect(() => {
    if (trouble !== "offline" || again === undefined) return undefined;
    const timer = setInterval(again, 5_000);
    window.addEventListener("online", again);
    return () => {
      clearInterval(timer);
      window.removeEventListener("online", again);
    };
  }, [trouble, again]);
  return (
    <div className="problem" role="alert">
      <Icon name="warning" />
      <div>
        <h2>{title}</h2>
        {detail !== "" && <p lang={lang}>{detail}</p>}
        {children}
        {again && mayPass(trouble) && <p><button type="button" className="button" onClick={again}>{messages.errors.again}</button></p>}
      </div>
    </div>
  );
}

interface BoundaryProps {
  /** With another one the page is tried anew. */
  at: string;
  children: ReactNode;
  shown: (error: Error) => ReactNode;
}

/** Keeps an error of one page from taking the whole console away. */
export class Boundary extends Component<BoundaryProps, { error: Error | undefined }> {
  override state: { error: Error | undefined } = { error: undefined };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override componentDidUpdate(before: BoundaryProps) {
    if (before.at !== this.props.at && this.state.error !== undefined) this.setState({ error: undefined });
  }

  override render() {
    return this.state.error === undefined ? this.props.children : this.props.shown(this.state.error);
  }
}

export function BrokenPage({ error }: { error: Error }) {
  const messages = useMessages();
  return (
    <div className="page">
      <div className="problem" role="alert">
        <Icon name="warning" />
        <div>
          <h2>{messages.errors.page}</h2>
          <p className="soft">{error.message}</p>
          <p><button type="button" className="button" onClick={() => window.location.reload()}>{messages.errors.reload}</button></p>
        </div>
      </div>
    </div>
  );
}
