"""The commands of a document: which lines they are, and what the document says of running them."""

import re
import subprocess
from dataclasses import dataclass, field

SCRIPTS = {"sh", "bash", "shell"}


class DocumentError(Exception):
    """A document that says something that cannot be understood."""


@dataclass
class Command:
    """A command of a document."""

    line: int
    text: str
    # The first line of its output, as far as the document has it.
    output: str = ""

    def shall_fail(self) -> bool:
        """Whether the document shows an error."""
        return self.output.startswith("error:")


@dataclass
class Block:
    """A fenced block with commands."""

    document: str
    line: int
    mark: str
    commands: list[Command] = field(default_factory=list)

    def not_run(self) -> str | None:
        """Why it says that it is not run."""
        return self.mark.removeprefix("not run:").strip() if self.mark.startswith("not run:") else None


def is_whole(text: str) -> bool:
    """Whether the shell would wait for no further line."""
    if text.endswith("\\"):
        return False
    checked = subprocess.run(["bash", "-n"], input=text + "\n", capture_output=True, text=True)
    return checked.returncode == 0 and not checked.stderr


def commands_of(language: str, lines: list[tuple[int, str]]) -> list[Command]:
    """The commands of a block; of `console` those behind a `$ `."""
    commands: list[Command] = []
    unfinished = False
    for number, line in lines:
        if unfinished:
            commands[-1].text += "\n" + line
        elif language in SCRIPTS and line.strip() and not line.lstrip().startswith("#"):
            commands.append(Command(number, line))
        elif language == "console" and line.startswith("$ "):
            commands.append(Command(number, line[2:]))
        else:
            if commands and not commands[-1].output:
                commands[-1].output = line
            continue
        unfinished = not is_whole(commands[-1].text)
    if unfinished:
        raise DocumentError(f"line {commands[-1].line}: the command does not end within its block")
    return commands


MARK = re.compile(r"<!--\s*(not run:.*?|needs services|needs a server)\s*-->\s*$")


def blocks_of(document: str, text: str) -> list[Block]:
    """The blocks of a document that hold commands."""
    blocks = []
    mark = ""
    fence: tuple[int, str, str] | None = None
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        opening = re.match(r"(`{3,}|~{3,})\s*(\S*)", line)
        if fence is None and opening:
            if not opening[2]:
                raise DocumentError(f"line {number}: the block has no language; write console, sh or text")
            fence, lines = (number, opening[1], opening[2]), []
        elif fence is None and line.strip():
            found = MARK.match(line)
            mark = found[1] if found else ""
        elif fence and line.strip() == fence[1]:
            if commands := commands_of(fence[2], lines):
                blocks.append(Block(document, fence[0], mark, commands))
            elif mark:
                raise DocumentError(f"line {fence[0]}: the block has no commands, but is marked '{mark}'")
            mark, fence = "", None
        elif fence:
            lines.append((number, line))
    if fence:
        raise DocumentError(f"line {fence[0]}: the block does not end")
    return blocks
