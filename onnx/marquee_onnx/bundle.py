"""Writing a bundle, and refusing a wrong one. The contract with the server is BUNDLE.md."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from marquee_onnx import bf16, movie_keys, sessions, tables, titles
from marquee_onnx.errors import BundleError
from marquee_onnx.folders import check_replaceable
from marquee_onnx.graphs.cpu import cpu_encoder
from marquee_onnx.graphs.cuda import LARGEST_K, cuda_encoder, cuda_scorer
from marquee_onnx.graphs.int8 import int8_encoder
from marquee_onnx.graphs.naive import naive_encoder, naive_scorer
from marquee_onnx.tables import Table
from marquee_onnx.text import open_text, parse_object, to_json
from marquee_onnx.weights import Shape, Weights

# Of networks with learnt positions, which all readers know, and of those with a bias by distance.
FORMATS = {"right": 1, "bias": 2}
MANIFEST = "bundle.json"
VOCABULARY = "vocabulary.u32"
UNSEALED = "0" * 64
TOLERANCE = 1e-4
FP16_TOLERANCE = 1e-2
SMALLEST_ROUGH_TOLERANCE = 1e-2
PROBE_LENGTH = 12
DIGEST_LENGTH = 12
IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")
MANIFEST_KEYS = (
    *("name", "version", "architecture", "items", "dimension", "maximum_length", "heads", "blocks"),
    *("tables", "vocabulary", "graphs", "sha256", "training", "metrics", "probe", "seal"),
)

Author = Callable[[Weights, Mapping[str, Table]], ModelProto]


@dataclass(frozen=True)
class Graph:
    """One graph of a bundle: its entry in the manifest, and the function that authors it."""

    file: str
    role: str
    device: str
    precision: str
    author: Author
    tolerance: float | None = None

    def entry(self) -> dict[str, Any]:
        """The entry in `graphs` of the manifest."""
        entry = {"file": self.file, "role": self.role, "device": self.device, "precision": self.precision}
        return entry if self.tolerance is None else entry | {"tolerance": self.tolerance}


CPU_ENCODER = Graph("encoder.cpu.onnx", "encoder", "cpu", "fp32", cpu_encoder, TOLERANCE)
CUDA_ENCODER = Graph("encoder.cuda.onnx", "encoder", "cuda", "fp16", cuda_encoder, FP16_TOLERANCE)
CUDA_SCORER = Graph("scorer.cuda.onnx", "scorer", "cuda", "fp16", cuda_scorer)
STANDARD_GRAPHS = (CPU_ENCODER, CUDA_ENCODER, CUDA_SCORER)
INT8_ENCODER = Graph("encoder.cpu.int8.onnx", "encoder", "cpu", "int8", int8_encoder)
NAIVE_GRAPHS = (
    Graph("naive.encoder.cpu.onnx", "naive-encoder", "cpu", "fp32", naive_encoder),
    Graph("naive.scorer.cpu.onnx", "naive-scorer", "cpu", "fp32", naive_scorer),
)


@dataclass(frozen=True)
class Stamp:
    """The beginning of a version whose end is a digest of what the bundle holds."""

    text: str

    def with_digest(self, content: Mapping[str, Any]) -> str:
        """The version of a bundle with this manifest, hashes of its files included."""
        digest = hashlib.sha256(to_json(content).encode()).hexdigest()
        return f"{self.text}-{digest[:DIGEST_LENGTH]}"


@dataclass(frozen=True)
class Model:
    """What a bundle says about itself, and the weights.

    A `Stamp` in place of a version becomes a version that no other content has.
    """

    name: str
    version: str | Stamp
    weights: Weights
    vocabulary: NDArray[np.uint32]
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    titles: NDArray[np.uint32] | None = None
    keys: movie_keys.Keys | None = None

    def __post_init__(self) -> None:
        version = self.version if isinstance(self.version, str) else self.version.text
        for text in (self.name, version):
            check_name(text)
        check_vocabulary(self.vocabulary, self.weights.shape.items)
        check_titles(self.titles, self.weights.shape.items)
        check_keys(self.keys, self.weights.shape.items)


def check_name(text: str) -> None:
    """Names and versions go into file names, logs and requests."""
    if not IDENTIFIER.fullmatch(text):
        raise BundleError(f"{text!r} is no name: use 1 to 64 of letters, digits, '.', '_' and '-'")


def check_vocabulary(vocabulary: NDArray[np.uint32], items: int) -> None:
    """One movie id an item, no id twice, none 0."""
    if vocabulary.shape != (items,):
        raise BundleError(f"the vocabulary has {vocabulary.size} ids for {items} items")
    if vocabulary.min() == 0 or np.unique(vocabulary).size != items:
        raise BundleError("the vocabulary has an id twice, or an id 0")


def check_titles(hashes: NDArray[np.uint32] | None, items: int) -> None:
    """One hash an item, where titles are kept."""
    if hashes is not None and hashes.shape != (items,):
        raise BundleError(f"{titles.FILE} has {hashes.size} titles for {items} items: train or export again")


def check_keys(keys: movie_keys.Keys | None, items: int) -> None:
    """One key an item, where keys are kept, and none of two items."""
    if keys is None:
        return
    if len(keys) != items:
        raise BundleError(f"{movie_keys.FILE} has {len(keys)} keys for {items} items: train or export again")
    there = [key for key in keys if key]
    if len(set(there)) != len(there):
        raise BundleError(f"{movie_keys.FILE} has a key twice: export the data and train again")


def write(
    folder: Path, model: Model, graphs: Sequence[Graph], precision: str = "f32", overwrite: bool = False
) -> str:
    """Write the bundle of a model and return its model version, `name@version`."""
    return write_whole(folder, lambda staging: write_files(staging, model, graphs, precision), overwrite)


def write_judged(
    folder: Path, source: Path, measured: Mapping[str, Any], version: str | None, overwrite: bool
) -> str:
    """Write the bundle `source` again with what bfloat16 was `measured` to lose; as `write`.

    Without a `version` it keeps its own.
    """
    manifest = read_manifest(source)
    version = version or manifest["version"]
    check_name(version)

    def fill(staging: Path) -> None:
        for file in manifest["sha256"]:
            shutil.copyfile(source / file, staging / file)
        figures = {**manifest["metrics"], "bf16": measured}
        probe, user = manifest["probe"]["items"], np.asarray(manifest["probe"]["user"], np.float32)
        native = {"bf16": describe_bf16(staging, shape_of(manifest), probe, user, figures)}
        changed = {"version": version, "metrics": figures, "native": native, "probe": manifest["probe"]}
        others = {name: part for name, part in manifest.items() if name not in ("native", "probe", "seal")}
        (staging / MANIFEST).write_text(sealed({**others, **changed}))

    return write_whole(folder, fill, overwrite)


def write_whole(folder: Path, fill: Callable[[Path], None], overwrite: bool) -> str:
    """Write a bundle whole or not at all: it is filled beside `folder`, checked and then renamed."""
    check_replaceable(folder, MANIFEST, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        staging.chmod(0o755)
        fill(staging)
        manifest = check(staging)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(staging, folder)
        return f"{manifest['name']}@{manifest['version']}"
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_files(folder: Path, model: Model, graphs: Sequence[Graph], precision: str) -> None:
    """Fill an empty folder; the manifest comes last."""
    located = tables.write(folder / tables.FILE, tables.of(model.weights), precision)
    (folder / VOCABULARY).write_bytes(model.vocabulary.astype("<u4").tobytes())
    titles.write(folder, model.titles)
    movie_keys.write(folder, model.keys)
    for graph in graphs:
        onnx.save(graph.author(model.weights, located), folder / graph.file)
    shape = model.weights.shape
    probe = probe_history(shape)
    user = encode_probe(folder / CPU_ENCODER.file, probe, shape)
    entries = [graph.entry() for graph in graphs]
    for entry in entries:
        if entry["precision"] == "int8":
            entry["tolerance"] = rough_tolerance(encode_probe(folder / entry["file"], probe, shape), user)
        if entry["role"] == "scorer":
            entry["largest_k"] = min(LARGEST_K, shape.items)
    content = {
        "architecture": "gsasrec",
        "items": shape.items,
        "dimension": shape.dimension,
        "maximum_length": shape.maximum_length,
        "heads": shape.heads,
        "blocks": shape.blocks,
        **({} if shape.positions == "right" else {"positions": shape.positions}),
        "tables": {"file": tables.FILE, "precision": precision},
        "vocabulary": VOCABULARY,
        **({} if model.titles is None else {"titles": titles.FILE}),
        **({} if model.keys is None else {"keys": movie_keys.FILE}),
        "graphs": entries,
        "sha256": {file.name: sha256(file) for file in sorted(folder.iterdir())},
        "training": dict(model.training),
        "metrics": dict(model.metrics),
        "native": {"bf16": describe_bf16(folder, shape, probe, user, model.metrics)},
        "probe": {"items": probe, "user": [float(x) for x in user], "tolerance": TOLERANCE},
    }
    version = model.version if isinstance(model.version, str) else model.version.with_digest(content)
    head = {"format": FORMATS[shape.positions], "name": model.name, "version": version}
    (folder / MANIFEST).write_text(sealed({**head, **content}))


def sealed(manifest: Mapping[str, Any]) -> str:
    """The manifest's text with its seal: the sha256 of the text with 64 zeros where the seal stands."""
    text = to_json({**manifest, "seal": UNSEALED}, indent=2) + "\n"
    return text.replace(UNSEALED, hashlib.sha256(text.encode()).hexdigest())


