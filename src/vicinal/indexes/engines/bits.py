"""Packed bits: all of them compared by the exact kernel, or a graph or lists of faiss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.engine import Engine
from vicinal.indexes.engines.faiss import FILE, check_graph, library, read_index
from vicinal.indexes.engines.lists import n_lists
from vicinal.indexes.entries import Entries
from vicinal.indexes.index import Index
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.proposals import Backend, Proposals
from vicinal.knn.exact import ExactSearch
from vicinal.knn.faiss_threads import threads_of_faiss
from vicinal.knn.metrics import Metric
from vicinal.locks import Mutex
from vicinal.typing import MetricLike

STRUCTURES = ("all", "graph", "lists")


class AllBits(Engine):
    """Every entry compared, by the exact kernel; nothing is written to disk."""

    _search: ExactSearch | None = None

    @property
    def library(self) -> str:
        """The kernel that compares the entries, and its version."""
        return "kernel" if self._search is None else self._search.engine

    def build(self, entries: Entries) -> None:
        """Give the entries to the kernel."""
        self.read({}, entries)
        _ = self._search.kernel if self._search is not None else None

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Give the entries to the kernel when it is first used."""
        self._search = ExactSearch(entries.prepared(slice(0, entries.n)), self.metric, self.threads)

    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """The k nearest entries."""
        assert self._search is not None
        return self._search.kernel.search(queries, k)[0]


