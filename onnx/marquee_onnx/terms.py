"""Under whose terms data are: what a run, a bundle and a card say of what they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NOT_STATED = "not stated"
MOVIELENS = "MovieLens: research use, no commercial use, no endorsement by the University of Minnesota"
LICENCE = "Neither the University of Minnesota nor any of the researchers involved can guarantee"
READMES = ("README.txt", "README.html", "README", "README.md")


def stated_terms(folders: Sequence[Path]) -> str:
    """The terms that the folders state, each folder's apart where they differ."""
    terms = {folder.resolve().name: terms_of(folder) for folder in folders}
    if len(set(terms.values())) == 1:
        return next(iter(terms.values()))
    return "; ".join(f"{name}: {text}" for name, text in terms.items())


def terms_of(folder: Path) -> str:
    """MovieLens' terms where the folder is a release, whose README states them."""
    found = next((folder / name for name in READMES if (folder / name).is_file()), None)
    text = found.read_text(encoding="latin-1") if found else ""
    return MOVIELENS if LICENCE in " ".join(text.split()) else NOT_STATED
