// What the page of keys, rights and records says.

const en = {
  title: "Access",
  open: "This server asks nobody who they are: whoever reaches it may do everything. Start it with --auth on to ask for keys.",
  keys: {
    title: "Keys",
    lead: "Keys of the services that call. A key is shown once, when it is made.",
    none: "There are no keys.",
    name: "Name", role: "Role", id: "Id", made: "Made", expires: "Expires", used: "Last used", never: "never", noEnd: "no end", change: "Change",
    create: "Make a key", nameHelp: "Who it is for. The name is in the log.", otherRole: "a role of the server’s own", roleName: "Role’s name", days: "Days", daysHelp: "For good when empty.",
    go: "Make it", cancel: "Cancel",
    secretTitle: (name: string) => `The key of ${name}`,
    secret: "Nobody can ask for it again: keep it now.",
    kept: "I have kept it",
    notKept: "Once this is closed the key is gone, and only another one can be made. Copy it, then say that you have kept it.",
    own: "this page’s",
    revokeOwn: "This page calls with this very key: you lock yourself out. To come back you need another key of an administrator, or the command line on the server’s machine.",
    rotateOwn: "This page calls with this very key. It goes on with the new one once you have kept that.",
    rotate: "Rotate", rotateTitle: (name: string) => `Rotate the key of ${name}?`, rotateLead: "Another key is made. The old one goes on for a while, so that callers can change over.", overlap: "Hours of the old key",
    revoke: "Revoke", revokeTitle: (name: string) => `Revoke the key of ${name}?`, revokeLead: "Calls with it are refused from now on. That cannot be taken back.", revoked: (name: string) => `The key of ${name} is revoked.`,
    of: (what: string, name: string, id: string) => `${what}: ${name}, ${id}`,
  },
  rights: {
    title: "Rights",
    lead: "What each role may call, where the server asks. Each may do what those before it may; people name no other user than their own.",
    method: "Method", person: "people", yes: "may", no: "may not", anyone: "everybody", filter: "Find a method",
  },
  audit: {
    title: "Records",
    lead: "Who changed what, and who was refused what, newest first.",
    caller: "Caller", method: "Method", outcome: "Outcome", from: "From", until: "Until", time: "Time", origin: "From where", user: "User", request: "Request", calls: "Calls",
    any: "any", go: "Look", none: "No record fits.", more: "Show more",
    empty: "There are no records. A server keeps them with --audit on, which it is where it asks who calls.",
  },
};

const es: typeof en = {
  title: "Acceso",
  open: "Este servidor no pregunta a nadie quién es: quien llegue a él puede hacerlo todo. Inícielo con --auth on para pedir claves.",
  keys: {
    title: "Claves",
    lead: "Claves de los servicios que llaman. Una clave se muestra una vez, al hacerla.",
    none: "No hay claves.",
    name: "Nombre", role: "Rol", id: "Id", made: "Hecha", expires: "Caduca", used: "Último uso", never: "nunca", noEnd: "sin fin", change: "Cambiar",
    create: "Hacer una clave", nameHelp: "Para quién es. El nombre está en el registro.", otherRole: "un rol propio del servidor", roleName: "Nombre del rol", days: "Días", daysHelp: "Para siempre si está vacío.",
    go: "Hacerla", cancel: "Cancelar",
    secretTitle: (name) => `La clave de ${name}`,
    secret: "Nadie puede volver a pedirla: guárdela ahora.",
    kept: "La he guardado",
    notKept: "Al cerrar esto la clave desaparece y solo se puede hacer otra. Cópiela y diga después que la ha guardado.",
    own: "la de esta página",
    revokeOwn: "Esta página llama con esta misma clave: se quedará fuera. Para volver hará falta otra clave de administrador, o la línea de órdenes en la máquina del servidor.",
    rotateOwn: "Esta página llama con esta misma clave. Seguirá con la nueva cuando la haya guardado.",
    rotate: "Renovar", rotateTitle: (name) => `¿Renovar la clave de ${name}?`, rotateLead: "Se hace otra clave. La antigua sigue un tiempo, para que quienes llaman puedan cambiar.", overlap: "Horas de la antigua",
    revoke: "Revocar", revokeTitle: (name) => `¿Revocar la clave de ${name}?`, revokeLead: "Desde ahora se rechazan las llamadas con ella. No tiene vuelta atrás.", revoked: (name) => `La clave de ${name} está revocada.`,
    of: (what, name, id) => `${what}: ${name}, ${id}`,
  },
  rights: {
    title: "Derechos",
    lead: "Lo que cada rol puede llamar, donde el servidor pregunta. Cada uno puede lo que los anteriores; las personas no nombran a otro usuario que el suyo.",
    method: "Método", person: "personas", yes: "puede", no: "no puede", anyone: "todos", filter: "Buscar un método",
  },
  audit: {
    title: "Registro",
    lead: "Quién cambió qué y a quién se le negó qué, lo más nuevo primero.",
    caller: "Quién", method: "Método", outcome: "Resultado", from: "Desde", until: "Hasta", time: "Hora", origin: "De dónde", user: "Usuario", request: "Petición", calls: "Llamadas",
    any: "cualquiera", go: "Mirar", none: "Ningún registro encaja.", more: "Mostrar más",
    empty: "No hay registros. Un servidor los lleva con --audit on, y siempre que pregunta quién llama.",
  },
};

export const WORDS = { en, es };
