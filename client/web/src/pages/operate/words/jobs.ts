// What the page of jobs says.

/** What a kind of job is called, what it does, and what it is told, by the names of its arguments. */
interface KindWords {
  name: string;
  does: string;
  told?: Record<string, string>;
}

const en = {
  title: "Jobs",
  /** The server's own words are English. */
  kinds: {} as Record<string, KindWords>,
  lead: "Long work that the server does itself, now or by a schedule.",
  run: {
    title: "Run a job", kind: "Kind", go: "Run it", asked: (kind: string) => `Asked for: ${kind}.`, required: "required", nothing: "It is told nothing.",
    forbidden: "Your role does not run jobs.",
  },
  list: {
    title: "Jobs, newest first", none: "There are no jobs.", noneFits: "No job is in this state.", all: "All", more: "Show more",
    states: { 1: "waiting", 2: "running", 3: "done", 4: "failed", 5: "cancelled" } as Record<number, string>,
    by: (who: string) => `asked for by ${who}`, schedule: (id: string) => `by the schedule ${id}`, attempt: (count: number) => `attempt ${count}`, node: (node: string) => `on node ${node}`,
    took: (time: string) => `took ${time}`, since: (time: string) => `for ${time}`, cancel: "Cancel", cancelOf: (id: string) => `Cancel ${id}`, ending: "asked to end", log: "Log", noLog: "It has logged nothing.", figures: "Measured", arguments: "Told",
    show: (kind: string) => `More about ${kind}`, progress: (done: string, total: string) => `${done} of ${total}`, done: (done: string) => `${done} done`,
  },
  schedules: {
    title: "Schedules", none: "There are no schedules.", next: (time: string) => `next ${time}`, last: (time: string) => `last ${time}`, paused: "paused", configured: "of the configuration",
    pause: "Pause", resume: "Resume", delete: "Delete", of: (what: string, id: string) => `${what}: ${id}`, sureTitle: (id: string) => `Delete ${id}?`, sure: "It asks for no more jobs. Those that it asked for stay.", cancel: "Cancel",
    put: "Put a schedule", id: "Name", idHelp: "Lower-case letters, digits, hyphens and underscores.", cron: "When", cronHelp: "Minute, hour, day of the month, month, day of the week, as cron has them.", zone: "Time zone", zoneHelp: "UTC when empty.", jitter: "Put off by up to, in seconds", saved: (id: string) => `${id} is put.`, deleted: (id: string) => `${id} is deleted.`,
  },
};

