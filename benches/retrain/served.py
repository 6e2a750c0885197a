"""A server in a folder of its own, and what the month asks of it: by its command line, and by its gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_LIMIT_S = 60
REQUESTS_A_BATCH = 500
RETRAINING = {"export:": "export", "uploaded:": "training", "judge-model:": "judging"}


@dataclass(frozen=True)
class Retrained:
    """How a run of `marquee retrain` ended: its exit code, what the gate said, the seconds of its parts."""

    code: int
    said: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    marquee: Path
    url: str
    log: Path

    def stream(self, service: str, method: str, messages: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The reply to a stream of messages."""
        lines = "".join(json.dumps(message) + "\n" for message in messages)
        return json.loads(self.call(service, method, "--output", "json", sent=lines))

    def call(self, *words: str, sent: str = "") -> str:
        """What `marquee` prints."""
        command = [str(self.marquee), *words, "--server", self.url]
        done = subprocess.run(command, input=sent, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def ask(self, path: str, message: dict[str, Any] | None = None) -> dict[str, Any]:
        """The reply of the gateway to a POST of a message, or to a GET without one."""
        body = None if message is None else json.dumps(message).encode()
        request = urllib.request.Request(self.url + path, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.read().decode(errors='replace')}") from error

    def lists(self, users: Sequence[str], model_version: str) -> list[list[str]]:
        """The keys of the ten items that a model recommends to each user."""
        found: list[list[str]] = []
        for begin in range(0, len(users), REQUESTS_A_BATCH):
            part = users[begin : begin + REQUESTS_A_BATCH]
            requests = [{"user_key": user, "k": 10, "model_version": model_version} for user in part]
            for outcome in self.ask("/v1/recommend:batch", {"requests": requests})["outcomes"]:
                movies = outcome["response"].get("recommendations", [])
                found.append([movie["movie_key"] for movie in movies])
        return found

    def versions(self, name: str) -> list[dict[str, Any]]:
        """The versions of a model in the registry, the newest first."""
        return self.ask(f"/v1/model-versions?name={name}").get("versions", [])

    def active(self, name: str) -> dict[str, Any]:
        """The version in service."""
        return next(version for version in self.versions(name) if version.get("active"))

    def retrain(self, configuration: Path) -> Retrained:
        """Run `marquee retrain`, whose lines say when each part is over."""
        command = [str(self.marquee), "retrain", str(configuration), "--server", self.url]
        seconds: dict[str, float] = {}
        said, since = "", time.monotonic()
        with self.log.open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                part = RETRAINING.get(line.partition(" ")[0])
                if part:
                    now = time.monotonic()
                    seconds[part], since = now - since, now
                if part == "judging":
                    said = line.partition(": ")[2].strip()
            code = process.wait()
        return Retrained(code, said, seconds)


@contextmanager
def served(binaries: Path, folder: Path) -> Iterator[Served]:
    """A server with nothing in it, which ends with the block."""
    url, log = free_address(), folder / "server.log"
    command = [str(binaries / "marquee-server"), "serve", "--listen", url, "--data-dir", str(folder / "data")]
    command += ["--sample-data", "none", "--models-dir", str(folder / "models")]
    command += ["--max-models", "6", "--job-budget", "100", "--log-format", "text"]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, env=dict(os.environ)
        )
    try:
        wait_until_open(process, url, log)
        yield Served(binaries / "marquee", f"http://{url}", folder / "retrain.log")
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_open(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Until the server takes connections."""
    host, _, port = address.partition(":")
    began = time.monotonic()
    while time.monotonic() - began < START_LIMIT_S and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not become ready; it said last:\n" + log.read_text()[-3000:])


def free_address() -> str:
    """An address of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"
