"""A navigable small-world graph (HNSW), by faiss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vicinal.indexes.engines.faiss import FILE, METRICS, FaissEngine, check_graph, library
from vicinal.indexes.entries import Entries
from vicinal.indexes.index import Index
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.proposals import Backend, Proposals
from vicinal.typing import MetricLike


class HNSWEngine(FaissEngine):
    """A navigable graph of faiss."""

    def new(self, dim: int, n: int) -> Any:
        """An empty graph."""
        index = library().IndexHNSWFlat(dim, self.settings["M"], self.faiss_metric())
        index.hnsw.efConstruction = self.settings["ef_construction"]
        return index

    def bytes_needed(self, n: int, dim: int) -> int:
        """The vectors, and 2 M links of 4 bytes each."""
        links: int = self.settings["M"]
        return n * (4 * dim + 8 * links)

    def search_parameters(self, k: int, selector: Any, wider: float) -> Any:
        """The width of the search: at least k."""
        width = min(round(wider * max(k, self.settings["ef_search"])), self.index.ntotal)
        return library().SearchParametersHNSW(efSearch=width, sel=selector)

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Map the file, once its links are checked."""
        super().read(files, entries)
        check_graph(files[FILE], self.index.hnsw, entries.n)


class HNSW(Index):
    """A navigable graph: each vector is linked with M near ones, and a query walks towards its neighbours.

    Parameters
    ----------
    metric : str or Metric
        euclidean, sqeuclidean, cosine or inner_product.
    M : int
        Links of each vector; more find more, and take more memory (8 M bytes a vector).
    ef_construction : int
        The width of the search while the graph is built.
    ef_search : int
        The width of the search of a query; at least k. May be changed by `set`.
    threads : int or None
        None for the number of cores.

    References
    ----------
    Malkov & Yashunin 2016

    Examples
    --------
    >>> HNSW("euclidean").fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "hnsw"
    about = "graph: fast, finds most neighbours, 4 dim + 8 M bytes a vector"
    metrics = METRICS
    parameters = (
        Parameter("M", 32, "links of each vector", low=2, high=512),
        Parameter("ef_construction", 200, "width of the search while the graph is built"),
        Parameter("ef_search", 64, "width of the search of a query; at least k", searching=True),
    )
    filters = True
    recall = 0.98

    def __init__(
        self,
        metric: MetricLike = "euclidean",
        M: int = 32,  # noqa: N803
        ef_construction: int = 200,
        ef_search: int = 64,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, M=M, ef_construction=ef_construction, ef_search=ef_search)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, HNSWEngine(self.metric, self._settings, self.threads))
