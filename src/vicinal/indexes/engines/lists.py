"""Inverted lists (IVF): vectors in lists around centres; a query searches the nearest lists. By faiss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError
from vicinal.indexes.engines.faiss import FILE, METRICS, FaissEngine, library
from vicinal.indexes.entries import Entries
from vicinal.indexes.index import Index
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.proposals import Backend, Proposals
from vicinal.typing import MetricLike

LIST_PARAMETERS = (
    Parameter("n_lists", None, "how many lists (default: 4 sqrt(n))"),
    Parameter("n_probe", 32, "how many lists a query searches", searching=True),
)


def n_lists(settings: Mapping[str, Any], n: int) -> int:
    """The number of lists for n entries."""
    wanted = settings["n_lists"]
    result: int = min(n, wanted if wanted is not None else max(1, round(4 * np.sqrt(n))))
    return result


class ListsEngine(FaissEngine):
    """What the engines with lists have in common. A subclass gives `with_quantizer` and `search_parameters`."""

    def with_quantizer(self, quantizer: Any, dim: int, n: int) -> Any:
        """An untrained index of faiss whose lists have the centres of the quantizer."""
        raise NotImplementedError

    def new(self, dim: int, n: int) -> Any:
        """An untrained index of faiss for n entries."""
        faiss = library()
        quantizer = (faiss.IndexFlatIP if self.metric.product else faiss.IndexFlatL2)(dim)
        index = self.with_quantizer(quantizer, dim, n)
        index.own_fields = True
        quantizer.this.disown()
        index.cp.min_points_per_centroid = 1  # no warning about few training rows
        return index

    def n_training(self, n: int) -> int:
        """Enough entries for each list to have its centre."""
        return max(64 * n_lists(self.settings, n), 65_536)

    def n_probes(self, wider: float) -> int:
        """The number of lists that a query searches."""
        return int(min(round(wider * self.settings["n_probe"]), self.index.nlist))

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Map the file, once its lists are counted."""
        super().read(files, entries)
        lists = self.index.invlists
        if sum(lists.list_size(number) for number in range(lists.nlist)) != entries.n:
            raise DataError(f"{files[FILE]}: its lists do not hold {entries.n} entries; build the index again")


class IVFEngine(ListsEngine):
    """Lists of vectors."""

    def with_quantizer(self, quantizer: Any, dim: int, n: int) -> Any:
        """Lists of vectors as they are."""
        return library().IndexIVFFlat(quantizer, dim, n_lists(self.settings, n), self.faiss_metric())

    def search_parameters(self, k: int, selector: Any, wider: float) -> Any:
        """The number of lists to search."""
        return library().SearchParametersIVF(nprobe=self.n_probes(wider), sel=selector)


class IVF(Index):
    """Lists of vectors around centres; a query searches the nearest lists.

    Parameters
    ----------
    metric : str or Metric
        euclidean, sqeuclidean, cosine or inner_product.
    n_lists : int or None
        How many lists; None for 4 sqrt(n).
    n_probe : int
        How many of them a query searches. May be changed by `set`.
    threads : int or None
        None for the number of cores.

    References
    ----------
    Sivic & Zisserman 2003; Jegou et al. 2011

    Examples
    --------
    >>> IVF("euclidean", n_lists=2, n_probe=2).fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "ivf"
    about = "lists: quick to build, 4 dim + 8 bytes a vector"
    metrics = METRICS
    parameters = LIST_PARAMETERS
    filters = True
    recall = 0.9

    def __init__(
        self,
        metric: MetricLike = "euclidean",
        n_lists: int | None = None,
        n_probe: int = 32,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, n_lists=n_lists, n_probe=n_probe)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, IVFEngine(self.metric, self._settings, self.threads))
