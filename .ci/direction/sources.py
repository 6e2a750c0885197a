"""What the files of a crate import of each other, read from their text.

This is no compiler: it knows modules, `use` and paths that are written out, which is how this project writes
what it imports. What stands under `#[cfg(test)]` is not looked at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

QUIET = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/                     # comments
    | \bb?r(\#*)".*?"\1                      # raw strings
    | \bb?"(?:\\.|[^"\\])*" | "(?:\\.|[^"\\])*"  # strings
    | '(?:\\[^u]|\\u\{[0-9a-fA-F_]+\}|[^'\\])'    # characters
    """,
    re.VERBOSE | re.DOTALL,
)
TEST = re.compile(r"#\[cfg\((?:test|any\(test\b[^\]]*|all\(test\b[^\]]*)\)\]")
INLINE_MODULE = re.compile(r"\bmod\s+(\w+)\s*\{")
MODULE = re.compile(r"\bmod\s+(\w+)\s*;")
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:.$])(?:::)?([A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)+)")


@dataclass
class Module:
    """A module of a crate."""

    path: tuple[str, ...]
    file: Path
    children: dict[str, "Module"] = field(default_factory=dict)
    paths: list[tuple[str, ...]] = field(default_factory=list)
    names: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # what `use` brings in: the name, and its path

    def walk(self) -> Iterator["Module"]:
        """This module and all within it."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def __str__(self) -> str:
        return "::".join(("crate", *self.path))


@dataclass(frozen=True)
class Import:
    """A module names something of another module of its crate, or another crate."""

    importer: tuple[str, ...]
    file: Path
    imported: tuple[str, ...] | None  # the module, when it is of this crate
    crate: str | None  # the crate, when it is another one


def quiet(text: str) -> str:
    """The text without comments and the contents of literals."""
    return QUIET.sub(" ", text)


def block_end(text: str, start: int) -> int:
    """Behind the item at `start`: its semicolon, or the brace that ends its body."""
    depth = 0
    for at in range(start, len(text)):
        match text[at]:
            case "{" | "(" | "[":
                depth += 1
            case "}" | ")" | "]":
                depth -= 1
                if depth == 0 and text[at] == "}":
                    return at + 1
            case ";" if depth == 0:
                return at + 1
    return len(text)


def without_tests(text: str) -> str:
    """The text without the items that only tests have."""
    while found := TEST.search(text):
        start = found.end()
        while attribute := re.compile(r"\s*#\[").match(text, start):
            start = text.index("]", attribute.end()) + 1
        text = text[: found.start()] + text[block_end(text, start) :]
    return text


def expanded(tree: str) -> list[tuple[tuple[str, ...], str]]:
    """Each path of a `use`, and the name that it brings in."""
    tree = tree.strip().removeprefix("::")
    before, brace, rest = tree.partition("{")
    if brace:
        prefix = tuple(part.strip() for part in before.split("::") if part.strip())
        branches = (branch for part in split(rest[: rest.rindex("}")]) for branch in expanded(part))
        return [(prefix + path, name) for path, name in (at_self(prefix, *branch) for branch in branches)]
    path, _, alias = tree.partition(" as ")
    parts = tuple(part.strip() for part in path.split("::") if part.strip())
    return [(parts, alias.strip() or parts[-1])] if parts else []


def at_self(prefix: tuple[str, ...], path: tuple[str, ...], name: str) -> tuple[tuple[str, ...], str]:
    """`a::{self}` brings in `a`."""
    if path == ("self",):
        return (), prefix[-1] if name == "self" else name
    return path, name


def split(branches: str) -> list[str]:
    """The branches of a tree at their commas."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(branches):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append(branches[start:at])
            start = at + 1
    return [part for part in [*parts, branches[start:]] if part.strip()]


def read(root: Path) -> Module:
    """The modules of the crate with this root file."""
    return module((), root, root.parent, root.read_text())


def module(path: tuple[str, ...], file: Path, folder: Path, text: str) -> Module:
    """The module whose own modules are files in `folder`."""
    return filled(Module(path, file), folder, without_tests(quiet(text)))


def filled(found: Module, folder: Path, text: str) -> Module:
    """The module with what its text says."""
    while inline := INLINE_MODULE.search(text):
        name, end = inline.group(1), block_end(text, inline.end() - 1)
        child = Module((*found.path, name), found.file)
        found.children[name] = filled(child, folder / name, text[inline.end() : end - 1])
        text = text[: inline.start()] + text[end:]
    for name in MODULE.findall(text):
        places = [folder / f"{name}.rs", folder / name / "mod.rs"]
        for place in filter(Path.exists, places):
            found.children[name] = module((*found.path, name), place, folder / name, place.read_text())
    for tree in USE.findall(text):
        for path, name in expanded(tree):
            found.paths.append(path)
            if name not in {"_", "*"}:
                found.names[name] = path
    text = USE.sub(" ", text)
    found.paths.extend(tuple(re.split(r"\s*::\s*", path)) for path in PATH.findall(text))
    return found


def imports(root: Module, name: str) -> set[Import]:
    """Everything that the modules of a crate of this name import."""
    modules = {module.path: module for module in root.walk()}
    found = set()
    for module in modules.values():
        for path in module.paths:
            target = resolve(modules, module, path, name)
            if target is None:
                found.add(Import(module.path, module.file, None, path[0]))
            elif target.path != module.path:
                found.add(Import(module.path, module.file, target.path, None))
    return found


def resolve(
    modules: dict[tuple[str, ...], Module], start: Module, path: tuple[str, ...], name: str, steps: int = 16
) -> Module | None:
    """The module in which what the path names is written; `None` when it is not one of this crate."""
    at, rest = start, path
    match path[0]:
        case "crate":
            at, rest = modules[()], path[1:]
        case "self":
            rest = path[1:]
        case "super":
            while rest and rest[0] == "super":
                at, rest = modules[at.path[:-1]], rest[1:]
        case first if first == name and first not in start.children:
            at, rest = modules[()], path[1:]
        case first if first not in start.children:
            known = start.names.get(first)
            if known is None or known == path[:1] or steps == 0 or known[0] == first:
                return start if first[0].isupper() or first == "Self" else None
            return resolve(modules, start, (*known, *path[1:]), name, steps - 1)
    while rest and rest[0] in at.children:
        at, rest = at.children[rest[0]], rest[1:]
    if rest and rest[0] in at.names and at is not start and steps > 0:
        # What the module imports itself: follow it to where it is written.
        again = resolve(modules, at, (*at.names[rest[0]], *rest[1:]), name, steps - 1)
        return at if again is None else again
    return at
