"""Exact top-k over arrays: the kernels, and the choice among them.

A kernel is a class with

    name, version          what `vicinal info` and summaries call it
    resumable              whether self_join also takes checkpoint=, to resume from
    covers(metric, dtype)  "" where it supports them, else the reason why not
    Kernel(vectors, metric, threads)
        .self_join(k, groups, progress)                               each stored row's k nearest others
        .search(queries, k, groups, query_groups, progress)           each query's k nearest stored rows
        .within(radius, queries, groups, query_groups, progress)      all rows at a distance of at most the radius

The first two give indices int64 (n, k) and distances (n, k), by (distance, row), -1 and inf for none; the third gives
indptr, indices and distances, row i's from indptr[i] to indptr[i + 1]. Rows of one group are not each other's
neighbours. `progress(done, total)` counts rows and may raise, which stops the pass. All kernels give the same answer
to the bit, so `pick` takes the first that covers. `Torch` is taken where a device is asked for (`over`).
"""

from typing import Protocol

import numpy as np

from vicinal import devices
from vicinal.errors import UsageError
from vicinal.knn.kernels.blas import Blas
from vicinal.knn.kernels.brute import Brute
from vicinal.knn.kernels.native import Native
from vicinal.knn.kernels.torch import Torch
from vicinal.knn.metrics import Metric
from vicinal.typing import Progress


class Kernel(Protocol):
    """The interface of every kernel."""

    name: str
    version: str
    resumable: bool

    def __init__(self, vectors: np.ndarray, metric: Metric, threads: int) -> None: ...

    @staticmethod
    def covers(metric: Metric, dtype: np.dtype) -> str:
        """Why this kernel does not support the metric and dtype; empty where it does."""
        ...

    def self_join(
        self, k: int, groups: np.ndarray | None = None, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each stored row's k nearest others."""
        ...

    def search(
        self,
        queries: np.ndarray,
        k: int,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each query's k nearest stored rows."""
        ...

    def within(
        self,
        radius: float,
        queries: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All stored rows at a distance of at most the radius, as indptr, indices, distances."""
        ...


KERNELS: tuple[type[Kernel], ...] = (Native, Blas, Brute, Torch)  # brute covers all: torch has to be asked for


def pick(metric: Metric, dtype: np.dtype) -> type[Kernel]:
    """The first kernel that covers the metric and dtype.

    Raises    UsageError with each kernel's reason where none does.
    """
    reasons = []
    for kernel in KERNELS:
        reason = kernel.covers(metric, dtype)
        if not reason:
            return kernel
        reasons.append(f"{kernel.name}: {reason}")
    raise UsageError(f"no kernel supports {metric.name} on {dtype}: {'; '.join(reasons)}")


def over(vectors: np.ndarray, metric: Metric, threads: int, device: str | None = None) -> Kernel:
    """The kernel over some rows: the first that covers them, or torch's on a device that is asked for.

    device : a name of torch, several with commas between, or "auto"

    Raises    UsageError where torch's kernel does not cover the metric, or no kernel does.
    """
    n, dim = vectors.shape
    name = devices.of_pass(device, n, n * n / 2 * dim)
    reason = "" if name is None else Torch.covers(metric, vectors.dtype)
    if name is not None and not reason:
        return Torch(vectors, metric, threads, name, least=devices.LEAST_WORK if device == devices.AUTO else 0)
    if reason and device != devices.AUTO:
        raise UsageError(
            f"device: {metric.name} does not run on {device}: {reason}; leave the device out, or give auto"
        )
    return pick(metric, vectors.dtype)(vectors, metric, threads)
