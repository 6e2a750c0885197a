// What somebody might put into a catalogue.

/** Sets `window.hostile` if it ever runs. */
const RUN = "window.hostile=1";

export const HOSTILE_TITLES = [
  `<script>${RUN}</script> (1999)`,
  `<img src=x onerror="${RUN}"> (2000)`,
  `"><svg onload=${RUN}> (2001)`,
  `javascript:${RUN} (2002)`,
  `{{constructor.constructor('${RUN}')()}} (2003)`,
  `' onmouseover='${RUN}' (2004)`,
  `</title><script>${RUN}</script> (2005)`,
  `\u202Eright to left (2006)`,
  `Zalgo Z\u0351\u036B\u0343\u036A\u0302\u036B\u033D\u034F\u0334 (2007)`,
  `${"Verylongword".repeat(40)} (2008)`,
  `A, The, The, A, Le (2009)`,
  `%2F%00../../etc (2010)`,
];

export const HOSTILE_TAG = `<img src=x onerror=${RUN}>`;
