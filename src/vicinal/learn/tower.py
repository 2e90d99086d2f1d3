"""A head while it is learned: what is planned, how it starts, and its weights in torch."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.errors import UsageError, need, unknown
from vicinal.learn.descent import Schedule
from vicinal.learn.heads import KINDS, Head
from vicinal.learn.losses import unit
from vicinal.learn.mining import MINERS

Tensor = Any  # torch is an extra
LOOKED_AT = 20_000  # rows from which a head's start is made


@dataclass(frozen=True)
class Plan:
    """What is learned and how.

    loss      : a name of LOSSES; options: its arguments
    kind      : linear or mlp
    dim       : of what comes out; None for as many as come in (of two towers: the smaller)
    hidden    : of a small network; None for as many as come in
    normalize : whether what comes out has length 1
    miner     : of triplets
    m, batch_size : rows of a class in a batch, rows (pairs) of a batch
    alone     : whether classes of a single row are let in, as negatives
    """

    loss: str
    options: dict[str, Any] = field(default_factory=dict)
    kind: str = "linear"
    dim: int | None = None
    hidden: int | None = None
    normalize: bool = True
    miner: str = "semi-hard"
    m: int = 4
    batch_size: int = 128
    alone: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    device: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(unknown("head", self.kind, KINDS))
        if self.miner not in MINERS:
            raise UsageError(unknown("miner", self.miner, MINERS))


class Tower:
    """A head in torch while it is learned, over rows that stay where they are.

    Rows are divided by their root mean squared length, so that a learning rate means the same at every scale.
    """

    def __init__(self, vectors: np.ndarray, train: np.ndarray, plan: Plan, name: str, dim: int) -> None:
        self.torch = need("torch", extra="learn")
        self.vectors, self._plan, self._name = vectors, plan, name
        self.device = devices.device(plan.device, extra="learn")
        arrays, self._size = start(vectors, train, plan, dim)
        self.weights = {
            key: self.torch.from_numpy(one.copy()).to(self.device).requires_grad_() for key, one in arrays.items()
        }

    def __call__(self, rows: np.ndarray) -> Tensor:
        """The embeddings of these rows, with gradients."""
        x = self.torch.from_numpy(np.asarray(self.vectors[rows], dtype=np.float32) / self._size).to(self.device)
        w = self.weights
        z = x @ w["A"].T + w["b"]
        if "H" in w:
            z = z + (x @ w["H"].T + w["h"]).relu() @ w["C"].T
        return unit(z) if self._plan.normalize else z

    def head(self) -> Head:
        """The present weights, for rows as they are."""
        arrays = {name: one.detach().cpu().numpy().copy() for name, one in self.weights.items()}
        for name in {"A", "H"} & set(arrays):
            arrays[name] /= self._size
        return Head(arrays, self._plan.normalize, self._name)


def start(vectors: np.ndarray, train: np.ndarray, plan: Plan, dim: int) -> tuple[dict[str, np.ndarray], np.float32]:
    """A head's first weights: what it gives is the embedding itself, scaled, or its first principal components.

    A small network's second part starts at 0, so that both kinds start from what is there.

    Returns   the arrays, for rows divided by their root mean squared length, and that length
    """
    random = np.random.default_rng([plan.schedule.seed, 1])
    width = vectors.shape[1]
    if not 1 <= dim <= width:
        raise UsageError(f"dim: expected 1 to {width}, the embeddings' own, got {dim}")
    some_rows = train if len(train) <= LOOKED_AT else np.sort(random.choice(train, LOOKED_AT, replace=False))
    x = np.asarray(vectors[some_rows], dtype=np.float64)
    size = float(np.sqrt((x * x).sum(axis=1).mean())) or 1.0
    axes = np.eye(width)
    if dim < width:
        centred = x - x.mean(axis=0)
        axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :dim].T
    arrays = {"A": axes, "b": np.zeros(dim)}
    if plan.kind == "mlp":
        hidden = plan.hidden or width
        arrays["H"] = random.normal(size=(hidden, width)) * np.sqrt(2.0)
        arrays |= {"h": np.zeros(hidden), "C": np.zeros((dim, hidden))}
    return {name: np.ascontiguousarray(one, dtype=np.float32) for name, one in arrays.items()}, np.float32(size)
