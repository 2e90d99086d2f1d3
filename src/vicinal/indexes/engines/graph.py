"""A flat navigable graph, built from an approximate neighbour graph and searched over codes by the native kernel."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.engine import Engine
from vicinal.indexes.engines.faiss import METRICS
from vicinal.indexes.engines.judging import NEAREST, Judge, regions
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
    native_product_search,
)
from vicinal.knn.measure import measured
from vicinal.knn.metrics import find
from vicinal.storage import npy
from vicinal.typing import MetricLike

FILE = "engine.graph"
VERSION = 2  # of FILE
STEPS = "pppr"  # partitions and rounds of refinement that the lists are made by
LEAF, FANOUT = 512, 2  # rows in a cell of a partition, and cells that a row is in
REFINED, CANDIDATES = 16, 1024  # neighbours whose neighbours a row is compared with, and the most rows of a block
BUILD_WIDTH = 128  # of the searches for the neighbours of rows where lists do not say them
NEW_WIDTH = 128  # of the search for the neighbours of an added row
REBUILT = 2  # the graph is built anew where more rows are added than 1 / REBUILT of those that it has
SPARE = 6  # rows proposed beyond k at least, so that the errors of codes cost little
SAMPLE, VIEW = 200, 128  # rows, and width of the search, that tell how many are needed
EF = 128  # the default width of a search
ENOUGH, POOR = 0.98, 0.9  # recall that the default width has to have, and recall that is warned of
WATCHED, UNORDERED = 50, 0.2  # added rows that are judged together, and the share of them that may be told little apart
GROWN = 16  # the graph is then built anew, if it has grown by 1 / GROWN of its rows
WIDEST = 16  # times as wide at most
LEAST, FAR = 1e-35, 1e30  # least and highest scale of codes; the highest base
EQUAL = 1e-3  # rows whose lengths differ by no larger share are ordered by inner products as by distances
LONGEST = 1e42  # length of rows whose values float32 holds
HEAD = ("dim", "products", "max_code", "factor")  # of the numbers of FILE, behind its version
ARRAYS = {"head": ("f8", 1), "origin": ("f8", 1), "centres": ("f4", 2), "regions": ("u2", 1), "rows": ("i4", 1)}
ARRAYS |= {"codes": ("u1", 2), "terms": ("f4", 2), "links": ("i4", 2), "starts": ("i4", 1)}


class LowRecall(UserWarning):
    """A graph that finds few of the nearest rows, of all or of one region, as it has measured on some of its own."""


class GraphEngine(Engine):
    """A navigable graph of the native kernel."""

    filters = True
    _search: Any = None
    _spare = SPARE  # rows proposed beyond k
    _wider = 1  # times as wide as asked for a search is
    coarse = False  # whether codes that tell little apart are why few of the nearest are found
    _length = 0.0  # of the longest row, under inner_product
    _added = _watched = _unordered = 0  # rows since the build; those judged of late; those told little apart

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
        degree = self.settings["graph_degree"]
        if self.metric.product:
            lengths = np.sqrt(_squares(rows))
            self._length = float(lengths.max(initial=0))
        if self.metric.product and lengths.min(initial=np.inf) < (1 - EQUAL) * self._length:
            self._search = native_product_search(rows, degree, BUILD_WIDTH, self.threads)
        else:
            lists = native_graph(rows, find("euclidean"), self.threads, None, self._width(), 0)
            for step in STEPS if len(rows) >= 2 * LEAF else "p":
                if step == "p":
                    lists.partition(LEAF, FANOUT)
                else:
                    lists.refine(min(REFINED, self._width()), CANDIDATES)
            self._search = native_graph_search(lists, degree, BUILD_WIDTH)
        self._added = self._watched = self._unordered = 0
        self._judge(rows, entries.rows)

    def extend(self, entries: Entries, first: int) -> None:
        """Link the entries from `first` on with their neighbours."""
        if entries.n - first > first // REBUILT:
            self.build(entries)
            return
        for block in entries.blocks(entries.n, first):
            rows = entries.prepared(block)
            if self.metric.product and not self._fits(rows):
                self.build(entries)
                return
            self._search.extend(rows, NEW_WIDTH)
            self._added += len(rows)
            self._watch(entries, rows)
        if self._watched >= WATCHED:
            poor = self._unordered > UNORDERED * self._watched
            self._watched = self._unordered = 0
            if poor and self._added * GROWN >= entries.n:
                self.build(entries)
            elif poor:
                warnings.warn(
                    "graph: its codes tell the added vectors little apart, which lie unlike those that it was built "
                    "from: searches near them find few of the nearest; build it anew with all rows",
                    LowRecall,
                    stacklevel=2,
                )

    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """The entries that a walk towards each query finds, and a few more than k."""
        n = len(allowed) if allowed is not None else int(self._search.n())
        wanted = min(k + max(self._spare, k // 4), n)
        width = min(n, max(wanted, self.settings["ef_search"] * self._wider))
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
        head = [VERSION, *(parts.pop(name) for name in HEAD), self._length, self._spare, self._wider]
        parts["head"] = np.array(head, dtype=np.float64)
        with open(folder / FILE, "wb") as file:
            for name, (dtype, _) in ARRAYS.items():
                npy.write_npy(file, parts[name].astype(f"<{dtype}", copy=False))

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Read engine.graph, and check that it fits the entries."""
        path = files[FILE]
        parts = dict(_arrays(path))
        head = parts.pop("head")
        if (
            len(head) != 8
            or not np.isfinite(head).all()
            or not 0 <= head[1] < 1 << 31
            or head[2] not in (0, self.metric.product)
            or not 0 <= head[3] < 1 << 31
            or not 0 <= head[5] <= LONGEST
            or not SPARE <= head[6] < 1 << 31
            or not 1 <= head[7] <= WIDEST
        ):
            raise _damaged(path, "its sizes are no numbers that it can have")
        if (len(parts["rows"]), int(head[1])) != (entries.n, entries.dim):
            found = f"found {len(parts['rows'])} entries of dim {int(head[1])}, the manifest says {entries.n} of"
            raise _damaged(path, f"{found} dim {entries.dim}")
        self._take({"head": head, **parts}, path)

    def _take(self, parts: dict[str, np.ndarray], path: Path | str) -> None:
        head = parts["head"]
        made = GraphParts(dim=int(head[1]), products=bool(head[2]), max_code=int(head[3]), factor=float(head[4]))
        arrays = {name: parts[name] for name in ARRAYS if name != "head"}
        bases, scales = arrays["terms"][:, 0], arrays["terms"][:, 1:]
        # Links are chosen by sorting distances, which NaN would not order.
        known = ((bases >= 0) & (bases <= np.float32(FAR))).all() and ((scales >= LEAST) & (scales <= FAR)).all()
        if not known:
            raise _damaged(path, "its terms are no numbers that they can be")
        try:
            self._search = loaded_graph_search(made, arrays, self.threads)
        except (ValueError, TypeError) as error:
            raise _damaged(path, str(error).partition("\n")[0]) from None
        self._length, self._spare, self._wider = float(head[5]), int(head[6]), int(head[7])

    def frozen(self) -> dict[str, Any]:
        """A copy of the arrays."""
        return {"parts": self._search.parts(), "rest": (self._length, self._spare, self._wider)}

    def thaw(self, frozen: dict[str, Any], entries: Entries) -> None:
        """Take the arrays of a copy."""
        parts, rest = dict(frozen["parts"]), frozen["rest"]
        head = [VERSION, *(parts.pop(name) for name in HEAD), *rest]
        self._take({"head": np.array(head, dtype=np.float64), **parts}, "the copy")

    def _judge(self, rows: np.ndarray, numbers: np.ndarray) -> None:
        """Measure on some of the rows how many beyond k have to be measured, and how wide searches have to be.

        Codes order rows in another way than distances do, and walks do not find all; how much of both depends on the
        rows.

        numbers : what the user knows the rows by
        """
        n = len(rows)
        sample = np.unique(np.linspace(0, n - 1, SAMPLE).astype(np.int64))
        queries = rows[sample]
        metric, view = find("inner_product" if self._search.products() else "euclidean"), min(VIEW, n)
        far = measured(metric, rows, queries, self._search.search(queries, view, view), self.threads)
        deepest = np.argsort(far, axis=1, kind="stable")[:, :NEAREST].max(axis=1) + 1
        needed = int(np.quantile(deepest, 0.99))
        # Where the order of codes is that poor, rows that were not sampled may need more.
        self._spare = max(SPARE, (needed if needed <= 2 * NEAREST else 2 * needed) - NEAREST)
        self._wider, self.coarse = 1, False
        if n <= EF:
            return
        apart = regions(rows, self.threads)
        judge = Judge(rows, [sample, *(region.rows for region in apart)], metric, self.threads)
        wanted = min(NEAREST + self._spare, n)
        first = 0  # the least width that is enough for the rows as a whole
        while True:
            width = min(n, max(wanted, EF * self._wider))
            found = self._search.search(judge.queries, wanted, width, hidden=judge.hidden)
            share, *shares = judge.recalls(found)
            if share >= ENOUGH:
                first = first or self._wider
            enough = share >= ENOUGH and min(shares, default=1.0) >= POOR
            if enough or self._wider >= WIDEST or EF * self._wider >= n:
                break
            self._wider *= 2
        tried = self._wider
        if first and min(shares, default=1.0) < POOR:  # no width helps this region, and it costs all others
            self._wider = first
        if min([share, *shares]) >= POOR or self.visits_all(n):
            return
        self.coarse = needed > VIEW // 2
        named, remedy = f"these {n} vectors", "raise ef_search, or take exact"
        if self.coarse:
            remedy = "its codes tell them little apart; take hnsw, which compares float32"
        if share >= POOR:
            poorest = int(np.argmin(shares))
            share, region = shares[poorest], apart[poorest]
            named = f"the {region.share:.1%} of these {n} vectors that are near row {numbers[region.rows[0]]}"
            remedy = "take hnsw, which compares float32, or exact"
        warnings.warn(
            f"graph: a search finds about {share:.2f} of the {NEAREST} nearest of {named}, even at a width of "
            f"{EF * tried}: {remedy}",
            LowRecall,
            stacklevel=2,
        )

    def _watch(self, entries: Entries, rows: np.ndarray) -> None:
        """Count on some of the last rows whether the order of codes hides more of the nearest than at the build.

        Codes begin at centres that were chosen at the build: rows of a new region may have equal ones.
        """
        queries = rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))]
        view = min(VIEW, int(self._search.n()))
        found = self._search.search(queries, view, view)
        named, places = np.unique(found, return_inverse=True)
        near = entries.prepared(named[named >= 0])
        places = places.reshape(found.shape) - int(np.count_nonzero(named < 0))
        metric = find("inner_product" if self._search.products() else "euclidean")
        far = measured(metric, near, queries, places, self.threads)
        deepest = np.argsort(far, axis=1, kind="stable")[:, :NEAREST].max(axis=1) + 1
        self._watched += len(queries)
        self._unordered += int(np.count_nonzero(deepest > NEAREST + self._spare))

    def _width(self) -> int:
        return max(int(self.settings["intermediate_graph_degree"]), int(self.settings["graph_degree"]))

    def _fits(self, rows: np.ndarray) -> bool:
        """Whether these rows can be added under inner_product: all are as long as those of a graph of distances."""
        lengths = np.sqrt(_squares(rows))
        longest, shortest = float(lengths.max(initial=0)), float(lengths.min(initial=np.inf))
        return bool(self._search.products()) or (1 - EQUAL) * max(longest, self._length) <= min(shortest, self._length)

    def _directed(self, queries: np.ndarray) -> np.ndarray:
        """Queries as long as the longest row, for only their direction matters."""
        rows = queries.astype(np.float64)
        lengths = np.sqrt(_squares(rows))
        rows *= (self._length / np.where(lengths > 0, lengths, 1))[:, None]
        return rows.astype(np.float32)


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
        if name == "head" and array[:1].tolist() != [VERSION]:
            raise _damaged(path, f"it is of version {array[:1].sum():.0f}, expected version {VERSION}")
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
        `set`. Where the build measures that 128 finds less than .98 of the 10 nearest of stored rows, each left out of
        its own search, or less than .9 in one region of them, searches are up to 16 times as wide, if that helps; else
        LowRecall says so.
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
        Parameter("ef_search", EF, "width of the search of a query; at least k", searching=True),
    )
    filters = True
    recall = 0.98

    def __init__(
        self,
        metric: MetricLike = "euclidean",
        graph_degree: int = 32,
        intermediate_graph_degree: int = 48,
        ef_search: int = EF,
        threads: int | None = None,
    ) -> None:
        degrees = {"graph_degree": graph_degree, "intermediate_graph_degree": intermediate_graph_degree}
        super().__init__(metric, threads, **degrees, ef_search=ef_search)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, GraphEngine(self.metric, self._settings, self.threads))
