from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marquee_onnx import bundle, random_bundle
from marquee_onnx.weights import POSITIONS, Shape

SMALL = Shape(items=300, dimension=64, maximum_length=32, heads=4, blocks=3)
TINY = Path(__file__).parent.parent / "fixtures" / "tiny"


@pytest.fixture(
    scope="session", params=[(p, order) for p in ("f32", "f16") for order in POSITIONS], ids="-".join
)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A bundle with every graph, its folder and the weights as its tables store them."""
    precision, positions = request.param
    shape = replace(SMALL, positions=positions)
    return random_bundle_of(shape, tmp_path_factory.mktemp("bundle") / "small", precision)


def random_bundle_of(shape: Shape, folder: Path, precision: str) -> tuple[Path, random_bundle.Weights]:
    weights = random_bundle.random_weights(shape, seed=5)
    model = bundle.Model(
        "small",
        "1",
        weights,
        random_bundle.gapped_vocabulary(shape.items),
        {"data": "none", "terms": "none"},
        {},
    )
    bundle.write(
        folder, model, (*bundle.STANDARD_GRAPHS, bundle.INT8_ENCODER, *bundle.NAIVE_GRAPHS), precision
    )
    return folder, bundle.stored(weights, precision)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the committed fixture that a test may break."""
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def histories(shape: Shape, seed: int = 0) -> list[list[int]]:
    """One history of every length from 1 to L, newest item last."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1, shape.items + 1, n).tolist() for n in range(1, shape.maximum_length + 1)]
