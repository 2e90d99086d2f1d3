"""A flat navigable graph, built from an approximate neighbour graph and searched over codes by the native kernel."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.engine import Engine
from vicinal.indexes.engines.faiss import METRICS
from vicinal.indexes.entries import Entries
from vicinal.indexes.index import Index
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.proposals import Backend, Proposals
from vicinal.knn.kernels.native import (
    MISSING,
    GraphParts,
    chosen_isa,
    isas,
    loaded_graph_search,
    native_graph,
    native_graph_search,
)
from vicinal.knn.metrics import find
from vicinal.storage import npy
from vicinal.typing import MetricLike

FILE = "engine.graph"
VERSION = 1  # of FILE
STEPS = "pppr"  # partitions and rounds of refinement that the lists are made by
LEAF, FANOUT = 512, 2  # rows in a cell of a partition, and cells that a row is in
REFINED, CANDIDATES = 16, 1024  # neighbours whose neighbours a row is compared with, and the most rows of a block
NEW_WIDTH = 128  # of the search for the neighbours of an added row
REBUILT = 2  # the graph is built anew where more rows are added than 1 / REBUILT of those that it has
SPARE = 6  # rows proposed beyond k at least, so that the errors of codes cost little
SAMPLE, NEAREST, VIEW = 200, 10, 128  # rows, neighbours and width of the search that tell how many are needed
LEAST, FAR = 1e-35, 1e30  # least and highest scale of codes; the highest base
LONGEST = 1e42  # length of rows whose values float32 holds
EXTRA = 16  # coordinates that make rows of inner_product equally long
ARRAYS = {"head": ("f8", 1), "centre": ("f8", 1), "rows": ("i4", 1), "codes": ("u1", 2), "bases": ("f4", 1)}
ARRAYS |= {"links": ("i4", 2), "starts": ("i4", 1)}


class CoarseCodes(UserWarning):
    """The codes of a graph tell little apart, so that its recall may be low."""


class GraphEngine(Engine):
    """A navigable graph of the native kernel."""

    filters = True
    _search: Any = None
    _spare = SPARE  # rows proposed beyond k
    coarse = False  # whether the codes tell little apart
    _length = 0.0  # of every row, with the coordinates that fill it up, under inner_product

    @property
    def library(self) -> str:
        """The kernel, and its instruction set."""
        return f"native ({MISSING or chosen_isa() or isas()[0]})"

    @property
    def n_bytes(self) -> int:
        """The memory of codes and links."""
        return 0 if self._search is None else int(self._search.n_bytes())

    def bytes_needed(self, n: int, dim: int) -> int:
        """The rows in float32 and their codes, the lists, and the links."""
        lists: int = self._width()
        return n * (6 * dim + 8 * lists + 4 * int(self.settings["graph_degree"]))

    def build(self, entries: Entries) -> None:
        """Make the lists of neighbours, and choose the links among them."""
        if MISSING:
            raise UsageError(f"graph needs the native kernel: {MISSING}; use hnsw, or install vicinal with a compiler")
        rows = np.empty((entries.n, entries.dim), dtype=np.float32)
        for block in entries.blocks(entries.n):
            rows[block] = entries.prepared(block)
        if self.metric.product:
            self._length = float(np.sqrt(_squares(rows).max(initial=0)))
            rows = self._filled(rows)
        lists = native_graph(rows, find("euclidean"), self.threads, None, self._width(), 0)
        for step in STEPS if len(rows) >= 2 * LEAF else "p":
            if step == "p":
                lists.partition(LEAF, FANOUT)
            else:
                lists.refine(min(REFINED, self._width()), CANDIDATES)
        self._search = native_graph_search(lists, self.settings["graph_degree"])
        self._spare = self._needed(rows)

    def extend(self, entries: Entries, first: int) -> None:
        """Link the entries from `first` on with their neighbours."""
        if entries.n - first > first // REBUILT:
            self.build(entries)
            return
        for block in entries.blocks(entries.n, first):
            rows = entries.prepared(block)
            if self.metric.product:
                if np.sqrt(_squares(rows).max(initial=0)) > self._length:
                    self.build(entries)
                    return
                rows = self._filled(rows)
            self._search.extend(rows, NEW_WIDTH)

    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """The entries that a walk towards each query finds, and a few more than k."""
        n = len(allowed) if allowed is not None else int(self._search.n())
        wanted = min(k + max(self._spare, k // 4), n)
        width = max(wanted, self.settings["ef_search"])
        bits = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            width = min(n, round(width * n / max(1, int(np.count_nonzero(allowed)))))
        if self.metric.product:
            queries = self._directed(queries)
        found: np.ndarray = self._search.search(queries, wanted, width, bits)
        return found

    def visits_all(self, n: int) -> bool:
        """Whether ef_search spans the entries."""
        return bool(self.settings["ef_search"] >= n)

    def write(self, folder: Path) -> None:
        """Write engine.graph: a sequence of `.npy` arrays."""
        parts = self._search.parts()
        head = [VERSION, parts.pop("dim"), parts.pop("max_code"), parts.pop("factor"), parts.pop("scale")]
        head += [self._length, self._spare]
        parts["head"] = np.array(head, dtype=np.float64)
        with open(folder / FILE, "wb") as file:
            for name, (dtype, _) in ARRAYS.items():
                npy.write_npy(file, parts[name].astype(f"<{dtype}", copy=False))

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Read engine.graph, and check that it fits the entries."""
        path = files[FILE]
        parts = dict(_arrays(path))
        head = parts.pop("head")
        if len(head) != 7 or head[0] != VERSION:
            raise _damaged(path, "it is of another version")
        if (
            not np.isfinite(head).all()
            or not 0 <= head[5] <= LONGEST
            or not 0 <= head[1] < 1 << 31
            or not 0 <= head[2] < 1 << 31
            or not SPARE <= head[6] < 1 << 31
        ):
            raise _damaged(path, "its sizes are no numbers that it can have")
        dim = entries.dim + (EXTRA if self.metric.product else 0)
        if (len(parts["rows"]), int(head[1])) != (entries.n, dim):
            found = f"found {len(parts['rows'])} entries of dim {int(head[1])}, the manifest says {entries.n} of"
            raise _damaged(path, f"{found} dim {dim}")
        self._take({"head": head, **parts}, path)

    def _take(self, parts: dict[str, np.ndarray], path: Path | str) -> None:
        head = parts["head"]
        made = GraphParts(dim=int(head[1]), max_code=int(head[2]), factor=float(head[3]), scale=float(head[4]))
        arrays = {name: parts[name] for name in ARRAYS if name != "head"}
        bases = arrays["bases"]
        # Links are chosen by sorting distances, which NaN would not order.
        if not (LEAST <= made.scale <= FAR and ((bases >= 0) & (bases <= np.float32(FAR))).all()):
            raise _damaged(path, "its scale or bases are no numbers that it can have")
        try:
            self._search = loaded_graph_search(made, arrays, self.threads)
        except (ValueError, TypeError) as error:
            raise _damaged(path, str(error).partition("\n")[0]) from None
        self._length, self._spare = float(head[5]), int(head[6])

    def frozen(self) -> dict[str, Any]:
        """A copy of the arrays."""
        return {"parts": self._search.parts(), "length": self._length, "spare": self._spare}

    def thaw(self, frozen: dict[str, Any], entries: Entries) -> None:
        """Take the arrays of a copy."""
        parts, rest = dict(frozen["parts"]), (frozen["length"], frozen["spare"])
        head = [VERSION, *(parts.pop(name) for name in ("dim", "max_code", "factor", "scale")), *rest]
        self._take({"head": np.array(head, dtype=np.float64), **parts}, "the copy")

    def _needed(self, rows: np.ndarray) -> int:
        """How many rows beyond k have to be measured, because codes order them in another way than distances do.

        Codes of one scale tell little apart where rows form tight groups that lie far from each other.
        """
        n, deepest = len(rows), []
        for row in np.unique(np.linspace(0, n - 1, SAMPLE).astype(np.int64)):
            found = self._search.search(rows[row : row + 1], min(VIEW, n), min(VIEW, n))[0]
            found = found[found >= 0]
            far = np.square(rows[found] - rows[row], dtype=np.float64).sum(axis=1)
            deepest.append(np.argsort(far, kind="stable")[:NEAREST].max(initial=0) + 1)
        needed = int(np.quantile(deepest, 0.99))
        self.coarse = needed > VIEW // 2 and not self.visits_all(n)
        if self.coarse:
            warnings.warn(
                f"graph: of {n} vectors the {NEAREST} nearest lie among the first {needed} by their codes, so the "
                "recall may be low: codes of one scale tell little apart where lengths differ greatly or groups lie "
                "far from each other; measure it with `vicinal index evaluate`, or take hnsw, which compares float32",
                CoarseCodes,
                stacklevel=2,
            )
        # Where the order of codes is that poor, rows that were not sampled may need more.
        return max(SPARE, (needed if needed <= 2 * NEAREST else 2 * needed) - NEAREST)

    def _width(self) -> int:
        return max(int(self.settings["intermediate_graph_degree"]), int(self.settings["graph_degree"]))

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        """Rows made equally long by EXTRA coordinates: those nearest to a query have the highest inner products."""
        rest = np.sqrt(np.maximum(self._length**2 - _squares(rows), 0) / EXTRA)
        return np.concatenate([rows, np.repeat(rest[:, None], EXTRA, axis=1)], axis=1, dtype=np.float32)

    def _directed(self, queries: np.ndarray) -> np.ndarray:
        """Queries as long as the rows, for only their direction matters, with EXTRA zeros."""
        rows = queries.astype(np.float64)
        lengths = np.sqrt(_squares(rows))
        rows *= (self._length / np.where(lengths > 0, lengths, 1))[:, None]
        return np.concatenate([rows, np.zeros((len(rows), EXTRA))], axis=1, dtype=np.float32)


