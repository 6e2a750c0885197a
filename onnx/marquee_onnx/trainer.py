"""A gSASRec model in training: the steps, the averaged weights, the state that makes a run resumable.

Every epoch draws from generators seeded by (seed, epoch), and the state is written whole at the end of an
epoch, so a run that was stopped and resumed has the weights of one that was not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from marquee_onnx.arguments import LARGEST_SEED
from marquee_onnx.batches import NEVER, Batch, Windows
from marquee_onnx.data import MOST_ITEMS, Histories, Ids
from marquee_onnx.errors import MarqueeError
from marquee_onnx.losses import gbce, softmax
from marquee_onnx.metrics import Ranks, ranks, summary
from marquee_onnx.model import GSASRec
from marquee_onnx.weights import POSITIONS, Shape, Weights, to_state_dict

AVERAGE_EVERY = 10
ITEM_TABLES = ("item_embedding.weight", "output_embedding.weight")
CHOICES = {
    "loss": ("softmax", "gbce"),
    "exclude": ("past", "all", "none"),
    "negatives_for": ("batch", "position"),
    "schedule": ("linear", "cosine", "constant"),
    "positions": POSITIONS,
}


HELP = {
    "dimension": "width d of the network",
    "maximum_length": "window L: the newest items that the network looks at",
    "heads": "attention heads",
    "blocks": "transformer blocks",
    "positions": "a learnt row a position (right), or a learnt bias by distance (bias)",
    "dropout": "dropout after the embedding, in the attention and in the dense layers",
    "item_dropout": "share of the items of a window that are hidden in training",
    "initialisation": "standard deviation of the tables' initial values; gBCE needs a small one",
    "loss": "cross entropy, or gBCE",
    "negatives": "candidates to push down, drawn uniformly; 0 is the whole catalogue",
    "negatives_for": "one draw for a batch, or one for each position at the cost of all scores",
    "exclude": "candidates left out of the loss: seen before the position, in the whole history, or none",
    "calibration": "gBCE's t",
    "smoothing": "label smoothing of the cross entropy",
    "random_windows": "share of long histories that give a window from anywhere instead of the newest",
    "content_prior": "events that what the catalogue says of a movie counts as; 0 leaves its row as trained",
    "epochs": "passes over the users",
    "batch_tokens": "positions in a batch",
    "rate": "Adam's learning rate after the warm-up",
    "warmup": "fraction of the run in which the rate grows from zero",
    "schedule": "the rate after the warm-up",
    "weight_decay": "decoupled weight decay",
    "average": "decay a step of the averaged weights, which are those judged and kept; 0 keeps the last",
    "sparse": "1: update only the item rows that a step touches, for large catalogues",
    "seed": "seed of everything random",
}


# The largest values of the settings: of those that are above 0, and of those that may be 0.
POSITIVE = {
    "dimension": 1 << 13,
    "maximum_length": 1 << 16,
    "heads": 1 << 13,
    "blocks": 1 << 10,
    "epochs": 1 << 20,
    "batch_tokens": 1 << 24,
    "rate": 1000.0,
    "initialisation": 1000.0,
}
FROM_ZERO = {
    "calibration": 1.0,
    "smoothing": 1.0,
    "random_windows": 1.0,
    "weight_decay": 1000.0,
    "content_prior": 1e6,
    "negatives": MOST_ITEMS,
    "sparse": 1,
    "seed": LARGEST_SEED,
}
PARTS = ("dropout", "item_dropout", "warmup", "average")


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights, apart from the data; `HELP` says what each is."""

    dimension: int = 128
    maximum_length: int = 200
    heads: int = 1
    blocks: int = 2
    positions: str = "bias"
    dropout: float = 0.4
    item_dropout: float = 0.0
    initialisation: float = 0.02
    loss: str = "softmax"
    negatives: int = 2048
    negatives_for: str = "batch"
    exclude: str = "past"
    calibration: float = 0.75
    smoothing: float = 0.0
    random_windows: float = 0.5
    content_prior: float = 0.0
    epochs: int = 24
    batch_tokens: int = 2048
    rate: float = 2e-3
    warmup: float = 0.02
    schedule: str = "linear"
    weight_decay: float = 0.0
    average: float = 0.999
    sparse: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, most in POSITIVE.items():
            if not 0 < getattr(self, name) <= most:
                raise MarqueeError(f"{name} is {getattr(self, name)}; it must be above 0, at most {most}")
        for name, most in FROM_ZERO.items():
            if not 0 <= getattr(self, name) <= most:
                raise MarqueeError(f"{name} is {getattr(self, name)}; it must be from 0 to {most}")
        for name in PARTS:
            if not 0 <= getattr(self, name) < 1:
                raise MarqueeError(f"{name} is {getattr(self, name)}; it must be from 0 to below 1")
        if self.dimension % self.heads:
            raise MarqueeError(f"{self.heads} heads do not divide the dimension {self.dimension}; change one")


