"""Where the rows of a distributed pass lie: parts of files that every node maps, or arrays in the object store.

A `Piece` of a file names its path, so that the driver and the object store never hold its values: `ray.put` of a memory
map would give every reader a private copy of the whole. Rows that are only in memory are put once a block.
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError
from vicinal.knn.arrays import numbers
from vicinal.storage import guard


@dataclass(frozen=True)
class Piece:
    """Rows of an array in a file, as any node reads them.

    Attributes
    ----------
    path : str
    offset : int
        Of the first row's first byte.
    shape, strides : tuple of int
    dtype : str
    size, changed : int
        The file's bytes and the time of its last change, by which a node knows that it has the same file.
    chosen : ndarray of int64, shape (n,), or None
        Which rows from `offset` on they are, ascending; None for all, one after the other.
    """

    path: str
    offset: int
    shape: tuple[int, int]
    strides: tuple[int, int]
    dtype: str
    size: int
    changed: int
    chosen: np.ndarray | None = field(default=None, compare=False)

    def read(self) -> np.ndarray:
        """The rows as a memory map; chosen ones are copied.

        Raises
        ------
        DataError
            There is no such file here, or another one.
        """
        here = os.uname().nodename
        try:
            state = Path(self.path).stat()
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read on the node {here} ({error.strerror}); put the file where every node "
                "sees it under this path, or give an array, whose blocks are sent to the nodes"
            ) from None
        if (state.st_size, state.st_mtime_ns) != (self.size, self.changed):
            raise DataError(
                f"{self.path}: is another file on the node {here}, or was changed since the pass began; every node "
                "needs the same file"
            )
        whole: np.ndarray = np.memmap(self.path, np.uint8, "r")
        guard.watch(whole, self.path)
        n = self.shape[0] if self.chosen is None else int(self.chosen[-1]) + 1
        shape = (n, self.shape[1])
        rows: np.ndarray = np.ndarray(shape, np.dtype(self.dtype), whole, self.offset, self.strides)
        return numbers(rows if self.chosen is None else rows[self.chosen], self.path)

    def rows(self, start: int, stop: int) -> "Piece":
        """Some of the rows."""
        first = start if self.chosen is None else int(self.chosen[start])
        rows = None if self.chosen is None else self.chosen[start:stop] - first
        offset = self.offset + first * self.strides[0]
        return replace(self, offset=offset, shape=(stop - start, self.shape[1]), chosen=rows)

    def only(self, rows: np.ndarray) -> "Piece":
        """The rows of these numbers, ascending."""
        return replace(self, shape=(len(rows), self.shape[1]), chosen=rows)


Part = Piece | np.ndarray


def part_of(array: np.ndarray) -> Part:
    """The piece of a file that an array maps, or the array itself where it lies in memory."""
    if array.size == 0 or any(stride < 0 for stride in array.strides):
        return array
    whole: Any = array
    while isinstance(whole, np.ndarray) and isinstance(whole.base, np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or whole.filename is None or whole.mode == "c":
        return array  # changes of a map in mode "c" are in memory alone
    offset = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0] + whole.offset
    path = Path(whole.filename).absolute()
    state = path.stat()
    dtype = array.dtype.str if array.dtype.kind != "V" else f"|V{array.dtype.itemsize}"
    shape, strides = (len(array), array.shape[1]), (array.strides[0], array.strides[1])
    return Piece(str(path), offset, shape, strides, dtype, state.st_size, state.st_mtime_ns)


@dataclass(frozen=True)
class Block:
    """A block of rows: its parts, one after the other."""

    parts: tuple[Any, ...]

    def read(self) -> np.ndarray:
        """The rows, in place where they are one part; rows of several files are copied into one array."""
        arrays = [part.read() if isinstance(part, Piece) else part for part in self.parts]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def cut(parts: Sequence[Part], starts: Sequence[int]) -> list[Block]:
    """The blocks that begin at these rows of all parts; the last start is the end."""
    lengths = [part.shape[0] for part in parts]
    begins = np.append(0, np.cumsum(lengths)).tolist()
    blocks = []
    for start, stop in itertools.pairwise(starts):
        inside = []
        for part, begin, length in zip(parts, begins, lengths, strict=False):
            low, high = max(start, begin) - begin, min(stop, begin + length) - begin
            if low < high:
                inside.append(part.rows(low, high) if isinstance(part, Piece) else part[low:high])
        blocks.append(Block(tuple(inside)))
    return blocks
