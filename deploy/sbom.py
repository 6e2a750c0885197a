"""Writes what the image is made of: `sbom.cdx.json`, CycloneDX 1.6, and `licences.txt` with every text.

    python3 deploy/sbom.py FOLDER [--target TRIPLE]

Crates come from `cargo metadata` and Cargo.lock, libraries of the console from the licences that its build
wrote, ONNX Runtime from the wheel that is pinned in the sources. What only builds the programs is in the
list as `excluded`. The same sources make the same bytes.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

REPOSITORY = Path(__file__).resolve().parents[1]
# The packages whose programs are in the image.
SHIPPED = ("marquee-server", "marquee-client")
CONSOLE = REPOSITORY / "client/web/dist"
TEXTS = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)

# For crates that name a licence and bring no text of it.
MIT = """\
MIT License

Copyright (c) {holders}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without
limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of
the Software, and to permit persons to whom the Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO
EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN
AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE
OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True)
class Part:
    """A component, its licence as an SPDX expression, and the texts of it."""

    purl: str
    name: str
    version: str
    licence: str
    texts: tuple[str, ...]
    kind: str = "library"
    sha256: str | None = None
    # Whether it is in the programs, or only builds them.
    ships: bool = True
    needs: tuple[str, ...] = field(default=())

    def component(self) -> dict[str, Any]:
        """As CycloneDX has it."""
        found: dict[str, Any] = {
            "type": self.kind,
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "scope": "required" if self.ships else "excluded",
            "licenses": [{"expression": self.licence}],
            "purl": self.purl,
        }
        if self.sha256:
            found["hashes"] = [{"alg": "SHA-256", "content": self.sha256}]
        return found


def run(*command: str) -> str:
    """What a program prints."""
    return subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout


def spdx(licence: str) -> str:
    """The expression, without the brackets of npm and without Cargo's old way to write OR."""
    return re.sub(r"\s*/\s*", " OR ", re.sub(r"^\((.*)\)$", r"\1", licence))


def of_npm(name: str, version: str) -> str:
    """The purl of a package of npm."""
    return f"pkg:npm/{name.replace('@', '%40')}@{version}"


def scope(name: str) -> str:
    """Whose packages these are: `@bufbuild` of `@bufbuild/protobuf`."""
    return name.split("/")[0]


def texts_of(package: dict[str, Any], apache: str) -> tuple[str, ...]:
    """The licence's texts that the crate brings; else that of the licence which it names."""
    folder = Path(package["manifest_path"]).parent
    found = sorted(file for file in folder.iterdir() if file.is_file() and TEXTS.match(file.name))
    if found:
        return tuple(file.read_text(errors="replace").strip() for file in found)
    if "Apache-2.0" in package["license"]:
        return (apache,)
    if package["license"] == "MIT":
        return (MIT.format(holders=", ".join(package["authors"]) or f"the authors of {package['name']}"),)
    sys.exit(f"{package['name']}: brings no text of its licence, {package['license']}")


def reached(graph: dict[str, list[tuple[str, bool]]], roots: list[str], only_shipped: bool) -> set[str]:
    """What is needed for these, or only what is in the programs then."""
    found: set[str] = set()
    left = list(roots)
    while left:
        if (one := left.pop()) not in found:
            found.add(one)
            left += [other for other, ships in graph[one] if ships or not only_shipped]
    return found


def crates(target: str) -> list[Part]:
    """Those of the programs, and those that build them."""
    metadata = json.loads(
        run("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}")
    )
    locked = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())["package"]
    sums = {(one["name"], one["version"]): one.get("checksum") for one in locked}
    apache = (REPOSITORY / "LICENSE-APACHE").read_text().strip()
    graph: dict[str, list[tuple[str, bool]]] = {}
    for node in metadata["resolve"]["nodes"]:
        kinds = [(one["pkg"], {kind["kind"] for kind in one["dep_kinds"]}) for one in node["deps"]]
        graph[node["id"]] = [(other, None in kind) for other, kind in kinds if kind != {"dev"}]
    packages = {package["id"]: package for package in metadata["packages"]}
    roots = [
        one for one, package in packages.items() if package["name"] in SHIPPED and package["source"] is None
    ]
    ships = reached(graph, roots, only_shipped=True)
    purls = {one: f"pkg:cargo/{package['name']}@{package['version']}" for one, package in packages.items()}
    found = []
    for one in reached(graph, roots, only_shipped=False):
        package = packages[one]
        name, version = package["name"], package["version"]
        found.append(
            Part(
                purls[one],
                name,
                version,
                spdx(package["license"]),
                texts_of(package, apache),
                kind="application" if one in roots else "library",
                sha256=sums.get((name, version)),
                ships=one in ships,
                needs=tuple(sorted(purls[other] for other, _ in graph[one])),
            )
        )
    return found


