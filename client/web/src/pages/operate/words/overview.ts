// What the overview says.

const en = {
  lead: "The last 15 minutes of this server, in steps of five seconds.",
  tiles: {
    health: "Health", serving: "Serving", notServing: "Not serving", unknown: "Unknown", partly: (count: number) => `${count} not serving`,
    rate: "Calls a second", errors: "Errors", p99: "99 of 100 within", queue: "Waiting for the model", model: "Model in service", noModel: "none", up: "Runs for",
    catalogue: "Catalogue", movies: (count: string) => `${count} movies`, users: (count: string) => `${count} users`, events: (count: string) => `${count} events`,
    minute: "last minute", now: "requests now", workers: (count: string) => `${count} workers`, since: (version: string) => `version ${version}`, on: (device: string) => `on ${device}`,
  },
  charts: {
    title: "Lately",
    calls: "Calls", ended: "a second", failed: "failed a second", refused: "refused a second",
    latency: "Latency", p50: "half", p95: "95 of 100", p99: "99 of 100",
    waiting: "Under way", queue: "waiting for the model", inFlight: "calls", connections: "connections",
    batch: "Batch", batchSize: "requests a batch",
    busy: "Model’s workers", busyRatio: "busy",
    caches: "Caches", vectors: "vectors found", profiles: "profiles found",
    cpu: "Processors", cores: "cores in use",
    memory: "Memory", resident: "resident",
    redis: "Redis", redisFailures: "commands that failed",
    tell: (name: string, least: string, most: string, last: string) => `${name}: from ${least} to ${most}, ${last} now.`,
    empty: "The first sample comes within five seconds.",
  },
  methods: {
    title: "By method", window: "Within", minutes: (count: number) => `${count} min`, method: "Method", calls: "Calls", rate: "a second", failed: "failed",
    p50: "half", p95: "95 of 100", p99: "99 of 100", all: "All methods", none: "Nobody has called yet.", codes: "Codes", stream: "stream",
  },
  slow: {
    title: "Slowest calls", none: "No call has ended yet.", method: "Method", caller: "Caller", time: "Time", took: "Took", where: "Where the time went", id: "Request", notTold: "not told",
    forbidden: "Who called slowly is shown to operators.",
  },
};

const es: typeof en = {
  lead: "Los últimos 15 minutos de este servidor, cada cinco segundos.",
  tiles: {
    health: "Salud", serving: "En servicio", notServing: "Fuera de servicio", unknown: "Desconocida", partly: (count) => `${count} fuera de servicio`,
    rate: "Llamadas por segundo", errors: "Errores", p99: "99 de 100 en menos de", queue: "Esperan al modelo", model: "Modelo en servicio", noModel: "ninguno", up: "En marcha desde hace",
    catalogue: "Catálogo", movies: (count) => `${count} películas`, users: (count) => `${count} usuarios`, events: (count) => `${count} eventos`,
    minute: "último minuto", now: "peticiones ahora", workers: (count) => `${count} hilos`, since: (version) => `versión ${version}`, on: (device) => `en ${device}`,
  },
  charts: {
    title: "Últimamente",
    calls: "Llamadas", ended: "por segundo", failed: "fallidas por segundo", refused: "rechazadas por segundo",
    latency: "Latencia", p50: "la mitad", p95: "95 de 100", p99: "99 de 100",
    waiting: "En curso", queue: "esperan al modelo", inFlight: "llamadas", connections: "conexiones",
    batch: "Lote", batchSize: "peticiones por lote",
    busy: "Hilos del modelo", busyRatio: "ocupados",
    caches: "Cachés", vectors: "vectores hallados", profiles: "perfiles hallados",
    cpu: "Procesadores", cores: "núcleos en uso",
    memory: "Memoria", resident: "residente",
    redis: "Redis", redisFailures: "órdenes fallidas",
    tell: (name, least, most, last) => `${name}: de ${least} a ${most}, ahora ${last}.`,
    empty: "La primera muestra llega en menos de cinco segundos.",
  },
  methods: {
    title: "Por método", window: "En", minutes: (count) => `${count} min`, method: "Método", calls: "Llamadas", rate: "por segundo", failed: "fallidas",
    p50: "la mitad", p95: "95 de 100", p99: "99 de 100", all: "Todos los métodos", none: "Nadie ha llamado todavía.", codes: "Códigos", stream: "flujo",
  },
  slow: {
    title: "Las llamadas más lentas", none: "Ninguna llamada ha terminado todavía.", method: "Método", caller: "Quién", time: "Hora", took: "Duró", where: "En qué se fue el tiempo", id: "Petición", notTold: "no consta",
    forbidden: "Las llamadas lentas se muestran a operadores.",
  },
};

export const WORDS = { en, es };
