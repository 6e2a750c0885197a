// Where the console begins.

import "./style/index.css";

import { TransportProvider } from "@connectrpc/connect-query";
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createQueries } from "./api/queries.ts";
import { showTheme, theme } from "./api/storage.ts";
import { serverTransport } from "./api/transport.ts";
import { App, fetchPages } from "./app.tsx";
import { ToastProvider } from "./components/toasts.tsx";
import { LanguageProvider, messagesOf, storedLocale } from "./i18n/index.tsx";

showTheme(theme.get());
const locale = storedLocale();
const messages = await messagesOf(locale);
document.documentElement.lang = locale;

const queries = createQueries(() => {
  // Whoever is asked again says whether there still is a session; all calls that fail at once ask once.
  void queries.invalidateQueries({ predicate: (query) => query.meta?.["asksWho"] === true }, { cancelRefetch: false });
});

createRoot(document.querySelector("#root")!).render(
  <StrictMode>
    <TransportProvider transport={serverTransport()}>
      <QueryClientProvider client={queries}>
        <LanguageProvider locale={locale} messages={messages}>
          <ToastProvider><App /></ToastProvider>
        </LanguageProvider>
      </QueryClientProvider>
    </TransportProvider>
  </StrictMode>,
);

fetchPages();
