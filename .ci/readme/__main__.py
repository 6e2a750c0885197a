"""Runs the commands of the documents as they are written, in order, in a scratch copy of the repository.

    python3 .ci/readme [DOCUMENT...]

A command that nobody runs rots: options are renamed, folders move, and the reader is the first to notice. So
every fenced block says by its language what it is. `console` holds lines that begin with `$ ` and their
output; `sh` and `bash` hold commands alone; anything else is not run. A block without a language is an error,
since nobody can tell which it is. What cannot run here says why, in a comment before the block:

    <!-- not run: needs a GPU -->
    <!-- needs services -->           runs where MARQUEE_TEST_CQL and MARQUEE_TEST_REDIS are set
    <!-- needs a server -->           a server is started first, if none of the document's runs

The blocks of one document share a shell, so that `cd` and `export` hold, and the documents of one folder have
a copy in common, README.md first. A command whose output begins with `error:` shall fail, all others shall
not. A server is waited for at its address. One in the foreground ends, as by Ctrl-C, when the document goes
on with that program; any ends when another wants its address, when a block needs a server that the document
does not start itself (which takes the data folder that the others hold), and at the end of the document.

Every difference between what is written and what is run is printed: words such as BUNDLE get values, times
become short (commands.py), and cargo runs what is built already (stage.py).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blocks import Block, Command, DocumentError, blocks_of
from commands import (
    DEFAULT_ADDRESS,
    SERVER,
    WELCOME,
    addresses,
    as_run,
    in_background,
    server_arguments,
    serves,
)
from shell import Server, Shell, answers
from stage import Copy, Stage


class Reader:
    """Follows one document from its beginning to its end."""

    def __init__(self, document: str, copy: Copy):
        self.document = document
        self.values = copy.values
        scratch = Path(tempfile.mkdtemp(dir=self.values["own"]))
        self.shell = Shell(Path(self.values["copy"]), scratch, copy.environment)
        self.servers: list[Server] = []
        self.count = 0

    def follow(self, blocks: list[Block]) -> None:
        """Runs the commands of the blocks."""
        try:
            for block in blocks:
                if block.mark == "needs a server" and not self.has_server():
                    self.make_room(lambda _: True)
                    self.do(Command(block.line, SERVER))
                for command in block.commands:
                    self.do(command)
        finally:
            self.make_room(lambda _: True)
            self.shell.end()

    def do(self, command: Command) -> None:
        """Runs one command."""
        tokens = re.findall(r"consistency_token\W+([\w.:/+=-]+)", self.shell.transcript)
        text = as_run(command.text, self.values, tokens[-1] if tokens else None)
        print(f"{self.document}:{command.line}  $ {command.text}", flush=True)
        if text != command.text:
            print(f"    run as: {text}", flush=True)
        began = time.monotonic()
        foreground = serves(text)
        try:
            if server_arguments(text) is not None:
                self.make_room(lambda server: server.foreground)
            if foreground or in_background(text):
                wanted = addresses(text)
                self.make_room(lambda server: any(address in server.addresses for address in wanted))
                taken = [address for address in wanted if answers(address)]
                if taken:
                    raise DocumentError(f"another process has {taken}; end it first")
                # Its port is open before its model is loaded: a reader waits for its last words too.
                ready = WELCOME if server_arguments(text) is not None else ""
                self.servers.append(self.shell.start(text, wanted, foreground, ready))
            else:
                status, output = self.shell.run(text)
                ended = text.startswith("timeout ") and status == 124
                if (status != 0 and not ended) != command.shall_fail():
                    raise DocumentError(f"exit status {status}\n{output}")
        except DocumentError as error:
            raise DocumentError(f"line {command.line}: {text}\n{str(error)[-4000:]}") from None
        self.count += 1
        print(f"    {time.monotonic() - began:.1f} s", flush=True)

    def has_server(self) -> bool:
        """Whether the document has a server at the address that clients take by themselves."""
        return any(DEFAULT_ADDRESS in server.addresses for server in self.servers)

    def make_room(self, chosen: Callable[[Server], bool]) -> None:
        """Ends the servers that are chosen."""
        for server in [server for server in self.servers if chosen(server)]:
            server.end()
            self.servers.remove(server)


def documents(repository: Path) -> list[str]:
    """All Markdown files of the repository, of each folder README.md first."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=repository, capture_output=True, text=True, check=True
    )
    return sorted(
        listed.stdout.split(), key=lambda name: (Path(name).parent, Path(name).name != "README.md", name)
    )


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", nargs="*", help="the documents; all of the repository when absent")
    parser.add_argument("--binaries", type=Path, help="folder of built programs; built here when absent")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter whose packages the documents use"
    )
    parser.add_argument("--list", action="store_true", help="only say what is run and what is not")
    return parser.parse_args()


class Results:
    """What came of all documents."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.not_run: list[str] = []
        self.count = 0

    def runnable(self, document: str, text: str) -> list[Block]:
        """The blocks of a document that can run here; notes the others."""
        try:
            blocks = blocks_of(document, text)
        except DocumentError as error:
            self.failures.append(f"{document}: {error}")
            return []
        return [block for block in blocks if self.can_run(block)]

    def can_run(self, block: Block) -> bool:
        """Whether a block can run here; notes why not."""
        reason = block.not_run()
        services = all(os.environ.get(name) for name in ("MARQUEE_TEST_CQL", "MARQUEE_TEST_REDIS"))
        if block.mark == "needs services" and not services:
            reason = "needs MARQUEE_TEST_CQL and MARQUEE_TEST_REDIS, which are not set"
            if os.environ.get("CI") == "true":
                self.failures.append(f"{block.document}:{block.line}: {reason}")
        if reason is not None:
            self.not_run.append(f"{block.document}:{block.line}: {len(block.commands)} command(s), {reason}")
        return reason is None

    def follow(self, stage: Stage, runnable: dict[str, list[Block]]) -> None:
        """Runs the blocks of all documents."""
        copies: dict[Path, Copy] = {}
        for document, blocks in runnable.items():
            folder = Path(document).parent
            if folder not in copies:
                copies[folder] = stage.fresh_copy()
            reader = Reader(document, copies[folder])
            try:
                reader.follow(blocks)
            except DocumentError as error:
                self.failures.append(f"{document}: {error}")
            self.count += reader.count

    def say(self) -> None:
        """Prints what ran, what did not, and what failed."""
        print(f"\n{self.count} commands ran")
        for line in self.not_run:
            print(f"not run: {line}")
        for failure in self.failures:
            print(f"\nFAILED {failure}")


def main() -> int:
    """Runs all documents; 1 when any command of any of them fails."""
    options = arguments()
    repository = Path(__file__).resolve().parents[2]
    results = Results()
    chosen = options.documents or documents(repository)
    runnable = {name: results.runnable(name, (repository / name).read_text()) for name in chosen}
    runnable = {name: blocks for name, blocks in runnable.items() if blocks}
    if options.list:
        for name, blocks in runnable.items():
            for command in (command for block in blocks for command in block.commands):
                print(f"{name}:{command.line}  $ {command.text}")
    else:
        with tempfile.TemporaryDirectory(prefix="marquee-readme-") as folder:
            results.follow(Stage(repository, Path(folder), options.binaries, options.python), runnable)
    results.say()
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
