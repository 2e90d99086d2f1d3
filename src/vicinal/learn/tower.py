"""A head in torch while it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal import devices
from vicinal.errors import UsageError, need
from vicinal.knn import memory
from vicinal.learn.heads import Head
from vicinal.learn.losses import unit
from vicinal.learn.plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MAX_ROWS = 20_000  # rows from which the initial weights are computed


class Tower:
    """A head in torch, over rows that stay in their array.

    The rows are divided by their root mean square length, so that a learning rate has the same effect at every scale.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim_in)
    train : ndarray of int
        The rows to learn from, which decide the initial weights.
    plan : Plan
    name : str
        What the head is called.
    dim : int
        The dimension of the output.
    """

    def __init__(self, vectors: NDArray[Any], train: NDArray[np.int64], plan: Plan, name: str, dim: int) -> None:
        self.torch = need("torch", extra="learn")
        self.vectors, self._plan, self._name = vectors, plan, name
        self.device = devices.device(plan.device, extra="learn")
        arrays, self._size = initial_weights(vectors, train, plan, dim)
        self.weights: dict[str, Tensor] = {
            key: self.torch.from_numpy(one.copy()).to(self.device).requires_grad_() for key, one in arrays.items()
        }

    def __call__(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the embeddings of these rows, with gradients."""
        x = self.torch.from_numpy(np.asarray(self.vectors[rows], dtype=np.float32) / self._size).to(self.device)
        w = self.weights
        z = x @ w["A"].T + w["b"]
        if "H" in w:
            z = z + (x @ w["H"].T + w["h"]).relu() @ w["C"].T
        return unit(z) if self._plan.normalize else z

    def to_device(self, array: NDArray[Any]) -> Tensor:
        """Return an array as a tensor beside the weights."""
        return self.torch.from_numpy(array).to(self.device)

    def head(self) -> Head:
        """Return the present weights as a head, which takes rows in their own scale."""
        arrays = {name: one.detach().cpu().numpy().copy() for name, one in self.weights.items()}
        for name in {"A", "H"} & set(arrays):
            arrays[name] /= self._size
        return Head(arrays, self._plan.normalize, self._name)


def initial_weights(
    vectors: NDArray[Any], train: NDArray[np.int64], plan: Plan, dim: int
) -> tuple[dict[str, NDArray[np.float32]], np.float32]:
    """Return the initial weights of a head and the root mean square length of the rows.

    With these weights the head gives the embedding itself, or its first `dim` principal components. The second part of
    a small network starts at 0, so that both kinds start from the given embedding. The weights are for rows divided by
    their root mean square length.

    Raises
    ------
    UsageError
        Where `dim` is larger than the dimension of the vectors.
    """
    random = np.random.default_rng([plan.schedule.seed, 1])
    width = vectors.shape[1]
    if not 1 <= dim <= width:
        raise UsageError(f"dim: expected 1 to {width}, the dimension of the embeddings, got {dim}")
    hidden = (plan.hidden or width) if plan.head == "mlp" else 0
    # Float64 beside float32 while they are made; afterwards a weight has its gradient and two moments.
    needed = 16 * (width * (dim + hidden) + dim * hidden)
    memory.require(needed, f"the weights of a head of {width} to {dim} with {hidden} hidden", "lower hidden or dim")
    sample = train if len(train) <= MAX_ROWS else np.sort(random.choice(train, MAX_ROWS, replace=False))
    x = np.asarray(vectors[sample], dtype=np.float64)
    size = float(np.sqrt((x * x).sum(axis=1).mean())) or 1.0
    axes = np.eye(width)
    if dim < width:
        centred = x - x.mean(axis=0)
        axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :dim].T
    arrays = {"A": axes, "b": np.zeros(dim)}
    if hidden:
        arrays["H"] = random.normal(size=(hidden, width)) * np.sqrt(2.0)
        arrays |= {"h": np.zeros(hidden), "C": np.zeros((dim, hidden))}
    return {name: np.ascontiguousarray(one, dtype=np.float32) for name, one in arrays.items()}, np.float32(size)
