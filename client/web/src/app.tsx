// Which page is shown at which address, and to whom.

import { lazy, type ReactNode, Suspense, useEffect } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { may, useVisitor, VisitorProvider, type Waiting, WATCHES } from "./api/visitor.tsx";
import { ActionsProvider, useActions } from "./components/actions.tsx";
import { HeroBones, Loading, RowBones } from "./components/bones.tsx";
import { Boundary, BrokenPage, Problem } from "./components/problem.tsx";
import { Shell } from "./components/shell.tsx";
import { useMessages } from "./i18n/index.tsx";
import { OPERATE_PAGES, pagesFor } from "./pages/operate/registry.ts";
import { OperateFrame } from "./pages/operate-frame.tsx";
import Home from "./pages/watch/home.tsx";

const PAGES = {
  design: () => import("./pages/design.tsx"),
  enter: () => import("./pages/watch/enter.tsx"),
  me: () => import("./pages/watch/me.tsx"),
  movie: () => import("./pages/watch/movie.tsx"),
  onboarding: () => import("./pages/watch/onboarding.tsx"),
  search: () => import("./pages/watch/search.tsx"),
  sign: () => import("./pages/watch/sign.tsx"),
};
const Design = lazy(PAGES.design);
const Enter = lazy(PAGES.enter);
const Me = lazy(PAGES.me);
const MoviePage = lazy(PAGES.movie);
const Onboarding = lazy(PAGES.onboarding);
const Search = lazy(PAGES.search);
const Sign = lazy(PAGES.sign);

/** Fetches the pages of those who watch once nothing else is to do, so that opening one takes no way to the server. */
export function fetchPages(): void {
  const fetchAll = () => Object.values(PAGES).forEach((page) => void page().catch(() => undefined));
  if ("requestIdleCallback" in window) requestIdleCallback(fetchAll, { timeout: 5_000 });
  else setTimeout(fetchAll, 3_000);
}

export function App() {
  return (
    <VisitorProvider waiting={(state) => <Waited {...state} />}>
      <Pages />
    </VisitorProvider>
  );
}

/** Before anything is known of the server or of who is there. */
function Waited({ error, again }: Waiting) {
  return (
    <>
      <header className="header"><span className="wordmark">Marquee</span></header>
      <main id="content">{error === undefined ? <PageBones /> : <div className="page"><Problem error={error} again={again} /></div>}</main>
    </>
  );
}

/** Of the shape of the home page, where that is what will come. */
function PageBones() {
  const [path] = useLocation();
  return (
    <>
      <Loading />
      {path === "/" && <><HeroBones /><RowBones /><RowBones /></>}
    </>
  );
}

function Pages() {
  const { userId } = useVisitor().visitor;
  if (userId === undefined) return <Shell><Routes /></Shell>;
  return <ActionsProvider key={userId.toString()} userId={userId}><WatcherShell /></ActionsProvider>;
}

/** Where somebody is watching, what they did can be taken back on every page. */
function WatcherShell() {
  const { undo } = useActions();
  return <Shell undo={() => void undo()}><Routes /></Shell>;
}

function Routes() {
  const { visitor } = useVisitor();
  const [path] = useLocation();
  useEffect(() => {
    // Newer browsers return a promise here, which an effect may not.
    void window.scrollTo(0, 0);
  }, [path]);
  return (
    <Boundary at={path} shown={(error) => <BrokenPage error={error} />}>
      <Suspense fallback={<PageBones />}>
        <Switch>
          <Route path="/design"><Design /></Route>
          <Route path="/sign-in"><Sign /></Route>
          <Route path="/operate/:name?">{({ name }) => visitor.isOutside ? <Sign /> : <Operate name={name} />}</Route>
          <Route>{visitor.isOutside ? <Sign /> : visitor.userId !== undefined ? <WatchPages /> : may(visitor, WATCHES) ? <Enter /> : <NotForThem path={path} />}</Route>
        </Switch>
      </Suspense>
    </Boundary>
  );
}

/** For a role that is shown no recommendations: the pages that it may see. */
function NotForThem({ path }: { path: string }) {
  const messages = useMessages();
  const pages = pagesFor(useVisitor().visitor);
  const [first] = pages;
  if (path === "/" && first !== undefined) return <Redirect to={first.path} replace />;
  return (
    <div className="page">
      <p className="lead">{first === undefined ? messages.operate.forbidden : messages.operate.notForYou}</p>
      <ul className="dots">{pages.map((page) => <li key={page.name}><Link href={page.path}>{messages.operate.names[page.name] ?? page.name}</Link></li>)}</ul>
    </div>
  );
}

/** Those of whoever is watching. */
function WatchPages() {
  return (
    <Switch>
      <Route path="/"><Home /></Route>
      <Route path="/search"><Search /></Route>
      <Route path="/movies/:id">{({ id }) => <MoviePage key={id} id={id} />}</Route>
      <Route path="/me"><Me /></Route>
      <Route path="/welcome"><Onboarding /></Route>
      <Route><Lost /></Route>
    </Switch>
  );
}

function Operate({ name }: { name: string | undefined }): ReactNode {
  const { visitor } = useVisitor();
  const messages = useMessages();
  const page = OPERATE_PAGES.find((one) => one.name === name);
  if (page === undefined) return OPERATE_PAGES.length === 0 ? <Note text={messages.operate.empty} /> : <Lost />;
  if (!may(visitor, page.least)) return <Note text={messages.operate.forbidden} />;
  return <OperateFrame page={page} />;
}

function Note({ text }: { text: string }) {
  return <div className="page"><p className="lead">{text}</p></div>;
}

function Lost() {
  const messages = useMessages();
  return (
    <div className="page lost">
      <h1>{messages.lost.title}</h1>
      <p><Link className="button" href="/">{messages.lost.home}</Link></p>
    </div>
  );
}
