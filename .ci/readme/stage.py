"""The stage on which the documents' commands run: scratch copies, and a PATH with what the gate has built.

Building everything in release mode and installing PyTorch again would take half an hour, and show nothing of
a document that the programs built for the tests do not show. So on this PATH

- `cargo run`, `build`, `test` and `install` check what they are asked for and use the programs of the debug
  build (cargo_shim.py); the tests themselves are a section of the gate of their own;
- `python -m venv` makes an environment that sees the packages of the gate's environment, so that pip finds
  them there, and its `pytest` collects tests without running them.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Users of the sample whose ratings are the "own data" of the documents.
OWN_USERS = 60


@dataclass
class Copy:
    """Where the documents of one folder are followed."""

    # The folders `copy` and `own`.
    values: dict[str, str]
    environment: dict[str, str]


class Stage:
    """What all documents share."""

    def __init__(self, repository: Path, folder: Path, binaries: Path | None, python: str):
        self.repository = repository
        self.folder = folder
        self.count = 0
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.binaries = binaries.resolve() if binaries else built(repository)
        self._programs()
        self._python(python)

    def fresh_copy(self) -> Copy:
        """A copy of the repository and a folder of one's own files."""
        self.count += 1
        copy, own = (self.folder / f"{kind}-{self.count}" for kind in ("copy", "own"))
        own.mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=self.repository, capture_output=True, text=True, check=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.repository / name, target)
        own_data(copy / "onnx/data/ml-latest-small", own)
        return Copy({"copy": str(copy), "own": str(own)}, self._environment(own))

    def _environment(self, own: Path) -> dict[str, str]:
        settings = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MARQUEE_") or name in ("MARQUEE_TEST_CQL", "MARQUEE_TEST_REDIS")
        }
        settings.pop("CI", None)
        settings |= {
            "PATH": f"{self.bin}:{self.folder}/venv/bin:{os.environ['PATH']}",
            "XDG_DATA_HOME": str(own / "share"),
            "XDG_CONFIG_HOME": str(own / "config"),
            "OMP_NUM_THREADS": "1",
        }
        return settings

    def _programs(self) -> None:
        """Puts the programs on the PATH, and cargo in front of them."""
        metadata = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"],
            cwd=self.repository,
            capture_output=True,
            text=True,
            check=True,
        )
        packages = json.loads(metadata.stdout)["packages"]
        known = {
            package["name"]: {
                "folder": str(Path(package["manifest_path"]).parent.relative_to(self.repository)),
                "default": package["default_run"],
                **{
                    kind: [t["name"] for t in package["targets"] if kind in t["kind"]]
                    for kind in ("bin", "example")
                },
            }
            for package in packages
        }
        programs = self.folder / "programs.json"
        programs.write_text(json.dumps({"binaries": str(self.binaries), "packages": known}))
        script(self.bin / "cargo", f'exec {sys.executable} {HERE}/cargo_shim.py {programs} "$@"')
        for name in ("marquee-server", "marquee", "marquee-loadgen"):
            (self.bin / name).symlink_to(self.binaries / name)

    def _python(self, python: str) -> None:
        """Puts an environment on the PATH that sees the packages of another one."""
        own = self.folder / "venv"
        packages = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        )
        (self.folder / "gate.pth").write_text(packages.stdout)
        layer = (
            f'for folder; do :; done\ncp {self.folder}/gate.pth "$folder"/lib/python*/site-packages/\n'
            f'cp {self.bin}/pytest "$folder"/bin/'
        )
        script(self.bin / "pytest", 'exec "$(dirname "$0")/python" -m pytest --collect-only -q "$@"')
        script(
            self.bin / "python",
            f'[ "$1 $2" = "-m venv" ] || exec {own}/bin/python "$@"\n{python} "$@" || exit\n{layer}',
        )
        (self.bin / "python3").symlink_to(self.bin / "python")
        subprocess.run([self.bin / "python", "-m", "venv", own], check=True)
        # The package itself, as it is after the installation that onnx/README.md begins with.
        for folder in own.glob("lib/python*/site-packages"):
            (folder / "onnx.pth").write_text(f"{self.repository}/onnx\n")


def script(path: Path, text: str) -> None:
    """Writes a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def built(repository: Path) -> Path:
    """Builds all programs with the features that the tests have, and says where they are."""
    # With --tests, so that nothing is compiled again with other features than cargo test had.
    subprocess.run(
        ["cargo", "build", "--quiet", "--workspace", "--bins", "--examples", "--tests"],
        cwd=repository,
        check=True,
    )
    return Path(os.environ.get("CARGO_TARGET_DIR", repository / "target")) / "debug"


def own_data(sample: Path, own: Path) -> None:
    """Files that a reader would bring: ratings of a few users, histories and what came next."""
    data = own / "data"
    data.mkdir()
    shutil.copy2(sample / "movies.csv", data)
    header, *ratings = (sample / "ratings.csv").read_text().splitlines()
    kept = [line for line in ratings if int(line.split(",")[0]) <= OWN_USERS]
    (data / "ratings.csv").write_text("\n".join([header, *kept]) + "\n")
    # Item numbers, as the files of a split have them.
    (own / "input.txt").write_text("1 2 3 4 5\n6 7 8\n")
    (own / "output.txt").write_text("6\n9\n")