def is_sealed(text: str, seal: str) -> bool:
    """Whether no byte of the manifest's text has changed since it was sealed."""
    return hashlib.sha256(text.replace(seal, UNSEALED).encode()).hexdigest() == seal


def stored(weights: Weights, precision: str) -> Weights:
    """The weights as a bundle with tables of `precision` holds them."""
    return replace(
        weights,
        item_embedding=tables.round_trip(weights.item_embedding, precision),
        output_embedding=tables.round_trip(weights.output_embedding, precision),
        position_embedding=(
            None
            if weights.position_embedding is None
            else tables.round_trip(weights.position_embedding, precision)
        ),
    )


def probe_history(shape: Shape) -> list[int]:
    """A fixed history of up to 12 items spread over the catalogue."""
    length = min(PROBE_LENGTH, shape.maximum_length)
    return [1 + (step * 7919 + 12) % shape.items for step in range(length)]


def encode_probe(graph: Path, probe: Sequence[int], shape: Shape) -> NDArray[np.float32]:
    """What a CPU encoder answers for the probe."""
    return sessions.encode(sessions.open_session(graph), probe, shape.maximum_length)


def probe_error(user: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference, relative to the largest value where that is above 1."""
    return float(np.abs(user - expected).max() / max(1.0, float(np.abs(expected).max())))


def rough_tolerance(user: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """What an encoder of fewer bits may differ by where this one did: twice as much, and never too little."""
    return max(SMALLEST_ROUGH_TOLERANCE, 2 * probe_error(user, expected))


def describe_bf16(
    folder: Path,
    shape: Shape,
    probe: Sequence[int],
    user: NDArray[np.float32],
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """What the manifest says of an encoder that reads the fp32 graph and multiplies in bfloat16.

    `kept` stands there where somebody judged it.
    """
    emulated = bf16.Encoder(folder / CPU_ENCODER.file, shape).encode(probe)
    judged = {"kept": measured["bf16"]["kept"]} if "bf16" in measured else {}
    return {"tolerance": rough_tolerance(emulated, user), **judged}


def sha256(file: Path) -> str:
    """The file's digest, in hex."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The parsed manifest; raises `BundleError` where it is missing or not of this format."""
    path = folder / MANIFEST
    try:
        with open_text(path) as file:
            text = file.read()
    except OSError as error:
        raise BundleError(f"{folder} is no bundle: {error.strerror}: {MANIFEST}") from error
    manifest = parse_object(text, path)
    if manifest.get("format") not in FORMATS.values():
        known = " and ".join(map(str, FORMATS.values()))
        raise BundleError(f"{path} has a format other than {known}: write the bundle again with this version")
    missing = [key for key in MANIFEST_KEYS if key not in manifest]
    if missing:
        raise BundleError(f"{path} lacks {', '.join(missing)}")
    if not is_sealed(text, str(manifest["seal"])):
        raise BundleError(f"{path} was changed after it was sealed: copy the bundle again")
    if manifest["architecture"] != "gsasrec":
        raise BundleError(f"{path} is of architecture {manifest['architecture']}, only gsasrec is known")
    if manifest["format"] != FORMATS.get(str(manifest.get("positions", "right"))):
        raise BundleError(f"{path} has positions that its format does not have: write the bundle again")
    return manifest


def shape_of(manifest: Mapping[str, Any]) -> Shape:
    """The sizes that a manifest states."""
    keys = ("items", "dimension", "maximum_length", "heads", "blocks")
    items, dimension, maximum_length, heads, blocks = (int(manifest[key]) for key in keys)
    return Shape(items, dimension, maximum_length, heads, blocks, manifest.get("positions", "right"))


def read_vocabulary(folder: Path) -> NDArray[np.uint32]:
    """Movie ids; entry i is item i + 1."""
    return read_ids(folder / VOCABULARY)


def read_ids(path: Path) -> NDArray[np.uint32]:
    """The movie ids of a .u32 file."""
    size = path.stat().st_size
    if size == 0 or size % 4:
        raise BundleError(f"{path} is no list of 4-byte ids: it has {size} bytes; copy it again")
    return np.fromfile(path, "<u4").astype(np.uint32)


def check(folder: Path) -> dict[str, Any]:
    """Check a bundle whole and return its manifest; raises `BundleError` with what is wrong first."""
    manifest = read_manifest(folder)
    check_hashes(folder, manifest)
    shape = shape_of(manifest)
    located = tables.locate(folder / manifest["tables"]["file"])
    expected = {
        "item_embedding": (shape.items, shape.dimension),
        "output_embedding": (shape.items, shape.dimension),
    }
    if shape.positions == "right":
        expected["position_embedding"] = (shape.maximum_length, shape.dimension)
    if set(located) != set(expected):
        raise BundleError(f"{tables.FILE} holds {sorted(located)}, {MANIFEST} asks for {sorted(expected)}")
    for name, table in located.items():
        if table.shape != expected[name] or table.precision != manifest["tables"]["precision"]:
            raise BundleError(
                f"{name} is {list(table.shape)} {table.precision}, "
                f"{MANIFEST} says {list(expected[name])} {manifest['tables']['precision']}"
            )
    check_vocabulary(read_vocabulary(folder), shape.items)
    check_titles(titles.read(folder), shape.items)
    check_keys(movie_keys.read(folder), shape.items)
    for entry in manifest["graphs"]:
        check_external_data(folder / entry["file"], located)
    for entry in manifest["graphs"]:
        if entry["role"] == "encoder" and entry["device"] == "cpu":
            check_probe(folder, entry, manifest, shape)
    if "bf16" in manifest.get("native", {}):
        check_bf16(folder, manifest, shape)
    return manifest


def check_hashes(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Every file is listed, is there and has the digest that the manifest states."""
    listed = manifest["sha256"]
    named = {
        manifest["tables"]["file"],
        manifest["vocabulary"],
        *(manifest[name] for name in ("titles", "keys") if name in manifest),
        *(graph["file"] for graph in manifest["graphs"]),
    }
    for file in sorted(named - set(listed)):
        raise BundleError(f"{MANIFEST} names {file} and has no sha256 of it")
    present = {p.name for p in folder.iterdir() if not p.name.startswith(".") and p.suffix != ".md"} - {
        MANIFEST
    }
    for file in sorted(present - set(listed)):
        raise BundleError(f"{file} is not listed in {MANIFEST}: take it out of the bundle")
    for file, expected in sorted(listed.items()):
        if file not in present:
            raise BundleError(f"{file} is missing: copy the bundle again{restore_advice(file, manifest)}")
        found = sha256(folder / file)
        if found != expected:
            raise BundleError(f"{file} has sha256 {found}, {MANIFEST} says {expected}; copy the bundle again")


def restore_advice(file: str, manifest: Mapping[str, Any]) -> str:
    """What to do when a random bundle travelled without its tables."""
    if file == manifest["tables"]["file"] and "random" in manifest["training"]:
        return ", or make the tables again with `marquee-onnx random --restore-tables BUNDLE`"
    return ""


def check_external_data(graph: Path, located: Mapping[str, Table]) -> None:
    """The graph is valid ONNX, and its external initialisers are the bundle's tables."""
    try:
        onnx.checker.check_model(str(graph))
        model = onnx.load(graph, load_external_data=False)
    except Exception as error:
        raise BundleError(f"{graph.name} is no valid ONNX model: {error}") from error
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        where = {item.key: item.value for item in tensor.external_data}
        table = located.get(tensor.name)
        if table is None or tuple(tensor.dims) != table.shape or where.get("location") != tables.FILE:
            raise BundleError(
                f"{graph.name} wants {tensor.name} {list(tensor.dims)}, which the tables do not hold"
            )
        if (int(where["offset"]), int(where["length"])) != (table.offset, table.length):
            raise BundleError(
                f"{graph.name} looks for {tensor.name} at other bytes than {tables.FILE} has it"
            )


def check_probe(folder: Path, entry: Mapping[str, Any], manifest: Mapping[str, Any], shape: Shape) -> None:
    """The graph answers the probe as it did when the bundle was written."""
    expected = np.asarray(manifest["probe"]["user"], np.float32)
    tolerance = float(entry.get("tolerance", manifest["probe"]["tolerance"]))
    session = sessions.open_session(folder / entry["file"])
    inputs = {i.name: (i.type, len(i.shape)) for i in session.get_inputs()}
    if inputs != {
        "items": ("tensor(int64)", 2),
        "positions": ("tensor(int64)", 2),
        "lengths": ("tensor(int32)", 1),
    }:
        raise BundleError(f"{entry['file']} has the inputs {inputs}, which is no encoder of this format")
    user = sessions.encode(session, manifest["probe"]["items"], shape.maximum_length)
    if user.shape != expected.shape:
        raise BundleError(
            f"{entry['file']} answers {user.size} values for a model of dimension {shape.dimension}"
        )
    check_near(entry["file"], user, expected, tolerance)


def check_bf16(folder: Path, manifest: Mapping[str, Any], shape: Shape) -> None:
    """The fp32 graph in bfloat16 answers the probe as it did when the bundle was written."""
    expected = np.asarray(manifest["probe"]["user"], np.float32)
    user = bf16.Encoder(folder / CPU_ENCODER.file, shape).encode(manifest["probe"]["items"])
    check_near(f"{CPU_ENCODER.file} in bf16", user, expected, float(manifest["native"]["bf16"]["tolerance"]))


def check_near(what: str, user: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float) -> None:
    """An answer to the probe is within the tolerance."""
    error = probe_error(user, expected)
    if not error <= tolerance:
        raise BundleError(f"{what} is {error:.2g} away from the probe's vector, {tolerance:.2g} is allowed")