def learning_rate(settings: Settings, progress: float) -> float:
    """The rate at a fraction of the run: a linear warm-up, then constant, linear or cosine to zero."""
    if progress < settings.warmup:
        return settings.rate * progress / settings.warmup
    left = (1.0 - progress) / (1.0 - settings.warmup)
    shapes = {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * np.cos(np.pi * left)}
    return settings.rate * float(shapes[settings.schedule])


class Average:
    """An exponential average of the weights, taken every `AVERAGE_EVERY` steps.

    With a decay of 0 it is the model itself.
    """

    def __init__(self, model: GSASRec, decay: float):
        self.decay = decay**AVERAGE_EVERY
        self.steps = 0
        current = model.state_dict()
        self.weights = {n: w.detach().clone() for n, w in current.items()} if decay else current

    @torch.no_grad()
    def update(self, model: GSASRec) -> None:
        """Count a step, and move towards the model's weights when it is time.

        The decay grows like `(1 + n) / (10 + n)`, so that the initial weights fade at once.
        """
        self.steps += 1
        if self.decay == 0.0 or self.steps % AVERAGE_EVERY:
            return
        updates = self.steps // AVERAGE_EVERY
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for name, weight in model.state_dict().items():
            self.weights[name].lerp_(weight, 1.0 - decay)


