"""The k nearest so far of each row of a tile, by (distance, entry), and how new pairs enter them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import need
from vicinal.knn.blocks import blocks

if TYPE_CHECKING:
    from torch import Tensor

NONE = np.iinfo(np.int64).max  # the entry of an empty place, at the distance inf
MERGE_BYTES = 1 << 28


@dataclass
class Lists:
    """distance float64 (m, k) and entry int64 (m, k), each row ascending by (distance, entry)."""

    distance: Tensor
    entry: Tensor

    @classmethod
    def empty(cls, n: int, k: int, device: Any) -> Lists:
        """No neighbours yet."""
        torch = need("torch")
        distance = torch.full((n, k), torch.inf, dtype=torch.float64, device=device)
        return cls(distance, torch.full((n, k), NONE, dtype=torch.int64, device=device))

    @classmethod
    def of(cls, distance: np.ndarray, entry: np.ndarray, device: Any) -> Lists:
        """Copies of two arrays."""
        torch = need("torch")
        return cls(*(torch.tensor(one, device=device) for one in (distance, entry)))

    def numpy(self) -> tuple[np.ndarray, np.ndarray]:
        """Both arrays on the host."""
        return self.distance.cpu().numpy(), self.entry.cpu().numpy()

    def to(self, device: Any) -> Lists:
        """The lists on a device: these where they are there."""
        return Lists(self.distance.to(device), self.entry.to(device))

    @property
    def worst(self) -> Tensor:
        """The distance of the last place of each row."""
        return self.distance[:, -1]

    def offer(self, row: Tensor, distance: Tensor, entry: Tensor) -> None:
        """Enter pairs, none of which was entered before; in any order."""
        torch = need("torch")
        worst, last = self.distance[row, -1], self.entry[row, -1]
        better = (distance < worst) | ((distance == worst) & (entry < last))
        row, distance, entry = row[better], distance[better], entry[better]
        if not len(row):
            return
        order = entry.argsort()
        for key in (distance, row):  # stable, so that the last key counts first
            order = order[key[order].argsort(stable=True)]
        row, distance, entry = row[order], distance[order], entry[order]
        touched, counts = torch.unique_consecutive(row, return_counts=True)
        starts = counts.cumsum(0) - counts
        k = self.distance.shape[1]
        counts = counts.clamp(max=k)
        step = max(1, MERGE_BYTES // (64 * k))
        for first in range(0, len(touched), step):
            part = slice(first, first + step)
            self._merge(touched[part], starts[part], counts[part], distance, entry)

    def _merge(self, rows: Tensor, starts: Tensor, counts: Tensor, distance: Tensor, entry: Tensor) -> None:
        """Merge the lists of rows with sorted pairs, of which row i's are `counts[i]` from `starts[i]`."""
        torch = need("torch")
        place = torch.arange(int(counts.max()), device=rows.device)[None, :]
        there = place < counts[:, None]
        named = torch.where(there, starts[:, None] + place, 0)
        distances = torch.cat([self.distance[rows], torch.where(there, distance[named], torch.inf)], dim=1)
        entries = torch.cat([self.entry[rows], torch.where(there, entry[named], NONE)], dim=1)
        by_entry = entries.argsort(dim=1)
        order = by_entry.gather(1, distances.gather(1, by_entry).argsort(dim=1, stable=True))
        order = order[:, : self.distance.shape[1]]
        self.distance[rows], self.entry[rows] = distances.gather(1, order), entries.gather(1, order)


def nothing(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The lists of n rows without neighbours, on the host."""
    return np.full((n, k), np.inf), np.full((n, k), NONE)


def merged(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], device: Any = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of two lists of the same rows, as many as the first has; a pair may be in both.

    a, b   : distances float64 (n, k) and entries int64 (n, k); the second may have fewer or more columns
    device : where they are sorted
    """
    torch = need("torch")
    n, k = a[0].shape
    width = k + b[0].shape[1]
    out = np.empty((n, k)), np.empty((n, k), dtype=np.int64)
    for part in blocks(n, MERGE_BYTES // (64 * max(1, width))):
        both = ([torch.tensor(one[part], device=device) for one in each] for each in zip(a, b, strict=True))
        distance, entry = (torch.cat(each, dim=1) for each in both)
        for _ in range(2):  # the second time without what was there twice
            by_entry = entry.argsort(dim=1)
            order = by_entry.gather(1, distance.gather(1, by_entry).argsort(dim=1, stable=True))
            distance, entry = distance.gather(1, order), entry.gather(1, order)
            twice = (entry[:, 1:] == entry[:, :-1]) & (entry[:, 1:] != NONE)
            if not bool(twice.any()):
                break
            distance[:, 1:][twice], entry[:, 1:][twice] = torch.inf, NONE
        out[0][part], out[1][part] = distance[:, :k].cpu().numpy(), entry[:, :k].cpu().numpy()
    return out
