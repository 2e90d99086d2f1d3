"""The state of a training run as arrays and JSON, for checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vicinal.errors import UsageError, need

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

LISTS = ("losses", "recalls", "scores")
MOMENTS = (("exp_avg", "mean"), ("exp_avg_sq", "square"), ("step", "step"))  # AdamW's names, the checkpoint's names


class Lists(Protocol):
    """The part of a `History` that a checkpoint holds."""

    losses: list[float]
    recalls: list[float]
    scores: list[float]
    best: int


def copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of the weights."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def put(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Set the weights to the values of the same names."""
    with need("torch", extra="learn").no_grad():
        for name, tensor in weights.items():
            tensor.copy_(values[name])


def array_names(weights: dict[str, Tensor]) -> tuple[str, ...]:
    """Return the names of the arrays in a checkpoint of these weights."""
    free = [name for name, tensor in weights.items() if tensor.requires_grad]
    moments = [f"{what}.{name}" for name in free for what in ("mean", "square", "step")]
    return (*(f"{what}.{name}" for name in weights for what in ("now", "best")), *moments)


@dataclass
class Begun:
    """The part of an epoch that is done.

    Attributes
    ----------
    steps, rows : int
        Batches, and rows in them.
    total : float
        The sum of their losses.
    random : str
        The state of torch's generator after them, in hexadecimal.
    """

    steps: int = 0
    rows: int = 0
    total: float = 0.0
    random: str = ""

    def add(self, loss: float, rows: int) -> None:
        """Count a batch that is done."""
        self.steps, self.rows, self.total, self.random = self.steps + 1, self.rows + rows, self.total + loss, ""

    def keep_random(self) -> None:
        """Note the state of torch's generator; without it the part cannot be kept."""
        self.random = need("torch", extra="learn").get_rng_state().numpy().tobytes().hex()

    def rest_of(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches of an epoch that are not done, with torch's generator as it was."""
        torch = need("torch", extra="learn")
        left = iter(batches)
        if not self.steps:
            return left
        for _ in range(self.steps):
            next(left, None)
        torch.set_rng_state(torch.frombuffer(bytearray.fromhex(self.random), dtype=torch.uint8))
        return left


def begun_of(saved: dict[str, Any]) -> Begun:
    """Return the part of an epoch that a saved state holds.

    Raises
    ------
    UsageError
        It is none.
    """
    kept = saved.get("begun") or {}
    try:
        found = Begun(int(kept.get("steps", 0)), int(kept.get("rows", 0)), float(kept.get("total", 0)))
        found.random = bytes.fromhex(kept.get("random", "")).hex()
    except (AttributeError, TypeError, ValueError):
        found = Begun(steps=-1)
    if found.steps < 0 or bool(found.steps) != bool(found.random):
        raise UsageError("checkpoint: the epoch that was begun is damaged; remove the checkpoint to start again")
    return found


def packed(
    history: Lists, weights: dict[str, Tensor], best: dict[str, Tensor], optimizer: Any, begun: Begun | None = None
) -> dict[str, Any]:
    """Return the state that a checkpoint saves."""
    saved: dict[str, Any] = {"best": history.best}
    if begun is not None:
        saved["begun"] = asdict(begun)
    for name in LISTS:
        saved[name] = [None if np.isnan(one) else one for one in getattr(history, name)]  # JSON has no NaN
    for name, tensor in weights.items():
        saved[f"now.{name}"] = tensor.detach().cpu().numpy()
        saved[f"best.{name}"] = best[name].cpu().numpy()
        if tensor.requires_grad:
            moments = optimizer.state[tensor]
            for key, what in MOMENTS:
                saved[f"{what}.{name}"] = _array(moments[key]) if moments else np.zeros(1)
    return saved


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.atleast_1d(tensor.detach().cpu().numpy())


def history_of(saved: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the `History` of a saved state."""
    lists = {name: [float("nan") if one is None else one for one in saved[name]] for name in LISTS}
    return {**lists, "best": saved["best"]}


def _check(saved: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Raise UsageError where an array of a saved state is not of its weight's shape, or no numbers of its kind."""
    for name, one in weights.items():
        wanted = {what: tuple(one.shape) for what in (f"now.{name}", f"best.{name}")}
        if one.requires_grad:
            moved = np.asarray(saved[f"step.{name}"])
            wanted[f"step.{name}"] = (1,)
            if moved.shape == (1,) and moved.dtype.kind == "f" and moved[0]:
                wanted |= {what: tuple(one.shape) for what in (f"mean.{name}", f"square.{name}")}
        for what, shape in wanted.items():
            array = np.asarray(saved[what])
            if array.shape not in (shape, shape or (1,)) or array.dtype.kind != "f":
                raise UsageError(
                    f"checkpoint: {what}: found {array.dtype} of shape {array.shape}, expected float of shape {shape}; "
                    "remove the checkpoint to start again"
                )


def restore(saved: dict[str, Any], weights: dict[str, Tensor], optimizer: Any) -> dict[str, Tensor]:
    """Set the weights and the optimizer to a saved state, and return the weights of the best epoch."""
    torch = need("torch", extra="learn")
    _check(saved, weights)

    def tensor(name: str, like: Tensor) -> Tensor:
        return torch.from_numpy(np.array(saved[name])).to(like.device, like.dtype).reshape(like.shape)

    put(weights, {name: tensor(f"now.{name}", one) for name, one in weights.items()})
    for name, one in weights.items():
        if not one.requires_grad:
            continue
        step = torch.from_numpy(np.array(saved[f"step.{name}"])).float().reshape(())
        if float(step):
            moments = {"exp_avg": tensor(f"mean.{name}", one), "exp_avg_sq": tensor(f"square.{name}", one)}
            optimizer.state[one] = {"step": step, **moments}
    return {name: tensor(f"best.{name}", one) for name, one in weights.items()}
