#!/usr/bin/env python3
"""A month of nightly retraining: what it gains over a frozen model, and whether a poisoned night is refused.

A real server, a real trainer and `marquee retrain` with one configuration, over generated traffic whose
taste drifts (`month.py`). Each day is judged before its events are written: of everyone who comes back, the
first thing that they watch is looked for in the ten that the server recommends by the first model, by the
one in service, and in what was watched most in the week before. Then the day's events are written, and the
night retrains. One night's export is spoiled on its way to the training (`shuffle.py`). After the last
night as many events of bots as the day had come in, and what the gate says of a model that learnt from them
is told too.

It builds nothing. It needs `marquee-server` and `marquee` in one folder (`cargo build --release --bins`), and
a Python that can run `marquee_onnx train`, this one.

    python3 benches/retrain/run.py --binaries target/release --results benches/RESULTS-retrain.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from figures import Answers, as_json, place, popular
from month import Event, Month, Size, flood
from report import Flood, Night, report
from served import Retrained, Served, served

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "month"
POPULAR_DAYS = 7
PUSHED = 8  # items of the flood
ACTIVATED, REFUSED = 0, 5
# Percent: the answers of small models take microseconds, and other work is on these cores.
MOST_LATENCY = 1000
FIRST_EPOCHS, EPOCHS = 30, 3
MODEL = ["--split", "leave-one-out", "--dimension", "32", "--maximum-length", "50", "--dropout", "0.2"]
MODEL += ["--negatives", "128", "--batch-tokens", "1024", "--rate", "0.004", "--threads", "1", "--seed", "0"]


@dataclass(frozen=True)
class Plan:
    """How long the month is: days before the first model, nights, and the one that is poisoned, from 0."""

    size: Size
    before: int
    nights: int
    poisoned: int


WHOLE = Plan(Size(items=600, users=1500, topics=20, days=14 + 30 + 1), before=14, nights=30, poisoned=14)
QUICK = Plan(Size(items=400, users=600, topics=15, days=14 + 5 + 1), before=14, nights=5, poisoned=2)


class Run:
    """The month as it goes on, beside a server."""

    def __init__(self, plan: Plan, seed: int, server: Served, folder: Path) -> None:
        self.plan, self.server, self.folder = plan, server, folder
        self.month = Month(plan.size, seed)
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        self.begin = midnight - timedelta(days=plan.size.days)
        self.watched: list[list[str]] = []
        self.seen: dict[int, set[str]] = {}
        self.frozen: dict[str, Any] = {}
        warm = ["--epochs", str(EPOCHS), "--warm-start", str(self.in_service)]
        spoil = [sys.executable, str(Path(__file__).with_name("shuffle.py")), "{data}"]
        self.configure("first", commands_of(["--epochs", str(FIRST_EPOCHS)]))
        self.configure("nightly", commands_of(warm))
        self.configure("shuffle", [spoil, *commands_of(warm)])

    def configuration(self, kind: str) -> Path:
        """Where the configuration of a kind of night is."""
        return self.folder / f"{kind}.toml"

    def configure(self, kind: str, commands: Sequence[Sequence[str]]) -> None:
        """Write a configuration: they differ in how they train alone."""
        rows = ",\n".join("  " + json.dumps(command) for command in commands)
        self.configuration(kind).write_text(
            f'name = "{NAME}"\nwork = "{self.folder / "work"}"\n'
            f'[export]\ntarget = "{self.exports}"\n'
            f"[train]\ncommands = [\n{rows},\n]\n"
            f"[judge]\nmargin = 10\nmost_latency = {MOST_LATENCY}\n"
            "[activate]\nenabled = true\n"
        )

    @property
    def exports(self) -> Path:
        """Where the server writes what is trained on."""
        return self.folder / "export"

    @property
    def in_service(self) -> Path:
        """A link to the bundle in service, from which the next training begins."""
        return self.folder / "in-service"

    def begins(self) -> dict[str, float]:
        """The days before, and the first model."""
        seconds: dict[str, float] = {}
        with timed(seconds, "traffic"):
            for _ in range(self.plan.before):
                self.comes_out()
                self.write(self.month.next_day())
        self.exports.mkdir()
        done = self.server.retrain(self.configuration("first"))
        if done.code != ACTIVATED:
            raise SystemExit(f"the first model was not activated, exit code {done.code}: {done.said}")
        self.frozen = self.server.active(NAME)
        self.links()
        say(f"the first model: {done.said}")
        return seconds | done.seconds

    def links(self) -> None:
        """Let the next training begin from what was activated now."""
        newest = max((self.folder / "work").glob("export-*"))
        self.in_service.unlink(missing_ok=True)
        self.in_service.symlink_to(newest / "bundle")

    def night(self, number: int) -> Night:
        """A day that is judged and written, and the night that retrains on it."""
        poison = "shuffle" if number == self.plan.poisoned else ""
        seconds: dict[str, float] = {}
        with timed(seconds, "judging the day"):
            self.comes_out()
            day, events = self.month.today, self.month.next_day()
            answers = self.judge(day, events, self.frozen)
        with timed(seconds, "traffic"):
            self.write(events)
        return self.retrain(Night(day, len(events), poison, seconds=seconds, answers=answers))

    def flooded(self) -> Flood:
        """A night on which the last day had as many events of bots as of people, and the next day."""
        day, before = self.month.today - 1, self.server.active(NAME)
        events = flood(self.month, len(self.watched[-1]), PUSHED, seed=1)
        self.write(events, day)
        night = self.retrain(Night(day, len(events), "flood"))
        self.comes_out()
        day, people = self.month.today, self.month.next_day()
        answers = self.judge(day, people, before)
        pushed = {item_key(self.month, event.item) for event in events}
        shares = [share(pushed, lists) for lists in self.lists([answer.user for answer in answers], before)]
        return Flood(night, answers, *shares)

    def retrain(self, night: Night) -> Night:
        """Let `marquee retrain` do its work, and note what became of it."""
        done: Retrained = self.server.retrain(
            self.configuration("shuffle" if night.poison == "shuffle" else "nightly")
        )
        night.seconds |= done.seconds
        night.said = done.said
        night.outcome = {ACTIVATED: "activated", REFUSED: "refused"}.get(
            done.code, f"failed with {done.code}"
        )
        if done.code == ACTIVATED:
            self.links()
        poison = f" ({night.poison})" if night.poison else ""
        say(f"day {night.day}, {night.events} events{poison}: {night.outcome}; {night.said}")
        return night

    def judge(self, day: int, events: Sequence[Event], old: dict[str, Any]) -> list[Answers]:
        """Where the first event of everyone who is known stands in the lists of the morning.

        They are by an old model, by the one in service, and by popularity.
        """
        first: dict[int, str] = {}
        for event in events:
            if event.user in self.seen:
                first.setdefault(event.user, item_key(self.month, event.item))
        week = self.watched[-POPULAR_DAYS:]
        lists = zip(first.items(), *self.lists(list(first), old), strict=True)
        return [
            Answers(
                day, user, place(item, one), place(item, two), place(item, popular(week, self.seen[user]))
            )
            for (user, item), one, two in lists
        ]

    def lists(self, users: Sequence[int], old: dict[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
        """What an old model and the one in service recommend to each user."""
        # A retraining lets go what is neither in service nor was before it.
        self.server.ask("/v1/models:load", {"registered": registered(old)})
        keys = [user_key(user) for user in users]
        one, two = (
            self.server.lists(keys, version["model_version"]) for version in (old, self.server.active(NAME))
        )
        return one, two

    def comes_out(self) -> None:
        """Bring what comes out today into the catalogue."""
        month = self.month
        movies = [
            {
                "movie_key": item_key(month, item),
                "title": f"{item_key(month, item)} (2026)",
                "genres": [f"Topic {month.topic[item]}"],
            }
            for item in month.out_on(month.today)
        ]
        if movies:
            self.server.stream("catalog", "import-movies", movies)

    def write(self, events: Sequence[Event], day: int | None = None) -> None:
        """Record the events of a day, of the one that was just made when none is named."""
        midnight = self.begin + timedelta(days=self.month.today - 1 if day is None else day)
        reply = self.server.stream(
            "interaction",
            "record-interactions",
            (
                {
                    "interaction": {
                        "user_key": user_key(event.user),
                        "movie_key": item_key(self.month, event.item),
                        "kind": "INTERACTION_KIND_VIEW",
                        "time": (midnight + timedelta(seconds=event.second)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    }
                }
                for event in events
            ),
        )
        if int(reply.get("accepted", 0)) != len(events):
            raise SystemExit(f"of {len(events)} events the server took {reply}")
        self.watched.append([item_key(self.month, event.item) for event in events])
        for event in events:
            self.seen.setdefault(event.user, set()).add(item_key(self.month, event.item))


def commands_of(more: Sequence[str]) -> list[list[str]]:
    """How a bundle is made of an export."""
    python = [sys.executable, "-m", "marquee_onnx"]
    return [
        [*python, "train", "{data}", "--output", "{run}", *MODEL, *more],
        [*python, "export", "{run}", "--output", "{bundle}", "--name", NAME, "--data", "{data}"],
    ]


def registered(version: dict[str, Any]) -> dict[str, str]:
    """What names a version of the registry."""
    return {"name": version["name"], "version": version["version"]}


def item_key(month: Month, item: int) -> str:
    """The key of an item."""
    return f"topic-{month.topic[item]:02}/{item:04}"


def share(wanted: set[str], lists: Sequence[Sequence[str]]) -> float:
    """The share of all places that these items have."""
    places = [item in wanted for listed in lists for item in listed]
    return sum(places) / max(1, len(places))


def user_key(user: int) -> str:
    """The key of a user."""
    return f"u-{user:05}"


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Note how long the block takes."""
    began = time.monotonic()
    yield
    seconds[part] = time.monotonic() - began


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, str]:
    """What the figures were made on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions(arguments: argparse.Namespace) -> str:
    """What was run."""
    server = subprocess.run(
        [arguments.binaries / "marquee-server", "--version"], capture_output=True, text=True, check=True
    )
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    here = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    commit = arguments.commit or here or "unknown"
    return f"{server.stdout.strip()} at {commit}, Python {platform.python_version()}"


def command_of(arguments: argparse.Namespace) -> str:
    """How this month is run again."""
    words = ["python3 benches/retrain/run.py --binaries DIR"]
    words += ["--quick"] if arguments.quick else []
    words += [f"--nights {arguments.nights}"] if arguments.nights else []
    return " ".join([*words, f"--seed {arguments.seed}"])


def parse() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--binaries", type=Path, required=True, help="folder with marquee-server and marquee")
    parser.add_argument("--quick", action="store_true", help="5 nights of fewer users and items")
    parser.add_argument("--nights", type=int, help="of the whole month's 30")
    parser.add_argument("--commit", help="of the binaries; this checkout's when absent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--results", type=Path, help="write the report here, as Markdown")
    parser.add_argument("--logs", type=Path, help="keep what the server and the trainings said here")
    return parser.parse_args()


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The month that was asked for."""
    plan = QUICK if arguments.quick else WHOLE
    nights = arguments.nights or plan.nights
    if not 3 <= nights <= plan.nights:
        raise SystemExit(f"--nights is {nights}; 3 to {plan.nights} can be run")
    return Plan(plan.size, plan.before, nights, min(plan.poisoned, nights // 2))


def main() -> int:
    """Run the month and tell what came of it; 1 if the spoiled night was not refused."""
    arguments = parse()
    plan, load = plan_of(arguments), machine()
    os.environ["PYTHONPATH"] = str(REPOSITORY / "onnx")
    os.environ["OMP_NUM_THREADS"] = "1"
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="marquee-retrain-") as scratch:
        folder = Path(scratch)
        try:
            with served(arguments.binaries, folder) as server:
                run = Run(plan, arguments.seed, server, folder)
                first = run.begins()
                nights = [run.night(number) for number in range(plan.nights)]
                flooded = run.flooded()
        finally:
            if arguments.logs:
                arguments.logs.mkdir(parents=True, exist_ok=True)
                for log in folder.glob("*.log"):
                    (arguments.logs / log.name).write_bytes(log.read_bytes())
    found: dict[str, Any] = {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "command": command_of(arguments),
        "machine": load,
        "versions": versions(arguments),
        "seed": arguments.seed,
        "plan": asdict(plan),
        "seconds": time.monotonic() - began,
        "first": first,
        "nights": [asdict(night) | {"answers": len(night.answers)} for night in nights],
        # The first day has the first model in service, so it can tell nothing.
        "all": as_json([answer for night in nights[1:] for answer in night.answers]),
        "flood": asdict(flooded.night) | {"pushed": [flooded.share_before, flooded.share_after]},
        "after_flood": as_json(flooded.answers),
    }
    text = report(found, nights, flooded)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    if arguments.results:
        arguments.results.write_text(text)
    return 0 if nights[plan.poisoned].outcome == "refused" else 1


if __name__ == "__main__":
    sys.exit(main())