def _squares(rows: np.ndarray) -> np.ndarray:
    """The squared length of each row, float64."""
    squares: np.ndarray = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return squares


def _arrays(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of engine.graph by name, in memory."""
    start = 0
    for name, (dtype, ndim) in ARRAYS.items():
        place = f"{path} ({name})"
        with open(path, "rb") as file:
            file.seek(start)
            if not file.peek(1):
                raise _damaged(path, f"it ends before {name}")
            shape, fortran, found = npy.read_header(place, file)
            offset = file.tell()
        if found != np.dtype(f"<{dtype}") or len(shape) != ndim or fortran:
            raise _damaged(path, f"{name}: expected {ndim} dimensions of {dtype}, found {len(shape)} of {found}")
        array = np.array(npy.load_npy(path, start, place))
        start = offset + array.nbytes
        yield name, array
    if start != path.stat().st_size:
        raise _damaged(path, f"expected {start} bytes, found {path.stat().st_size}")


def _damaged(path: Path | str, why: str) -> DataError:
    return DataError(f"{path}: {why}; build the index again")


class Graph(Index):
    """A flat navigable graph: each vector is linked with near ones in several directions, and a query walks along them.

    It is built from an approximate neighbour graph, and searched over codes of one byte a coordinate.

    Parameters
    ----------
    metric : str or Metric
        euclidean, sqeuclidean, cosine or inner_product.
    graph_degree : int
        Links of each vector; more find more, and take more memory (4 graph_degree bytes a vector).
    intermediate_graph_degree : int
        Nearest neighbours of each vector that its links are chosen from; at least graph_degree.
    ef_search : int
        The width of the search of a query; at least k. As many as there are vectors make it exact. May be changed by
        `set`.
    threads : int or None
        None for the number of cores.

    References
    ----------
    Fu et al. 2019 (NSG); Ootomo et al. 2024 (CAGRA)

    Examples
    --------
    >>> Graph("euclidean").fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "graph"
    about = "flat graph over codes: built and searched fastest, dim + 4 graph_degree bytes a vector"
    metrics = METRICS
    parameters = (
        Parameter("graph_degree", 32, "links of each vector", low=2, high=512),
        Parameter("intermediate_graph_degree", 48, "neighbours that links are chosen from", low=2, high=1024),
        Parameter("ef_search", 128, "width of the search of a query; at least k", searching=True),
    )
    filters = True
    recall = 0.98

    def __init__(
        self,
        metric: MetricLike = "euclidean",
        graph_degree: int = 32,
        intermediate_graph_degree: int = 48,
        ef_search: int = 128,
        threads: int | None = None,
    ) -> None:
        degrees = {"graph_degree": graph_degree, "intermediate_graph_degree": intermediate_graph_degree}
        super().__init__(metric, threads, **degrees, ef_search=ef_search)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, GraphEngine(self.metric, self._settings, self.threads))
