"""From rows to entries: what an engine holds is one entry for each distinct live row, in the form that it takes.

Copies cost a graph nothing so. Entries are of float32, moved to their mean and scaled where that keeps more of their
digits, or of length 1, or packed bits.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vicinal.indexes.stored import Stored
from vicinal.knn.blocks import blocks
from vicinal.knn.copies import Copies, find_copies
from vicinal.knn.measure import inverse_lengths

BLOCK_BYTES = 1 << 26
REBUILD_BELOW = 0.5  # an engine is built anew once fewer of its entries than this are live
COMMON = 1e9  # values that are all larger than this, or smaller than 1 / COMMON, are scaled for engines of float32
MOST = 1e15  # what such an engine is given at most, so that no sum of squares overflows


class Entries(Stored):
    """An engine's entries. A kind of index gives the engine: `_build`, `_extend`, and how it is written and read."""

    centres: ClassVar[bool] = True  # its entries may be moved to the mean, for the digits of float32

    def _start(self) -> None:
        super()._start()
        self._entry_rows: np.ndarray | None = None  # the rows that the engine was made of; None for all of the first
        self._covered = 0  # how many rows the engine knows of
        self._copies: Copies | None = None
        self._live: tuple[Copies, np.ndarray | None] | None = None  # the copies that are live, and the entries with any
        self._centre: np.ndarray | None = None
        self._inverse_norms: np.ndarray | None = None
        self._scale = 1.0  # entries are multiplied by this, a power of two

    # The engine, which a kind of index gives

    def _build(self, n: int) -> None:
        """Makes the engine of the first n entries, which `_prepared` gives."""
        raise NotImplementedError

    def _extend(self, first: int, n: int) -> None:
        """Adds the entries from `first` on to the engine."""
        self._build(n)

    def _write(self, folder: Path) -> None:
        """Writes the engine's files; nothing where it is built again on load."""

    def _read(self, files: dict[str, Path], n: int) -> None:
        """Makes the engine of the files that `_write` wrote, whose checksums are right, for n entries."""
        self._build(n)

    def _restore(self, copies: Copies, files: dict[str, Path], manifest: dict[str, Any]) -> None:
        """Makes the engine of a folder's files; vectors, removed rows and copies are there already."""
        self._copies, self._entry_rows, self._covered = copies, copies.first, self._n
        if len(copies.first) and len(self):
            self._read(files, len(copies.first))

    # From rows to entries

    def _make(self) -> None:
        """Builds the engine of the live rows, without their copies."""
        stored = self._stored()
        live = None if self._dead is None else np.flatnonzero(~self._dead)
        self._copies = self._find_copies(stored if live is None else stored[live], live)
        self._entry_rows, self._covered = self._copies.first, self._n
        moved = self.centres and self.metric.kernel == "dot" and not self.metric.product and not self.metric.nonzero
        self._centre = self._mean() if moved else None
        self._scale = self._fitting_scale()
        self._inverse_norms, self._live = None, None
        if len(self._entry_rows):
            self._build(len(self._entry_rows))

    def _find_copies(self, rows: np.ndarray, numbers: np.ndarray | None) -> Copies:
        if not len(rows):
            empty = np.zeros(0, dtype=np.int64)
            return Copies(empty, empty, empty, np.zeros(1, dtype=np.int64))
        copies = find_copies(rows)
        if numbers is None:
            return copies
        return Copies(numbers[copies.first], copies.group, numbers[copies.members], copies.starts)

    def _grow(self) -> None:
        """The engine learns of rows that were appended: those that are no copies of rows it has."""
        entries = self._entries()
        if not len(entries):
            self._make()
            return
        new = np.arange(self._covered, self._n)
        rows = np.concatenate([entries, new])
        together = find_copies(self._stored()[rows])
        # The old entries are distinct and come first, so that they keep their places.
        first = rows[together.first]
        old = self._copies
        assert old is not None
        group_of_new = together.group[len(entries) :]
        group = np.concatenate([np.repeat(np.arange(len(entries)), np.diff(old.starts)), group_of_new])
        members = np.concatenate([old.members, new])
        order = np.lexsort((members, group))
        starts = np.append(0, np.cumsum(np.bincount(group, minlength=len(first)))).astype(np.int64)
        self._copies = Copies(first, group[order], members[order], starts)
        self._entry_rows, self._covered = first, self._n
        self._inverse_norms, self._live = None, None
        if len(first) > len(entries):
            self._extend(len(entries), len(first))

    def _shrink(self) -> None:
        """The engine learns that rows are gone: they are passed over, and it is built anew once most of it is gone."""
        copies = self._copies
        assert copies is not None and self._dead is not None
        self._live = None
        if not len(copies.first):
            return
        live = np.add.reduceat(~self._dead[copies.members], copies.starts[:-1]) > 0
        if live.mean() < REBUILD_BELOW:
            self._make()

    def _mean(self) -> np.ndarray:
        total = np.zeros(self.dim)
        for block in self._blocks(len(self._entries())):
            total += self._stored()[self._entries()[block]].sum(axis=0, dtype=np.float64)
        return total / max(1, len(self._entries()))

    def _fitting_scale(self) -> float:
        """What brings the entries near 1, where their squares or the products of these would leave float32; else 1."""
        if self.metric.kernel == "bits" or self.metric.nonzero:
            return 1.0
        largest, centre = 0.0, 0.0 if self._centre is None else self._centre
        for block in self._blocks(len(self._entries())):
            largest = max(largest, float(np.abs(self._stored()[self._entries()[block]] - centre).max()))
        return 1.0 if largest == 0 or 1 / COMMON <= largest <= COMMON else float(2.0 ** -round(np.log2(largest)))

    def _entries(self) -> np.ndarray:
        assert self._entry_rows is not None
        return self._entry_rows

    def _blocks(self, n: int, first: int = 0) -> Iterator[slice]:
        return blocks(n, BLOCK_BYTES // (self.dim * 8), first)

    def _prepared(self, entries: slice | np.ndarray) -> np.ndarray:
        """Entries as the engine takes them."""
        return self._prepare(self._stored()[self._entries()[entries]])

    def _prepare(self, vectors: np.ndarray) -> np.ndarray:
        """Rows as the engine takes them: packed bits as they are, else float32, of length 1, or moved and scaled."""
        if self.metric.kernel == "bits":
            return np.ascontiguousarray(vectors)
        if self.metric.nonzero:
            rows = vectors.astype(np.float64)
            rows *= (1.0 / np.sqrt(np.einsum("ij,ij->i", rows, rows)))[:, None]
            return rows.astype(np.float32)
        if self._centre is None and self._scale == 1:
            rows = np.ascontiguousarray(vectors, dtype=np.float32)
        else:
            moved = np.subtract(vectors, 0.0 if self._centre is None else self._centre, dtype=np.float64)
            rows = (moved if self._scale == 1 else moved * self._scale).astype(np.float32)
        most = MOST**2 if self.metric.product else MOST
        return rows if max(rows.max(initial=0), -rows.min(initial=0)) <= most else np.clip(rows, -most, most)

    def _norms(self) -> np.ndarray | None:
        """1 / length of every row, where the metric is of directions; 0 for rows that are not live."""
        if not self.metric.nonzero:
            return None
        if self._inverse_norms is None or len(self._inverse_norms) < self._n:
            self._inverse_norms = inverse_lengths(self._stored(), self._inverse_norms)
        return self._inverse_norms

    def _groups(self, allowed: np.ndarray | None) -> tuple[Copies, np.ndarray | None]:
        """The copies among the rows that count, and which entries have any; None where all have."""
        copies = self._copies
        assert copies is not None
        if allowed is not None:
            return _restricted(copies, allowed)
        if self._live is None:
            self._live = (copies, None) if self._dead is None else _restricted(copies, ~self._dead)
        return self._live


def _restricted(copies: Copies, allowed: np.ndarray) -> tuple[Copies, np.ndarray | None]:
    """The groups with their allowed members only, and which groups have any; None where all have."""
    keep = allowed[copies.members]
    group = np.repeat(np.arange(len(copies.first)), np.diff(copies.starts))[keep]
    counts = np.bincount(group, minlength=len(copies.first))
    among = None if counts.all() else counts > 0
    return Copies(copies.first, group, copies.members[keep], np.append(0, np.cumsum(counts)).astype(np.int64)), among
