"""The checkpoint of a self-join on devices: the lists of distinct rows, and which pairs of tiles are in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.knn.checkpoint import Checkpoint
from vicinal.knn.kernels.torch.driver import Pair, State
from vicinal.knn.kernels.torch.lists import NONE

KERNEL = "torch"


@dataclass(frozen=True)
class Kept:
    """What was done: the pairs of tiles, the lists, and how many rows a tile has."""

    pairs: set[Pair]
    state: State
    tile: int


def save(checkpoint: Checkpoint, tile: int, pairs: set[Pair], state: State) -> None:
    """Write what is done."""
    names = {"kernel": KERNEL, "tile": tile, "pairs": sorted(pairs)}
    checkpoint.save(names | {"distances": state[0], "indices": state[1]})


def load(checkpoint: Checkpoint, n: int, k: int) -> Kept | None:
    """What was done; None where nothing was saved.

    Raises
    ------
    UsageError
        Where another kernel saved it, or it is damaged.
    """
    found = checkpoint.load()
    if found is None:
        return None
    if found.get("kernel") != KERNEL:
        raise UsageError(
            f"{checkpoint.folder}: was written by the kernel of the processor; run the same command without "
            "--device to continue from it, or remove the folder to start again"
        )
    if not _is_state(found, n, k):
        raise UsageError(
            f"{checkpoint.folder}: damaged, or written by another version; remove the folder to start again"
        )
    return Kept(
        {(first, second) for first, second in found["pairs"]}, (found["distances"], found["indices"]), found["tile"]
    )


def _is_state(found: dict[str, Any], n: int, k: int) -> bool:
    """Whether saved values have the types and shapes of a self-join of n distinct rows, and name rows that exist."""
    tile, pairs, entries, distances = (found.get(name) for name in ("tile", "pairs", "indices", "distances"))
    if type(tile) is not int or tile < 1 or not isinstance(pairs, list):
        return False
    most = -(-n // tile)
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(one) is int for one in pair):
            return False
        if not 0 <= pair[0] <= pair[1] < most:
            return False
    if not isinstance(entries, np.ndarray) or entries.dtype != np.int64 or entries.shape != (n, k):
        return False
    if not isinstance(distances, np.ndarray) or distances.dtype != np.float64 or distances.shape != (n, k):
        return False
    named = entries != NONE
    return bool(((entries >= 0) & (entries < n))[named].all() and not np.isnan(distances).any())
