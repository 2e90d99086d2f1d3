"""The approximate indexes over float vectors that faiss builds: a graph, lists, and codes.

    HNSW   a graph of neighbours, walked from the top; fast and exact to a few per cent, in memory of its own
    IVF    vectors in lists around centres; a query looks into the nearest lists
    IVFPQ  the same lists, of codes of a few bytes a vector
    PQ     codes alone, all of them compared

Codes only propose: while the vectors are kept, distances are measured from them. Without them (keep_vectors=False) the
distances are those of the decoded vectors, and `error` says by how much they are off.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.contract import Index
from vicinal.indexes.parameters import Parameter
from vicinal.knn.copies import Copies
from vicinal.knn.metrics import Metric

METRICS = ("euclidean", "sqeuclidean", "cosine", "inner_product")
OVERFETCH = 8  # how many times k entries codes are asked for, where vectors decide
SLACK_BYTES = 1 << 20
ERROR_SAMPLE = 1_000


class Faiss(Index):
    """What the indexes of faiss have in common."""

    serves = METRICS
    filters = True
    _faiss: Any = None
    _mapped = False

    @property
    def engine(self) -> str:
        """The library that answers, and its version."""
        import faiss

        return f"faiss ({faiss.__version__})"

    @property
    def engine_bytes(self) -> int:
        """The size of the engine as faiss would write it."""
        if self._faiss is None:
            return 0
        return len(_faiss().serialize_index(self._faiss))

    def _metric(self) -> int:
        return _faiss().METRIC_INNER_PRODUCT if self.metric.product else _faiss().METRIC_L2

    def _new(self, n: int) -> Any:
        """An untrained faiss index for n entries."""
        raise NotImplementedError

    def _parameters(self, k: int, selector: Any = None, wider: float = 1.0) -> Any:
        """What steers one search; among some of the entries it looks at `wider` times as many."""
        raise NotImplementedError

    def _build(self, n: int) -> None:
        with _Threads(self.threads):
            engine = self._new(n)
            if not engine.is_trained:
                rng = np.random.default_rng(0)
                sample = np.sort(rng.choice(n, min(n, self._training(n)), replace=False))
                engine.train(self._prepared(sample if n > 1 else np.zeros(2, dtype=np.int64)))
            for block in self._blocks(n):
                engine.add(self._prepared(block))
        self._faiss, self._mapped = engine, False

    def _training(self, n: int) -> int:
        """How many entries it is trained with."""
        return n

    def _extend(self, first: int, n: int) -> None:
        self._own()
        with _Threads(self.threads):
            for block in self._blocks(n, first):
                self._faiss.add(self._prepared(block))

    def _own(self) -> None:
        """A copy in memory of an engine that lies in a file: a mapped one cannot grow."""
        if self._mapped:
            self._faiss, self._mapped = _faiss().deserialize_index(_faiss().serialize_index(self._faiss)), False

    def _propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        faiss = _faiss()
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        wider = 1.0 if allowed is None else len(allowed) / max(1, int(np.count_nonzero(allowed)))
        with _Threads(self.threads):
            _, found = self._faiss.search(
                queries, min(self._asked(k), self._faiss.ntotal), params=self._parameters(k, selector, wider)
            )
        return found

    def _asked(self, k: int) -> int:
        """How many entries the engine is asked for."""
        return k

    def _write(self, folder: Path) -> None:
        _faiss().write_index(self._faiss, str(folder / "engine.faiss"))

    def _read(self, files: dict[str, Path], n: int) -> None:
        self._faiss = read_engine(files["engine.faiss"], n, self.dim, _faiss().read_index)
        self._mapped = True
        if self._faiss.metric_type != self._metric():
            raise DataError(
                f"{files['engine.faiss']}: built for another metric than {self.metric.name}; build it again"
            )


class HNSW(Faiss):
    """A navigable graph: each vector is linked with M near ones, and a query walks towards its neighbours.

    M               : links of each vector; more find more, and take more memory (8 M bytes a vector)
    ef_construction : how widely the graph is searched while it is built
    ef_search       : how widely it is searched by a query; at least k

    Source  Malkov & Yashunin 2016
    >>> HNSW("euclidean").fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "hnsw"
    about = "graph: fast, most of the neighbours, 4 dim + 8 M bytes a vector"
    parameters = (
        Parameter("M", 32, "links of each vector", low=2, high=512),
        Parameter("ef_construction", 200, "how widely the graph is searched while it is built"),
        Parameter("ef_search", 64, "how widely a query searches; at least k", searching=True),
    )
    recall = 0.98

    def __init__(
        self,
        metric: str | Metric = "euclidean",
        M: int = 32,  # noqa: N803
        ef_construction: int = 200,
        ef_search: int = 64,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, M=M, ef_construction=ef_construction, ef_search=ef_search)

    def _new(self, n: int) -> Any:
        engine = _faiss().IndexHNSWFlat(self.dim, self._settings["M"], self._metric())
        engine.hnsw.efConstruction = self._settings["ef_construction"]
        return engine

    def _parameters(self, k: int, selector: Any = None, wider: float = 1.0) -> Any:
        width = min(round(wider * max(k, self._settings["ef_search"])), self._faiss.ntotal)
        return _faiss().SearchParametersHNSW(efSearch=width, sel=selector)

    def _read(self, files: dict[str, Path], n: int) -> None:
        super()._read(files, n)
        check_graph(files["engine.faiss"], self._faiss.hnsw, n)


