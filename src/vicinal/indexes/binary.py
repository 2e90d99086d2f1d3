"""Packed bits: all of them by the exact kernel, or a graph or lists of faiss."""

from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.contract import Index
from vicinal.indexes.faiss_indexes import _faiss, _Threads, check_graph, read_engine
from vicinal.indexes.parameters import Parameter
from vicinal.knn.kernels import Kernel, pick
from vicinal.knn.metrics import Metric

STRUCTURES = ("all", "graph", "lists")


class Binary(Index):
    """Rows of packed bits, as numpy.packbits makes them.

    structure : "all" compares every row, exactly; "graph" (HNSW) and "lists" (IVF) are approximate, for hamming
    M, ef_construction, ef_search : of a graph, as for `HNSW`
    n_lists, n_probe              : of lists, as for `IVF`

    >>> index = Binary("hamming").fit(np.array([[0], [1], [7]], dtype=np.uint8))
    >>> index.search(np.array([[3]], dtype=np.uint8), k=2).indices
    array([[1, 2]])
    """

    name = "binary"
    about = "packed bits: compared all, or a graph or lists of them"
    serves = ("hamming", "jaccard")
    parameters = (
        Parameter("structure", "all", f"{', '.join(STRUCTURES)}", choices=STRUCTURES),
        Parameter("M", 32, "links of each vector of a graph", low=2, high=512),
        Parameter("ef_construction", 200, "how widely a graph is searched while it is built"),
        Parameter("ef_search", 128, "how widely a query searches a graph; at least k", searching=True),
        Parameter("n_lists", None, "how many lists (default: 4 sqrt(n))"),
        Parameter("n_probe", 32, "how many lists a query looks into", searching=True),
    )
    recall = 0.8  # where it is a graph or lists; distances that are whole numbers tie at the last place
    _kernel: Kernel | None = None
    _faiss: Any = None
    _mapped = False

    def __init__(
        self,
        metric: str | Metric = "hamming",
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
            raise UsageError(f"structure: {structure!r} serves hamming, not {self.metric.name}; use structure='all'")

    @property
    def engine(self) -> str:
        """What answers, and its version."""
        if self._settings["structure"] == "all":
            return "kernel" if self._kernel is None else f"{self._kernel.name} ({self._kernel.version})"
        return f"faiss ({_faiss().__version__})"

    @property
    def engine_bytes(self) -> int:
        """The size of the engine beside the vectors."""
        return 0 if self._faiss is None else len(_faiss().serialize_index_binary(self._faiss))

    def _build(self, n: int) -> None:
        structure = self._settings["structure"]
        if structure == "all":
            rows = self._prepared(slice(0, n))
            self._kernel = pick(self.metric, rows.dtype)(rows, self.metric, self.threads)
            return
        faiss, bits = _faiss(), self.dim * 8
        if structure == "graph":
            engine = faiss.IndexBinaryHNSW(bits, self._settings["M"])
            engine.hnsw.efConstruction = self._settings["ef_construction"]
        else:
            wanted = self._settings["n_lists"]
            quantizer = faiss.IndexBinaryFlat(bits)
            n_lists = min(n, wanted if wanted is not None else max(1, round(4 * np.sqrt(n))))
            engine = faiss.IndexBinaryIVF(quantizer, bits, n_lists)
            engine.own_fields = True
            quantizer.this.disown()
            engine.cp.min_points_per_centroid = 1
        with _Threads(self.threads):
            if not engine.is_trained:
                engine.train(self._prepared(slice(0, n)))
            engine.add(self._prepared(slice(0, n)))
        self._faiss, self._mapped = engine, False

    def _extend(self, first: int, n: int) -> None:
        if self._settings["structure"] == "all":
            self._build(n)
            return
        if self._mapped:
            faiss = _faiss()
            self._faiss = faiss.deserialize_index_binary(faiss.serialize_index_binary(self._faiss))
            self._mapped = False
        with _Threads(self.threads):
            self._faiss.add(self._prepared(slice(first, n)))

    def _propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        structure = self._settings["structure"]
        if structure == "all":
            if self._kernel is None:
                self._build(len(self._entries()))
            assert self._kernel is not None
            return self._kernel.search(queries, k)[0]
        if structure == "graph":
            self._faiss.hnsw.efSearch = min(max(k, self._settings["ef_search"]), self._faiss.ntotal)
        else:
            self._faiss.nprobe = min(self._settings["n_probe"], self._faiss.nlist)
        with _Threads(self.threads):
            return self._faiss.search(queries, min(k, self._faiss.ntotal))[1]

    def _write(self, folder: Path) -> None:
        if self._faiss is not None:
            _faiss().write_index_binary(self._faiss, str(folder / "engine.faiss"))

    def _read(self, files: dict[str, Path], n: int) -> None:
        if self._settings["structure"] == "all":
            return
        path = files["engine.faiss"]
        self._faiss = read_engine(path, n, self.dim * 8, _faiss().read_index_binary)
        self._mapped = True
        kind = "IndexBinaryHNSW" if self._settings["structure"] == "graph" else "IndexBinaryIVF"
        if type(self._faiss).__name__ != kind:
            raise DataError(f"{path}: found {type(self._faiss).__name__}, the manifest says {kind}; build it again")
        if kind == "IndexBinaryHNSW":
            check_graph(path, self._faiss.hnsw, n)
