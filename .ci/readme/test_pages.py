# ruff: noqa: D103
"""What the documents name exists: files that they link to, paths, and tests."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MAP = ["CONTRIBUTING.md", "server/ARCHITECTURE.md"]


def tracked(pattern: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", pattern], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def without_blocks(document: str) -> str:
    return re.sub(r"(?ms)^(```|~~~).*?^\1$", "", (REPOSITORY / document).read_text())


@pytest.mark.parametrize("document", tracked("*.md"))
def test_what_a_document_links_to_is_there(document):
    folder = (REPOSITORY / document).parent
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", without_blocks(document))
    missing = [link for link in links if "://" not in link and not (folder / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", MAP)
def test_the_paths_that_the_map_names_are_there(document):
    folder = (REPOSITORY / document).parent
    named = re.findall(r"`([\w./*-]+/[\w./*-]*)`", without_blocks(document))
    missing = [path for path in named if not places(folder, path)]
    assert missing == []


# Where the sentences of the map stand, so that a path need not begin at the root.
FOLDERS = [
    REPOSITORY / start for start in ("", "server", "server/src", "server/src/edge", "server/src/recommend")
]


def places(folder: Path, path: str) -> list[Path]:
    """The files that a path leads to; SERVICE stands for any."""
    return [match for start in (folder, *FOLDERS) for match in start.glob(path.replace("SERVICE", "*"))]


@pytest.mark.parametrize("document", MAP)
def test_the_tests_that_the_map_names_exist(document):
    sources = "".join((REPOSITORY / name).read_text() for name in tracked("*.rs"))
    named = re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", without_blocks(document))
    missing = [name for name in named if f"fn {name}(" not in sources]
    assert missing == []