def console() -> list[Part]:
    """The libraries that the console's build put into its files, and its letters."""
    written = (CONSOLE / "licences.txt").read_text()
    heading = re.compile(r"^## (\S+) - (\S+) \((.+)\)$", re.MULTILINE)
    pieces = heading.split(written)[1:]
    others = dict(
        re.findall(
            r"^## (.+?)\n\n(.*?)(?=^## |\Z)", (CONSOLE / "licences-others.txt").read_text(), re.M | re.S
        )
    )
    found = []
    for name, version, licence, text in zip(*[iter(pieces)] * 4, strict=True):
        texts = (
            [text.strip()] if text.strip() else [own for title, own in others.items() if scope(name) in title]
        )
        if not texts and licence == "Unlicense":
            texts = ["Given to the public domain, as https://unlicense.org says."]
        if not texts:
            sys.exit(f"{name}: the console brings no text of its licence, {licence}")
        found.append(Part(of_npm(name, version), name, version, spdx(licence), tuple(texts)))
    packages = json.loads((REPOSITORY / "client/web/package.json").read_text())["dependencies"]
    for name, version in packages.items():
        if name.startswith("@fontsource"):
            title = name.split("/")[1].capitalize()
            found.append(Part(of_npm(name, version), name, version, "OFL-1.1", (others[title].strip(),)))
    return found


def onnx_runtime() -> Part:
    """The library that the server unpacks at its first start."""
    source = (REPOSITORY / "server/shipped/src/download.rs").read_text()
    version = re.search(r'VERSION: &str = "(.*?)"', source)
    wheel = re.search(r'"x86_64" => \(X86_64, "([0-9a-f]{64})"\)', source)
    if version is None or wheel is None:
        sys.exit("server/shipped/src/download.rs: names no wheel of ONNX Runtime as this program reads it")
    notices = f"https://github.com/microsoft/onnxruntime/blob/v{version[1]}/ThirdPartyNotices.txt"
    text = MIT.format(holders="Microsoft Corporation") + f"\nWhat it holds of others: {notices}"
    purl = f"pkg:pypi/onnxruntime@{version[1]}"
    return Part(purl, "onnxruntime", version[1], "MIT", (text,), sha256=wheel[1])


def sample() -> list[Part]:
    """The sample and the model that was trained on it."""
    bundle = json.loads((REPOSITORY / "onnx/bundles/movielens-small/bundle.json").read_text())
    readme = (REPOSITORY / "onnx/data/ml-latest-small/README.txt").read_text().strip()
    terms, name = "LicenseRef-MovieLens", bundle["name"]
    return [
        Part(
            f"pkg:generic/{name}@{bundle['version']}",
            name,
            bundle["version"],
            terms,
            (readme,),
            "machine-learning-model",
        ),
        Part("pkg:generic/ml-latest-small@2018-09", "ml-latest-small", "2018-09", terms, (readme,), "data"),
    ]


def document(parts: list[Part]) -> dict[str, Any]:
    """The list of parts as CycloneDX."""
    by_purl = {part.purl: part for part in parts}
    known = [
        {"ref": part.purl, "dependsOn": [purl for purl in part.needs if purl in by_purl]}
        for part in parts
        if part.needs
    ]
    version = next(part.version for part in parts if part.name == SHIPPED[0])
    subject = {"type": "container", "bom-ref": "marquee-image", "name": "marquee", "version": version}
    roots = [part.purl for part in parts if part.name in SHIPPED]
    others = [part.purl for part in parts if not part.purl.startswith("pkg:cargo/")]
    body: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": [part.component() for part in parts],
        "dependencies": [{"ref": "marquee-image", "dependsOn": roots + others}, *known],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return body | {"serialNumber": f"urn:uuid:{uuid.UUID(digest[:32], version=5)}"}


def licences(parts: list[Part]) -> str:
    """Each text once, under the names of those who have it."""
    holders: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        for text in part.texts if part.ships else ():
            holders[text].append(part)
    pieces = ["What Marquee's image holds of others, and under which licences."]
    for text, those in sorted(holders.items(), key=lambda item: item[1][0].purl):
        names = "\n".join(f"  {part.name} {part.version}  ({part.licence})" for part in those)
        pieces.append(f"{'=' * 100}\n{names}\n{'-' * 100}\n\n{text}")
    return "\n\n".join(pieces) + "\n"


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where sbom.cdx.json and licences.txt are written")
    parser.add_argument("--target", help="the target that is built for; this machine's when absent")
    given = parser.parse_args()
    target = given.target or re.findall(r"(?m)^host: (.*)$", run("rustc", "-vV"))[0]
    parts = sorted([*crates(target), *console(), onnx_runtime(), *sample()], key=lambda part: part.purl)
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "sbom.cdx.json").write_text(
        json.dumps(document(parts), indent=1, ensure_ascii=False) + "\n"
    )
    (given.folder / "licences.txt").write_text(licences(parts))
    ships = sum(part.ships for part in parts)
    print(f"{ships} parts ship, {len(parts) - ships} build them", flush=True)


if __name__ == "__main__":
    main()