const es: typeof en = {
  title: "Trabajos",
  kinds: {
    backup: { name: "copia de seguridad", does: "Escribe todo lo guardado en una carpeta que lee `marquee-server restore`.", told: { target: "un destino de la configuración; en loopback también una carpeta con su ruta completa", keep: "cuántas copias se quedan en el destino, las más nuevas; las antiguas se quitan cuando esta está hecha. Todas si falta" } },
    clean: { name: "limpieza", does: "Quita los trabajos terminados que pasaron del tiempo que dice la configuración." },
    evaluate: { name: "evaluación", does: "Mide el modelo en servicio con los eventos más nuevos: nDCG, recall, diversidad, novedad, frescura y cobertura de listas de diez.", told: { users: "cuántos, los de eventos más nuevos; 1000 si falta, como mucho 100000" } },
    export: { name: "exportación", does: "Escribe interacciones y películas en una carpeta que leen el entrenador y otros programas.", told: { target: "un destino de la configuración; en loopback también una carpeta por su ruta completa. La exportación es una carpeta en él", format: "csv, con la forma de MovieLens, o jsonl; csv si falta", days: "interacciones de tantos días hasta ahora; todas si falta" } },
    import: { name: "importación", does: "Trae una entrega de MovieLens. Si se interrumpió, sigue donde estaba.", told: { path: "una fuente de la configuración; en loopback también una carpeta o un zip", strict: "true para rechazar la entrega en su primera fila mal escrita; false si falta", replace_sample: "true para quitar antes la muestra: sus usuarios con sus historiales y sus películas; false si falta" } },
    index: { name: "índice", does: "Construye el índice del modelo activo en el nodo que lo ejecuta y lo guarda en su carpeta de datos para el próximo arranque." },
    "judge-model": { name: "examen de un modelo", does: "Compara una versión del registro con el modelo en servicio, con los eventos más nuevos, cada uno apartado del historial de su usuario, y dice si puede ocupar su lugar.", told: { name: "el nombre con que se subió la versión", version: "la versión, como la tiene el registro", users: "cuántos, los de eventos más nuevos; 5000 si falta, como mucho 100000", margin: "en qué tanto por ciento pueden ser menores nDCG@10 y recall@10, con un 95% de certeza; 10 si falta", least_coverage: "la cobertura mínima, en tanto por ciento de la del modelo en servicio; 50 si falta", most_latency: "lo que tardan como mucho 95 de 100 respuestas, en tanto por ciento de las del modelo en servicio; 200 si falta", most_memory: "la memoria máxima, en tanto por ciento de la del modelo en servicio; 200 si falta" } },
    recall: { name: "recall del índice", does: "Mide el recall@10 del índice frente a respuestas exactas, para los usuarios de eventos más nuevos.", told: { users: "para cuántos, los de eventos más nuevos; 500 si falta, como mucho 100000" } },
    report: { name: "informe", does: "Escribe una página HTML sobre usuarios, catálogo, calidad y rendimiento en la carpeta reports de los datos del nodo que lo ejecuta." },
    retention: { name: "caducidad de eventos", does: "Quita los eventos más antiguos de lo que dice event-retention-days." },
    similar: { name: "películas parecidas", does: "Rehace la tabla de películas parecidas en el nodo que lo ejecuta y la guarda en la carpeta de datos." },
    statistics: { name: "estadísticas", does: "Suma lo que hicieron todos los usuarios y lleva películas y sumas al catálogo del nodo que lo ejecuta; los demás siguen solos." },
    sync: { name: "comparación", does: "Compara el catálogo del nodo que lo ejecuta con lo guardado y con lo que conoce el modelo; la cifra drift es 0 donde coinciden." },
    train: { name: "entrenamiento", does: "Ejecuta una orden que nombra la configuración, como un entrenamiento; lo que escribe es el registro del trabajo.", told: { command: "un nombre de job-commands" } },
    vectors: { name: "vectores", does: "Calcula los vectores de los usuarios de eventos más nuevos para la caché del nodo que lo ejecuta, o de todos los que comparten un Redis.", told: { users: "cuántos, los de eventos más nuevos; 10000 si falta, como mucho 1000000" } },
  },
  lead: "Trabajo largo que hace el propio servidor, ahora o según un horario.",
  run: {
    title: "Lanzar un trabajo", kind: "Clase", go: "Lanzarlo", asked: (kind) => `Pedido: ${kind}.`, required: "obligatorio", nothing: "No se le dice nada.",
    forbidden: "Su rol no lanza trabajos.",
  },
  list: {
    title: "Trabajos, lo más nuevo primero", none: "No hay trabajos.", noneFits: "Ningún trabajo está en este estado.", all: "Todos", more: "Mostrar más",
    states: { 1: "en espera", 2: "en marcha", 3: "hecho", 4: "fallido", 5: "cancelado" },
    by: (who) => `pedido por ${who}`, schedule: (id) => `por el horario ${id}`, attempt: (count) => `intento ${count}`, node: (node) => `en el nodo ${node}`,
    took: (time) => `duró ${time}`, since: (time) => `desde hace ${time}`, cancel: "Cancelar", cancelOf: (id) => `Cancelar ${id}`, ending: "se le pidió terminar", log: "Registro", noLog: "No ha registrado nada.", figures: "Medido", arguments: "Se le dijo",
    show: (kind) => `Más sobre ${kind}`, progress: (done, total) => `${done} de ${total}`, done: (done) => `${done} hechos`,
  },
  schedules: {
    title: "Horarios", none: "No hay horarios.", next: (time) => `próximo ${time}`, last: (time) => `último ${time}`, paused: "en pausa", configured: "de la configuración",
    pause: "Pausar", resume: "Reanudar", delete: "Borrar", of: (what, id) => `${what}: ${id}`, sureTitle: (id) => `¿Borrar ${id}?`, sure: "Ya no pide trabajos. Los que pidió se quedan.", cancel: "Cancelar",
    put: "Poner un horario", id: "Nombre", idHelp: "Minúsculas, cifras, guiones y guiones bajos.", cron: "Cuándo", cronHelp: "Minuto, hora, día del mes, mes y día de la semana, como en cron.", zone: "Zona horaria", zoneHelp: "UTC si está vacía.", jitter: "Aplazar como mucho, en segundos", saved: (id) => `${id} está puesto.`, deleted: (id) => `${id} se ha borrado.`,
  },
};

export const WORDS = { en, es };

/** A kind by its name where the language has another one, with the one that the API has. */
export function kindName({ kinds }: typeof en, kind: string): string {
  const own = kinds[kind]?.name;
  return own === undefined ? kind : `${own} (${kind})`;
}
