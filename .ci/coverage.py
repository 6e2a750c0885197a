"""Prints what the tests reach, by crate, from a summary of `cargo llvm-cov --json --summary-only`.

python .ci/coverage.py SUMMARY
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def crate_of(file: Path) -> str:
    """The folder of the crate that a source file belongs to, from the root of the repository."""
    crate = next(folder for folder in file.parents if (folder / "Cargo.toml").is_file())
    return str(crate.relative_to(REPOSITORY))


def by_crate(summary: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """How many lines of each crate there are, and how many of them the tests reach."""
    lines: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for file in summary["data"][0]["files"]:
        crate = crate_of(Path(file["filename"]))
        lines[crate] += file["summary"]["lines"]["count"]
        covered[crate] += file["summary"]["lines"]["covered"]
    return {crate: (lines[crate], covered[crate]) for crate in sorted(lines)}


def main() -> None:
    """Prints the table, with all crates together last."""
    crates = by_crate(json.loads(Path(sys.argv[1]).read_text()))
    together = [sum(numbers) for numbers in zip(*crates.values(), strict=True)]
    print(f"{'crate':20} {'lines':>7} {'reached':>8}")
    for crate, (lines, covered) in [*crates.items(), ("together", together)]:
        print(f"{crate:20} {lines:7} {covered / max(lines, 1):8.1%}")


if __name__ == "__main__":
    main()
