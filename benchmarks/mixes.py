"""Larger sets of the kind of a given one: its rows, then rows that are mixed of three that lie near each other.

A mixed row is a row plus 0.7 times the difference of two of its 50 nearest, scaled to length 1. So the rows lie where
texts do, with as many directions around each, and no two are equal. They are kept as float16 in a file, of which only
the part that is being written or read is in memory: 2,000,000 x 384 take 1.5 GB of disk.
"""

from pathlib import Path

import numpy as np
from benchmarks import sets

NEAREST, SHARE, BLOCK = 50, 0.7, 20_000


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-30), dtype=np.float32)


def mixed(vectors: np.ndarray, n: int, path: Path) -> np.ndarray:
    """A memory map of n rows, float16, in a file at `path`; the first rows are the given ones in random order."""
    import vicinal

    draw = np.random.default_rng(sets.SEED)
    near = vicinal.neighbors(vectors, k=NEAREST, metric="cosine", recall=0.9).indices
    out = np.lib.format.open_memmap(path, "w+", np.float16, (n, vectors.shape[1]))
    first = min(n, len(vectors))
    out[:first] = unit(vectors[draw.permutation(len(vectors))[:first]])
    for start in range(first, n, BLOCK):
        size = min(BLOCK, n - start)
        row = draw.integers(len(vectors), size=size)
        one, other = near[row, draw.integers(NEAREST, size=size)], near[row, draw.integers(NEAREST, size=size)]
        rows = vectors[row] + np.float32(SHARE) * (vectors[one] - vectors[other])
        out[start : start + size] = unit(rows)
    out.flush()
    del out
    return np.load(path, mmap_mode="r")