class FaissBits(Engine):
    """A structure of faiss over packed bits. A subclass gives `new`, `steer` and `check`."""

    kind: ClassVar[str]
    _index: Any = None
    _mapped = False

    def __init__(self, metric: Metric, settings: Mapping[str, Any], threads: int) -> None:
        super().__init__(metric, settings, threads)
        self._steering = Mutex()  # faiss takes no parameters with a search of bits, so that searches take turns

    @property
    def library(self) -> str:
        """faiss and its version."""
        return f"faiss ({library().__version__})"

    @property
    def n_bytes(self) -> int:
        """The size of the index as faiss writes it."""
        return 0 if self._index is None else len(library().serialize_index_binary(self._index))

    def new(self, bits: int, n: int) -> Any:
        """An untrained index of faiss for n entries of so many bits."""
        raise NotImplementedError

    def steer(self, k: int) -> None:
        """Set the parameters of a search for k entries."""
        raise NotImplementedError

    def check(self, path: Path, n: int) -> None:
        """Raise DataError where an index that was read does not fit together."""

    def build(self, entries: Entries) -> None:
        """Train it and add all entries."""
        index, rows = self.new(entries.dim * 8, entries.n), entries.prepared(slice(0, entries.n))
        with threads_of_faiss(self.threads):
            if not index.is_trained:
                index.train(rows)
            index.add(rows)
        self._index, self._mapped = index, False

    def extend(self, entries: Entries, first: int) -> None:
        """Add the entries from `first` on; an index that lies in a file is copied into memory before."""
        if self._mapped:
            faiss = library()
            self._index = faiss.deserialize_index_binary(faiss.serialize_index_binary(self._index))
            self._mapped = False
        with threads_of_faiss(self.threads):
            self._index.add(entries.prepared(slice(first, entries.n)))

    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """The entries that faiss returns for each query."""
        with self._steering, threads_of_faiss(self.threads):
            self.steer(k)
            found: np.ndarray = self._index.search(queries, min(k, self._index.ntotal))[1]
        return found

    def frozen(self) -> dict[str, Any]:
        """The bytes of the index as faiss writes it."""
        return {"index": library().serialize_index_binary(self._index)}

    def thaw(self, frozen: dict[str, Any], entries: Entries) -> None:
        """Take the index of faiss from its bytes."""
        self._index, self._mapped = library().deserialize_index_binary(frozen["index"]), False

    def write(self, folder: Path) -> None:
        """Write engine.faiss."""
        library().write_index_binary(self._index, str(folder / FILE))

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Map engine.faiss into memory, once it is of this kind and fits the entries."""
        path = files[FILE]
        self._index = read_index(path, entries.n, entries.dim * 8, library().read_index_binary)
        self._mapped = True
        if type(self._index).__name__ != self.kind:
            raise DataError(
                f"{path}: found {type(self._index).__name__}, the manifest says {self.kind}; build the index again"
            )
        self.check(path, entries.n)


class BitGraph(FaissBits):
    """A navigable graph of packed bits."""

    kind = "IndexBinaryHNSW"

    def new(self, bits: int, n: int) -> Any:
        """An empty graph."""
        index = library().IndexBinaryHNSW(bits, self.settings["M"])
        index.hnsw.efConstruction = self.settings["ef_construction"]
        return index

    def steer(self, k: int) -> None:
        """Set the width of the search: at least k."""
        self._index.hnsw.efSearch = min(max(k, self.settings["ef_search"]), self._index.ntotal)

    def check(self, path: Path, n: int) -> None:
        """Every link leads to an entry."""
        check_graph(path, self._index.hnsw, n)


class BitLists(FaissBits):
    """Lists of packed bits around centres."""

    kind = "IndexBinaryIVF"

    def new(self, bits: int, n: int) -> Any:
        """Untrained lists."""
        faiss = library()
        quantizer = faiss.IndexBinaryFlat(bits)
        index = faiss.IndexBinaryIVF(quantizer, bits, n_lists(self.settings, n))
        index.own_fields = True
        quantizer.this.disown()
        index.cp.min_points_per_centroid = 1  # no warning about few training rows
        return index

    def steer(self, k: int) -> None:
        """Set the number of lists to search."""
        self._index.nprobe = min(self.settings["n_probe"], self._index.nlist)


ENGINES: dict[str, type[Engine]] = {"all": AllBits, "graph": BitGraph, "lists": BitLists}


class Binary(Index):
    """Rows of packed bits, as numpy.packbits makes them.

    Parameters
    ----------
    metric : str or Metric
        hamming or jaccard.
    structure : {"all", "graph", "lists"}
        "all" compares every row, exactly; "graph" (HNSW) and "lists" (IVF) are approximate, for hamming.
    M, ef_construction, ef_search : int
        Of a graph, as for `HNSW`.
    n_lists, n_probe : int
        Of lists, as for `IVF`.
    threads : int or None
        None for the number of cores.

    Examples
    --------
    >>> index = Binary("hamming").fit(np.array([[0], [1], [7]], dtype=np.uint8))
    >>> index.search(np.array([[3]], dtype=np.uint8), k=2).indices
    array([[1, 2]])
    """

    name = "binary"
    about = "packed bits: compared all, or a graph or lists of them"
    metrics = ("hamming", "jaccard")
    parameters = (
        Parameter("structure", "all", f"{', '.join(STRUCTURES)}", choices=STRUCTURES),
        Parameter("M", 32, "links of each vector of a graph", low=2, high=512),
        Parameter("ef_construction", 200, "width of the search while a graph is built"),
        Parameter("ef_search", 128, "width of the search of a graph; at least k", searching=True),
        Parameter("n_lists", None, "how many lists (default: 4 sqrt(n))"),
        Parameter("n_probe", 32, "how many lists a query searches", searching=True),
    )
    recall = 0.8  # of a graph or lists, where many distances are equal whole numbers

    def __init__(
        self,
        metric: MetricLike = "hamming",
        structure: str = "all",
        M: int = 32,  # noqa: N803
        ef_construction: int = 200,
        ef_search: int = 128,
        n_lists: int | None = None,
        n_probe: int = 32,
        threads: int | None = None,
    ) -> None:
        graph = {"M": M, "ef_construction": ef_construction, "ef_search": ef_search}
        super().__init__(metric, threads, structure=structure, **graph, n_lists=n_lists, n_probe=n_probe)
        if structure != "all" and self.metric.name != "hamming":
            raise UsageError(
                f"structure: {structure!r} supports hamming, got metric {self.metric.name}; use --set structure=all "
                "(in Python: structure='all')"
            )

    def _make_backend(self) -> Backend:
        engine = ENGINES[self._settings["structure"]]
        return Proposals(self._rows, engine(self.metric, self._settings, self.threads))