class _Lists(Faiss):
    """What the indexes with lists have in common."""

    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("n_lists", None, "how many lists (default: 4 sqrt(n))"),
        Parameter("n_probe", 32, "how many lists a query looks into", searching=True),
    )

    def _n_lists(self, n: int) -> int:
        wanted = self._settings["n_lists"]
        return min(n, wanted if wanted is not None else max(1, round(4 * np.sqrt(n))))

    def _probes(self, wider: float) -> int:
        return min(round(wider * self._settings["n_probe"]), self._faiss.nlist)

    def _training(self, n: int) -> int:
        return max(64 * self._n_lists(n), 65_536)

    def _quantizer(self, n: int) -> tuple[Any, int]:
        """The index of the lists' centres, and how many there are."""
        faiss = _faiss()
        flat = faiss.IndexFlatIP if self.metric.product else faiss.IndexFlatL2
        return flat(self.dim), self._n_lists(n)

    def _settled(self, engine: Any, quantizer: Any) -> Any:
        engine.own_fields = True
        quantizer.this.disown()
        engine.cp.min_points_per_centroid = 1  # it need not say so itself
        return engine

    def _read(self, files: dict[str, Path], n: int) -> None:
        super()._read(files, n)
        lists = self._faiss.invlists
        if sum(lists.list_size(i) for i in range(lists.nlist)) != n:
            raise DataError(f"{files['engine.faiss']}: its lists do not hold {n} entries; build it again")


