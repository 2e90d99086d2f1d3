"""The contract of an engine: a structure of some library that proposes which stored vectors are near a query.

An engine knows entries by their number, from 0. It knows no rows, ids, filters or copies. It only proposes entries; the
caller measures their distances from the vectors.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vicinal.indexes.entries import Entries
from vicinal.knn.metrics import Metric


class Engine(ABC):
    """One library's structure over the entries of an index.

    Parameters
    ----------
    metric : Metric
    settings : mapping
        The parameters of the index. Those of searching may change at any time.
    threads : int
    """

    filters: ClassVar[bool] = False
    """Whether `propose` itself skips entries that are not allowed."""

    changed_by_saving: ClassVar[bool] = False
    """Whether `write` replaces what is in memory by the file that it writes."""

    float64: ClassVar[bool] = False
    """Whether it takes entries of float64; else it takes float32, or packed bits under a metric of bits."""

    def __init__(self, metric: Metric, settings: Mapping[str, Any], threads: int) -> None:
        self.metric, self.settings, self.threads = metric, settings, threads

    @property
    @abstractmethod
    def library(self) -> str:
        """The library that answers, and its version."""

    @property
    def n_bytes(self) -> int:
        """The memory or the size of the file that it takes beside the vectors."""
        return 0

    def bytes_needed(self, n: int, dim: int) -> int:
        """An estimate from below of the memory of n entries: those that the engine keeps itself."""
        return n * dim * (8 if self.float64 else 1 if self.metric.kernel == "bits" else 4)

    @property
    def codes_only(self) -> bool:
        """Whether its codes stand in for the vectors, which are not kept."""
        return False

    @abstractmethod
    def build(self, entries: Entries) -> None:
        """Make the structure of all entries."""

    def extend(self, entries: Entries, first: int) -> None:
        """Add the entries from `first` on."""
        self.build(entries)

    @abstractmethod
    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """Entries near each prepared query.

        Parameters
        ----------
        queries : ndarray, shape (n_queries, dim)
        k : int
        allowed : ndarray of bool, shape (n_entries,), or None
            The entries that count; an engine without `filters` is given None.

        Returns
        -------
        ndarray
            int64 (n_queries, >= k), in any order; -1 for none.
        """

    def visits_all(self, n: int) -> bool:
        """Whether it is set to visit all n entries for each query, so that an exact scan answers in its place."""
        return False

    def write(self, folder: Path) -> None:
        """Write its files into a folder; an engine that is built again on load writes none."""
        return None

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Load the structure from the files that `write` wrote; their checksums are verified already.

        Raises
        ------
        DataError
            Naming the file, where the library cannot read it or it does not fit the entries.
        """
        self.build(entries)

    def frozen(self) -> dict[str, Any]:
        """What a copy is made of, in a form that can be pickled; later changes leave it as it is.

        An engine that is quick to build, or that cannot be written as bytes, gives nothing and is built again.
        """
        return {}

    def thaw(self, frozen: dict[str, Any], entries: Entries) -> None:
        """Become the copy of an engine over these entries."""
        self.read({}, entries)

    def decode(self, entries: np.ndarray) -> np.ndarray:
        """The prepared float32 vectors that the codes of these entries stand for."""
        raise NotImplementedError(f"{type(self).__name__} holds no codes")
