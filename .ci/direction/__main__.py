"""Imports go one way.

    python3 .ci/direction

Cargo sees to it between crates, and this checks what Cargo cannot see: that the manifests of lower crates do
not name what these must not know, that the modules of the server import only what stands below them, that
what belongs to one module (protobuf to the edge, exporters to telemetry) is imported there alone, and that
the modules of no crate import each other in a circle.

Tests are free. A module and what is in it may know each other: that is how Rust divides a module.
"""

import os
import sys
from pathlib import Path

import rules
import sources


def main() -> int:
    """Prints what is wrong; the exit status says whether something is."""
    os.chdir(Path(__file__).resolve().parents[2])
    problems: list[str] = []
    for folder in rules.MUST_NOT_KNOW:
        problems += rules.manifest(folder, Path(folder, "Cargo.toml").read_text())
    for name, root in rules.CRATES.items():
        crate = sources.read(Path(root))
        imports = sources.imports(crate, name)
        problems += rules.circles(name, crate, imports)
        if name == "marquee_server":
            problems += [*rules.order(imports), *rules.places(imports)]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
