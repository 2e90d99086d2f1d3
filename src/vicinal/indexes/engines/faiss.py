"""What the engines of faiss have in common: building, searching, files, and the checks of a file that was read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from vicinal.errors import DataError
from vicinal.indexes.engine import Engine
from vicinal.indexes.entries import Entries
from vicinal.knn.faiss_threads import threads_of_faiss
from vicinal.knn.metrics import Metric
from vicinal.locks import Mutex

METRICS = ("euclidean", "sqeuclidean", "cosine", "inner_product")
FILE = "engine.faiss"
SLACK_BYTES = 1 << 20


class FaissEngine(Engine):
    """An index of faiss over entries of float32. A subclass gives `new` and `search_parameters`."""

    filters = True
    index: Any = None
    """The index of faiss; None before it is built or read."""

    _mapped = False
    _decodes = False
    _owning: Mutex

    def __init__(self, metric: Metric, settings: Mapping[str, Any], threads: int) -> None:
        super().__init__(metric, settings, threads)
        self._owning = Mutex()

    @property
    def library(self) -> str:
        """faiss and its version."""
        return f"faiss ({library().__version__})"

    @property
    def n_bytes(self) -> int:
        """The size of the index as faiss writes it."""
        return 0 if self.index is None else len(library().serialize_index(self.index))

    def new(self, dim: int, n: int) -> Any:
        """An untrained index of faiss for n entries."""
        raise NotImplementedError

    def search_parameters(self, k: int, selector: Any, wider: float) -> Any:
        """The parameters of one search of faiss; where a filter excludes entries, it searches `wider` times as many."""
        raise NotImplementedError

    def n_training(self, n: int) -> int:
        """The number of entries that it is trained with."""
        return n

    def n_asked(self, k: int) -> int:
        """The number of entries to fetch from faiss."""
        return k

    def faiss_metric(self) -> int:
        """The metric as faiss names it."""
        faiss = library()
        return int(faiss.METRIC_INNER_PRODUCT if self.metric.product else faiss.METRIC_L2)

    def build(self, entries: Entries) -> None:
        """Train it with a sample and add all entries."""
        n = entries.n
        with threads_of_faiss(self.threads):
            index = self.new(entries.dim, n)
            if not index.is_trained:
                random = np.random.default_rng(0)
                sample = np.sort(random.choice(n, min(n, self.n_training(n)), replace=False))
                index.train(entries.prepared(sample if n > 1 else np.zeros(2, dtype=np.int64)))
            for block in entries.blocks(n):
                index.add(entries.prepared(block))
        self.index, self._mapped, self._decodes = index, False, False

    def extend(self, entries: Entries, first: int) -> None:
        """Add the entries from `first` on."""
        self._own()
        with threads_of_faiss(self.threads):
            for block in entries.blocks(entries.n, first):
                self.index.add(entries.prepared(block))

    def _own(self) -> None:
        """Copy an index that lies in a file into memory: a mapped one cannot change."""
        if self._mapped:
            self.index, self._mapped = library().deserialize_index(library().serialize_index(self.index)), False

    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """The entries that faiss returns for each query."""
        faiss = library()
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        wider = 1.0 if allowed is None else len(allowed) / max(1, int(np.count_nonzero(allowed)))
        parameters = self.search_parameters(k, selector, wider)
        index = self.index
        with threads_of_faiss(self.threads):
            found: np.ndarray = index.search(queries, min(self.n_asked(k), index.ntotal), params=parameters)[1]
        return found

    def write(self, folder: Path) -> None:
        """Write engine.faiss."""
        library().write_index(self.index, str(folder / FILE))

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Map engine.faiss into memory, once it fits the entries and the metric."""
        path = files[FILE]
        self.index = read_index(path, entries.n, entries.dim, library().read_index)
        self._mapped, self._decodes = True, False
        if self.index.metric_type != self.faiss_metric():
            raise DataError(f"{path}: built for another metric than {self.metric.name}; build the index again")

    def frozen(self) -> dict[str, Any]:
        """The bytes of the index as faiss writes it."""
        return {"index": library().serialize_index(self.index)}

    def thaw(self, frozen: dict[str, Any], entries: Entries) -> None:
        """Take the index of faiss from its bytes."""
        self.index, self._mapped, self._decodes = library().deserialize_index(frozen["index"]), False, False

    def decode(self, entries: np.ndarray) -> np.ndarray:
        """The float32 vectors that the codes of these entries stand for."""
        with self._owning:
            if not self._decodes:
                self._own()
                if hasattr(self.index, "make_direct_map"):
                    self.index.make_direct_map()
                self._decodes = True
            index = self.index
        found: np.ndarray = index.reconstruct_batch(entries)
        return found


def library() -> ModuleType:
    """faiss, imported when it is first used."""
    import faiss

    module: ModuleType = faiss
    return module


def read_index(path: Path, n: int, dim: int, read: Callable[[str, int], Any]) -> Any:
    """The faiss index of a file, mapped into memory, with no array larger than the file.

    Raises    DataError where faiss refuses it, or it holds other vectors than the manifest says
    """
    faiss = library()
    before = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
    size = path.stat().st_size
    faiss.set_deserialization_vector_byte_limit(size + SLACK_BYTES)
    faiss.set_deserialization_loop_limit(max(1 << 16, size))
    try:
        index = read(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    except Exception as error:  # faiss raises RuntimeError, MemoryError and others of damaged bytes
        reason = str(error).rpartition("Error: ")[2].partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: faiss cannot read it ({reason}); build the index again") from None
    finally:
        faiss.set_deserialization_vector_byte_limit(before[0])
        faiss.set_deserialization_loop_limit(before[1])
    if (index.ntotal, index.d) != (n, dim):
        raise DataError(
            f"{path}: found {index.ntotal} entries of dim {index.d}, the manifest says {n} of dim {dim}; build the "
            "index again"
        )
    return index


def check_graph(path: Path, graph: Any, n: int) -> None:
    """Raise DataError where a link of a graph leads to no entry; faiss follows links without a check."""
    faiss = library()
    links = faiss.vector_to_array(graph.neighbors)
    offsets = faiss.vector_to_array(graph.offsets)
    whole = len(offsets) == n + 1 and offsets[0] == 0 and (np.diff(offsets.astype(np.int64)) >= 0).all()
    whole = whole and offsets[-1] == len(links) and (n == 0 or -1 <= graph.entry_point < n)
    if not whole or (len(links) and not (links.min() >= -1 and links.max() < n)):
        raise DataError(f"{path}: a link of the graph leads to no entry; build the index again")
