"""The exact search over the rows that match a filter."""

import hashlib

import numpy as np

from vicinal import devices
from vicinal.indexes.rows import Rows
from vicinal.knn.exact import ExactSearch


class Scan:
    """Exact searches over some of the rows; the last one is kept, because the next call often has the same filter."""

    def __init__(self, rows: Rows, threads: int, device: str | None = None) -> None:
        self._rows, self._threads, self._device = rows, threads, device
        self._last: tuple[bytes, ExactSearch] | None = None

    def over(self, rows: np.ndarray) -> ExactSearch:
        """The search over these rows, int64, ascending."""
        key, last = hashlib.blake2b(rows.tobytes(), digest_size=16).digest(), self._last
        device = devices.chosen() or self._device
        if last is None or last[0] != key or last[1].device != device:
            # Two threads may each make one and keep the later; what is returned is always that of these rows.
            made = ExactSearch(self._rows.vectors, self._rows.metric, self._threads, rows, device=device)
            last = self._last = key, made
        return last[1]

    def nearest(self, queries: np.ndarray, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of these rows of each checked query, and their distances as the kernel returns them."""
        indices, distances = self.over(rows).kernel.search(queries, k)
        return np.where(indices < 0, -1, rows[indices]), distances

    def forget(self) -> None:
        """Drop the kept search, after the vectors have changed."""
        self._last = None
