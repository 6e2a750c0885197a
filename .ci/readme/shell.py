"""The shell of a document, and the servers that it started."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from blocks import DocumentError

# The longest time of a command, and of a server until it answers, in seconds.
LIMIT = 180


def answers(address: str) -> bool:
    """Whether somebody accepts connections there."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host or "127.0.0.1", int(port)), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Server:
    """A process in the background, the leader of its group."""

    pid: int
    addresses: list[str]
    foreground: bool

    def lives(self) -> bool:
        """Whether anything of it is left."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> None:
        """Ends it as Ctrl-C would, or by force where that does not help."""
        for sign, patience in ((signal.SIGINT, 15), (signal.SIGKILL, 5)):
            if not self.lives():
                return
            os.killpg(self.pid, sign)
            limit = time.monotonic() + patience
            while self.lives() and time.monotonic() < limit:
                time.sleep(0.05)


def end_session(session: int) -> None:
    """Ends all processes of a session by force."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which may hold spaces: state, parent, group, session.
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(stat.parent.name), signal.SIGKILL)


class Shell:
    """A bash that keeps its folder and variables from command to command."""

    def __init__(self, folder: Path, scratch: Path, environment: dict[str, str]):
        self.scratch = scratch
        self.transcript = ""
        self.count = 0
        bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its words on jobs; commands have their own
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        assert bash.stdin
        assert bash.stdout
        self.bash, self.stdin, self.stdout = bash, bash.stdin, bash.stdout
        # Job control, so that what goes to the background has a process group of its own.
        self.ask("set -m -o pipefail")

    def ask(self, command: str) -> str:
        """What bash itself says to a command of ours."""
        self.stdin.write(command + "\necho .\n")
        said = ""
        for line in self.stdout:
            if line == ".\n":
                return said.strip()
            said += line
        raise DocumentError("the shell ended")

    def run(self, command: str) -> tuple[int, str]:
        """Runs a command to its end, or to the limit; its status and what it printed."""
        self.count += 1
        script, log = self.scratch / f"{self.count}.sh", self.scratch / f"{self.count}.log"
        script.write_text(command + "\n")
        watch = threading.Timer(LIMIT, end_session, [self.bash.pid])
        watch.start()
        try:
            status = int(self.ask(f"source {script} > {log} 2>&1 < /dev/null; echo $?"))
        except DocumentError as error:
            raise DocumentError(f"{error} after {LIMIT} s\n{log.read_text(errors='replace')}") from None
        finally:
            watch.cancel()
        output = log.read_text(errors="replace")
        self.transcript += output
        return status, output

    def start(self, command: str, addresses: list[str], foreground: bool, ready: str = "") -> Server:
        """Starts a server and waits until it answers at all its addresses, and has said that it is ready."""
        written = "{\n" + command + "\n} &" if foreground else command
        status, output = self.run(written)
        log = self.scratch / f"{self.count}.log"
        if status != 0:
            raise DocumentError(output)
        server = Server(int(self.ask("echo $!")), addresses, foreground)
        limit = time.monotonic() + LIMIT
        while not (
            all(answers(address) for address in server.addresses) and ready in log.read_text(errors="replace")
        ):
            if not server.lives() or time.monotonic() > limit:
                server.end()
                raise DocumentError(
                    f"it did not answer at {server.addresses}\n{log.read_text(errors='replace')}"
                )
            time.sleep(0.1)
        return server

    def end(self) -> None:
        """Ends the shell itself."""
        self.stdin.close()
        self.bash.wait()
        self.stdout.close()
