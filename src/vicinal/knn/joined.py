"""Rows of several arrays one after the other, read where they lie: the shards of a folder, without a copy of them."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from vicinal.knn import memory
from vicinal.knn.blocks import blocks
from vicinal.storage.npy import let_go
from vicinal.storage.scratch import scratch

PART_OF_MEMORY = 4  # a copy that would take more than a quarter of the memory lies on disk
BLOCK_BYTES = 1 << 26


class Joined:
    """Arrays of one dtype and one dim, read as one array of shape (n, dim).

    Rows are read by a slice, a number or an array of numbers, and are copied then, except for a slice inside one part.
    `numpy.asarray` copies all of them.

    Parameters
    ----------
    parts : sequence of ndarray, shape (n_part, dim)
    rows : ndarray of int64, optional
        The rows that are left, ascending; all by default.

    Examples
    --------
    >>> both = Joined([np.array([[0.0], [1.0]]), np.array([[2.0]])])
    >>> both.shape, both[1:].ravel().tolist(), both[np.array([2, 0])].ravel().tolist()
    ((3, 1), [1.0, 2.0], [2.0, 0.0])
    """

    ndim = 2

    def __init__(self, parts: Sequence[np.ndarray], rows: np.ndarray | None = None) -> None:
        self._parts, self._rows = parts, rows
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.dtype = parts[0].dtype.newbyteorder("=")
        self.shape = (int(self._starts[-1]) if rows is None else len(rows), int(parts[0].shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """The bytes that a copy takes."""
        return self.size * self.dtype.itemsize

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield each part that has rows left, and the numbers of these rows in it; None for all."""
        for part, start in zip(self._parts, self._starts.tolist(), strict=False):
            if self._rows is None:
                rows = None
            else:
                low, high = np.searchsorted(self._rows, (start, start + len(part)))
                rows = self._rows[low:high] - start
            if len(part if rows is None else rows):
                yield part, rows

    def chosen(self, rows: np.ndarray) -> "Joined":
        """Some of the rows, by ascending number or as a bool a row; none is read."""
        rows = np.flatnonzero(rows) if rows.dtype.kind == "b" else rows
        if (np.diff(rows) < 0).any():
            raise ValueError("rows: expected ascending numbers")
        return Joined(self._parts, rows if self._rows is None else self._rows[rows])

    def __getitem__(self, which: Any) -> np.ndarray:
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            stop = max(start, stop) if step > 0 else stop
            inside = self._inside(start, stop) if step == 1 and self._rows is None else None
            if inside is not None:
                return inside
            which = np.arange(start, stop, step)
        rows = np.asarray(which)
        rows = np.flatnonzero(rows) if rows.dtype.kind == "b" else rows
        single, rows = rows.ndim == 0, np.atleast_1d(rows)
        rows = np.where(rows < 0, rows + len(self), rows)
        out = self._read(rows if self._rows is None else self._rows[rows])
        found: np.ndarray = out[0] if single else out
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows as one array; of one part, the part itself."""
        if self._rows is not None:
            out = self[np.arange(len(self))]
        else:
            out = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        return np.array(out, dtype=dtype or self.dtype, copy=copy)

    def _inside(self, start: int, stop: int) -> np.ndarray | None:
        """The rows of a range that lies in one part, without a copy; else None."""
        part = int(np.searchsorted(self._starts, start, "right")) - 1
        if part >= len(self._parts) or stop > self._starts[part + 1]:
            return None
        first = int(self._starts[part])
        let_go(self._parts[part])  # what was read before, so that little of a file is in memory at a time
        rows = self._parts[part][start - first : stop - first]
        return rows.astype(self.dtype, copy=False)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        part_of = np.searchsorted(self._starts, rows, "right") - 1
        for part in np.unique(part_of).tolist():
            here = np.flatnonzero(part_of == part)
            out[here] = self._parts[part][rows[here] - self._starts[part]]
            let_go(self._parts[part])
        return out


def chosen(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return some rows, ascending: a copy of an array, and the places of rows of a `Joined`."""
    if isinstance(vectors, Joined):
        return cast(np.ndarray, vectors.chosen(rows))
    return copy_of(vectors, np.flatnonzero(rows) if rows.dtype.kind == "b" else rows)


def copy_of(vectors: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return a copy of some rows, by number: in memory, or in a file without a name where they would fill much of it.

    Without rows, all of them, of which no copy is made where they are one array already.

    Raises
    ------
    DiskFull
        Neither has room.
    """
    n, dim = len(vectors) if rows is None else len(rows), int(vectors.shape[1])
    of_row = dim * vectors.dtype.itemsize
    if memory.fits(PART_OF_MEMORY * n * of_row):
        found: np.ndarray = np.asarray(vectors) if rows is None else vectors[rows]
        return found
    out = scratch(n * of_row).view(vectors.dtype.newbyteorder("=")).reshape(n, dim)
    for block in blocks(n, BLOCK_BYTES // of_row):
        out[block] = vectors[block if rows is None else rows[block]]
        let_go(vectors)
    return out
