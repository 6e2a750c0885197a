"""The direction, written once, and what is checked of it."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from sources import Import, Module

# The modules of `server/src`, highest first. Each may import what stands in a lower row, nothing of its own.
ORDER = [
    ["commands"],  # what the binary does
    ["app"],  # wires all of it together
    ["config"],  # what may be set
    ["edge"],  # what crosses the network
    ["jobs"],  # long work
    ["judge"],  # what lists are worth
    ["access"],  # who does it
    ["activation"],  # which model serves
    ["export", "recommend", "registry", "import", "users", "writes"],  # what is done
    ["experiments", "rules"],  # who is answered how; what the business wants
    ["catalog", "keys", "profiles", "similar"],  # what is known
    ["shared"],  # what lives on the Redis link
    ["telemetry"],  # what is measured and said
]

# Crates that only some modules of the server import. What is not named here is free.
PLACES = {
    "marquee_proto": ["edge"],
    "prost": ["edge"],
    # Who calls is asked of an identity provider too, over TLS.
    "rustls": ["edge", "access"],
    "tokio_rustls": ["edge", "access"],
    "tonic": ["edge"],
    "tonic_health": ["edge"],
    "tonic_reflection": ["edge"],
    "tonic_types": ["edge"],
    "clap": ["commands", "config"],
    "indicatif": ["commands"],
    "opentelemetry_otlp": ["telemetry"],
    "opentelemetry_prometheus": ["telemetry"],
    "opentelemetry_sdk": ["telemetry"],
    "prometheus": ["telemetry"],
}

# What the crates below the server must not depend on: the wire, settings, exporters, and what stands above.
WIRE = ["marquee-proto", "prost", "prost-types", "tonic"]
SETTINGS = ["clap", "toml"]
EXPORTERS = [
    "opentelemetry-otlp",
    "opentelemetry-prometheus",
    "opentelemetry_sdk",
    "prometheus",
    "tracing-subscriber",
]
NOT_BELOW = [*WIRE, *SETTINGS, *EXPORTERS, "marquee-server", "marquee-client", "marquee-loadgen"]
MUST_NOT_KNOW = {
    "server/core": [*NOT_BELOW, "marquee-retrieval", "marquee-engine", "marquee-store"],
    "server/kernels": [*NOT_BELOW, "marquee-core", "marquee-retrieval", "marquee-engine", "marquee-store"],
    "server/retrieval": [*NOT_BELOW, "marquee-engine", "marquee-store"],
    "server/ranking": [*NOT_BELOW, "marquee-core", "marquee-retrieval", "marquee-engine", "marquee-store"],
    "server/experiments": [*NOT_BELOW, "marquee-retrieval", "marquee-engine", "marquee-store"],
    # A graph of ONNX is protobuf too, which is the engine's business; the wire's types are not.
    "server/engine": [*(name for name in NOT_BELOW if name != "prost"), "marquee-store"],
    "server/store": [*NOT_BELOW, "marquee-retrieval", "marquee-engine"],
    "proto": [*SETTINGS, *EXPORTERS, "marquee-server", "marquee-client", "marquee-loadgen"],
    "client": [*EXPORTERS, "marquee-server", "marquee-loadgen"],
    "loadgen": [*EXPORTERS, "marquee-server", "marquee-client"],
}

# The crates whose modules must not import each other in a circle.
CRATES = {
    "marquee_core": "server/core/src/lib.rs",
    "marquee_kernels": "server/kernels/src/lib.rs",
    "marquee_retrieval": "server/retrieval/src/lib.rs",
    "marquee_ranking": "server/ranking/src/lib.rs",
    "marquee_experiments": "server/experiments/src/lib.rs",
    "marquee_engine": "server/engine/src/lib.rs",
    "marquee_store": "server/store/src/lib.rs",
    "marquee_shipped": "server/shipped/src/lib.rs",
    "marquee_server": "server/src/lib.rs",
    "marquee_proto": "proto/src/lib.rs",
    "marquee_client": "client/src/lib.rs",
    "marquee_loadgen": "loadgen/src/lib.rs",
}

# Circles that stay: the crate, the module that they are in, and the parts of it that they are of.
CIRCLES: list[tuple[str, tuple[str, ...], set[str]]] = [
    # Codes and the kernels that scan them are one thing, a file for each processor.
    ("marquee_retrieval", ("scan",), {"codes", "kernel"}),
]

# Imports against the order that stay for now: the file, what it imports, and why.
ALLOWED: dict[tuple[str, str], str] = {}


def order(imports: Iterable[Import]) -> Iterator[str]:
    """Imports of the server's modules against the order, and exceptions that nothing needs."""
    rows = {module: row for row, modules in enumerate(ORDER) for module in modules}
    unused = dict(ALLOWED)
    for found in sorted_by_file(imports):
        if not found.importer or not found.imported or found.importer[0] == found.imported[0]:
            continue
        importer, imported = found.importer[0], found.imported[0]
        for module in sorted({importer, imported} - rows.keys()):
            yield f"{found.file}: the module {module} has no place in the order (.ci/direction/rules.py)"
        if {importer, imported} <= rows.keys() and rows[imported] <= rows[importer]:
            if (str(found.file), imported) in ALLOWED:
                unused.pop((str(found.file), imported), None)
            else:
                yield f"{found.file}: {importer} imports {imported}, which does not stand below it"
    for file, imported in unused:
        yield f"{file}: no longer imports {imported}; take its exception out of .ci/direction/rules.py"


