// A text to copy, with a button that does it.

import { useState } from "react";
import { useOwn } from "../../../i18n/index.tsx";

const WORDS = {
  en: { copy: "Copy", copied: "Copied", of: (name: string) => `Copy: ${name}` },
  es: { copy: "Copiar", copied: "Copiado", of: (name: string) => `Copiar: ${name}` },
};

export function Copy({ name, text }: { name: string; text: string }) {
  const words = useOwn(WORDS);
  const [copied, setCopied] = useState<string>();
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(text);
  };
  return (
    <div className="copy">
      <code className="copy-name small">{name}</code>
      {/* What is longer than the line is scrolled by the keys too. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre tabIndex={0} aria-label={name}>{text}</pre>
      <button type="button" className="button-small" aria-label={words.of(name)} onClick={() => void copy().catch(() => undefined)}>{copied === text ? words.copied : words.copy}</button>
    </div>
  );
}
