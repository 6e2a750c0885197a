// What stands around the pages for people who run the server: the way from one to another.

import { Suspense } from "react";
import { Link } from "wouter";
import { useVisitor } from "../api/visitor.tsx";
import { LineBones } from "../components/bones.tsx";
import { useMessages } from "../i18n/index.tsx";
import { type OperatePage, pagesFor } from "./operate/registry.ts";

export function OperateFrame({ page }: { page: OperatePage }) {
  const messages = useMessages();
  const { visitor } = useVisitor();
  const { Page } = page;
  const nameOf = (name: string) => messages.operate.names[name] ?? name;
  return (
    <div className="operate">
      <nav className="operate-nav" aria-label={messages.operate.label}>
        {pagesFor(visitor).map(({ name, path }) => (
          <Link key={name} href={path} aria-current={name === page.name ? "page" : undefined}>{nameOf(name)}</Link>
        ))}
      </nav>
      <div className="operate-page">
        <h1>{nameOf(page.name)}</h1>
        <Suspense fallback={<LineBones lines={8} />}><Page /></Suspense>
      </div>
    </div>
  );
}