def places(imports: Iterable[Import]) -> Iterator[str]:
    """Crates that the server's modules import where they do not belong."""
    for found in sorted_by_file(imports):
        homes = PLACES.get(found.crate or "")
        if homes and (not found.importer or found.importer[0] not in homes):
            yield f"{found.file}: imports {found.crate}, which belongs to {' and '.join(homes)}"


def circles(name: str, crate: Module, imports: set[Import]) -> Iterator[str]:
    """Parts of a module that import each other in a circle, each with all that is in it; and exceptions."""
    unused = [(path, parts) for crate_name, path, parts in CIRCLES if crate_name == name]
    for module in crate.walk():
        between = among(module, sorted_by_file(imports))
        graph: dict[str, set[str]] = defaultdict(set)
        for importer, imported in between:
            graph[importer].add(imported)
        for circle in strongly_connected(graph):
            if (module.path, circle) in unused:
                unused.remove((module.path, circle))
                continue
            of_circle = (between[edge] for edge in sorted(between) if circle.issuperset(edge))
            lines = (
                f"\n    {'::'.join(one.importer)} imports {'::'.join(one.imported or ())}"
                for one in of_circle
            )
            yield f"{name}: {module}: {' and '.join(sorted(circle))} import each other{''.join(lines)}"
    for path, parts in unused:
        yield f"{name}: {' and '.join(sorted(parts))} in {'::'.join(('crate', *path))} are no circle any more"


def among(module: Module, imports: Iterable[Import]) -> dict[tuple[str, str], Import]:
    """Which parts of a module import which others, and an import that shows it."""
    depth = len(module.path)
    found: dict[tuple[str, str], Import] = {}
    for one in imports:
        ends = (one.importer, one.imported or ())
        if all(len(end) > depth and end[:depth] == module.path for end in ends):
            importer, imported = (end[depth] for end in ends)
            if importer != imported:
                found.setdefault((importer, imported), one)
    return found


def strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of more than one node that reach each other."""
    reached = {node: reachable(graph, node) for node in graph}
    found = []
    for node, others in reached.items():
        circle = {other for other in others if node in reached.get(other, set())}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """The nodes that a way leads to."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        for node in graph.get(ahead.pop(), set()) - seen:
            seen.add(node)
            ahead.append(node)
    return seen


def manifest(folder: str, text: str) -> Iterator[str]:
    """Dependencies of a lower crate on what it must not know; those of tests are free."""
    _, _, rest = text.partition("\n[dependencies]\n")
    found = set(re.findall(r"^([\w-]+)", rest.partition("\n[")[0], re.MULTILINE))
    for dependency in MUST_NOT_KNOW[folder]:
        if dependency in found:
            yield f"{folder}/Cargo.toml: depends on {dependency}, which it must not know"


def sorted_by_file(imports: Iterable[Import]) -> list[Import]:
    """In an order that stays."""
    return sorted(imports, key=lambda found: (str(found.file), found.imported or (), found.crate or ""))
