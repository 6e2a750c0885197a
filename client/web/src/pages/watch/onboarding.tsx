// What a new viewer likes: genres, then some movies. It can be skipped at any time.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { type Dispatch, type SetStateAction, useState } from "react";
import { Link, useLocation } from "wouter";
import { useAsked } from "../../address.ts";
import type { Movie } from "../../api/generated/marquee/v1/common_pb.ts";
import { InteractionKind, InteractionService } from "../../api/generated/marquee/v1/interaction_pb.ts";
import { RecommendationService } from "../../api/generated/marquee/v1/recommendation_pb.ts";
import { UserService } from "../../api/generated/marquee/v1/user_pb.ts";
import { tellTabs } from "../../api/tabs.ts";
import { useCalls, useUserId } from "../../api/visitor.tsx";
import { titleOf } from "../../art/title.ts";
import { useActions } from "../../components/actions.tsx";
import { GridBones } from "../../components/bones.tsx";
import { GenreChips } from "../../components/genre-chips.tsx";
import { Icon } from "../../components/icons.tsx";
import { Poster } from "../../components/poster.tsx";
import { Problem } from "../../components/problem.tsx";
import { moveFocus } from "../../components/row.tsx";
import { useToasts } from "../../components/toasts.tsx";
import { useFormats, useMessages } from "../../i18n/index.tsx";
import { useTitle } from "../use-title.ts";

/** How many movies say enough, how many are shown at a time, and how many preferences may name. */
const LEAST = 5;
const SHOWN = 24;
const MOST = 100;

export default function Onboarding() {
  const messages = useMessages();
  useTitle(messages.onboard.title);
  const [, go] = useLocation();
  // The step stands in the address, so that the browser's Back is one step back; what was chosen stays.
  const step = new URLSearchParams(useAsked()).get("step") === "2" ? 2 : 1;
  const [genres, setGenres] = useState<readonly string[]>([]);
  const [chosen, setChosen] = useState<readonly Movie[]>([]);
  const [denied, setDenied] = useState<readonly number[]>([]);
  const toggle = (genre: string) => setGenres((now) => (now.includes(genre) ? now.filter((one) => one !== genre) : [...now, genre]));
  return (
    <div className="page onboarding">
      <p className="soft" aria-live="polite">{messages.onboard.step(step)}</p>
      {step === 1 ? (
        <>
          <h1>{messages.onboard.title}</h1>
          <p className="lead">{messages.onboard.genresLead}</p>
          <GenreChips label={messages.onboard.genresLead} chosen={genres} toggle={toggle} />
          <div className="form-buttons">
            <button type="button" className="button" onClick={() => go("/welcome?step=2")}>{messages.onboard.next}</button>
            <Link href="/" className="button-plain">{messages.onboard.skip}</Link>
          </div>
        </>
      ) : <ChooseMovies genres={genres} chosen={chosen} setChosen={setChosen} denied={denied} setDenied={setDenied} back={() => go("/welcome", { replace: true })} />}
    </div>
  );
}

interface ChooseProps {
  genres: readonly string[];
  chosen: readonly Movie[];
  setChosen: Dispatch<SetStateAction<readonly Movie[]>>;
  /** Those that are no longer offered, since others were asked for. */
  denied: readonly number[];
  setDenied: Dispatch<SetStateAction<readonly number[]>>;
  back: () => void;
}

function ChooseMovies({ genres, chosen, setChosen, denied, setDenied, back }: ChooseProps) {
  const messages = useMessages();
  const { save, isSaving, error: unsaved } = useSave(genres, chosen);
  const filter = { genresAny: [...genres], denyMovieIds: [...denied] };
  const { data, error, refetch } = useQuery(RecommendationService.method.listOnboardingMovies, { k: SHOWN, filter }, { staleTime: Infinity });
  const isChosen = (movie: Movie) => chosen.some((one) => one.movieId === movie.movieId);
  const toggle = (movie: Movie) => setChosen((now) => (isChosen(movie) ? now.filter((one) => one.movieId !== movie.movieId) : [...now, movie]));
  const offered = data?.movies ?? [];
  // Those chosen before others were shown, or for other genres, stay in sight.
  const shown = [...chosen.filter(({ movieId }) => !offered.some((movie) => movie.movieId === movieId)), ...offered];
  return (
    <>
      <h1>{messages.onboard.moviesTitle}</h1>
      <p className="lead">{messages.onboard.moviesLead}</p>
      {error !== null && <Problem error={error} again={() => void refetch()} />}
      {data === undefined ? error === null && <GridBones /> : (
        <ul className="grid-cards choices" onKeyDown={moveFocus}>
          {shown.map((movie) => (
            <li key={movie.movieId}>
              <button type="button" className="choice card-link" aria-pressed={isChosen(movie)} aria-label={titleOf(movie.title).name} onClick={() => toggle(movie)}>
                <Poster movie={movie} />
                <span className="choice-check"><Icon name="check" /></span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <div className="choice-bar">
        <p role="status" className="numbers">{messages.onboard.chosen(chosen.length, LEAST)}</p>
        <button type="button" className="button-plain" onClick={back}>{messages.onboard.back}</button>
        <button type="button" className="button-plain" disabled={offered.length === 0} onClick={() => setDenied((now) => [...now, ...offered.map((movie) => movie.movieId)])}>{messages.onboard.more}</button>
        <Link href="/" className="button-plain">{messages.onboard.skip}</Link>
        <button type="button" className="button" disabled={chosen.length < LEAST || isSaving} onClick={save}>{isSaving ? messages.onboard.saving : messages.onboard.done}</button>
      </div>
      {unsaved !== undefined && <Problem error={unsaved} />}
    </>
  );
}

/** Says it all to the server: what is liked as preferences, and each movie as an event, which can be taken back later. */
function useSave(genres: readonly string[], movies: readonly Movie[]) {
  const userId = useUserId();
  const transport = useCalls();
  const queries = useQueryClient();
  const toasts = useToasts();
  const messages = useMessages();
  const { list } = useFormats();
  const { marks } = useActions();
  const [, go] = useLocation();
  const [state, setState] = useState<{ isSaving: boolean; error: unknown }>({ isSaving: false, error: undefined });
  const save = async () => {
    setState({ isSaving: true, error: undefined });
    try {
      const user = { case: "userId", value: userId } as const;
      const preferences = { genres: [...genres], movieIds: movies.slice(-MOST).map((movie) => movie.movieId) };
      const told = await createClient(UserService, transport).setPreferences({ user, preferences });
      marks.adopt(told.consistencyToken);
      const interactions = createClient(InteractionService, transport);
      const begin = Date.now() - movies.length;
      for (const [at, movie] of movies.entries()) {
        const time = timestampFromMs(begin + at);
        const kind = InteractionKind.LIKE;
        const reply = await interactions.recordInteraction({ user, movie: { case: "movieId", value: movie.movieId }, kind, time });
        marks.adopt(reply.consistencyToken);
        marks.learn(movie.movieId, { kind: "like", timeMs: begin + at });
      }
      tellTabs({ what: "history", userId, token: marks.token });
      queries.removeQueries({ queryKey: [`home ${userId}`] });
      await queries.invalidateQueries({ predicate: (query) => query.meta?.["ofUser"] === true });
      toasts.show(messages.onboard.welcome(list(movies.slice(-2).map((movie) => titleOf(movie.title).name))));
      go("/");
    } catch (error) {
      setState({ isSaving: false, error });
    }
  };
  return { save: () => void save(), ...state };
}
