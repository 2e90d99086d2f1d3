"""Indexes that hold codes in place of vectors: the decoded vectors, and the error of their distances."""

from typing import Any

import numpy as np

from vicinal.indexes.engine import Engine
from vicinal.indexes.entries import Entries
from vicinal.indexes.rows import Rows

ERROR_SAMPLE = 1_000


class Decoded:
    """Vectors that are decoded when they are read, float32 (n, dim); NaN for rows that have no code."""

    dtype = np.dtype(np.float32)

    def __init__(self, entries: Entries, engine: Engine, n: int) -> None:
        self._entries, self._engine = entries, engine
        copies = entries.copies
        self._entry_of = np.full(n, -1)
        self._entry_of[copies.members] = copies.group_of_member
        self.shape = (n, entries.dim)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        entries = self._entry_of[rows]
        found = np.full((len(entries), self.shape[1]), np.nan, dtype=np.float32)
        coded = entries >= 0
        if coded.any():
            found[coded] = decoded(self._entries, self._engine, entries[coded])
        return found


def decoded(entries: Entries, engine: Engine, chosen: np.ndarray) -> np.ndarray:
    """The vectors that the codes of these entries stand for, float32."""
    return entries.restored(engine.decode(np.ascontiguousarray(chosen, dtype=np.int64)))


def error_of_codes(rows: Rows, entries: Entries, engine: Engine) -> dict[str, float]:
    """How far distances of decoded vectors are off, over sampled pairs, in the metric's unit."""
    metric, stored = rows.metric, rows.vectors
    queries, others = np.random.default_rng(0).integers(0, entries.n, (2, ERROR_SAMPLE))
    asked = metric.prepare(stored[entries.rows[queries]])
    true = metric.finish(metric.measure(asked, metric.prepare(stored[entries.rows[others]])))
    coded = metric.finish(metric.measure(asked, metric.prepare(decoded(entries, engine, others))))
    off = np.abs(coded - true)
    return {
        "mean_absolute": float(off.mean()),
        "p99_absolute": float(np.quantile(off, 0.99)),
        "mean_distance": float(np.abs(true).mean()),
    }
