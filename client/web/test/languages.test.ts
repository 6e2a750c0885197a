// Whoever reads one language is told nothing in another: all that the program says stands in messages, and no message is
// the same in both, but for words that are.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAst } from "rolldown/parseAst";
import { expect, test } from "vitest";

const SOURCES = join(import.meta.dirname, "../src");

interface Node {
  type: string;
  [part: string]: unknown;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

/** All nodes below one, it too. */
function* nodesOf(node: Node): Iterable<Node> {
  yield node;
  for (const part of Object.values(node)) {
    for (const inner of Array.isArray(part) ? part : [part]) if (isNode(inner)) yield* nodesOf(inner);
  }
}

const FILES = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
  .filter((file) => /\.tsx?$/.test(file) && !file.includes("generated"))
  .map((file) => ({ file, nodes: [...nodesOf(parseAst(readFileSync(join(SOURCES, file), "utf8"), { lang: "tsx" }) as unknown as Node)] }));

/** What is read by everybody, whatever they speak: names, what is typed as it stands, and examples of it. */
const OF_NO_LANGUAGE = new Set(["Marquee", "IMDb", "TMDB", "true", "false", "--face-mark", "--size-", "--space-", "/srv/models/movielens", "Europe/Madrid"]);

const TOLD = new Set(["aria-label", "aria-description", "alt", "title", "placeholder", "label"]);

function wordsIn({ type, ...node }: Node): string[] {
  if (type === "JSXText") return [String(node["value"]).trim()];
  if (type === "JSXExpressionContainer" || type === "JSXAttribute") {
    const said = (type === "JSXAttribute" ? node["value"] : node["expression"]) as Node | null;
    const isTold = type === "JSXExpressionContainer" || TOLD.has(String((node["name"] as Node)["name"]));
    return isTold && said?.type === "Literal" && typeof said["value"] === "string" ? [said["value"].trim()] : [];
  }
  return [];
}

test.each(FILES.filter(({ file }) => file.endsWith(".tsx")))("$file says nothing that is no message", ({ file, nodes }) => {
  // An expression may be the value of an attribute that is no words.
  const values = new Set(nodes.filter(({ type, name }) => type === "JSXAttribute" && !TOLD.has(String((name as Node)["name"]))).map(({ value }) => value));
  const found = nodes.filter((node) => !values.has(node)).flatMap(wordsIn);
  expect(found.filter((text) => /\p{L}{2}/u.test(text) && !OF_NO_LANGUAGE.has(text)), file).toEqual([]);
});

test.each(FILES.filter(({ file }) => file.endsWith(".tsx")))("$file writes genres in the language that is spoken", ({ nodes }) => {
  // Genres of a movie become text by their names in the messages, and never as they are.
  const nameOf = (node: unknown) => (isNode(node) && node.type === "MemberExpression" ? (node["property"] as Node)["name"] : undefined);
  const mapped = new Set(nodes.filter((node) => nameOf(node) === "map").map((node) => node["object"]));
  const raw = nodes.filter(({ type, callee }) => type === "CallExpression" && ["join", "slice"].includes(String(nameOf(callee))) && nameOf((callee as Node)["object"]) === "genres");
  expect(raw.filter((node) => !mapped.has(node)).map(({ start }) => start)).toEqual([]);
});

/** The strings of messages by their places; of a function, all strings in it. */
function textsOf(messages: Node, place: string): [place: string, text: string][] {
  if (messages.type === "TSAsExpression" || messages.type === "TSSatisfiesExpression") return textsOf(messages["expression"] as Node, place);
  if (messages.type !== "ObjectExpression") {
    const said = [...nodesOf(messages)].flatMap((node) => {
      if (node.type === "Literal" && typeof node["value"] === "string") return [node["value"]];
      return node.type === "TemplateElement" ? [(node["value"] as { cooked: string }).cooked] : [];
    });
    return said.length === 0 ? [] : [[place, said.join("|")]];
  }
  return (messages["properties"] as Node[]).flatMap(({ key, value }) => {
    const { name, value: quoted } = key as Node;
    return textsOf(value as Node, `${place}.${String(name ?? quoted)}`);
  });
}

/** Of a file, what it says in a language: a variable or a property of that name. */
function spokenIn(nodes: readonly Node[], language: string): [place: string, text: string][] {
  return nodes.flatMap((node) => {
    const named = node.type === "VariableDeclarator" ? (node["id"] as Node)["name"] : node.type === "Property" ? (node["key"] as Node)["name"] : undefined;
    const said = (node["init"] ?? node["value"]) as Node | null;
    return named === language && said?.type === "ObjectExpression" ? textsOf(said, "") : [];
  });
}

/** Words that are the same in both, by what they say. */
const SAME = /^[^\p{L}]*$|^(API|IMDb|TMDB|JSON|Redis|Id|id|Control|control|Error|Total|Popular|popular|No|no|min|s|p|k|name=value|Drama|Romance|Musical|Western|IMAX|Marquee|English|Español)$/u;

const SPEAKING = FILES.filter(({ nodes }) => spokenIn(nodes, "en").length > 0 && spokenIn(nodes, "es").length > 0);

test.each(SPEAKING)("$file says each thing in both languages, and not in one for both", ({ file, nodes }) => {
  const es = new Map(spokenIn(nodes, "es"));
  const both = spokenIn(nodes, "en").filter(([place, text]) => es.get(place) === text && !text.split("|").every((part) => SAME.test(part.trim())));
  expect(both, file).toEqual([]);
});

test("the messages of all pages are in both languages, and not in one for both", () => {
  const nodesIn = (name: string) => FILES.find(({ file }) => file === `i18n/${name}.ts`)!.nodes;
  const es = new Map(spokenIn(nodesIn("es"), "es"));
  const both = spokenIn(nodesIn("en"), "en").filter(([place, text]) => es.get(place) === text && !text.split("|").every((part) => SAME.test(part.trim())));
  expect(both).toEqual([]);
  expect(SPEAKING.length).toBeGreaterThan(10);
});

/** Words that one language has and the other has not. */
const OF_ENGLISH = /(?<![\p{L}-])(the|and|with|of|is|are|which|from|this|that|you|your)(?![\p{L}-])/iu;
const OF_SPANISH = /(?<![\p{L}-])(el|los|las|una|del|con|que|para|está|según|su)(?![\p{L}-])/iu;

test.each(FILES)("$file speaks no English in Spanish, nor the other way around", ({ file, nodes }) => {
  expect(spokenIn(nodes, "es").filter(([, text]) => OF_ENGLISH.test(text)), file).toEqual([]);
  expect(spokenIn(nodes, "en").filter(([, text]) => OF_SPANISH.test(text)), file).toEqual([]);
});
