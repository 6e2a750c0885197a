"""Check a bundle whole, as the server does, and show what it holds."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import onnx
from onnx import GraphProto, TensorProto

from marquee_onnx import bundle, tables
from marquee_onnx.text import to_json

WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inspect`."""
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the report; a wrong bundle is an error."""
    manifest = bundle.check(args.bundle)
    report = {"manifest": manifest, "files": sizes(args.bundle), "graphs": {}}
    for entry in manifest["graphs"]:
        graph = onnx.load(args.bundle / entry["file"], load_external_data=False).graph
        report["graphs"][entry["file"]] = describe(graph)
        report["graphs"][entry["file"]]["sections"] = sections(graph)
    print(to_json(report) if args.json else as_text(report, args.bundle))
    return 0


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def describe(graph: GraphProto) -> dict[str, Any]:
    """Inputs, outputs, operators and parameters of a graph."""

    def signature(value: onnx.ValueInfoProto) -> str:
        tensor = value.type.tensor_type
        dimensions = [d.dim_param or str(d.dim_value) for d in tensor.shape.dim]
        return f"{value.name} {TensorProto.DataType.Name(tensor.elem_type).lower()} [{', '.join(dimensions)}]"

    inside = [t for t in graph.initializer if t.data_location != TensorProto.EXTERNAL]
    return {
        "inputs": [signature(value) for value in graph.input],
        "outputs": [signature(value) for value in graph.output],
        "operators": dict(Counter(node.op_type for node in graph.node).most_common()),
        "nodes": len(graph.node),
        "parameters": sum(element_count(tensor) for tensor in inside),
        "tables": [t.name for t in graph.initializer if t.data_location == TensorProto.EXTERNAL],
    }


def element_count(tensor: TensorProto) -> int:
    """Elements of an initialiser."""
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def sections(graph: GraphProto) -> list[tuple[str, list[str]]]:
    """The operators in order, cut into the sections that the nodes' names begin with."""

    def compact(operators: list[str]) -> list[str]:
        runs = ((operator, len(list(run))) for operator, run in groupby(operators))
        return [operator if count == 1 else f"{operator} x{count}" for operator, count in runs]

    parts = groupby(graph.node, key=lambda node: node.name.split("/")[0])
    return [(name, compact([node.op_type for node in nodes])) for name, nodes in parts]


def drawing(parts: list[tuple[str, list[str]]]) -> str:
    """One box a section, top to bottom."""
    lines = []
    for name, operators in parts:
        title = f" {name} "
        lines.append("┌─" + title + "─" * (WIDTH - len(title) - 3) + "┐")
        for row in wrap(operators):
            lines.append(f"│ {row:<{WIDTH - 4}} │")
        lines.append("└" + "─" * (WIDTH // 2 - 2) + "┬" + "─" * (WIDTH - WIDTH // 2 - 1) + "┘")
    lines[-1] = "└" + "─" * (WIDTH - 2) + "┘"
    return "\n".join(lines)


def wrap(operators: list[str]) -> list[str]:
    """The operators as a chain, broken into rows of the drawing's width."""
    rows, row = [], ""
    for position, operator in enumerate(operators):
        piece = operator + (" → " if position + 1 < len(operators) else "")
        if row and len(row) + len(piece.rstrip()) > WIDTH - 4:
            rows.append(row.rstrip())
            row = ""
        row += piece
    return [*rows, row]


def as_text(report: Mapping[str, Any], folder: Path) -> str:
    """The report for a person."""
    manifest = report["manifest"]
    lines = [
        f"{manifest['name']} {manifest['version']}: {manifest['architecture']}, whole and right",
        "  " + ", ".join(f"{name} {size}" for name, size in asdict(bundle.shape_of(manifest)).items()),
        f"  training {to_json(manifest['training'])}",
        f"  metrics  {to_json(manifest['metrics'])}",
        f"  native   {to_json(manifest.get('native', {}))}",
        "",
        "tables",
    ]
    for table in tables.locate(folder / tables.FILE).values():
        place = f"{table.length:>12,} bytes at {table.offset}"
        lines.append(f"  {table.name:<20} {list(table.shape)!s:<14} {table.precision}  {place}")
    lines += ["", "files"]
    for name, size in report["files"].items():
        lines.append(f"  {name:<24} {size:>12,} bytes  sha256 {manifest['sha256'].get(name, '-')}")
    for entry in manifest["graphs"]:
        graph = report["graphs"][entry["file"]]
        kind = f"{entry['role']}, {entry['device']}, {entry['precision']}"
        operators = ", ".join(f"{name} {count}" for name, count in graph["operators"].items())
        lines += [
            "",
            f"{entry['file']}: {kind}, {graph['nodes']} nodes, {graph['parameters']:,} numbers inside, "
            f"tables {', '.join(graph['tables'])}",
            f"  in   {'; '.join(graph['inputs'])}",
            f"  out  {'; '.join(graph['outputs'])}",
            f"  {operators}",
            drawing(graph["sections"]),
        ]
    return "\n".join(lines)
