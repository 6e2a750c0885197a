// All that the console is made of, on one page: colours, type, spacing, and the parts in each of their states.

import { useState } from "react";
import { Bars } from "../components/bars.tsx";
import { GridBones } from "../components/bones.tsx";
import { Dialog } from "../components/dialog.tsx";
import { Icon, ICONS } from "../components/icons.tsx";
import { Poster, type Pictured } from "../components/poster.tsx";
import { Stars } from "../components/stars.tsx";
import { useToasts } from "../components/toasts.tsx";
import { useMessages, useOwn } from "../i18n/index.tsx";
import { useTitle } from "./use-title.ts";

const WORDS = {
  en: { title: "Design", colours: "Colours", type: "Type", spacing: "Spacing", icons: "Pictures", posters: "Posters", parts: "Parts", sample: "The quick brown fox jumps over the lazy dog", toast: "A note", dialog: "A dialog", bad: "What removes something", plain: "Beside the main one", main: "The main one", field: "A field", chip: "A chip", on: "chosen", note: "What one should know before going on.", failed: "What failed", licences: "Licences", of: "of packages", others: "of letters and others" },
  es: { title: "Diseño", colours: "Colores", type: "Tipografía", spacing: "Espacios", icons: "Dibujos", posters: "Carteles", parts: "Piezas", sample: "El veloz murciélago hindú comía feliz cardillo y kiwi", toast: "Una nota", dialog: "Un diálogo", bad: "Lo que elimina algo", plain: "Junto al principal", main: "El principal", field: "Un campo", chip: "Una ficha", on: "elegida", note: "Lo que conviene saber antes de seguir.", failed: "Lo que ha fallado", licences: "Licencias", of: "de los paquetes", others: "de las letras y otras" },
};

const COLOURS = ["ground", "surface", "raised", "line", "line-strong", "ink", "ink-soft", "accent", "accent-ink", "accent-soft", "good", "bad", "bad-soft", "star", "focus"];
const SIZES = ["h1", "h2", "h3", "lead", "text", "small"];
const SPACES = [1, 2, 3, 4, 5, 6, 7, 8];
const POSTERS: Pictured[] = [
  "Alien (1979)|Horror,Sci-Fi", "Amelie (2001)|Comedy,Romance", "Chinatown (1974)|Crime,Film-Noir", "Fantasia (1940)|Animation,Musical",
  "Once Upon a Time in the West (1968)|Action,Western", "Seven Samurai (1954)|Action,Adventure", "Spirited Away (2001)|Animation,Fantasy", "Stalker (1979)|Drama,Mystery",
  "Hoop Dreams (1994)|Documentary", "Matrix, The (1999)|Action,Sci-Fi", "Paths of Glory (1957)|Drama,War", "Sixth Sense, The (1999)|Thriller,Horror",
].map((text, at) => {
  const [title, genres] = text.split("|") as [string, string];
  // One of each composition.
  return { movieId: at + 1, title, genres: genres.split(",") };
});

export default function Design() {
  const words = useOwn(WORDS);
  const { genre } = useMessages();
  const toasts = useToasts();
  const [stars, setStars] = useState<number | undefined>(3.5);
  const [isOpen, setOpen] = useState(false);
  useTitle(words.title);
  return (
    <div className="page design">
      <h1>{words.title}</h1>
      <section>
        <h2>{words.colours}</h2>
        <ul className="swatches">{COLOURS.map((name) => <li key={name}><span className="swatch" data-colour={name} /><code>--{name}</code></li>)}</ul>
      </section>
      <section>
        <h2>{words.type}</h2>
        {SIZES.map((size) => <p key={size} className="type-sample" data-size={size}>{words.sample} <code>--size-{size}</code></p>)}
        <p className="type-sample" data-size="mark">Marquee <code>--face-mark</code></p>
      </section>
      <section>
        <h2>{words.spacing}</h2>
        <ul className="spaces">{SPACES.map((step) => <li key={step}><span className="space" data-step={step} /> <code>--space-{step}</code></li>)}</ul>
      </section>
      <section>
        <h2>{words.icons}</h2>
        <ul className="icon-samples">{ICONS.map((name) => <li key={name}><Icon name={name} /><code>{name}</code></li>)}</ul>
      </section>
      <section>
        <h2>{words.posters}</h2>
        <ul className="grid-cards">{POSTERS.map((movie) => <li key={movie.movieId}><Poster movie={movie} /><p className="unseen">{movie.title}</p></li>)}</ul>
      </section>
      <section>
        <h2>{words.parts}</h2>
        <div className="form-buttons">
          <button type="button" className="button">{words.main}</button>
          <button type="button" className="button-plain">{words.plain}</button>
          <button type="button" className="button-bad">{words.bad}</button>
          <button type="button" className="button-plain" onClick={() => toasts.show(words.toast)}>{words.toast}</button>
          <button type="button" className="button-plain" onClick={() => setOpen(true)}>{words.dialog}</button>
        </div>
        <div className="chips"><button type="button" className="chip" aria-pressed={false}>{words.chip}</button><button type="button" className="chip" aria-pressed>{words.on}</button></div>
        <label className="field"><span>{words.field}</span><input defaultValue="1994" /></label>
        <div className="panel"><Stars name={words.parts} value={stars} rate={setStars} /></div>
        <p className="note"><Icon name="warning" /> <span>{words.note}</span></p>
        <div className="panel"><Bars bars={[{ name: genre["Drama"] ?? "Drama", value: 42, text: "42" }, { name: genre["Sci-Fi"] ?? "Sci-Fi", value: 17, text: "17" }]} /></div>
        <GridBones count={4} />
        {isOpen && <Dialog title={words.dialog} close={() => setOpen(false)}><p>{words.note}</p></Dialog>}
      </section>
      <section>
        <h2>{words.licences}</h2>
        <p><a href="/licences.txt">{words.of}</a>, <a href="/licences-others.txt">{words.others}</a></p>
      </section>
    </div>
  );
}
