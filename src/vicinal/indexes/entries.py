"""From rows to entries: an engine holds one entry for each distinct live row, in the form that it takes.

So exact copies add nothing to a graph. Entries are float32, either of length 1, or centred at their mean and scaled
where that keeps more of their digits; or packed bits; or float64 for an engine that takes it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vicinal.indexes.rows import Rows
from vicinal.indexes.state import EngineState
from vicinal.knn.blocks import blocks
from vicinal.knn.copies import Copies, find_copies
from vicinal.knn.measure import inverse_lengths

BLOCK_BYTES = 1 << 26
COMMON = 1e9  # values that are all larger than this, or smaller than 1 / COMMON, are scaled for engines of float32
MOST = 1e15  # such an engine is given at most this, so that no sum of squares overflows


class Entries:
    """The distinct live rows of an index, none until `build`.

    rows    : the rows that they are made of
    float64 : whether the engine takes float64
    copies  : which rows each entry stands for
    centre, scale : how vectors become entries of float32: (vector - centre) * scale
    """

    def __init__(self, rows: Rows, float64: bool) -> None:
        self._rows, self._metric, self._float64 = rows, rows.metric, float64
        self.copies = Copies.none(0)
        self.centre: np.ndarray | None = None
        self.scale = 1.0
        self._covered = 0  # the number of rows that were made into entries
        self._live: tuple[Copies, np.ndarray | None] | None = None
        self._inverse_lengths: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """The row that each entry is made of, int64, ascending: the lowest of its copies."""
        return self.copies.first

    @property
    def n(self) -> int:
        """The number of entries."""
        return len(self.copies.first)

    @property
    def dim(self) -> int:
        """The number of coordinates, of packed bits the number of bytes."""
        return self._rows.dim

    # Changes

    def build(self) -> None:
        """Make the entries anew, of the live rows."""
        stored, live = self._rows.vectors, self._rows.live()
        self.copies = find_copies(stored if live is None else stored[live], live)
        self._covered, self._live, self._inverse_lengths = self._rows.n, None, None
        self.centre, self.scale = None, 1.0
        if not self._float64 and self._metric.kernel != "bits" and not self._metric.nonzero:
            self.centre = self._mean() if self._metric.kernel == "dot" and not self._metric.product else None
            self.scale = self._fitting_scale()

    def extend(self) -> None:
        """Add appended rows: those that are no copies become entries after the others."""
        new = np.arange(self._covered, self._rows.n)
        # The old entries are distinct and come first, so that they keep their places.
        numbers = np.concatenate([self.rows, new])
        together, old = find_copies(self._rows.vectors[numbers]), self.copies
        group = np.concatenate([old.group_of_member, together.group[self.n :]])
        members = np.concatenate([old.members, new])
        self.copies = Copies.of_groups(numbers[together.first], group, members)
        self._covered, self._live = self._rows.n, None

    def forget_removed(self) -> None:
        """Update which entries are live, after rows were removed."""
        self._live = None

    def restore(self, state: EngineState) -> None:
        """Take the entries of a saved state."""
        self.copies = Copies.none(self._rows.n) if state.copies is None else state.copies
        self._covered, self._live, self._inverse_lengths = self._rows.n, None, None
        self.centre, self.scale = state.centre, state.scale

    def frozen(self) -> dict[str, Any]:
        """What these entries consist of, but for the rows; later changes leave it as it is."""
        return {name: value for name, value in vars(self).items() if name != "_rows"}

    def share_live(self) -> float:
        """The share of entries that stand for a live row."""
        removed = self._rows.removed
        if removed is None or not self.n:
            return 1.0
        return float((np.add.reduceat(~removed[self.copies.members], self.copies.starts[:-1]) > 0).mean())

    def groups(self, allowed: np.ndarray | None) -> tuple[Copies, np.ndarray | None]:
        """The copies among the live rows that are allowed, and which entries have any, bool; None where all have."""
        if allowed is not None:
            return _among(self.copies, allowed)
        live = self._live  # several threads may compute it at once, to the same end
        if live is None:
            removed = self._rows.removed
            live = self._live = (self.copies, None) if removed is None else _among(self.copies, ~removed)
        return live

    # The form that an engine takes

    def blocks(self, n: int, first: int = 0) -> Iterator[slice]:
        """Slices of the entries first..n, each small enough to be held as float64."""
        return blocks(n, BLOCK_BYTES // (self.dim * 8), first)

    def prepared(self, entries: slice | np.ndarray) -> np.ndarray:
        """Some of the entries as the engine takes them."""
        return self.prepare(self._rows.vectors[self.rows[entries]])

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors or queries as the engine takes them."""
        if self._metric.kernel == "bits":
            return np.ascontiguousarray(vectors)
        if self._float64:
            return np.ascontiguousarray(self._metric.prepare(vectors))
        if self._metric.nonzero:
            rows = vectors.astype(np.float64)
            rows *= (1.0 / np.sqrt(np.einsum("ij,ij->i", rows, rows)))[:, None]
            return rows.astype(np.float32)
        if self.centre is None and self.scale == 1:
            rows = np.ascontiguousarray(vectors, dtype=np.float32)
        else:
            moved = np.subtract(vectors, 0.0 if self.centre is None else self.centre, dtype=np.float64)
            rows = (moved if self.scale == 1 else moved * self.scale).astype(np.float32)
        most = MOST**2 if self._metric.product else MOST
        return rows if max(rows.max(initial=0), -rows.min(initial=0)) <= most else np.clip(rows, -most, most)

    def restored(self, prepared: np.ndarray) -> np.ndarray:
        """The vectors that prepared rows of float32 stand for, float32."""
        if self.centre is None and self.scale == 1:
            return prepared
        return (prepared / self.scale + (0.0 if self.centre is None else self.centre)).astype(np.float32)

    def inverse_lengths(self) -> np.ndarray | None:
        """1 / length of every row under a metric of directions, float64 (n,); None under others."""
        if not self._metric.nonzero:
            return None
        known = self._inverse_lengths
        if known is None or len(known) < self._rows.n:
            known = self._inverse_lengths = inverse_lengths(self._rows.vectors, known)
        return known

    def _mean(self) -> np.ndarray:
        total = np.zeros(self.dim)
        for block in self.blocks(self.n):
            total += self._rows.vectors[self.rows[block]].sum(axis=0, dtype=np.float64)
        return total / max(1, self.n)

    def _fitting_scale(self) -> float:
        """The power of two that brings the values near 1 where their squares would leave float32; else 1."""
        largest, centre = 0.0, 0.0 if self.centre is None else self.centre
        for block in self.blocks(self.n):
            largest = max(largest, float(np.abs(self._rows.vectors[self.rows[block]] - centre).max()))
        return 1.0 if largest == 0 or 1 / COMMON <= largest <= COMMON else float(2.0 ** -round(np.log2(largest)))


def _among(copies: Copies, allowed: np.ndarray) -> tuple[Copies, np.ndarray | None]:
    """The copies that are allowed, and which groups have any; None where all have."""
    left = copies.among(allowed)
    some = np.diff(left.starts) > 0
    return left, None if some.all() else some
