"""What the measures of diversity stand beside: faiss's flat index, and NovelSum step by step in NumPy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

DENSITY_POWERS, NEIGHBORS, DISTANCE_POWERS = (0, 0.25, 0.5), (5, 10), (0, 1, 2)  # the scorer's own defaults
REGULAR = 1e-9


def facility(vectors: np.ndarray, subset: np.ndarray, threads: int) -> float:
    """The sum of the Euclidean distances of all rows to the nearest row of a subset, by faiss's IndexFlat, k = 1."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlat(vectors.shape[1], faiss.METRIC_L2)
    index.add(subset)
    squares, _ = index.search(vectors, 1)
    return float(np.sqrt(np.maximum(squares[:, 0], 0), dtype=np.float64).sum())


class NovelSum:
    """NovelSum as ODA-DataScorer computes it: every distance, then for every combination of powers each row sorted.

    It holds the distances of some of the rows to all rows, so that a part of the rows shows what all of them take: each
    row is worked on by itself.
    """

    def __init__(self, vectors: np.ndarray, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        distinct = np.unique(vectors, axis=0)
        self._index = faiss.IndexFlatL2(vectors.shape[1])
        self._index.add(distinct)
        self._vectors = vectors
        self._unit = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-10)

    def sums(self, rows: np.ndarray) -> dict[str, float]:
        """The mean over some rows, of each combination, by the names of the scorer's answer."""
        distances = 1 - self._unit[rows] @ self._unit.T
        found = {}
        for density_power in DENSITY_POWERS:
            for k in NEIGHBORS:
                squares, _ = self._index.search(self._vectors[rows], k + 1)
                density = 1 / np.power(squares[:, 1:].mean(axis=1) + REGULAR, density_power)
                for power in DISTANCE_POWERS:
                    weighted = distances * density[:, None]
                    means = np.apply_along_axis(_weighted_mean, 1, weighted, power)
                    found[f"neighbor_{k}_density_{density_power}_distance_{power}"] = float(means.mean())
        return found


def _weighted_mean(row: np.ndarray, power: float) -> float:
    weights = 1 / np.power(np.arange(1, len(row) + 1), power)
    return float(np.average(row[np.argsort(row)], weights=weights))


def libraries() -> dict[str, Any]:
    """The instruction sets that ours and faiss use, and the kernel of each BLAS that is loaded."""
    import faiss
    import threadpoolctl

    import vicinal

    told = vicinal.info()
    blas: Sequence[dict[str, Any]] = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
    return {
        "vicinal": told["forced_isa"] or (told["isas"] or ["blas"])[0],
        "faiss": faiss.SIMDConfig.get_level_name(),
        "blas": {_owner(one["filepath"]): _kernel(one) for one in blas},
    }


def _owner(path: str) -> str:
    """The package whose BLAS a file is."""
    return next((name for name in ("faiss", "scipy") if f"{name}.libs" in path or f"{name}_cpu" in path), "numpy")


def _kernel(one: dict[str, Any]) -> str:
    words = (one["internal_api"], one["version"], one.get("architecture"), f"{one['num_threads']} threads")
    return " ".join(map(str, words))


def processor() -> str:
    """The name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
