// What the page of events says.

const en = {
  title: "Events",
  lead: "What users do, as it is recorded: on all nodes that share a Redis, or on this one.",
  pause: "Pause",
  resume: "Go on",
  paused: "paused",
  oldest: "From the oldest that is kept",
  clear: "Empty the list",
  kinds: "Kinds",
  all: "All",
  user: "User",
  movie: "Movie’s id",
  rate: (count: string) => `${count} a second in the last minute`,
  rateOf: (count: string, seconds: number) => `${count} a second in the last ${seconds} s`,
  shown: (shown: string, all: string) => `${shown} of ${all} that were read are shown`,
  waiting: "Nothing has happened since this page was opened.",
  noneFits: "Nothing that was read passes the filters.",
  deleted: "deleted",
  table: { time: "Time", user: "User", what: "What", movie: "Movie", position: "Position" },
  tooSlow: "Some events came too fast for this page and are missing.",
};

const es: typeof en = {
  title: "Eventos",
  lead: "Lo que hacen los usuarios, según se registra: en todos los nodos que comparten un Redis, o en este.",
  pause: "Pausar",
  resume: "Seguir",
  paused: "en pausa",
  oldest: "Desde el más antiguo que se guarda",
  clear: "Vaciar la lista",
  kinds: "Clases",
  all: "Todas",
  user: "Usuario",
  movie: "Id de la película",
  rate: (count) => `${count} por segundo en el último minuto`,
  rateOf: (count, seconds) => `${count} por segundo en los últimos ${seconds} s`,
  shown: (shown, all) => `se muestran ${shown} de ${all} leídos`,
  waiting: "No ha pasado nada desde que se abrió esta página.",
  noneFits: "Nada de lo leído pasa los filtros.",
  deleted: "borrado",
  table: { time: "Hora", user: "Usuario", what: "Qué", movie: "Película", position: "Posición" },
  tooSlow: "Algunos eventos llegaron demasiado deprisa para esta página y faltan.",
};

export const WORDS = { en, es };
