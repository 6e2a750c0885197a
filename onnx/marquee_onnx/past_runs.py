"""What trainings left behind: settings, log, figures and ranks of run folders, and groups of them by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from marquee_onnx import comparison, run_log, runs
from marquee_onnx.comparison import Comparison
from marquee_onnx.errors import DataError
from marquee_onnx.metrics import PerUser, Ranks
from marquee_onnx.text import read_object

SETTINGS = "settings.json"
USUAL = Path("runs")


@dataclass(frozen=True)
class PastRun:
    """A run folder: what it was begun with, every epoch of its log, and what came out.

    `figures` are empty and `ranks` None where nobody was judged or the training has not come to its end.
    """

    folder: Path
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    figures: Mapping[str, float]
    log: Sequence[Mapping[str, float]]
    ranks: Comparison | None
    ended: bool

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def begun_with(self) -> dict[str, Any]:
        """What decides the model: data, split and settings, the seed among them."""
        data = {name: self.training[name] for name in ("data", "interactions") if name in self.training}
        start = {name: self.training[name] for name in ("warm_start",) if name in self.training}
        return data | dict(self.settings) | start

    @property
    def seconds(self) -> float:
        """What its epochs took."""
        return sum(record.get("seconds", 0.0) for record in self.log)

    @property
    def latest(self) -> str:
        """The day of its latest epoch, or of its end."""
        files = (self.folder / name for name in (run_log.FILE, runs.CONFIG, SETTINGS))
        time = max(file.stat().st_mtime for file in files if file.exists())
        return datetime.fromtimestamp(time, timezone.utc).date().isoformat()

    @property
    def progress(self) -> str:
        """The epochs that it has run: `24`, or `7 of 24` where it has not ended."""
        epochs = int(self.log[-1]["epoch"]) if self.log else 0
        return str(epochs) if self.ended else f"{epochs} of {self.settings.get('epochs', '?')}"

    def best_of_log(self) -> Mapping[str, float]:
        """The figures of the run, or of its latest validation while it goes on."""
        judged = [record for record in self.log if "ndcg@10" in record]
        return self.figures or (judged[-1] if judged else {})


def read(folder: Path) -> PastRun:
    """The run of a folder."""
    if not is_run(folder):
        raise DataError(f"{folder} is no run: it has neither {SETTINGS} nor the {runs.CONFIG} of a network")
    written = (folder / runs.CONFIG).exists()
    config = read_object(folder / runs.CONFIG) if written else {}
    training = config.get("training") or {}
    begun = folder / SETTINGS
    settings = read_object(begun) if begun.exists() else training.get("settings") or {}
    log = list(run_log.read(folder))
    ended = written and (not log or training.get("epochs_run") == log[-1]["epoch"])
    return PastRun(
        folder, settings, training, config.get("metrics") or {}, log, comparison.read(folder), ended
    )


def is_run(folder: Path) -> bool:
    """Whether a training began here, or `import-checkpoint` wrote it."""
    config = folder / runs.CONFIG
    return (folder / SETTINGS).is_file() or (
        config.is_file() and read_object(config).get("architecture") == "gsasrec"
    )


def find(folder: Path) -> Iterator[PastRun]:
    """The runs of a folder and of its folders, by path."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; name the one that holds the runs")
    within = {path.parent for name in (SETTINGS, runs.CONFIG) for path in folder.rglob(name)}
    return (read(each) for each in sorted(within) if is_run(each))


def named(name: str) -> Path:
    """The folder of a run that is named by its path, or by its name among the runs of `runs/`."""
    path = Path(name)
    return path if path.exists() or not (USUAL / name).is_dir() else USUAL / name


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed, judged on the same users: they count as one."""

    runs: Sequence[PastRun]

    @property
    def name(self) -> str:
        """The runs' names."""
        return ", ".join(run.name for run in self.runs)

    def values(self, figure: str) -> PerUser:
        """Each user's figure, the mean over the seeds."""
        values = [comparison.values_of(ranks_of(run), figure) for run in self.runs]
        return np.asarray(np.mean(values, axis=0))


def own(run: PastRun) -> Comparison:
    """The ranks that a run left; raises `DataError` where it left none."""
    if run.ranks is None:
        raise DataError(
            f"{run.folder} has no {comparison.FILE}: it has not ended, judges nobody or is of an older "
            "version; call its training again"
        )
    return run.ranks


def ranks_of(run: PastRun) -> Ranks:
    """Those by the run's own model, which comes first."""
    return next(iter(own(run).ranks.values()))


def grouped(past: Sequence[PastRun]) -> list[Group]:
    """The runs by all that decides them but the seed, in the order given.

    Raises `DataError` where they were judged on different users.
    """
    users = {own(run).users: run for run in past}
    if len(users) > 1:
        one, other, *_ = users.values()
        raise DataError(
            f"{one.folder} and {other.folder} were judged on different users: train both on one split, "
            "with the same --validation-users"
        )
    groups: dict[str, list[PastRun]] = {}
    for run in past:
        alike = {name: value for name, value in run.begun_with.items() if name != "seed"}
        groups.setdefault(repr(sorted(alike.items())), []).append(run)
    return [Group(some) for some in groups.values()]


def differing(past: Sequence[PastRun]) -> dict[str, list[str]]:
    """What the runs were begun with differently: a value a run, `-` where it has none."""
    names = dict.fromkeys(name for run in past for name in run.begun_with)
    table = {name: [str(run.begun_with.get(name, "-")) for run in past] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}