class IVF(_Lists):
    """Lists of vectors around centres; a query looks into the nearest lists.

    n_lists : how many lists; None for 4 sqrt(n)
    n_probe : how many of them a query looks into

    Source  Sivic & Zisserman 2003; Jegou et al. 2011
    >>> IVF("euclidean", n_lists=2, n_probe=2).fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "ivf"
    about = "lists: quick to build, 4 dim + 8 bytes a vector"
    recall = 0.9

    def __init__(
        self,
        metric: str | Metric = "euclidean",
        n_lists: int | None = None,
        n_probe: int = 32,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, n_lists=n_lists, n_probe=n_probe)

    def _new(self, n: int) -> Any:
        quantizer, n_lists = self._quantizer(n)
        return self._settled(_faiss().IndexIVFFlat(quantizer, self.dim, n_lists, self._metric()), quantizer)

    def _parameters(self, k: int, selector: Any = None, wider: float = 1.0) -> Any:
        return _faiss().SearchParametersIVF(nprobe=self._probes(wider), sel=selector)


class _Codes(Faiss):
    """What the indexes of codes have in common: vectors that may be thrown away, and the error that this brings."""

    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("n_subquantizers", None, "pieces of a vector, a divisor of dim (default: about dim / 4)"),
        Parameter("n_bits", 8, "bits of the code of each piece", high=12),
        Parameter("keep_vectors", True, "measure distances from the vectors; else from the codes"),
    )
    error: dict[str, float] | None = None

    def _start(self) -> None:
        super()._start()
        self.error = None

    def _asked(self, k: int) -> int:
        return k * OVERFETCH if self._settings["keep_vectors"] else k

    def _shape(self, n: int) -> tuple[int, int]:
        """How many subquantizers, and how many bits each."""
        pieces = self._settings["n_subquantizers"]
        divisors = [number for number in range(1, self.dim + 1) if self.dim % number == 0]
        if pieces is None:
            pieces = max(one for one in divisors if one <= max(1, self.dim // 4)) if self.dim >= 32 else self.dim
        elif pieces not in divisors:
            raise UsageError(f"n_subquantizers: expected a divisor of dim {self.dim}, got {pieces}: {divisors}")
        return pieces, min(self._settings["n_bits"], max(1, int(np.log2(n))))

    def _codebooks(self, engine: Any) -> None:
        """How they are trained; where vectors decide, rounds of clustering beyond the tenth change no answer."""
        engine.pq.cp.min_points_per_centroid = 1  # it need not say so itself
        engine.pq.cp.niter = 10 if self._settings["keep_vectors"] else 25

    def _make(self) -> None:
        super()._make()
        if not self._settings["keep_vectors"]:
            if len(self._entries()):
                self._measure_error()
            self._decode()

    def _measure_error(self) -> None:
        """By how much distances of decoded vectors are off, over sampled pairs."""
        n = len(self._entries())
        if isinstance(self, _Lists):
            self._faiss.make_direct_map()
        rng = np.random.default_rng(0)
        queries, rows = rng.integers(0, n, (2, ERROR_SAMPLE))
        stored = self._stored()
        asked = stored[self._entries()[queries]]
        pairs = self.metric.prepare(asked), self.metric.prepare(stored[self._entries()[rows]])
        true = self.metric.finish(self.metric.measure(*pairs))
        decoded = self._decoded(rows)
        coded = self.metric.finish(self.metric.measure(pairs[0], self.metric.prepare(decoded)))
        off = np.abs(coded - true)
        self.error = {
            "mean_absolute": float(off.mean()),
            "p99_absolute": float(np.quantile(off, 0.99)),
            "mean_distance": float(np.abs(true).mean()),
        }

    def _decoded(self, entries: np.ndarray) -> np.ndarray:
        """The vectors that the codes of entries stand for, float32."""
        faiss_rows = self._faiss.reconstruct_batch(np.ascontiguousarray(entries, dtype=np.int64))
        if self._centre is None and self._scale == 1:
            return faiss_rows
        return (faiss_rows / self._scale + (0.0 if self._centre is None else self._centre)).astype(np.float32)

    def _decode(self) -> None:
        """Decoded vectors in the place of those that were given, made as they are asked for."""
        if isinstance(self, _Lists):
            self._faiss.make_direct_map()
        copies = self._copies
        assert copies is not None
        entry_of = np.full(self._n, -1)
        entry_of[copies.members] = np.repeat(np.arange(len(copies.first)), np.diff(copies.starts))
        self._store = Decoded(self._decoded, entry_of, self._faiss.d)

    def _restore(self, copies: Copies, files: dict[str, Path], manifest: dict[str, Any]) -> None:
        keep = self._settings["keep_vectors"]
        if keep != ("vectors.npy" in files):
            raise DataError(
                f"keep_vectors is {keep}, but the vectors are {'not ' if keep else ''}there; build it again"
            )
        if not keep:
            self._store = np.empty(
                (self._n, manifest["dim"]), dtype=np.float32
            )  # untouched, so that it takes no memory
        super()._restore(copies, files, manifest)
        if not keep:
            self.error = manifest["error"]
            self._own()
            self._decode()

    def add(self, vectors: object, ids: object = None, payload: object = None) -> Any:
        """As every index; refused where the vectors were not kept, for what is coded is not known any more."""
        if not self._settings["keep_vectors"]:
            raise UsageError(f"{type(self).__name__} without its vectors cannot grow; build it anew with all rows")
        return super().add(vectors, ids, payload)

    def _shrink(self) -> None:
        self._live = None  # codes cannot be made of decoded vectors again
        if self._settings["keep_vectors"]:
            super()._shrink()


class Decoded:
    """Vectors that are decoded as they are asked for: what an index of codes alone has in their place.

    decode   : entries -> float32 rows
    entry_of : int64 (n,), the entry of each row; -1 for none
    """

    dtype = np.dtype(np.float32)

    def __init__(self, decode: Any, entry_of: np.ndarray, dim: int) -> None:
        self._decode, self._entry_of = decode, entry_of
        self.shape = (len(entry_of), dim)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        entries = self._entry_of[rows]
        return self._decode(entries) if len(entries) else np.zeros((0, self.shape[1]), dtype=np.float32)


class IVFPQ(_Lists, _Codes):
    """Lists of product codes: a few bytes a vector, for sets that do not fit the memory.

    n_lists         : how many lists; None for 4 sqrt(n)
    n_probe         : how many of them a query looks into
    n_subquantizers : pieces that a vector is cut into, a divisor of dim; None for about dim / 4
    n_bits          : bits of the code of each piece
    keep_vectors    : distances are measured from the vectors; without them, those of the decoded ones are given, and
                      `error` says by how much they are off

    Source  Jegou, Douze & Schmid 2011
    """

    name = "ivfpq"
    about = "lists of codes: n_subquantizers + 8 bytes a vector"
    parameters = (*_Lists.parameters, *_Codes.parameters)
    recall = 0.9

    def __init__(
        self,
        metric: str | Metric = "euclidean",
        n_lists: int | None = None,
        n_probe: int = 32,
        n_subquantizers: int | None = None,
        n_bits: int = 8,
        keep_vectors: bool = True,
        threads: int | None = None,
    ) -> None:
        settings = {"n_lists": n_lists, "n_probe": n_probe, "n_subquantizers": n_subquantizers, "n_bits": n_bits}
        super().__init__(metric, threads, **settings, keep_vectors=keep_vectors)

    def _new(self, n: int) -> Any:
        quantizer, n_lists = self._quantizer(n)
        pieces, bits = self._shape(n)
        engine = _faiss().IndexIVFPQ(quantizer, self.dim, n_lists, pieces, bits, self._metric())
        self._codebooks(engine)
        return self._settled(engine, quantizer)

    def _read(self, files: dict[str, Path], n: int) -> None:
        super()._read(files, n)
        self._faiss.precompute_table()  # which no file may ask for: its size is not bound by the file's

    def _parameters(self, k: int, selector: Any = None, wider: float = 1.0) -> Any:
        return _faiss().IVFPQSearchParameters(nprobe=self._probes(wider), sel=selector)


class PQ(_Codes):
    """Product codes alone: a few bytes a vector, every code compared.

    n_subquantizers, n_bits, keep_vectors : as for `IVFPQ`

    Source  Jegou, Douze & Schmid 2011
    """

    name = "pq"
    about = "codes: n_subquantizers bytes a vector, every one compared"
    filters = False
    recall = 0.98

    def __init__(
        self,
        metric: str | Metric = "euclidean",
        n_subquantizers: int | None = None,
        n_bits: int = 8,
        keep_vectors: bool = True,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, n_subquantizers=n_subquantizers, n_bits=n_bits, keep_vectors=keep_vectors)

    def _new(self, n: int) -> Any:
        engine = _faiss().IndexPQ(self.dim, *self._shape(n), self._metric())
        self._codebooks(engine)
        return engine

    def _training(self, n: int) -> int:
        return max(65_536, 64 << self._settings["n_bits"])

    def _parameters(self, k: int, selector: Any = None, wider: float = 1.0) -> Any:
        return None


class _Threads:
    """faiss with so many threads, for as long as the block lasts; it has one setting for all."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        self._before = _faiss().omp_get_max_threads()
        _faiss().omp_set_num_threads(self._threads)

    def __exit__(self, *_: object) -> None:
        _faiss().omp_set_num_threads(self._before)


