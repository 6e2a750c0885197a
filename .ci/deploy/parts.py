"""That the list of the image's parts is whole, well formed and the same each time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

FILES = ("sbom.cdx.json", "licences.txt")
# What else than crates is in the image.
OTHERS = {"pkg:pypi/onnxruntime@", "pkg:npm/react@", "pkg:generic/ml-latest-small@"}


def made(repository: Path, folder: Path) -> tuple[str, str]:
    """The list and the licences, as deploy/sbom.py writes them."""
    subprocess.run(
        [sys.executable, repository / "deploy/sbom.py", folder], check=True, stdout=subprocess.DEVNULL
    )
    bom, licences = ((folder / file).read_text() for file in FILES)
    return bom, licences


def built_in(repository: Path) -> set[str]:
    """The crates of both programs, as Cargo counts them for this machine."""
    command = ["cargo", "tree", "--locked", "-p", "marquee-server", "-p", "marquee-client"]
    command += ["--edges", "normal", "--prefix", "none", "--format", "{p}"]
    said = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in said.splitlines() if line)
    return {f"pkg:cargo/{name}@{version.removeprefix('v')}" for name, version, *_ in rows}


def missing(document: dict[str, Any], licences: str, crates: set[str]) -> Iterator[str]:
    """What ships and is not named, in the list or beside a licence."""
    ships = {part["purl"] for part in document["components"] if part["scope"] == "required"}
    for crate in sorted(crates - ships):
        yield f"sbom.cdx.json: does not name {crate}"
    for other in sorted(OTHERS):
        if not any(purl.startswith(other) for purl in ships):
            yield f"sbom.cdx.json: names no {other}"
    lines = set(licences.splitlines())
    for part in document["components"]:
        expression = part["licenses"][0]["expression"]
        if part["scope"] == "required" and f"  {part['name']} {part['version']}  ({expression})" not in lines:
            yield f"licences.txt: has no text of {part['purl']}"


def findings(repository: Path) -> Iterator[str]:
    """What is wrong with them."""
    with TemporaryDirectory() as name:
        first, second = (made(repository, Path(name) / each) for each in ("first", "second"))
    if first != second:
        yield "deploy/sbom.py: writes other bytes the second time"
    text, licences = first
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        yield f"sbom.cdx.json: {wrong}"
    yield from missing(json.loads(text), licences, built_in(repository))
