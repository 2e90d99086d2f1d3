"""faiss at its best: the settings of its exhaustive search, tried on a part of the rows.

faiss ranks blocks of queries and stored rows by its BLAS, or pair by pair by loops of its own, and keeps the k nearest
in heaps or reservoirs. It chooses by the number of queries and by k; the sizes of blocks are constants.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

NAMES = (
    "distance_compute_blas_threshold",
    "distance_compute_blas_query_bs",
    "distance_compute_blas_database_bs",
    "distance_compute_min_k_reservoir",
)
NEVER = 2**31 - 1
PART, STORED = 2_048, 30_000  # queries and stored rows of a trial; blocks have at most 4,096 of either
CLOSE = 1.15  # what is no slower than the best by more is tried a second time, as is the default

Settings = dict[str, int]


def current() -> Settings:
    """The settings that faiss has now."""
    import faiss

    return {name: int(getattr(faiss.cvar, name)) for name in NAMES}


def apply(settings: Settings) -> None:
    """Set them, for all of faiss's calls of this process."""
    import faiss

    for name, value in settings.items():
        setattr(faiss.cvar, name, value)


DEFAULT: list[Settings] = []


def candidates(k: int) -> list[Settings]:
    """The default, BLAS with several sizes of blocks, no BLAS; each with heaps and, from k = 10 on, reservoirs."""
    if not DEFAULT:
        DEFAULT.append(current())
    default = DEFAULT[0]
    threshold, queries, stored, reservoir = NAMES
    found = [default, default | {threshold: NEVER}]
    found += [
        default | {threshold: 1, queries: rows, stored: columns}
        for rows, columns in ((4096, 1024), (1024, 1024), (1024, 4096), (4096, 256), (4096, 4096), (256, 1024))
    ]
    if k >= 10:
        found += [one | {reservoir: least} for one in found[:4] for least in (1, NEVER)]
    return [one for place, one in enumerate(found) if one not in found[:place]]


def best(ask: Callable[[np.ndarray, int], Any], queries: np.ndarray, k: int, blas: bool = True) -> dict[str, Any]:
    """Leave faiss at the fastest settings for these queries, and give them, with what the default took beside them.

    blas : False for a metric that faiss computes without BLAS
    """
    part = queries[:PART]
    tried = candidates(k) if blas else candidates(k)[:1]
    if len(tried) == 1:
        apply(tried[0])
        return {"settings": {}, "default_over_best": 1.0, "tried": 1}

    def once(settings: Settings) -> float:
        apply(settings)
        start = time.perf_counter()
        ask(part, k)
        return time.perf_counter() - start

    seconds = [once(settings) for settings in tried]
    near = CLOSE * min(seconds)
    for i, settings in enumerate(tried):
        if i == 0 or seconds[i] <= near:
            seconds[i] = min(seconds[i], once(settings))
    place = int(np.argmin(seconds))
    apply(tried[place])
    changed = {name: value for name, value in tried[place].items() if value != tried[0][name]}
    return {"settings": changed, "default_over_best": seconds[0] / seconds[place], "tried": len(tried)}