class Trainer:
    """A model with its optimisers, its average and the number of epochs behind it."""

    def __init__(self, train: Histories, items: int, settings: Settings, device: torch.device):
        torch.manual_seed(settings.seed)
        self.settings, self.device, self.items = settings, device, items
        self.model = build_model(items, settings).to(device)
        sampled = settings.negatives if settings.negatives_for == "batch" else 0
        self.windows = Windows(
            train,
            items,
            settings.maximum_length,
            settings.batch_tokens,
            sampled or None,
            settings.random_windows,
        )
        self.optimisers = build_optimisers(self.model, settings)
        self.average = Average(self.model, settings.average)
        self.epoch = 0

    def begin_with(self, weights: Weights) -> None:
        """Take the weights of an earlier model of these sizes in place of the initial ones."""
        state = {name: torch.tensor(array) for name, array in to_state_dict(weights).items()}
        self.model.load_state_dict(state)
        self.average = Average(self.model, self.settings.average)

    def run_epoch(self) -> float:
        """Train one epoch, with a progress bar on a terminal; its mean loss."""
        rng = np.random.default_rng([self.settings.seed, self.epoch])
        torch.manual_seed(self.settings.seed * 1_000_003 + self.epoch)
        self.model.train()
        expected = self.windows.batches()
        bar = tqdm(
            self.windows.epoch(rng),
            total=expected,
            desc=f"epoch {self.epoch + 1} of {self.settings.epochs}",
            leave=False,
            disable=None,
        )
        losses = []
        for done, batch in enumerate(bar):
            self._set_rate((self.epoch + min(1.0, done / expected)) / self.settings.epochs)
            losses.append(self._step(batch))
        self.epoch += 1
        return float(torch.stack(losses).mean())

    def _set_rate(self, progress: float) -> None:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(self.settings, progress)

    def _step(self, batch: Batch) -> Tensor:
        loss = self.loss(batch)
        self.model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for optimiser in self.optimisers:
            optimiser.step()
        self.average.update(self.model)
        return loss.detach()

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss over the batch's positions, with dense products in bfloat16."""
        settings = self.settings
        items, lengths, targets, index, rows, candidates, first_seen = (
            torch.from_numpy(getattr(batch, field.name)).to(self.device) for field in fields(Batch)
        )
        with torch.autocast(self.device.type, torch.bfloat16):
            states = self.model(items, lengths)
            hidden = states[torch.arange(items.shape[1], device=self.device) < lengths[:, None]]
            target_scores = (hidden * self.model.output_embedding(targets)).sum(1)
            scores = (hidden @ self.model.output_embedding(candidates).T).float()
        first = first_seen[rows]
        if settings.negatives_for == "position":
            drawn = torch.randint(self.items, (len(targets), settings.negatives), device=self.device)
            scores, first = scores.gather(1, drawn), first.gather(1, drawn)
            candidates = candidates[drawn]
        excluded = candidates == targets[:, None]
        if settings.exclude == "past":
            excluded |= first < index[:, None]
        elif settings.exclude == "all":
            excluded |= first < int(NEVER)
        if settings.loss == "gbce":
            return gbce(target_scores, scores, excluded, self.items, settings.calibration)
        return softmax(target_scores, scores, excluded, settings.smoothing)

    def judge(self, inputs: Histories, targets: Ids) -> dict[str, float]:
        """nDCG@10, recall@10 and the rest of the averaged weights, unsampled, seen items removed."""
        return summary(self.ranks(inputs, targets))

    @torch.no_grad()
    def ranks(self, inputs: Histories, targets: Ids, batch: int = 256) -> Ranks:
        """Each target's rank, from 0, by the averaged weights among what its user has not seen."""
        judged = build_model(self.items, self.settings).to(self.device)
        judged.load_state_dict(self.average.weights)
        judged.eval()
        rank = np.empty(len(targets), dtype=np.int64)
        order = np.argsort(inputs.lengths, kind="stable")
        for begin in range(0, len(order), batch):
            users = order[begin : begin + batch]
            histories = [inputs[int(user)] for user in users]
            scores = score(judged, histories, self.device)
            rank[users] = ranks(scores, histories, targets[users])
        return rank

    def save(self, path: Path) -> None:
        """Write the whole state as one file, atomically."""
        tensors = {f"model.{name}": weight for name, weight in self.model.state_dict().items()}
        if self.settings.average:
            tensors |= {f"average.{name}": weight for name, weight in self.average.weights.items()}
        for number, optimiser in enumerate(self.optimisers):
            for parameter, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"optimiser.{number}.{parameter}.{key}"] = torch.as_tensor(value)
        tensors["progress"] = torch.tensor([self.epoch, self.average.steps])
        write_tensors(path, tensors)

    def load(self, path: Path) -> None:
        """Continue from a state that `save` wrote with the same settings."""
        tensors = load_file(path, device=str(self.device))
        self.model.load_state_dict(part(tensors, "model."))
        if self.settings.average:
            self.average.weights = part(tensors, "average.")
        for number, optimiser in enumerate(self.optimisers):
            state: dict[int, dict[str, Tensor | int]] = {}
            for name, tensor in part(tensors, f"optimiser.{number}.").items():
                parameter, key = name.split(".")
                sparse_step = key == "step" and isinstance(optimiser, torch.optim.SparseAdam)
                state.setdefault(int(parameter), {})[key] = int(tensor) if sparse_step else tensor
            optimiser.load_state_dict(
                {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
            )
        self.epoch, self.average.steps = (int(value) for value in tensors["progress"])


def shape_of(items: int, settings: Settings) -> Shape:
    """The sizes of the network of these settings."""
    return Shape(
        items,
        settings.dimension,
        settings.maximum_length,
        settings.heads,
        settings.blocks,
        settings.positions,
    )


def build_model(items: int, settings: Settings) -> GSASRec:
    """The network of these settings with initial weights."""
    return GSASRec(
        items,
        settings.dimension,
        settings.maximum_length,
        settings.heads,
        settings.blocks,
        settings.dropout,
        settings.initialisation,
        bool(settings.sparse),
        settings.positions,
        settings.item_dropout,
    )


def build_optimisers(model: GSASRec, settings: Settings) -> list[torch.optim.Optimizer]:
    """AdamW, and a lazy Adam for the two item tables when they are sparse."""
    tables = [weight for name, weight in model.named_parameters() if name in ITEM_TABLES]
    others = [weight for name, weight in model.named_parameters() if name not in ITEM_TABLES]
    dense = others if settings.sparse else tables + others
    adam = torch.optim.AdamW(dense, lr=settings.rate, weight_decay=settings.weight_decay, fused=True)
    return [adam, torch.optim.SparseAdam(tables, lr=settings.rate)] if settings.sparse else [adam]


def score(model: GSASRec, histories: Sequence[Ids], device: torch.device) -> NDArray[np.float32]:
    """Float32 scores [users, N] of all items after each history; equal ones after an empty one."""
    newest = [history[-model.maximum_length :] for history in histories]
    lengths = torch.tensor([len(history) for history in newest])
    items = np.full((len(newest), max(1, int(lengths.max()))), model.items + 1, dtype=np.int32)
    for row, history in enumerate(newest):
        items[row, : len(history)] = history
    states = model(torch.from_numpy(items).to(device), lengths.to(device))
    last = states[torch.arange(len(newest)), lengths - 1]
    scores: NDArray[np.float32] = (last @ model.output_embedding.weight[1:-1].T).float().cpu().numpy()
    scores[(lengths == 0).numpy()] = 0.0
    return scores


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
    os.replace(partial, path)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with `prefix`, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