def _faiss() -> Any:
    import faiss

    return faiss


def read_engine(path: Path, n: int, dim: int, read: Any) -> Any:
    """The faiss index of a file, mapped into memory, with no array larger than the file.

    Raises    DataError where faiss refuses it, or it holds other vectors than the manifest says
    """
    faiss = _faiss()
    before = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
    size = path.stat().st_size
    faiss.set_deserialization_vector_byte_limit(size + SLACK_BYTES)
    faiss.set_deserialization_loop_limit(max(1 << 16, size))
    try:
        engine = read(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    except Exception as error:  # faiss raises RuntimeError, MemoryError and others of damaged bytes
        reason = str(error).rpartition("Error: ")[2].partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: faiss cannot read it ({reason}); build the index again") from None
    finally:
        faiss.set_deserialization_vector_byte_limit(before[0])
        faiss.set_deserialization_loop_limit(before[1])
    if (engine.ntotal, engine.d) != (n, dim):
        raise DataError(f"{path}: found {engine.ntotal} entries of dim {engine.d}, the manifest says {n} of dim {dim}")
    return engine


def check_graph(path: Path, graph: Any, n: int) -> None:
    """Raises DataError where a link of a graph leads nowhere; faiss follows links without looking."""
    faiss = _faiss()
    links = faiss.vector_to_array(graph.neighbors)
    offsets = faiss.vector_to_array(graph.offsets)
    whole = len(offsets) == n + 1 and offsets[0] == 0 and (np.diff(offsets.astype(np.int64)) >= 0).all()
    whole = whole and offsets[-1] == len(links) and (n == 0 or -1 <= graph.entry_point < n)
    if not whole or (len(links) and not (links.min() >= -1 and links.max() < n)):
        raise DataError(f"{path}: a link of the graph leads nowhere; build the index again")
