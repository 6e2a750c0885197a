"""Holds a running server to the description that it serves at /openapi.json.

    python3 .ci/openapi PROGRAM [--few] [--examples N] [--least N] [--seed N]

First the description by itself, against OpenAPI's own schema (openapi-spec-validator); then what the
server does, with requests that schemathesis makes from the description: right ones, wrong ones and those at
the edges of every limit. `schemathesis.toml` and `checks.py` say what holds, and which findings are none and
why. The server has the sample that it is shipped with, in a folder of its own that is removed. One seed
sends the same requests each time.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate

HERE = Path(__file__).parent

# The paths of which few are tried: all of REST, and of Connect, which makes the same calls, some.
FEW = r"^/v1/|/(GetMovie|Recommend|Check)$"

# For how long a server may open its store and load its model, in seconds.
PATIENCE = 60


@contextmanager
def server(program: Path, folder: Path) -> Iterator[str]:
    """A server on a free port with the sample that it is shipped with; its address."""
    log = folder / "server.log"
    command = [str(program.resolve()), "serve", "--listen", "127.0.0.1:0", "--similar-users", "on"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield address_in(log, process)
        if process.poll() is not None:
            sys.exit(f"the server ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    finally:
        process.terminate()
        process.wait(PATIENCE)


def address_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the server listens, once it says so."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        if found := re.search(r"listens on (http://[0-9.:]+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    sys.exit(f"the server does not listen:\n{log.read_text()[-4000:]}")


def description_of(address: str) -> dict[str, Any]:
    """What the server says of itself."""
    with urllib.request.urlopen(f"{address}/openapi.json") as reply:
        return json.load(reply)


def hold(address: str, options: argparse.Namespace, folder: Path) -> list[str]:
    """Sends what schemathesis makes of the description; what is wrong with what came of it."""
    report = folder / "report.json"
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{address}/openapi.json",
        f"--max-examples={options.examples}",
        f"--seed={options.seed}",
        "--no-color",
        f"--report-json-path={report}",
    ]
    if options.few:
        command.append(f"--include-path-regex={FEW}")
    hooks = {"SCHEMATHESIS_HOOKS": str(HERE / "checks.py")}
    ended = subprocess.run(command, cwd=folder, env=os.environ | hooks, check=False)
    if not report.exists():
        return [f"schemathesis ended with {ended.returncode}, without a report"]
    found = json.loads(report.read_text())
    cases, operations = found["test_cases"], found["operations"]
    print(f"{cases['generated']} cases of {operations['tested']} operations, seed {found['seed']}")
    faults = [
        f"{group['title']}, {group['count']} times: {', '.join(group['operations'])}"
        for group in found["failures"]
    ]
    faults += [f"{group['title']}, {group['count']} times" for group in found["errors"]]
    if cases["generated"] < options.least:
        faults.append(f"{cases['generated']} cases are fewer than {options.least}")
    if operations["tested"] < operations["selected"]:
        faults.append(f"of {operations['selected']} operations {operations['tested']} were tried")
    if ended.returncode and not faults:
        faults.append(f"schemathesis ended with {ended.returncode}")
    return faults


def main() -> None:
    """Starts a server and tries it."""
    parser = argparse.ArgumentParser(description="Holds a server to its description.")
    parser.add_argument("program", type=Path, help="marquee-server")
    parser.add_argument("--few", action="store_true", help="try REST, and of Connect some methods")
    parser.add_argument("--examples", type=int, default=10, help="random requests of each kind per operation")
    parser.add_argument("--least", type=int, default=1, help="requests that must have been sent in all")
    parser.add_argument("--seed", type=int, default=23)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(options.program, folder) as address:
            description = description_of(address)
            validate(description)
            print(f"OpenAPI {description['openapi']}, {len(description['paths'])} paths: valid")
            faults = hold(address, options, folder)
    for fault in faults:
        print(f"fault: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
